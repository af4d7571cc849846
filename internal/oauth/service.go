package oauth

import (
	"context"
	"crypto/subtle"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

// Service authenticates clients, and grants and ends their access tokens.
type Service struct {
	repo      Repository
	catalogue *scope.Catalogue
	keys      *secret.Keyring
	lifetime  time.Duration
	random    io.Reader
	now       func() time.Time
}

// Config is what a Service is made of.
type Config struct {
	Repository Repository
	// Catalogue says which scopes come with which.
	Catalogue *scope.Catalogue
	Keys      *secret.Keyring
	// Lifetime is how long a granted access token lives, if its API token
	// lives as long: more than none and at most MaxLifetime.
	Lifetime time.Duration
	// Random is a cryptographic source.
	Random io.Reader
	Now    func() time.Time
}

// NewService returns a service.
func NewService(c Config) *Service {
	return &Service{
		repo: c.Repository, catalogue: c.Catalogue, keys: c.Keys, lifetime: min(c.Lifetime, MaxLifetime),
		random: c.Random, now: c.Now,
	}
}

// Authenticate returns the API token whose client has the id and the secret,
// as a principal with the scopes that it holds now. It returns
// fault.Unauthenticated for every client that is not let in, with the same
// message whatever the reason, and a *Refusal as its cause.
func (s *Service) Authenticate(ctx context.Context, id string, presented secret.Secret, from auth.Origin) (*auth.Principal, error) {
	if presented.Kind() != secret.ClientSecret || !plausible(id) {
		return nil, refuse(ReasonMalformed, uuid.Nil)
	}
	client, err := s.repo.Client(ctx, id)
	unknown := fault.KindOf(err) == fault.NotFound
	if err != nil && !unknown {
		return nil, err
	}
	// The secret of a client that is not there is compared as any other, so
	// that both take as long.
	if !s.matches(client.Secret, presented) || unknown {
		return nil, refuse(ReasonUnknown, client.Principal.ID)
	}
	p := client.Principal
	if why := s.refusal(&client, from.IP); why != "" {
		return nil, refuse(why, p.ID)
	}
	p.Scopes = s.catalogue.Visible(p.Scopes, client.Features)
	p.Origin, p.Credential.VerifiedAt = from, s.now()
	return &p, nil
}

// plausible says whether a client could have the id: 1 to 128 visible letters
// of ASCII (RFC 6749, appendix A.1), which databases have no trouble with.
func plausible(id string) bool {
	strange := func(r rune) bool { return r <= ' ' || r > '~' }
	return id != "" && len(id) <= 128 && !strings.ContainsFunc(id, strange)
}

// matches says whether the secret is the one that is kept. It takes as long
// whatever the answer.
func (s *Service) matches(kept secret.KeyedDigest, presented secret.Secret) bool {
	match := 0
	for _, c := range s.keys.Candidates(presented) {
		match |= subtle.ConstantTimeCompare([]byte(c.Key), []byte(kept.Key)) & subtle.ConstantTimeCompare(c.Digest[:], kept.Digest[:])
	}
	return match == 1
}

// refusal says why the API token of a client does not admit a request from the
// address now, or nothing.
func (s *Service) refusal(c *Client, from netip.Addr) Reason {
	p := &c.Principal
	from = from.Unmap().WithZone("")
	switch {
	case c.Revoked:
		return ReasonRevoked
	case c.Suspended:
		return ReasonSuspended
	case !p.ExpiresAt.IsZero() && !s.now().Before(p.ExpiresAt):
		return ReasonExpired
	case len(p.AllowedIPRanges) > 0 && !slices.ContainsFunc(p.AllowedIPRanges, func(r netip.Prefix) bool { return r.Contains(from) }):
		return ReasonAddress
	}
	return ""
}

func refuse(why Reason, of uuid.UUID) error { return errClient().Because(&Refusal{why, of}) }

// Grant gives a client that Authenticate let in a new access token. asked are
// scopes with a space between any two (RFC 6749, section 3.3); the empty text
// asks for all that the API token holds. It returns fault.Invalid on "scope" for
// blanks, and for a scope that the API token does not hold or that there is not,
// fault.Unauthenticated when the API token ended meanwhile, and
// fault.LimitReached when MaxLive granted access tokens live.
func (s *Service) Grant(ctx context.Context, client *auth.Principal, asked string) (Granted, error) {
	scopes, err := s.narrow(client.Scopes, asked)
	if err != nil {
		return Granted{}, err
	}
	now := s.now().UTC().Truncate(time.Microsecond)
	ends := now.Add(s.lifetime)
	if !client.ExpiresAt.IsZero() && client.ExpiresAt.Before(ends) {
		ends = client.ExpiresAt
	}
	value, err := secret.Generate(s.random, secret.OAuthAccessToken)
	if err != nil {
		return Granted{}, err
	}
	err = s.repo.Grant(ctx, client.Actor(), Draft{
		AccountID: client.AccountID, TokenID: client.ID, ID: uuid.Must(uuid.NewV7()),
		Digest: s.keys.Digest(value), Hint: value.Hint(), Scopes: scopes, CreatedAt: now, ExpiresAt: ends, MaxLive: MaxLive,
		Event: newEvent(client, audit.AccessTokenGranted, now, audit.Detail{Name: "hint", Value: value.Hint()},
			audit.Detail{Name: "scopes", Value: scopes.String()}, audit.Detail{Name: "expiresAt", Value: ends.Format(time.RFC3339Nano)}),
	})
	if err := ended(err, client); err != nil {
		return Granted{}, err
	}
	return Granted{AccessToken: value, Scopes: scopes, Lifetime: ends.Sub(now)}, nil
}

// narrow returns the scopes asked for, with those of the held that come with
// them.
func (s *Service) narrow(held scope.Set, asked string) (scope.Set, error) {
	if asked == "" {
		return held, nil
	}
	// Spaces alone stand between scopes (RFC 6749, section 3.3). What stands
	// beside another character is part of a name that there is not.
	names := strings.FieldsFunc(asked, func(r rune) bool { return r == ' ' })
	if len(names) == 0 {
		return scope.Set{}, fault.Errorf(fault.Invalid, "The scope is blank. Leave it out for all that the API token holds.").On("scope")
	}
	if len(held.Missing(names...)) > 0 {
		return scope.Set{}, fault.Errorf(fault.Invalid,
			"A scope is unknown, or the API token does not hold it. Ask for fewer, or for none, which stands for all that it holds.").On("scope")
	}
	return held.Intersect(s.catalogue.Expand(names...)), nil
}

// Revoke ends an access token of a client that Authenticate let in, granted
// or not. A token that was ended before, or that there is not, is left alone,
// which is no error (RFC 7009, section 2.2). It returns fault.Forbidden for
// another client's and for whatever is issued to no client (section 2.1).
func (s *Service) Revoke(ctx context.Context, client *auth.Principal, presented string) error {
	value, err := secret.Parse(presented)
	if err != nil {
		return nil //nolint:nilerr // what is no token has ended already
	}
	switch value.Kind() {
	case secret.OAuthAccessToken, secret.AccountAccessToken, secret.StoreAccessToken:
	default:
		return ErrAnothers() // nobody looks whether there is such a one
	}
	now := s.now().UTC().Truncate(time.Microsecond)
	err = s.repo.End(ctx, client.Actor(), Ending{
		AccountID: client.AccountID, TokenID: client.ID, Kind: value.Kind(), Candidates: s.keys.Candidates(value), At: now,
		Event: newEvent(client, audit.AccessTokenRevoked, now, audit.Detail{Name: "hint", Value: value.Hint()}),
	})
	return ended(err, client)
}

// ended makes the error of a client whose API token ended after Authenticate
// the one that Authenticate returns for it.
func ended(err error, client *auth.Principal) error {
	switch fault.KindOf(err) {
	case fault.NotFound, fault.Unauthenticated:
		return refuse(ReasonRevoked, client.ID)
	}
	return err
}

// newEvent makes the audit event of what a client does to an access token of
// its API token.
func newEvent(client *auth.Principal, action audit.Action, at time.Time, details ...audit.Detail) audit.Event {
	e := audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: client.AccountID, At: at, Actor: audit.ActorOf(client.Subject()), Action: action,
		Target:    audit.Target{Kind: audit.TargetAPIToken, Key: client.ID.String(), Name: client.Name},
		RequestID: client.Origin.RequestID, Details: details,
	}
	if client.Origin.IP.IsValid() {
		e.IP = client.Origin.IP.String()
	}
	return e
}
