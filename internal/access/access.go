// Package access verifies credentials. One Verifier handles every kind of secret.
//
// Records from the database are cached only while this process receives every change that could remove a right. A
// process that does not receive changes reads the database for each request.
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
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

// Record is the database's record of one secret.
type Record struct {
	// Principal is the principal that the secret authenticates. It has no Origin. A repository leaves an account
	// owner's Scopes empty; the verifier derives them from Features.
	Principal auth.Principal
	// Features are the account's.
	Features []scope.Feature
	// ClientID is the API token's. StoreHash is that of its store; empty for an account-level token.
	ClientID, StoreHash string
	// AccessTokenID is the ID of the API token's access token; zero for one granted to an OAuth client.
	AccessTokenID uuid.UUID
	// IssuedAt is when the secret was created.
	IssuedAt time.Time
	// Method is the session's authentication method, as package signin names it. AuthenticatedAt is when the user last
	// authenticated. Both are empty for a session that the operator started.
	Method          string
	AuthenticatedAt time.Time
	// LastUsedAt is when a session was last used, as stored when the record was read. It is the session's start time if
	// it has not been used.
	LastUsedAt time.Time
	// used is LastUsedAt or a later use in this process, in Unix time in nanoseconds; nil without an idle timeout.
	used *atomic.Int64
	// Revoked says that the API token, its access token or the session is revoked. Suspended says that the account is
	// suspended, or the store of a store-level token.
	Revoked, Suspended bool
	// ExpiresAt are the expiration times of the secret and of its API token. The zero time means no expiration.
	ExpiresAt [2]time.Time
	// ScopeText is the principal's scopes separated by spaces (RFC 6749, section 3.3). AccountText and IDText are its
	// account ID and its own ID as text. The verifier computes them once for each record.
	ScopeText, AccountText, IDText string
}

// For returns a new principal for a request from the origin. verified is when its credential was verified.
func (r *Record) For(origin auth.Origin, verified time.Time) *auth.Principal {
	p := r.Principal
	p.Origin, p.Credential.VerifiedAt = origin, verified
	return &p
}

// Store is the database's record of one store.
type Store struct {
	ID, AccountID uuid.UUID
	// Suspended says that the store or its account is suspended.
	Suspended bool
}

// Repository finds records. Each method runs one query on a unique index and returns fault.NotFound if there is no
// such record.
type Repository interface {
	// Credential finds the record of a secret of the kind by its digest.
	Credential(ctx context.Context, kind secret.Kind, candidates []secret.KeyedDigest) (Record, error)
	// Store finds a store by its hash.
	Store(ctx context.Context, hash string) (Store, error)
}

// Refusal says why a secret was refused. It is for logs and metrics and must not reach the client, except that the
// control panel tells a browser how its own session ended. It is the cause of the error that Verify returns.
type Refusal struct {
	Reason Reason
	// PrincipalID is the ID of the secret's principal; zero if the secret is unknown.
	PrincipalID uuid.UUID
}

// Error is the reason.
func (r *Refusal) Error() string { return r.Reason.Error() }

// Unwrap returns the reason, for errors.Is.
func (r *Refusal) Unwrap() error { return r.Reason }

// RefusalIn returns the first *Refusal among the causes of err, or nil.
func RefusalIn(err error) *Refusal {
	for ; err != nil; err = errors.Unwrap(err) {
		if r, ok := err.(*Refusal); ok { //nolint:errorlint // errors.As is slow, and a refusal must be cheap
			return r
		}
	}
	return nil
}

// Reason is a reason for refusing a secret.
type Reason string

// The reasons.
const (
	ReasonMalformed Reason = "malformed"
	ReasonUnknown   Reason = "unknown"
	ReasonKind      Reason = "wrong kind"
	ReasonRevoked   Reason = "revoked or ended"
	ReasonSuspended Reason = "suspended"
	ReasonExpired   Reason = "expired"
	ReasonIdle      Reason = "idle"
	ReasonAddress   Reason = "address not allowed"
)

// Reasons returns all reasons.
func Reasons() []Reason {
	return []Reason{
		ReasonMalformed, ReasonUnknown, ReasonKind, ReasonRevoked, ReasonSuspended, ReasonExpired, ReasonIdle,
		ReasonAddress,
	}
}

// Error is the reason.
func (r Reason) Error() string { return string(r) }

