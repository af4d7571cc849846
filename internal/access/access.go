// Package access verifies: a presented secret becomes a Principal, or it does
// not. Every kind of secret goes through the one Verifier.
//
// What the database says of a secret may be remembered, for as long as this
// process hears of every change that could take a right away; a process that
// cannot hear trusts its memory of nothing (mission: promise 2).
package access

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

// Record is what the database says of one secret.
type Record struct {
	// Principal is whom the secret stands for, without Origin, and for the
	// account's owner without Scopes: those follow from Features.
	Principal auth.Principal
	// Features are the account's.
	Features []scope.Feature
	// ClientID is the API token's, and StoreHash that of its store if it has
	// one.
	ClientID, StoreHash string
	// AccessTokenID is that of the API token's access token; zero for one that
	// a client was granted.
	AccessTokenID uuid.UUID
	// IssuedAt is when the secret was made.
	IssuedAt time.Time
	// Method is how the person proved who they are whose session it is, in the
	// words of package signin, and AuthenticatedAt when they last did. Both are
	// empty for a session that the operator started.
	Method          string
	AuthenticatedAt time.Time
	// LastUsedAt is when a session was last used, as it was kept when the record
	// was read; the time it began if it has not been.
	LastUsedAt time.Time
	// used is LastUsedAt or the last use here after it, in Unix time in
	// nanoseconds; nil where idle sessions do not end.
	used *atomic.Int64
	// Ended says that the token is revoked, or its access token or the session
	// ended, whatever the time is; Suspended that the account is, or the store
	// of a store-level token.
	Ended, Suspended bool
	// Ends are the moments after which the secret no longer works: its own
	// end and its API token's. Zero times do not end it.
	Ends [2]time.Time
	// ScopeText is the principal's scopes with a space between any two, as
	// OAuth writes them (RFC 6749, section 3.3); AccountText and IDText are its
	// account and its own id as text. The verifier fills them in, once for all
	// uses.
	ScopeText, AccountText, IDText string
}

// For returns the principal of a request from the origin whose credential was
// verified at the moment. It is the request's own.
func (r *Record) For(origin auth.Origin, verified time.Time) *auth.Principal {
	p := r.Principal
	p.Origin, p.Credential.VerifiedAt = origin, verified
	return &p
}

// Store is what the database says of one store.
type Store struct {
	ID, AccountID uuid.UUID
	// Suspended says that the store is, or its account.
	Suspended bool
}

// Repository looks up, each time with one query on a unique index. Both return
// fault.NotFound for what is not there.
type Repository interface {
	// Credential finds what a secret of the kind stands for by its digest.
	Credential(ctx context.Context, kind secret.Kind, candidates []secret.KeyedDigest) (Record, error)
	// Store finds a store by its hash.
	Store(ctx context.Context, hash string) (Store, error)
}

// Refusal is why a secret was refused: for logs and metrics, never for the
// caller. It is the cause of the error that Verify returns.
type Refusal struct {
	Reason Reason
	// Of is the id of whomever the secret stands for, where that is known.
	Of uuid.UUID
}

// Error is the reason.
func (r *Refusal) Error() string { return r.Reason.Error() }

// Unwrap returns the reason, for errors.Is.
func (r *Refusal) Unwrap() error { return r.Reason }

// RefusalIn returns the refusal that is among the causes of an error, or nil.
func RefusalIn(err error) *Refusal {
	for ; err != nil; err = errors.Unwrap(err) {
		if r, ok := err.(*Refusal); ok { //nolint:errorlint // errors.As is slow, and refusing is to cost nothing
			return r
		}
	}
	return nil
}

// Reason is one of the few that there are for refusing a secret.
type Reason string

// The reasons.
const (
	ReasonMalformed Reason = "malformed"
	ReasonUnknown   Reason = "unknown"
	ReasonKind      Reason = "wrong kind"
	ReasonEnded     Reason = "revoked or ended"
	ReasonSuspended Reason = "suspended"
	ReasonExpired   Reason = "expired"
	ReasonIdle      Reason = "idle"
	ReasonAddress   Reason = "address not allowed"
)

// Reasons returns all reasons.
func Reasons() []Reason {
	return []Reason{ReasonMalformed, ReasonUnknown, ReasonKind, ReasonEnded, ReasonSuspended, ReasonExpired, ReasonIdle, ReasonAddress}
}

// Error is the reason.
func (r Reason) Error() string { return string(r) }

// Verifier turns secrets into principals.
type Verifier struct {
	repo      Repository
	keys      *secret.Keyring
	catalogue *scope.Catalogue
	memory    *Memory
	uses      *Uses
	sessions  *Uses
	idle      time.Duration
	now       func() time.Time
}

