package token

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
)

// Filter selects tokens. Zero fields match all tokens, except that empty Statuses
// select Active and Expired.
type Filter struct {
	Statuses []Status
	// Scope selects tokens that hold the scope.
	Scope string
	// UnusedSince selects tokens that were created before this time and not used
	// since.
	UnusedSince time.Time
}

// Query is a Filter with defaults applied, as repositories receive it.
type Query struct {
	Filter
	// Now is the time at which statuses are computed.
	Now time.Time
}

// Lister reads API tokens. A lookup of one returns fault.NotFound if it does not
// exist; a lookup of several omits those that do not exist.
type Lister interface {
	// Token returns a token of the account, of either level.
	Token(ctx context.Context, accountID, id uuid.UUID) (Token, error)
	// TokensByID returns the tokens with the IDs that belong to the account.
	TokensByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]Token, error)
	// AccountTokens returns a page of the account-level tokens.
	AccountTokens(ctx context.Context, accountID uuid.UUID, q Query, w paging.Window) (paging.Page[Token], error)
	CountAccountTokens(ctx context.Context, accountID uuid.UUID, q Query) (int64, error)
	// StoreTokens returns a page of each store's store-level tokens.
	StoreTokens(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID, q Query,
		w paging.Window) (map[uuid.UUID]paging.Page[Token], error)
	CountStoreTokens(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID, q Query) (map[uuid.UUID]int64,
		error)
	// Find returns a part of the tokens of the store, or of the account if storeID
	// is zero.
	Find(ctx context.Context, accountID, storeID uuid.UUID, s Search) (Found, error)
	// IssuedBy returns the account's tokens, including revoked ones, that the given
	// tokens issued, and those that these issued, at every depth. A token issued
	// another if it created it, or if it rotated it and the resulting access token
	// works at now. The given tokens are not included. The result is in the order
	// of the IDs.
	IssuedBy(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID, now time.Time) ([]Token, error)
	// AccessTokens returns the access tokens of each API token that work at now,
	// newest first.
	AccessTokens(ctx context.Context, accountID uuid.UUID, tokenIDs []uuid.UUID,
		now time.Time) (map[uuid.UUID][]AccessToken, error)
}

// sees reports whether the principal may see the token: the scope applies to the
// whole account, and a session's permissions to the stores where it may list
// tokens.
func sees(by *auth.Principal, t Token) bool {
	return may(by, t, auth.ListTokens, scope.AccountAPITokensRead) == nil ||
		by.AccountID == t.AccountID && by.Scopes.Has(scope.AccountAPITokensRead)
}

// MayList returns fault.Forbidden unless the principal may list the tokens of the
// store, or of the account if storeID is zero.
func MayList(by *auth.Principal, accountID, storeID uuid.UUID) error {
	if sees(by, Token{AccountID: accountID, StoreID: storeID}) {
		return nil
	}
	return auth.Denied(scope.AccountAPITokensRead)
}

// Get returns a token of either level. It returns fault.NotFound for a token that
// the principal may not see.
func (s *Service) Get(ctx context.Context, by *auth.Principal, id uuid.UUID) (Token, error) {
	t, err := s.repo.Token(ctx, by.AccountID, id)
	if fault.KindOf(err) == fault.NotFound || err == nil && !sees(by, t) {
		return Token{}, ErrNoToken()
	}
	return t, err
}

// Self returns the principal's own API token, regardless of its right to list
// tokens.
func (s *Service) Self(ctx context.Context, by *auth.Principal) (Token, error) {
	return s.repo.Token(ctx, by.AccountID, by.ID)
}

// TokensByID returns the tokens with the IDs, of either level, that the principal
// may see.
func (s *Service) TokensByID(ctx context.Context, by *auth.Principal, ids []uuid.UUID) (map[uuid.UUID]Token, error) {
	found, err := s.repo.TokensByID(ctx, by.AccountID, ids)
	maps.DeleteFunc(found, func(_ uuid.UUID, t Token) bool { return !sees(by, t) })
	return found, err
}

// Query checks a filter and applies its defaults. It returns fault.Invalid.
func (s *Service) Query(f Filter) (Query, error) {
	if len(f.Statuses) == 0 {
		f.Statuses = []Status{Active, Expired}
	}
	if f.Scope != "" {
		if _, known := s.policy.Catalogue.Lookup(f.Scope); !known {
			return Query{}, fault.Errorf(fault.Invalid, "There is no scope %.64q. The catalogue of scopes lists all.",
				f.Scope).On("filter.scope")
		}
	}
	f.Statuses = slices.Compact(slices.Sorted(slices.Values(f.Statuses)))
	return Query{Filter: f, Now: s.Now()}, nil
}

// AccountTokens returns a page of the account-level tokens.
func (s *Service) AccountTokens(ctx context.Context, by *auth.Principal, q Query, r paging.Request) (paging.Page[Token],
	error) {
	w, err := r.Window(paging.MaxSize)
	if err != nil {
		return paging.Page[Token]{}, err
	}
	return s.repo.AccountTokens(ctx, by.AccountID, q, w)
}

// CountAccountTokens returns how many account-level tokens the query selects.
func (s *Service) CountAccountTokens(ctx context.Context, by *auth.Principal, q Query) (int64, error) {
	return s.repo.CountAccountTokens(ctx, by.AccountID, q)
}

// StoreTokens returns a page of each store's store-level tokens. The principal must
// be able to see the stores. The caller checks MayList before showing a page.
func (s *Service) StoreTokens(ctx context.Context, by *auth.Principal, storeIDs []uuid.UUID, q Query,
	w paging.Window) (map[uuid.UUID]paging.Page[Token], error) {
	return s.repo.StoreTokens(ctx, by.AccountID, storeIDs, q, w)
}

// CountStoreTokens returns how many tokens of each store the query selects.
func (s *Service) CountStoreTokens(ctx context.Context, by *auth.Principal, storeIDs []uuid.UUID,
	q Query) (map[uuid.UUID]int64, error) {
	return s.repo.CountStoreTokens(ctx, by.AccountID, storeIDs, q)
}

// AccessTokens returns the access tokens of each API token that work now, newest
// first.
func (s *Service) AccessTokens(ctx context.Context, by *auth.Principal,
	tokenIDs []uuid.UUID) (map[uuid.UUID][]AccessToken, error) {
	return s.repo.AccessTokens(ctx, by.AccountID, tokenIDs, s.Now())
}