// Verifier turns secrets into principals.
type Verifier struct {
	repo      Repository
	keys      *secret.Keyring
	catalogue *scope.Catalogue
	caches    *Caches
	uses      *Uses
	sessions  *Uses
	idle      time.Duration
	now       clock.Clock
}

// Config configures a Verifier.
type Config struct {
	Repository Repository
	Keys       *secret.Keyring
	Catalogue  *scope.Catalogue
	// Caches holds records; nil reads the database for each verification.
	Caches *Caches
	// Uses records the last use of API tokens; nil records none.
	Uses *Uses
	// SessionUses records the last use of sessions; nil records none.
	SessionUses *Uses
	// SessionIdle is the idle timeout of sessions; zero means none. It must be more than twice the interval at which
	// SessionUses are flushed, because uses at other replicas become visible only after a flush.
	SessionIdle time.Duration
	Now         clock.Clock
}

// NewVerifier returns a verifier.
func NewVerifier(c Config) *Verifier {
	return &Verifier{
		repo: c.Repository, keys: c.Keys, catalogue: c.Catalogue, caches: c.Caches, uses: c.Uses,
		sessions: c.SessionUses,
		idle:     c.SessionIdle, now: c.Now,
	}
}

// The kinds of secret that clients and gateways present.
var (
	clientKinds = []secret.Kind{secret.AccountAccessToken, secret.StoreAccessToken, secret.OAuthAccessToken,
		secret.UserSession}
	gatewayKinds = []secret.Kind{secret.GatewayKey}
)

// Principal verifies a client's secret as Verify does and returns its principal for a request from the origin.
func (v *Verifier) Principal(ctx context.Context, presented string, origin auth.Origin) (*auth.Principal, error) {
	r, err := v.Verify(ctx, presented, origin)
	if err != nil {
		return nil, err
	}
	return r.For(origin, v.now()), nil
}

// Verify verifies a client's secret that is used from the origin and returns its record. The record is shared and must
// not be modified. If the secret does not work, Verify returns fault.Unauthenticated with a *Refusal as its cause; the
// message does not depend on the reason.
func (v *Verifier) Verify(ctx context.Context, presented string, origin auth.Origin) (*Record, error) {
	return v.verify(ctx, presented, origin, clientKinds)
}

// Inspect is Verify without recording a use of the credential: for introspection by a client, which names the token and
// its address itself.
func (v *Verifier) Inspect(ctx context.Context, presented string, origin auth.Origin) (*Record, error) {
	inspector := *v
	inspector.uses, inspector.sessions = nil, nil
	return inspector.Verify(ctx, presented, origin)
}

// VerifyGateway verifies a gateway's key. It returns the same errors as Verify.
func (v *Verifier) VerifyGateway(ctx context.Context, presented string, origin auth.Origin) (*Record, error) {
	return v.verify(ctx, presented, origin, gatewayKinds)
}

