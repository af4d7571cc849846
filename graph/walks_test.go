package graph_test

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/graph"
	"latchkey/internal/page"
	"latchkey/internal/user"
)

// crowd is an account of so many users, of whom it counts the walks through all.
type crowd struct {
	user.Repository
	size  int64
	walks *atomic.Int64
}

func (c crowd) Users(context.Context, uuid.UUID, user.Filter, page.Window) (page.Page[user.User], error) {
	c.walks.Add(1)
	return page.Page[user.User]{}, nil
}

func (c crowd) CountUsers(_ context.Context, _ uuid.UUID, f user.Filter) (int64, error) {
	if f.Search != "" || f.WithoutStores || !f.UpdatedAfter.IsZero() {
		c.walks.Add(1)
	}
	return c.size, nil
}

// Searches and filters that no index serves cost by the account's size.
func TestWalksArePricedByTheSizeOfTheAccount(t *testing.T) {
	const total = `users(filter: {search: "per"}) { collectionInfo { totalItems } }`
	node := `node(id: "bc/account/account/` + ownAccount.String() + `") { ... on Account { ` + total + ` } }`
	for _, tt := range []struct {
		name      string
		size      int64
		query     string
		variables map[string]any
		refused   bool
	}{
		{"95 totals in a large account", 150_000, `{ account { ` + numbered(95, "a%d: "+total) + `} }`, nil, true},
		{"95 totals in a small one", 1000, `{ account { ` + numbered(95, "a%d: "+total) + `} }`, nil, false},
		{"one total in a huge account", 10_000_000, `{ account { ` + total + ` } }`, nil, false},
		{"two totals in a huge account", 10_000_000, `{ account { ` + total + ` b: ` + total + ` } }`, nil, true},
		{"three pages", 150_000, `{ account { ` + numbered(3, `a%d: users(filter: {search: "per"}) { edges { cursor } }`) + ` } }`, nil, false},
		{"four pages", 150_000, `{ account { ` + numbered(4, `a%d: users(filter: {search: "per"}) { edges { cursor } }`) + ` } }`, nil, true},
		{"by other filters", 150_000, `{ account { ` + numbered(2, `a%d: users(filter: {updatedAfter: "2026-01-31T09:30:00Z"}) { edges { cursor } }`) +
			numbered(2, `b%d: users(filter: {withoutStores: true}) { edges { cursor } }`) + ` } }`, nil, true},
		{"by addresses, which an index serves", 150_000, `{ account { ` + numbered(95, `a%d: users(filter: {search: "per", emails: ["a@b.example"]}) { collectionInfo { totalItems } }`) + ` } }`, nil, false},
		{"by a variable", 150_000, `query($f: UserFilterInput) { account { ` + numbered(4, `a%d: users(filter: $f) { edges { cursor } }`) + ` } }`,
			map[string]any{"f": map[string]any{"search": "per"}}, true},
		{"by a variable that asks for nothing", 150_000, `query($f: UserFilterInput) { account { ` + numbered(4, `a%d: users(filter: $f) { edges { cursor } }`) + ` } }`, nil, false},
		{"by a variable within", 150_000, `query($s: String) { account { ` + numbered(4, `a%d: users(filter: {search: $s}) { edges { cursor } }`) + ` } }`,
			map[string]any{"s": "per"}, true},
		{"in fragments", 150_000, `{ account { ...F b: ` + total + ` } } fragment F on Account { ... { users(filter: {search: "per"}) { ...C } } } fragment C on UserConnection { collectionInfo { totalItems } }`, nil, true},
		{"by nodes", 150_000, `{ a: ` + node + ` b: ` + node + ` }`, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var walks atomic.Int64
			a := newAPI(t, func(c *graph.Config) {
				c.Users = user.NewService(crowd{size: tt.size, walks: &walks}, nil, nil, time.Now)
			})
			got := a.query(holding("account_users_read"), tt.query, tt.variables)
			if refused := strings.Contains(got, "COMPLEXITY_LIMIT"); refused != tt.refused || strings.Contains(got, "INVALID") {
				t.Errorf("refused %v: %.300s", refused, got)
			}
			if n := walks.Load(); tt.refused && n > 0 {
				t.Errorf("%d walks before it was refused", n)
			}
		})
	}
}

// busy is a repository that notes how many of its calls are under way together.
type busy struct {
	people
	now, most *atomic.Int64
}

func (b busy) Users(ctx context.Context, account uuid.UUID, f user.Filter, w page.Window) (page.Page[user.User], error) {
	defer b.now.Add(-1)
	b.most.Store(max(b.most.Load(), b.now.Add(1)))
	// Others that may run at the same time do so until this one has waited for them.
	for deadline := time.Now().Add(20 * time.Millisecond); b.now.Load() <= int64(runtime.GOMAXPROCS(0)) && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	b.most.Store(max(b.most.Load(), b.now.Load()))
	return b.people.Users(ctx, account, f, w)
}

// The resolvers of expensive queries run few at a time, those of others at once.
func TestExpensiveQueriesRunInTurn(t *testing.T) {
	processors := int64(runtime.GOMAXPROCS(0))
	for _, tt := range []struct {
		name, query string
		few         bool
	}{
		{"expensive", "{ account { " + numbered(8, "a%d: users(first: 250) { edges { node { "+numbered(5, "b%d: id")+" } } }") + " } }", true},
		{"ordinary", "{ account { " + numbered(8, "a%d: users(first: 100) { edges { node { "+numbered(5, "b%d: id")+" } } }") + " } }", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var now, most atomic.Int64
			a := newAPI(t, func(c *graph.Config) {
				c.Users = user.NewService(busy{newPeople(3), &now, &most}, nil, nil, time.Now)
			})
			if got := a.query(holding("account_users_read"), tt.query, nil); strings.Contains(got, "errors") {
				t.Fatalf("got %.300s", got)
			}
			switch n := most.Load(); {
			case tt.few && n > max(1, processors/2):
				t.Errorf("%d at once, with %d processors", n, processors)
			case !tt.few && n <= 1:
				t.Errorf("%d at once", n)
			}
		})
	}
}