// Config is what a Verifier is made of.
type Config struct {
	Repository Repository
	Keys       *secret.Keyring
	Catalogue  *scope.Catalogue
	// Memory remembers records; nil asks the database every time.
	Memory *Memory
	// Uses gathers the last use of API tokens; nil gathers none.
	Uses *Uses
	// SessionUses gathers the last use of sessions; nil gathers none.
	SessionUses *Uses
	// SessionIdle is after how long without a use a session no longer works; zero
	// for never. It must be more than twice the interval at which SessionUses are
	// kept, by which another server's uses are known late.
	SessionIdle time.Duration
	Now         func() time.Time
}

// NewVerifier returns a verifier.
func NewVerifier(c Config) *Verifier {
	return &Verifier{repo: c.Repository, keys: c.Keys, catalogue: c.Catalogue, memory: c.Memory, uses: c.Uses, sessions: c.SessionUses, idle: c.SessionIdle, now: c.Now}
}

// The kinds of secret that clients present, and gateways.
var (
	clientKinds  = []secret.Kind{secret.AccountAccessToken, secret.StoreAccessToken, secret.OAuthAccessToken, secret.UserSession}
	gatewayKinds = []secret.Kind{secret.GatewayKey}
)

// Verify returns the principal of a client's secret that is used from the
// origin. It returns fault.Unauthenticated for every secret that does not
// work, with the same message whatever the reason, and a *Refusal as its cause.
func (v *Verifier) Verify(ctx context.Context, presented string, origin auth.Origin) (*auth.Principal, error) {
	r, err := v.Look(ctx, presented, origin)
	if err != nil {
		return nil, err
	}
	return r.For(origin, v.now()), nil
}

// Look is Verify for whoever needs all that is known of the secret. The record
// is shared with others and must not be changed.
func (v *Verifier) Look(ctx context.Context, presented string, origin auth.Origin) (*Record, error) {
	return v.look(ctx, presented, origin, clientKinds)
}

// Gateway returns the record of a gateway's key, and errors as Verify does.
func (v *Verifier) Gateway(ctx context.Context, presented string, origin auth.Origin) (*Record, error) {
	return v.look(ctx, presented, origin, gatewayKinds)
}

func (v *Verifier) look(ctx context.Context, presented string, origin auth.Origin, kinds []secret.Kind) (*Record, error) {
	if v.memory != nil {
		if record := v.memory.familiar.recall(presented, kinds, v.now); record != nil && !v.isIdle(record) {
			return v.judge(record, nil, origin)
		}
	}
	value, err := secret.Parse(presented)
	if err != nil {
		return nil, errMalformed
	}
	if !slices.Contains(kinds, value.Kind()) {
		return nil, errKind
	}
	fingerprint := secret.Fingerprint(presented)
	record, err := v.recall(fingerprint, func() (Record, error) {
		return v.repo.Credential(ctx, value.Kind(), v.keys.Candidates(value))
	})
	if err == nil && v.memory != nil {
		v.memory.familiar.keep(value, fingerprint, v.now())
	}
	if err == nil && v.isIdle(record) {
		if err := v.lookAgain(ctx, value, record); err != nil {
			return nil, err
		}
	}
	return v.judge(record, err, origin)
}

// isIdle reports whether a session that would work otherwise was last used too
// long ago, as far as this process knows.
func (v *Verifier) isIdle(r *Record) bool {
	if r.used == nil {
		return false
	}
	now := v.now()
	return now.UnixNano()-r.used.Load() > int64(v.idle) && r.ending(now) == ""
}

// lookAgain asks the database for the last use of an idle session, since it may
// have been used at another server. It returns a refusal if it was not.
func (v *Verifier) lookAgain(ctx context.Context, value secret.Secret, r *Record) error {
	fresh, err := v.repo.Credential(ctx, value.Kind(), v.keys.Candidates(value))
	if err != nil {
		return err
	}
	r.useAt(fresh.LastUsedAt)
	if v.isIdle(r) {
		return refuse(ReasonIdle, r.Principal.ID)
	}
	return nil
}

// useAt notes a use of a session.
func (r *Record) useAt(at time.Time) {
	latest := at.UnixNano()
	for known := r.used.Load(); known < latest; known = r.used.Load() {
		if r.used.CompareAndSwap(known, latest) {
			return
		}
	}
}

// VerifyBasic returns the record of the legacy API account that a user name
// and a token stand for at the store that has the hash (RFC 7617), and errors
// as Verify does. The record is shared and must not be changed.
func (v *Verifier) VerifyBasic(ctx context.Context, storeHash, username, token string, origin auth.Origin) (*Record, error) {
	value, err := secret.ParseBasic(storeHash, username, token)
	if err != nil {
		return nil, errMalformed
	}
	record, err := v.recall(v.keys.DigestBasic(value).Digest, func() (Record, error) {
		return v.repo.Credential(ctx, secret.LegacyAccount, v.keys.BasicCandidates(value))
	})
	return v.judge(record, err, origin)
}

