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

// Sort is what a Search orders tokens by.
type Sort string

// The orders. Where two tokens are equal, the newer one comes first.
const (
	ByCreated Sort = "created"
	ByName    Sort = "name"
	// ByLastUse puts tokens that were never used before all that were.
	ByLastUse Sort = "used"
	// ByExpiry puts tokens that do not expire after all that do.
	ByExpiry Sort = "expires"
)

// Bounds of a search.
const (
	// MaxSearchText bounds the text that is looked for, in characters.
	MaxSearchText = 100
	// MaxFound is the most tokens that a search returns at once.
	MaxFound = 100
)

// Search asks for a part of one owner's tokens, in an order. Unlike the lists
// of the API, which are paged by key, it counts: it is for people, who look at
// the first pages of what one account or store has.
type Search struct {
	Query
	// Text admits tokens whose name or client id it is a part of; the case of
	// the letters A to Z does not matter. Empty admits all.
	Text       string
	Sort       Sort
	Descending bool
	// Skip and Size say which of the tokens found: at most Size, after Skip.
	Skip, Size int
}

// Found is the part of the tokens that a Search asked for, and how many it
// found in all.
type Found struct {
	Tokens []Token
	Total  int
}

// Find returns tokens of the owner that the principal sees. It returns
// fault.Forbidden where it sees none, and fault.Invalid.
func (s *Service) Find(ctx context.Context, by *auth.Principal, o Owner, search Search) (Found, error) {
	if err := MayList(by, o.account.ID, o.store.ID); err != nil {
		return Found{}, err
	}
	q, err := s.Query(search.Filter)
	if err != nil {
		return Found{}, err
	}
	search.Query = q
	if search.Text = strings.TrimSpace(search.Text); utf8.RuneCountInString(search.Text) > MaxSearchText || strings.ContainsRune(search.Text, 0) || !utf8.ValidString(search.Text) {
		return Found{}, fault.Errorf(fault.Invalid, "Look for a text of at most %d characters.", MaxSearchText).On("search")
	}
	if search.Sort == "" {
		search.Sort = ByCreated
	}
	search.Skip, search.Size = max(search.Skip, 0), min(max(search.Size, 1), MaxFound)
	return s.repo.Find(ctx, o.account.ID, o.store.ID, search)
}

// Room is how many live tokens an owner has, and the most that it may have.
type Room struct{ Live, Most int }

// Full reports whether there is room for no further token.
func (r Room) Full() bool { return r.Live >= r.Most }

// Room returns how much of its limit an owner has used, to whoever may list
// its tokens or add to them. It returns fault.Forbidden for others.
func (s *Service) Room(ctx context.Context, by *auth.Principal, o Owner) (Room, error) {
	if err := MayList(by, o.account.ID, o.store.ID); err != nil && s.policy.MayIssue(by, o) != nil {
		return Room{}, err
	}
	live := Search{Query: Query{Filter: Filter{Statuses: []Status{Active}}, Now: s.Now()}, Sort: ByCreated, Size: 1}
	found, err := s.repo.Find(ctx, o.account.ID, o.store.ID, live)
	return Room{Live: found.Total, Most: s.policy.MaxLive[o.Level()]}, err
}

// MaxLifetime is the longest that a new token may live; zero for no bound.
func (s *Service) MaxLifetime() time.Duration { return s.policy.MaxLifetime }

// MayIssue refuses principals that issue no tokens for the owner, nor narrow
// and rotate those it has. It returns fault.Forbidden, or nil.
func (s *Service) MayIssue(by *auth.Principal, o Owner) error { return s.policy.MayIssue(by, o) }

// MayRevoke refuses principals that may not revoke the tokens of the owner. It
// returns fault.Forbidden, or nil.
func MayRevoke(by *auth.Principal, o Owner) error {
	return may(by, Token{AccountID: o.account.ID, StoreID: o.store.ID}, auth.DeleteTokens, scope.AccountAPITokensWrite)
}

// Holds reports whether a token is one of the owner's.
func (o Owner) Holds(t Token) bool { return t.AccountID == o.account.ID && t.StoreID == o.store.ID }

// OfStore returns the store that the owner is, zero for an account.
func (o Owner) OfStore() uuid.UUID { return o.store.ID }

// APIPath returns where the tokens of the owner are used (see APIPath).
func (o Owner) APIPath(publicURL string) string {
	return APIPath(publicURL, Token{AccountID: o.account.ID, StoreID: o.store.ID, StoreHash: o.store.Hash})
}

// Offered returns what the tokens of the owner can be given, in the
// catalogue's order.
func (s *Service) Offered(o Owner) []scope.Resource {
	return s.policy.Catalogue.Resources(o.Level(), o.account.Features)
}
