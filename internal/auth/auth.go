// Package auth defines Principal, the authenticated caller of a request, and its
// rights. Package access verifies credentials and returns principals.
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

// Kind is the kind of a principal (docs/glossary.md: "Requests").
type Kind string

// The kinds of principals.
const (
	// APIToken is a program that uses an API token of either level.
	APIToken Kind = "API_TOKEN"
	// Session is a user with a session in one account.
	Session Kind = "SESSION"
	// LegacyAccount is a program that uses a legacy API account of one store. It
	// holds no scopes.
	LegacyAccount Kind = "LEGACY_ACCOUNT"
	// Gateway is a proxy or service that checks the credentials of others. It
	// presents a gateway key and belongs to no account.
	Gateway Kind = "GATEWAY"
	// Operator is the operator, who uses the commands.
	Operator Kind = "OPERATOR"
)

// Origin describes where a request came from. Audit events record it.
type Origin struct {
	// IP is the client's address: the peer's, or the one that a trusted proxy
	// names. It is invalid for the operator's commands.
	IP netip.Addr
	// RequestID identifies the request in the logs.
	RequestID string
}

// Principal is the authenticated caller of a request. Each request has its own
// copy, with its Origin.
type Principal struct {
	Kind Kind
	// ID is the ID of the API token or the user. It is zero for the operator.
	ID uuid.UUID
	// PersonID is the person who signed in to a Session: the person of the address,
	// or the user of the account if its password was used (signin.Person). If it is
	// zero, ID is used.
	PersonID uuid.UUID
	// Name is the token's name or the user's email address.
	Name string
	// AccountID is the account of the principal. It is zero for the operator, who
	// may act in every account.
	AccountID uuid.UUID
	// StoreID is the store of a store-level API token, or zero.
	StoreID uuid.UUID
	// SessionID is the ID of the session, for a Session.
	SessionID uuid.UUID
	// Scopes are the scopes that the principal holds, including implied ones. The
	// account's owner holds every scope that is visible to the account.
	Scopes scope.Set
	// AccountOwner reports whether this is a session of the account's owner.
	AccountOwner bool
	// OwnedStores are the stores that the session's user owns. It is empty for the
	// account's owner, who has all rights in every store.
	OwnedStores []uuid.UUID
	// Places are the active store memberships of the session's user, with their
	// permissions.
	Places []Place
	// ExpiresAt is when the credential expires. It is zero if it does not expire.
	ExpiresAt time.Time
	// AllowedIPRanges are the addresses from which an API token may be used. If it
	// is empty, every address is allowed.
	AllowedIPRanges []netip.Prefix
	// ChargeLimit is that of an API token.
	ChargeLimit ChargeLimit
	// Granted reports whether the client presented a granted access token, which is
	// short-lived and may have fewer scopes than the API token.
	Granted bool
	Origin  Origin
	// Credential is the credential that was presented. Writes check it again; see
	// Actor.
	Credential Credential
	// NoCredential is the reason why there is no credential that writes could
	// check. It is empty for a verified principal.
	NoCredential string
}

// OperatorPrincipal returns the principal of the operator's commands.
func OperatorPrincipal() Principal {
	return Principal{Kind: Operator, Name: "operator", NoCredential: "the operator runs the command on the server"}
}

// Missing returns the scopes that p does not hold, or nil if it holds all. The
// operator holds every scope.
func (p *Principal) Missing(scopes ...string) []string {
	if p.Kind == Operator || p.Scopes.HasAll(scopes...) {
		return nil
	}
	return p.Scopes.Missing(scopes...)
}

// OwnsStore reports whether p has all rights in the store: as its owner, as the
// account's owner or as the operator.
func (p *Principal) OwnsStore(accountID, storeID uuid.UUID) bool {
	return p.OwnsAccount(accountID) || p.AccountID == accountID && slices.Contains(p.OwnedStores, storeID)
}

// OwnsAccount reports whether p has all rights in the account: as its owner or as
// the operator.
func (p *Principal) OwnsAccount(accountID uuid.UUID) bool {
	return p.Kind == Operator || p.AccountOwner && p.AccountID == accountID
}

// OwnsAStore reports whether p is the session of a user who owns a store.
func (p *Principal) OwnsAStore() bool { return p.Kind == Session && len(p.OwnedStores) > 0 }

// Reaches reports whether p may see the store: it holds the scope, or it is a
// session of a user who owns the store or is a member of it.
func (p *Principal) Reaches(accountID, storeID uuid.UUID, scopeName string) bool {
	return p.May(accountID, storeID, NoPermission) || p.AccountID == accountID && p.Scopes.Has(scopeName)
}

// Person is the person who signed in to a session, independent of their user in its account.
func (p *Principal) Person() uuid.UUID {
	if p.PersonID == uuid.Nil {
		return p.ID
	}
	return p.PersonID
}

// Subject returns the kind, ID and name of p for audit events.
func (p *Principal) Subject() (kind string, id uuid.UUID, name string) {
	if p.Kind == Session {
		return "USER", p.ID, p.Name
	}
	return string(p.Kind), p.ID, p.Name
}

// Denied returns the fault.Forbidden error for a principal without the rights. Its
// message is that of the original API, on which existing clients depend. The
// missing scopes are in RequiredScopes.
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

// WithRenewal returns a context that carries the principal, and a function that
// verifies its credential again. Long requests call it through Renew before they
// make further decisions.
func WithRenewal(ctx context.Context, p *Principal, verify func(context.Context) (*Principal, error)) context.Context {
	return context.WithValue(With(ctx, p), renewalKey{}, verify)
}

// Renew verifies the credential of the context's principal again, and returns a
// context with the current principal. It returns fault.Unauthenticated if the
// credential no longer works. A context made by With has no function to verify, and
// is returned unchanged.
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

// From returns the context's principal. It returns fault.Unauthenticated if there
// is none, so a handler without authentication rejects every request.
func From(ctx context.Context) (*Principal, error) {
	p, ok := ctx.Value(contextKey{}).(*Principal)
	if !ok {
		return nil, fault.Errorf(fault.Unauthenticated, "Send a credential in X-Auth-Token or Authorization: Bearer.")
	}
	return p, nil
}
