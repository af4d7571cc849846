// Package auth holds the Principal: whoever a request acts for, and what it
// may do. Presenting a secret and getting a principal is package access's work.
package auth

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/scope"
)

// Kind says what sort of principal acts (design: "Words").
type Kind string

// The kinds of principals.
const (
	// APIToken: a program, by an API token of either level.
	APIToken Kind = "API_TOKEN"
	// Session: a person, by a session of theirs in one account.
	Session Kind = "SESSION"
	// LegacyAccount: a program, by a legacy API account of one store. It holds
	// no scopes.
	LegacyAccount Kind = "LEGACY_ACCOUNT"
	// Gateway: a proxy or service that asks about others' credentials, by its
	// key. It acts in no account.
	Gateway Kind = "GATEWAY"
	// Operator: whoever runs Latchkey, by its commands.
	Operator Kind = "OPERATOR"
)

// Origin is where a request came from, for the audit log.
type Origin struct {
	// IP is the client's address: the peer's, or the one that a trusted proxy
	// names. Invalid for the operator's commands.
	IP netip.Addr
	// RequestID is the id under which the request stands in the logs.
	RequestID string
}

// Principal is whoever a request acts for. It is a value: a copy of it per
// request carries that request's Origin.
type Principal struct {
	Kind Kind
	// ID is the API token's or the user's; zero for the operator.
	ID uuid.UUID
	// PersonID is who signed in to a Session: the person of the address, or the
	// user of the account if its password was used (signin.Person). Zero is ID.
	PersonID uuid.UUID
	// Name is the token's name or the user's e-mail address.
	Name string
	// AccountID is the one account the principal acts in; zero for the
	// operator, who acts in all.
	AccountID uuid.UUID
	// StoreID is the store of a store-level API token, otherwise zero.
	StoreID uuid.UUID
	// SessionID is the session's, for Session.
	SessionID uuid.UUID
	// Scopes are those held, with all that they imply. The account's owner
	// holds every scope that the account can see.
	Scopes scope.Set
	// AccountOwner says that this is a session of the account's owner.
	AccountOwner bool
	// OwnedStores are the stores whose owner this session belongs to, unless
	// that is the account's owner, who may do everything in all of them.
	OwnedStores []uuid.UUID
	// Places are the stores that the person whose session this is works in,
	// and what they may do there. People who are inactive in a store have no
	// place there.
	Places []Place
	// ExpiresAt is when the credential ends; zero for never.
	ExpiresAt time.Time
	// AllowedIPRanges are where an API token may be used from; none is
	// anywhere.
	AllowedIPRanges []netip.Prefix
	// Granted says that an API token acts by an access token that its client
	// got for its client secret: for a short time, and perhaps with fewer
	// scopes than the API token holds.
	Granted bool
	Origin  Origin
	// Credential is what was presented. Writes check it again (see Actor).
	Credential Credential
	// NoCredential is why nothing was presented that writes could check; empty
	// for every principal that was verified.
	NoCredential string
}

// OperatorPrincipal is the principal of the operator's commands.
func OperatorPrincipal() Principal {
	return Principal{Kind: Operator, Name: "operator", NoCredential: "the operator runs the command on the server"}
}

// Missing returns those of the scopes that p does not hold, nil when it holds
// all. The operator holds every scope.
func (p *Principal) Missing(scopes ...string) []string {
	if p.Kind == Operator || p.Scopes.HasAll(scopes...) {
		return nil
	}
	return p.Scopes.Missing(scopes...)
}

// OwnsStore reports whether p may do everything in the store: as its owner,
// as the account's owner or as the operator.
func (p *Principal) OwnsStore(accountID, storeID uuid.UUID) bool {
	return p.OwnsAccount(accountID) || p.AccountID == accountID && slices.Contains(p.OwnedStores, storeID)
}

// OwnsAccount reports whether p may do everything in the account: as its
// owner or as the operator.
func (p *Principal) OwnsAccount(accountID uuid.UUID) bool {
	return p.Kind == Operator || p.AccountOwner && p.AccountID == accountID
}

// OwnsAStore reports whether p is a session of the owner of some store.
func (p *Principal) OwnsAStore() bool { return p.Kind == Session && len(p.OwnedStores) > 0 }

// Reaches reports whether p may see the store at all, given the scope that
// the sight of stores needs: with the scope every store of the account,
// otherwise the stores it owns and those it has a place in.
func (p *Principal) Reaches(accountID, storeID uuid.UUID, sight string) bool {
	return p.May(accountID, storeID, NoPermission) || p.AccountID == accountID && p.Scopes.Has(sight)
}

// Person is who signed in to a session, whichever user they are in its account.
func (p *Principal) Person() uuid.UUID {
	if p.PersonID == uuid.Nil {
		return p.ID
	}
	return p.PersonID
}

// Subject is who p is in the words of the audit log: kind, id, name.
func (p *Principal) Subject() (kind string, id uuid.UUID, name string) {
	if p.Kind == Session {
		return "USER", p.ID, p.Name
	}
	return string(p.Kind), p.ID, p.Name
}

// Denied is the refusal of a live credential. The message is the one that
// programs written for the original API know; the missing scopes say the rest.
func Denied(missing ...string) *fault.Error {
	e := fault.Errorf(fault.Forbidden, "You do not have permission to do this operation.")
	if len(missing) > 0 {
		e = e.Requiring(missing...)
	}
	return e
}

type contextKey struct{}

// With returns a context that carries the principal.
func With(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

type renewalKey struct{}

// WithRenewal returns a context that carries the principal, and how to verify
// its credential again: what may happen long after the request began is decided
// on the principal as it is then (see Renew).
func WithRenewal(ctx context.Context, p *Principal, verify func(context.Context) (*Principal, error)) context.Context {
	return context.WithValue(With(ctx, p), renewalKey{}, verify)
}

// Renew verifies the credential of the context's principal again, and returns a
// context with the principal as it is now. It returns fault.Unauthenticated if
// the credential no longer works. A context that was made by With alone keeps
// its principal.
func Renew(ctx context.Context) (context.Context, error) {
	verify, ok := ctx.Value(renewalKey{}).(func(context.Context) (*Principal, error))
	if !ok {
		return ctx, nil
	}
	p, err := verify(ctx)
	if err != nil {
		return nil, err
	}
	return With(ctx, p), nil
}

// From returns the context's principal. It returns fault.Unauthenticated when
// there is none, so that wiring without authentication refuses all.
func From(ctx context.Context) (*Principal, error) {
	p, ok := ctx.Value(contextKey{}).(*Principal)
	if !ok {
		return nil, fault.Errorf(fault.Unauthenticated, "Send a credential in X-Auth-Token or Authorization: Bearer.")
	}
	return p, nil
}