// judge decides on a use of what was found.
func (v *Verifier) judge(record *Record, err error, origin auth.Origin) (*Record, error) {
	if fault.KindOf(err) == fault.NotFound {
		return nil, errUnknown
	}
	if err != nil {
		return nil, err
	}
	now := v.now()
	if why := record.refusal(now, origin.IP); why != "" {
		return nil, refuse(why, record.Principal.ID)
	}
	kind := record.Principal.Kind
	if v.uses != nil && (kind == auth.APIToken || kind == auth.LegacyAccount) {
		v.uses.Note(Use{
			AccountID: record.Principal.AccountID, TokenID: record.Principal.ID, AccessTokenID: record.AccessTokenID,
			At: now, IP: origin.IP, Legacy: kind == auth.LegacyAccount,
		})
	}
	if kind == auth.Session {
		v.noteSession(record, now)
	}
	return record, nil
}

func (v *Verifier) noteSession(r *Record, at time.Time) {
	if r.used != nil {
		r.useAt(at)
	}
	if v.sessions != nil {
		v.sessions.Note(Use{AccountID: r.Principal.AccountID, TokenID: r.Principal.SessionID, At: at, Session: true})
	}
}

// recall returns what is known of the secret that has the digest: from memory
// where that can be trusted, otherwise what find returns.
func (v *Verifier) recall(digest secret.Digest, find func() (Record, error)) (*Record, error) {
	load := func() (*Record, error) {
		r, err := find()
		if err != nil {
			return nil, err
		}
		v.complete(&r)
		return &r, nil
	}
	if v.memory == nil {
		return prompt(v.now, load)
	}
	return v.memory.records.recall(digest, load)
}

// Store returns the store that has the hash. It returns fault.NotFound when
// there is none.
func (v *Verifier) Store(ctx context.Context, hash string) (*Store, error) {
	if !account.ValidHash(hash) {
		return nil, errAbsent() // and nothing to remember: it can be of any length
	}
	load := func() (*Store, error) {
		s, err := v.repo.Store(ctx, hash)
		return &s, err
	}
	if v.memory == nil {
		return prompt(v.now, load)
	}
	// A part of a request would keep the whole of it in memory.
	return v.memory.stores.recall(strings.Clone(hash), load)
}

// complete fills in the texts and the scopes: for the account's owner every
// one that the account can see, for a token those of its own that the account
// still sees.
func (v *Verifier) complete(r *Record) {
	r.Principal.Scopes = v.scopes(r)
	r.ScopeText = r.Principal.Scopes.String()
	r.AccountText, r.IDText = r.Principal.AccountID.String(), r.Principal.ID.String()
	if v.idle > 0 && r.Principal.Kind == auth.Session {
		r.used = &atomic.Int64{}
		r.used.Store(r.LastUsedAt.UnixNano())
	}
}

func (v *Verifier) scopes(r *Record) scope.Set {
	if r.Principal.AccountOwner {
		return v.visible(r.Features)
	}
	return v.catalogue.Visible(r.Principal.Scopes, r.Features)
}

func (v *Verifier) visible(features []scope.Feature) scope.Set {
	var names []string
	for _, resource := range v.catalogue.Resources(scope.LevelAccount, features) {
		for _, permission := range resource.Permissions {
			names = append(names, permission.Scope)
		}
	}
	return scope.NewSet(names...)
}

// refusal says why the record does not admit a use from the address now, or
// nothing. It is asked anew at every use, so that memory honours each end at
// its exact instant.
func (r *Record) refusal(now time.Time, from netip.Addr) Reason {
	if why := r.ending(now); why != "" {
		return why
	}
	allowed := r.Principal.AllowedIPRanges
	if len(allowed) == 0 {
		return ""
	}
	from = from.Unmap().WithZone("")
	if slices.ContainsFunc(allowed, func(p netip.Prefix) bool { return p.Contains(from) }) {
		return ""
	}
	return ReasonAddress
}

// ending says why the secret works from no address at the moment, or nothing.
func (r *Record) ending(now time.Time) Reason {
	switch {
	case r.Ended:
		return ReasonEnded
	case r.Suspended:
		return ReasonSuspended
	}
	for _, end := range r.Ends {
		if !end.IsZero() && !now.Before(end) {
			return ReasonExpired
		}
	}
	return ""
}

// Works reports whether the secret works at the moment, from some address.
func (r *Record) Works(at time.Time) bool { return r.ending(at) == "" }

func refuse(why Reason, of uuid.UUID) error { return ErrRefused().Because(&Refusal{why, of}) }

// The refusals of what stands for nobody, made once: anybody can present it.
var (
	errMalformed = refuse(ReasonMalformed, uuid.Nil)
	errKind      = refuse(ReasonKind, uuid.Nil)
	errUnknown   = refuse(ReasonUnknown, uuid.Nil)
)

// errRefused tells nobody whether a guess was close.
var errRefused = fault.Errorf(fault.Unauthenticated, "The credential is unknown or does not work, or no longer, or not from here.")

// ErrRefused is the answer to every credential that does not work.
func ErrRefused() *fault.Error { return errRefused }
