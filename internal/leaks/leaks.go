// Package leaks handles reports of leaked secrets: from secret scanners, which sign them, and from clients that have
// the secret, which is proof enough (docs/leaks.md: "Reports").
package leaks

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/oauth"
	"latchkey/internal/ratelimit"
	"latchkey/internal/secret"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Reporter is the client that reports a secret.
type Reporter struct {
	// Scanner reports whether the report is signed by a secret scanner. Otherwise the secret is the only proof.
	Scanner bool
	Origin  auth.Origin
}

// Verdict is the result of a report.
type Verdict int

// The verdicts.
const (
	// Unchecked: whether the server issued a secret of this kind cannot be determined.
	Unchecked Verdict = iota
	// Malformed: the text is not a secret.
	Malformed
	// Unknown: the server did not issue the secret.
	Unknown
	// Real: the server issued the secret. It may have ended.
	Real
)

// Notice is a mail to an account's owner about a leaked secret.
type Notice struct {
	AccountID uuid.UUID
	// Kind is the kind of the secret.
	Kind secret.Kind
	// Revoked reports whether the secret was revoked. Otherwise it still works.
	Revoked bool
	At      time.Time
}

// Credentials finds the record of a secret. It is access.Repository.
type Credentials interface {
	Credential(ctx context.Context, kind secret.Kind, candidates []secret.KeyedDigest) (access.Record, error)
}

// Accounts finds an account. It is account.Repository.
type Accounts interface {
	Account(ctx context.Context, id uuid.UUID) (account.Account, error)
}

// Config has the dependencies of a Service.
type Config struct {
	Credentials Credentials
	Accounts    Accounts
	Keys        *secret.Keyring
	Tokens      *token.Service
	OAuth       *oauth.Service
	Users       *user.Service
	// Notify mails a notice. If it is nil, no mails are sent.
	Notify func(context.Context, Notice) error
	Now    clock.Clock
	Log    *slog.Logger
}

// Service handles reports. It is safe for concurrent use.
type Service struct {
	Config

	// recorded limits the events of a secret that stays active, since reports can be repeated.
	recorded *ratelimit.Buckets[secret.Digest]
	// mailed limits the mails to an account's owner, since a client can have itself granted many access tokens.
	mailed  *ratelimit.Buckets[uuid.UUID]
	notices chan Notice
}

const (
	// secretsKept is the number of leaked secrets that stay active for which the last event is remembered.
	secretsKept = 10_000
	// accountsKept is the number of accounts for which the mails of the last hour are counted.
	accountsKept = 10_000
	// noticesKept is the number of mails that wait.
	noticesKept = 100
)

var (
	// repeated is how often a leak that is not revoked is recorded.
	repeated = ratelimit.Rate{Requests: 1, Window: 24 * time.Hour}
	// mails is how many mails an account's owner gets. The audit log has the other leaks.
	mails = ratelimit.Rate{Requests: 5, Window: time.Hour}
)

// NewService returns a service.
func NewService(c Config) (*Service, error) {
	recorded, err := ratelimit.New[secret.Digest](repeated, secretsKept)
	if err != nil {
		return nil, err
	}
	mailed, err := ratelimit.New[uuid.UUID](mails, accountsKept)
	return &Service{Config: c, recorded: recorded, mailed: mailed, notices: make(chan Notice, noticesKept)}, err
}

// Run mails notices until ctx ends.
func (s *Service) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-s.notices:
			if err := s.Notify(ctx, n); err != nil {
				s.Log.WarnContext(ctx, "a mail about a leaked secret could not be sent", "account_id", n.AccountID,
					"error", err)
			}
		}
	}
}

// Report handles the report of a secret. The errors are those of the database.
func (s *Service) Report(ctx context.Context, from Reporter, r Report) (Verdict, error) {
	r.Token = strings.TrimSpace(r.Token) // copied with the end of its line
	value, err := secret.Parse(r.Token)
	if err != nil {
		return s.reportOther(ctx, from, r), nil //nolint:nilerr // the verdict says that it is not a secret
	}
	if slices.Contains([]secret.Kind{secret.Flow, secret.OneTimeLink}, value.Kind()) {
		return Unchecked, nil // they end by themselves
	}
	record, err := s.Credentials.Credential(ctx, value.Kind(), s.Keys.Candidates(value))
	if fault.KindOf(err) == fault.NotFound {
		return Unknown, nil
	}
	if err != nil {
		return Unchecked, err
	}
	l := leak{Service: s, value: value, record: record, by: s.actor(from, &record.Principal), reason: r.reason(from)}
	if l.ended() {
		return Real, nil
	}
	return Real, l.handle(ctx)
}

