package token

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
)

// Sort is the sort order of a Search.
type Sort string

// The sort orders. Of two equal tokens, the newer one comes first.
const (
	ByCreated Sort = "created"
	ByName    Sort = "name"
	// ByLastUse sorts tokens that were never used before all others.
	ByLastUse Sort = "used"
	// ByExpiry sorts tokens that do not expire after all others.
	ByExpiry Sort = "expires"
)

// Limits of a Search.
const (
	// MaxSearchText is the most characters of Search.Text.
	MaxSearchText = 100
	// MaxFound is the most tokens that a search returns at once.
	MaxFound = 100
)

// Search selects a part of one owner's tokens in a sort order. Unlike the API's
// lists, which use keyset paging, it uses an offset and counts the tokens. It is
// for the panel, whose users read the first pages of one account or store.
type Search struct {
	Query
	// Text selects tokens whose name or client ID contains it, regardless of the
	// case of ASCII letters. If it is empty, all tokens match.
	Text       string
	Sort       Sort
	Descending bool
	// Skip is the number of tokens to skip, and Size the most to return.
	Skip, Size int
}

// Found is the result of a Search. Total is the number of all tokens that match.
type Found struct {
	Tokens []Token
	Total  int
}

// Find returns the owner's tokens that the search selects. It returns
// fault.Forbidden if the principal may not list them, and fault.Invalid for an
// invalid search.
func (s *Service) Find(ctx context.Context, by *auth.Principal, o Owner, search Search) (Found, error) {
	if err := MayList(by, o.account.ID, o.store.ID); err != nil {
		return Found{}, err
	}
	q, err := s.Query(search.Filter)
	if err != nil {
		return Found{}, err
	}
	search.Query = q
	if search.Text = strings.TrimSpace(search.Text); utf8.RuneCountInString(search.Text) > MaxSearchText ||
		strings.ContainsRune(search.Text, 0) || !utf8.ValidString(search.Text) {
		return Found{}, fault.Errorf(fault.Invalid, "Enter a search text of at most %d characters.",
			MaxSearchText).On("search")
	}
	if search.Sort == "" {
		search.Sort = ByCreated
	}
	search.Skip, search.Size = max(search.Skip, 0), min(max(search.Size, 1), MaxFound)
	return s.repo.Find(ctx, o.account.ID, o.store.ID, search)
}

// Capacity is the number of an owner's active tokens and its limit.
type Capacity struct{ Live, Max int }

// Full reports whether the limit is reached.
func (r Capacity) Full() bool { return r.Live >= r.Max }

// Capacity returns the number of the owner's active tokens and its limit. It returns
// fault.Forbidden unless the principal may list or issue the owner's tokens.
func (s *Service) Capacity(ctx context.Context, by *auth.Principal, o Owner) (Capacity, error) {
	if err := MayList(by, o.account.ID, o.store.ID); err != nil && s.policy.MayIssue(by, o) != nil {
		return Capacity{}, err
	}
	live := Search{Query: Query{Filter: Filter{Statuses: []Status{Active}}, Now: s.Now()}, Sort: ByCreated, Size: 1}
	found, err := s.repo.Find(ctx, o.account.ID, o.store.ID, live)
	return Capacity{Live: found.Total, Max: s.policy.MaxLive[o.Level()]}, err
}

// MaxLifetime returns the maximum lifetime of a new token, or zero if there is
// none.
func (s *Service) MaxLifetime() time.Duration { return s.policy.MaxLifetime }

// MayIssue returns fault.Forbidden unless the principal may issue, restrict and
// rotate tokens of the owner.
func (s *Service) MayIssue(by *auth.Principal, o Owner) error { return s.policy.MayIssue(by, o) }

// MayRevoke returns fault.Forbidden unless the principal may revoke tokens of the
// owner.
func MayRevoke(by *auth.Principal, o Owner) error {
	return may(by, Token{AccountID: o.account.ID, StoreID: o.store.ID}, auth.DeleteTokens, scope.AccountAPITokensWrite)
}

// Holds reports whether the token belongs to the owner.
func (o Owner) Holds(t Token) bool { return t.AccountID == o.account.ID && t.StoreID == o.store.ID }

// StoreID returns the ID of the owner if it is a store, or zero for an account.
func (o Owner) StoreID() uuid.UUID { return o.store.ID }

// APIPath is the function APIPath for the owner's tokens.
func (o Owner) APIPath(publicURL string) string {
	return APIPath(publicURL, Token{AccountID: o.account.ID, StoreID: o.store.ID, StoreHash: o.store.Hash})
}

// OfferedResources returns the resources on which the owner's tokens can have permissions,
// in the catalogue's order.
func (s *Service) OfferedResources(o Owner) []scope.Resource {
	return s.policy.Catalogue.Resources(o.Level(), o.account.Features)
}
