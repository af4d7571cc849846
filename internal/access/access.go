// Package access verifies: a presented secret becomes a Principal, or it does
// not. Every kind of secret goes through the one Verifier.
//
// What the database says of a secret may be remembered, for as long as this
// process hears of every change that could take a right away; a process that
// cannot hear trusts its memory of nothing (mission: promise 2).
package access

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

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
	// Ended says that the token is revoked, or the session ended.
	Ended bool
	// Ends are the moments after which the secret no longer works: its own
	// end and its API token's. Zero times do not end it.
	Ends [2]time.Time
}

// Repository looks secrets up. Both return fault.NotFound for a digest that
// was never kept, and make one query on a unique index.
type Repository interface {
	// TokenByDigest finds an access token of either level.
	TokenByDigest(ctx context.Context, candidates []secret.KeyedDigest) (Record, error)
	// SessionByDigest finds a person's session.
	SessionByDigest(ctx context.Context, candidates []secret.KeyedDigest) (Record, error)
}

// reason is why a secret was refused: for logs, never for the caller.
type reason string

const (
	reasonMalformed reason = "malformed"
	reasonUnknown   reason = "unknown"
	reasonKind      reason = "wrong kind"
	reasonEnded     reason = "revoked or ended"
	reasonExpired   reason = "expired"
	reasonAddress   reason = "address not allowed"
)

// Verifier turns secrets into principals.
type Verifier struct {
	repo      Repository
	keys      *secret.Keyring
	catalogue *scope.Catalogue
	memory    *Memory
	uses      *Uses
	log       *slog.Logger
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
	Log  *slog.Logger
	Now  func() time.Time
}

// NewVerifier returns a verifier.
func NewVerifier(c Config) *Verifier {
	return &Verifier{repo: c.Repository, keys: c.Keys, catalogue: c.Catalogue, memory: c.Memory, uses: c.Uses, log: c.Log, now: c.Now}
}

// Verify returns the principal of a presented secret that is used from the
// origin. It returns fault.Unauthenticated for every secret that does not
// work, with the same message whatever the reason: the reason is logged.
func (v *Verifier) Verify(ctx context.Context, presented string, origin auth.Origin) (*auth.Principal, error) {
	value, err := secret.Parse(presented)
	if err != nil {
		return nil, v.refuse(ctx, reasonMalformed, uuid.Nil, origin)
	}
	find := v.finder(value.Kind())
	if find == nil {
		return nil, v.refuse(ctx, reasonKind, uuid.Nil, origin)
	}
	record, err := v.record(ctx, value, find)
	if fault.KindOf(err) == fault.NotFound {
		return nil, v.refuse(ctx, reasonUnknown, uuid.Nil, origin)
	}
	if err != nil {
		return nil, err
	}
	now := v.now()
	if why := record.refusal(now, origin.IP); why != "" {
		return nil, v.refuse(ctx, why, record.Principal.ID, origin)
	}
	if v.uses != nil && record.Principal.Kind == auth.APIToken {
		v.uses.Note(Use{AccountID: record.Principal.AccountID, TokenID: record.Principal.ID, At: now, IP: origin.IP})
	}
	p := record.Principal
	p.Origin = origin
	return &p, nil
}

// record returns what is known of the secret, from memory where that can be
// trusted.
func (v *Verifier) record(ctx context.Context, value secret.Secret, find look) (*Record, error) {
	load := func() (*Record, error) {
		r, err := find(ctx, v.keys.Candidates(value))
		if err != nil {
			return nil, err
		}
		v.complete(&r)
		return &r, nil
	}
	if v.memory == nil {
		return load()
	}
	return v.memory.recall(v.keys.Digest(value).Digest, load)
}

// look is how secrets of one kind are looked up.
type look func(context.Context, []secret.KeyedDigest) (Record, error)

// finder returns how secrets of the kind are looked up, nil for a kind that
// opens nothing by itself.
func (v *Verifier) finder(kind secret.Kind) look {
	switch kind {
	case secret.AccountAccessToken, secret.StoreAccessToken:
		return v.repo.TokenByDigest
	case secret.UserSession:
		return v.repo.SessionByDigest
	}
	return nil
}

// complete gives the account's owner every scope that the account can see,
// and takes from a token what the account can no longer see.
func (v *Verifier) complete(r *Record) {
	if r.Principal.AccountOwner {
		r.Principal.Scopes = v.visible(r.Features)
		return
	}
	var lost []string
	for _, name := range r.Principal.Scopes.Names() {
		grant, known := v.catalogue.Lookup(name)
		if known && grant.Feature != "" && !slices.Contains(r.Features, grant.Feature) {
			lost = append(lost, name)
		}
	}
	if lost != nil {
		r.Principal.Scopes = without(r.Principal.Scopes, lost)
	}
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

func without(s scope.Set, lost []string) scope.Set {
	return scope.NewSet(slices.DeleteFunc(slices.Clone(s.Names()), func(name string) bool { return slices.Contains(lost, name) })...)
}

// refusal says why the record does not admit a use from the address now, or
// nothing. It is asked anew at every use, so that memory honours each end at
// its exact instant.
func (r *Record) refusal(now time.Time, from netip.Addr) reason {
	if r.Ended {
		return reasonEnded
	}
	for _, end := range r.Ends {
		if !end.IsZero() && !now.Before(end) {
			return reasonExpired
		}
	}
	allowed := r.Principal.AllowedIPRanges
	if len(allowed) == 0 {
		return ""
	}
	from = from.Unmap().WithZone("")
	if slices.ContainsFunc(allowed, func(p netip.Prefix) bool { return p.Contains(from) }) {
		return ""
	}
	return reasonAddress
}

func (v *Verifier) refuse(ctx context.Context, why reason, id uuid.UUID, origin auth.Origin) error {
	attrs := []slog.Attr{slog.String("reason", string(why)), slog.String("request_id", origin.RequestID)}
	if id != uuid.Nil {
		attrs = append(attrs, slog.String("credential_of", id.String()))
	}
	v.log.LogAttrs(ctx, slog.LevelInfo, "credential refused", attrs...)
	return ErrRefused()
}

// ErrRefused is the answer to every credential that does not work, so that it
// tells nobody whether a guess was close.
func ErrRefused() *fault.Error {
	return fault.Errorf(fault.Unauthenticated, "The credential is unknown or does not work, or no longer, or not from here.")
}