// reportOther handles the report of a text that is not a Secret.
func (s *Service) reportOther(ctx context.Context, from Reporter, r Report) Verdict {
	found := secret.Find([]byte(r.Token))
	switch {
	case len(found) != 1 || found[0].End-found[0].Start != len(r.Token):
		return Malformed
	case found[0].Kind != secret.ServerKey:
		return Unchecked // a signing secret, of which there is no digest
	case !slices.Contains(s.Keys.IDs(), secret.KeyID(found[0].Hint)):
		return Unknown
	}
	s.Log.ErrorContext(ctx, "a server key of this server was reported as leaked; replace the key file", "key_id",
		found[0].Hint, "reason", r.reason(from), "request_id", from.Origin.RequestID)
	return Real
}

// actor returns the principal to which the events of a report are attributed: the secret's own for a client that has
// the secret, and the operator, who trusts the scanner's key, for a scanner.
func (s *Service) actor(from Reporter, of *auth.Principal) *auth.Principal {
	by := auth.OperatorPrincipal()
	by.NoCredential = "a scanner has signed the report of a leak"
	if !from.Scanner {
		by = auth.Principal{Kind: of.Kind, ID: of.ID, PersonID: of.PersonID, Name: of.Name,
			NoCredential: "the leaked secret is the proof"}
	}
	by.AccountID, by.Origin = of.AccountID, from.Origin
	return &by
}

// leak is a leaked secret that the server issued.
type leak struct {
	*Service

	value  secret.Secret
	record access.Record
	by     *auth.Principal
	reason string
}

// ended reports whether the secret has been revoked or has expired.
func (l leak) ended() bool {
	now := l.Now()
	return l.record.Revoked || slices.ContainsFunc(l.record.ExpiresAt[:], func(end time.Time) bool {
		return !end.IsZero() && !now.Before(end)
	})
}

func (l leak) handle(ctx context.Context) error {
	switch l.value.Kind() {
	case secret.GatewayKey:
		// It belongs to no account. To revoke it would stop the platform's APIs.
		l.log(ctx, slog.LevelError, "a gateway key was reported as leaked; create another one and revoke it")
		return nil
	case secret.UserSession:
		ended, err := l.Users.EndLeaked(ctx, l.by, l.record.Principal.SessionID, l.reason)
		return l.done(ctx, ended, true, err)
	}
	a, err := l.Accounts.Account(ctx, l.by.AccountID)
	if err != nil {
		return err
	}
	if a.Leaks == account.NotifyOfLeaks {
		return l.keep(ctx)
	}
	if l.value.Kind() == secret.OAuthAccessToken {
		err = l.OAuth.RevokeLeaked(ctx, l.by, &l.record.Principal, l.value, l.reason)
		return l.done(ctx, err == nil, true, err)
	}
	revoked, err := l.Tokens.RevokeLeaked(ctx, l.by, l.ofToken())
	return l.done(ctx, revoked, true, err)
}

// keep records the leak of a secret that keeps working. The access tokens that a client is granted count as one, since
// it can get any number of them.
func (l leak) keep(ctx context.Context) error {
	key := secret.Fingerprint(l.value.Reveal())
	if l.value.Kind() == secret.OAuthAccessToken {
		key = sha256.Sum256([]byte("granted access tokens of " + l.record.Principal.ID.String()))
	}
	if _, first := l.recorded.Take(key, l.Now()); !first {
		return nil
	}
	recorded, err := l.Tokens.RecordLeak(ctx, l.by, l.ofToken())
	if err != nil {
		l.recorded.Return(key, l.Now())
	}
	return l.done(ctx, recorded, false, err)
}

// ofToken returns the leak of a secret of an API token. AccessTokenID is zero for a client secret and for a granted
// access token.
func (l leak) ofToken() token.Leak {
	return token.Leak{TokenID: l.record.Principal.ID, AccessID: l.record.AccessTokenID, Hint: l.value.Hint(),
		Reason: l.reason}
}

// done logs and mails that a report had an effect, unless it had none.
func (l leak) done(ctx context.Context, effect, revoked bool, err error) error {
	if err != nil || !effect {
		return err
	}
	what := "a leaked secret was reported and keeps working, by the account's policy"
	if revoked {
		what = "a leaked secret was reported and revoked"
	}
	l.log(ctx, slog.LevelWarn, what)
	if l.Notify == nil {
		return nil
	}
	if _, is := l.mailed.Take(l.by.AccountID, l.Now()); !is {
		l.log(ctx, slog.LevelWarn, "no mail was sent about a leaked secret: the owner got several within the last hour")
		return nil
	}
	select {
	case l.notices <- Notice{l.by.AccountID, l.value.Kind(), revoked, l.Now()}:
	default:
		l.log(ctx, slog.LevelWarn, "a mail about a leaked secret was dropped: too many are waiting")
	}
	return nil
}

func (l leak) log(ctx context.Context, level slog.Level, message string) {
	l.Log.Log(ctx, level, message, "account_id", l.by.AccountID, "principal_id", l.record.Principal.ID, "kind",
		l.value.Kind().Name(), "reason", l.reason, "request_id", l.by.Origin.RequestID)
}