func (v *Verifier) verify(ctx context.Context, presented string, origin auth.Origin, kinds []secret.Kind) (*Record,
	error) {
	if v.caches != nil {
		if record := v.caches.hot.get(presented, kinds, v.now); record != nil && !v.isIdle(record) {
			return v.check(record, nil, origin)
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
	record, err := v.cachedRecord(fingerprint, func() (Record, error) {
		return v.repo.Credential(ctx, value.Kind(), v.keys.Candidates(value))
	})
	if err == nil && v.caches != nil {
		v.caches.hot.put(value, fingerprint, v.now())
	}
	if err == nil && v.isIdle(record) {
		if err := v.recheckIdle(ctx, value, record); err != nil {
			return nil, err
		}
	}
	return v.check(record, err, origin)
}

// isIdle reports whether a session has passed the idle timeout, as far as this process knows. It reports false for a
// session that does not work for another reason.
func (v *Verifier) isIdle(r *Record) bool {
	if r.used == nil {
		return false
	}
	now := v.now()
	return now.UnixNano()-r.used.Load() > int64(v.idle) && r.stateRefusal(now) == ""
}

// recheckIdle reads an idle session's last use from the database, because another replica may have recorded one. It
// returns a refusal if the session is still idle.
func (v *Verifier) recheckIdle(ctx context.Context, value secret.Secret, r *Record) error {
	fresh, err := v.repo.Credential(ctx, value.Kind(), v.keys.Candidates(value))
	if err != nil {
		return err
	}
	r.recordUse(fresh.LastUsedAt)
	if v.isIdle(r) {
		return refuse(ReasonIdle, r.Principal.ID)
	}
	return nil
}

// recordUse records a use of a session.
func (r *Record) recordUse(at time.Time) {
	latest := at.UnixNano()
	for known := r.used.Load(); known < latest; known = r.used.Load() {
		if r.used.CompareAndSwap(known, latest) {
			return
		}
	}
}

// VerifyBasic verifies the user name and token of a legacy API account of the store with the hash (RFC 7617). It
// returns the same errors as Verify. The record is shared and must not be modified.
func (v *Verifier) VerifyBasic(ctx context.Context, storeHash, username, token string, origin auth.Origin) (*Record,
	error) {
	value, err := secret.ParseBasic(storeHash, username, token)
	if err != nil {
		return nil, errMalformed
	}
	record, err := v.cachedRecord(v.keys.DigestBasic(value).Digest, func() (Record, error) {
		return v.repo.Credential(ctx, secret.LegacyAccount, v.keys.BasicCandidates(value))
	})
	return v.check(record, err, origin)
}

// check checks a record that was found and records its use. err is the error of the lookup.
func (v *Verifier) check(record *Record, err error, origin auth.Origin) (*Record, error) {
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
		v.recordSession(record, now)
	}
	return record, nil
}

func (v *Verifier) recordSession(r *Record, at time.Time) {
	if r.used != nil {
		r.recordUse(at)
	}
	if v.sessions != nil {
		v.sessions.Note(Use{AccountID: r.Principal.AccountID, TokenID: r.Principal.SessionID, At: at, Session: true})
	}
}

// cachedRecord returns the record of the secret with the digest from the cache. On a miss it calls find.
func (v *Verifier) cachedRecord(digest secret.Digest, find func() (Record, error)) (*Record, error) {
	load := func() (*Record, error) {
		r, err := find()
		if err != nil {
			return nil, err
		}
		v.complete(&r)
		return &r, nil
	}
	if v.caches == nil {
		return withinLease(v.now, load)
	}
	return v.caches.records.get(digest, load)
}

// Store returns the store with the hash. It returns fault.NotFound if there is none.
func (v *Verifier) Store(ctx context.Context, hash string) (*Store, error) {
	if !account.ValidHash(hash) {
		return nil, errNotFound() // not cached: text of any length could fill the cache
	}
	load := func() (*Store, error) {
		s, err := v.repo.Store(ctx, hash)
		return &s, err
	}
	if v.caches == nil {
		return withinLease(v.now, load)
	}
	// Clone, because a substring keeps the whole request in memory.
	return v.caches.stores.get(strings.Clone(hash), load)
}

// complete computes the record's texts and scopes. An account owner gets every scope visible to the account, a token
// those of its own scopes that are still visible.
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

// refusal returns why the secret does not work now from the address; empty if it works. It runs for each request, so
// that a cached record expires at its exact time.
func (r *Record) refusal(now time.Time, from netip.Addr) Reason {
	if why := r.stateRefusal(now); why != "" {
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

// stateRefusal returns why the secret does not work from any address; empty if it works from some.
func (r *Record) stateRefusal(now time.Time) Reason {
	switch {
	case r.Revoked:
		return ReasonRevoked
	case r.Suspended:
		return ReasonSuspended
	}
	for _, end := range r.ExpiresAt {
		if !end.IsZero() && !now.Before(end) {
			return ReasonExpired
		}
	}
	return ""
}

// Works reports whether the secret works at the time from at least one address.
func (r *Record) Works(at time.Time) bool { return r.stateRefusal(at) == "" }

func refuse(why Reason, of uuid.UUID) error { return ErrRefused().Because(&Refusal{why, of}) }

// Refusals without a principal. They are allocated once, because any client can cause them.
var (
	errMalformed = refuse(ReasonMalformed, uuid.Nil)
	errKind      = refuse(ReasonKind, uuid.Nil)
	errUnknown   = refuse(ReasonUnknown, uuid.Nil)
)

// errRefused has one message for all reasons, so that it does not reveal whether a guess was close.
var errRefused = fault.Errorf(fault.Unauthenticated,
	"This credential does not work. It may be mistyped, expired, revoked, or used from an address it is not allowed from.")

// ErrRefused is the error for every credential that does not work.
func ErrRefused() *fault.Error { return errRefused }
