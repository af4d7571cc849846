package token

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/page"
	"latchkey/internal/scope"
)

// Filter narrows a list of tokens. Zero fields do not narrow, except that no
// Statuses are Active and Expired.
type Filter struct {
	Statuses []Status
	// Scope admits tokens that hold the scope.
	Scope string
	// UnusedSince admits tokens that were not used at or after that moment,
	// and had been created before it.
	UnusedSince time.Time
}

// Query is a Filter made whole: what a repository looks for.
type Query struct {
	Filter
	// Now is the moment at which statuses count.
	Now time.Time
}

// Lister reads API tokens. A look-up of one returns fault.NotFound when there
// is none; a batch leaves out what there is not.
type Lister interface {
	// Token returns a token of the account, of either level.
	Token(ctx context.Context, accountID, id uuid.UUID) (Token, error)
	// TokensByID returns those of the tokens that are the account's.
	TokensByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]Token, error)
	// AccountTokens returns a page of the account-level tokens.
	AccountTokens(ctx context.Context, accountID uuid.UUID, q Query, w page.Window) (page.Page[Token], error)
	CountAccountTokens(ctx context.Context, accountID uuid.UUID, q Query) (int64, error)
	// StoreTokens returns for each store a page of its store-level tokens.
	StoreTokens(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID, q Query, w page.Window) (map[uuid.UUID]page.Page[Token], error)
	CountStoreTokens(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID, q Query) (map[uuid.UUID]int64, error)
	// Find returns a part of the tokens of a store, or of the account where
	// that is zero.
	Find(ctx context.Context, accountID, storeID uuid.UUID, s Search) (Found, error)
	// IssuedBy returns the account's tokens, revoked or not, that the tokens
	// created, or whose access token they got by rotating and that works at
	// now; and those that these issued, at every depth. The tokens themselves
	// are not among them. The result is in the order of the ids.
	IssuedBy(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID, now time.Time) ([]Token, error)
	// AccessTokens returns the access tokens of each API token that live at
	// now, newest first.
	AccessTokens(ctx context.Context, accountID uuid.UUID, tokenIDs []uuid.UUID, now time.Time) (map[uuid.UUID][]AccessToken, error)
}

// sees reports whether the principal may look at the token: with the scope at
// all of the account, otherwise at those of stores where it may list them.
func sees(by *auth.Principal, t Token) bool {
	return may(by, t, auth.ListTokens, scope.AccountAPITokensRead) == nil ||
		by.AccountID == t.AccountID && by.Scopes.Has(scope.AccountAPITokensRead)
}

// MayList refuses principals that may not see the tokens of the store. It
// returns fault.Forbidden, or nil.
func MayList(by *auth.Principal, accountID, storeID uuid.UUID) error {
	if sees(by, Token{AccountID: accountID, StoreID: storeID}) {
		return nil
	}
	return auth.Denied(scope.AccountAPITokensRead)
}

// Get returns a token that the principal sees, of either level. Any other is
// fault.NotFound, whoever's it is.
func (s *Service) Get(ctx context.Context, by *auth.Principal, id uuid.UUID) (Token, error) {
	t, err := s.repo.Token(ctx, by.AccountID, id)
	if fault.KindOf(err) == fault.NotFound || err == nil && !sees(by, t) {
		return Token{}, ErrNoToken()
	}
	return t, err
}

// Self returns the principal's own API token, whatever it may see of others.
func (s *Service) Self(ctx context.Context, by *auth.Principal) (Token, error) {
	return s.repo.Token(ctx, by.AccountID, by.ID)
}

// TokensByID returns those of the tokens, of either level, that the principal
// sees.
func (s *Service) TokensByID(ctx context.Context, by *auth.Principal, ids []uuid.UUID) (map[uuid.UUID]Token, error) {
	found, err := s.repo.TokensByID(ctx, by.AccountID, ids)
	maps.DeleteFunc(found, func(_ uuid.UUID, t Token) bool { return !sees(by, t) })
	return found, err
}

// Query checks a filter and makes it whole. It returns fault.Invalid.
func (s *Service) Query(f Filter) (Query, error) {
	if len(f.Statuses) == 0 {
		f.Statuses = []Status{Active, Expired}
	}
	if f.Scope != "" {
		if _, known := s.policy.Catalogue.Lookup(f.Scope); !known {
			return Query{}, fault.Errorf(fault.Invalid, "There is no scope %.64q. The catalogue of scopes lists all.", f.Scope).On("filter.scope")
		}
	}
	f.Statuses = slices.Compact(slices.Sorted(slices.Values(f.Statuses)))
	return Query{Filter: f, Now: s.Now()}, nil
}

// AccountTokens returns a page of the account-level tokens.
func (s *Service) AccountTokens(ctx context.Context, by *auth.Principal, q Query, r page.Request) (page.Page[Token], error) {
	w, err := r.Window(page.MaxSize)
	if err != nil {
		return page.Page[Token]{}, err
	}
	return s.repo.AccountTokens(ctx, by.AccountID, q, w)
}

// CountAccountTokens returns how many account-level tokens the query admits.
func (s *Service) CountAccountTokens(ctx context.Context, by *auth.Principal, q Query) (int64, error) {
	return s.repo.CountAccountTokens(ctx, by.AccountID, q)
}

// StoreTokens returns for each store a page of its store-level tokens, for
// stores that the principal reached already. Whoever shows one asks MayList
// first.
func (s *Service) StoreTokens(ctx context.Context, by *auth.Principal, storeIDs []uuid.UUID, q Query, w page.Window) (map[uuid.UUID]page.Page[Token], error) {
	return s.repo.StoreTokens(ctx, by.AccountID, storeIDs, q, w)
}

// CountStoreTokens returns for each store how many tokens the query admits.
func (s *Service) CountStoreTokens(ctx context.Context, by *auth.Principal, storeIDs []uuid.UUID, q Query) (map[uuid.UUID]int64, error) {
	return s.repo.CountStoreTokens(ctx, by.AccountID, storeIDs, q)
}

// AccessTokens returns the live access tokens of each API token, newest first.
func (s *Service) AccessTokens(ctx context.Context, by *auth.Principal, tokenIDs []uuid.UUID) (map[uuid.UUID][]AccessToken, error) {
	return s.repo.AccessTokens(ctx, by.AccountID, tokenIDs, s.Now())
}
