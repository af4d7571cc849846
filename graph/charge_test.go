package graph_test

import (
	"context"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/graph"
	"latchkey/internal/audit"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
	"latchkey/internal/webhook"
)

// noEvents is an audit log without events.
type noEvents struct{ audit.Reader }

func (noEvents) Events(context.Context, uuid.UUID, audit.Filter, paging.Window) (paging.Page[audit.Event], error) {
	return paging.Page[audit.Event]{}, nil
}

func (noEvents) CountEvents(context.Context, uuid.UUID, audit.Filter) (int64, error) { return 0, nil }

// noLog is an event log without events.
type noLog struct{}

func (noLog) Log(context.Context, uuid.UUID, audit.LogFilter, audit.LogWindow) (paging.Page[audit.Event], error) {
	return paging.Page[audit.Event]{}, nil
}

func (noLog) EventsByID(context.Context, uuid.UUID, []uuid.UUID) (map[uuid.UUID]audit.Event, error) {
	return map[uuid.UUID]audit.Event{}, nil
}

func (noLog) CountLog(context.Context, uuid.UUID, audit.LogFilter) (int64, error) { return 0, nil }

// Every operation that runs is charged by its price, once, and none that is refused.
func TestOperationsAreCharged(t *testing.T) {
	const search = `users(filter: {search: "per"}) { edges { cursor } }`
	for _, tt := range []struct {
		name, query string
		scopes      []string
		charges     []int
	}{
		{"the least", "{ __typename }", nil, []int{1}},
		{"a page of 250 users",
			"{ account { users(first: 250) { edges { cursor node { id email firstName lastName locale } } } } }",
			[]string{"account_users_read"}, []int{1753}},
		{"a search among 150,000", "{ account { " + search + " } }", []string{"account_users_read"}, []int{15_013}},
		{"three of them", "{ account { a: " + search + " b: " + search + " c: " + search + " } }",
			[]string{"account_users_read"}, []int{45_037}},
		{"more than the limit", "{ account { a: " + search + " b: " + search + " c: " + search + " d: " + search +
			" } }", []string{"account_users_read"}, nil},
		{"a search that is refused", "{ account { " + search + " } }", nil, []int{13}},
		{"a page of the audit log", "{ account { auditEvents(first: 1) { edges { cursor } } } }",
			[]string{"account_audit_read"}, []int{12}},
		{"a page of some of the audit log",
			`{ account { auditEvents(first: 1, filter: {actions: ["x"]}) { edges { cursor } } } }`,
			[]string{"account_audit_read"}, []int{10_012}},
		{"its total, too",
			`{ account { auditEvents(first: 1, filter: {actions: ["x"]}) { collectionInfo { totalItems } } } }`,
			[]string{"account_audit_read"}, []int{20_012}},
		{"its total in both forms",
			`{ account { auditEvents(first: 1, filter: {actions: ["x"]}) { totalCount collectionInfo { totalItems } } } }`, []string{"account_audit_read"}, []int{20_012}},
		{"five totals of all", "{ account { " + numbered(5,
			"a%d: auditEvents(first: 1) { collectionInfo { totalItems } }") + "} }", []string{"account_audit_read"},
			nil},
		{"a page of events", "{ account { events(first: 1) { edges { cursor } } } }", []string{"account_audit_read"},
			[]int{12}},
		{"a page of some events", `{ account { events(first: 1, filter: {types: ["*"]}) { edges { cursor } } } }`,
			[]string{"account_audit_read"}, []int{10_012}},
		{"a page of some events after a cursor",
			`{ account { events(first: 1, after: "x", filter: {types: ["*"]}) { edges { cursor } } } }`,
			[]string{"account_audit_read"}, []int{1_012}},
		{"the total of events", "{ account { events(first: 1) { totalCount } } }", []string{"account_audit_read"},
			[]int{10_012}},
		{"some deliveries and their total",
			`{ account { webhook(id: "x") { deliveries(first: 1, filter: {states: [DEAD]}) { totalCount } } } }`,
			nil, []int{2_013}},
		{"attempts of deliveries", `{ account { webhook(id: "x") { deliveries(first: 150) { nodes { attempts {
			responseHead } } } } } }`, nil, []int{4 + 150*(1+20*10)}},
		{"more attempts than the limit", `{ account { webhook(id: "x") { deliveries(first: 250) { nodes { attempts {
			responseHead } } } } } }`, nil, nil},
		{"a replay of a time range",
			`mutation { webhook { replayDeliveries(input: {webhookId: "x", since: "2026-01-01T00:00:00Z"}) { scheduled } } }`,
			[]string{"account_webhooks_write"}, []int{20_003}},
		{"a replay of two events",
			`mutation { webhook { replayDeliveries(input: {webhookId: "x", eventIds: ["y", "z"]}) { scheduled } } }`,
			[]string{"account_webhooks_write"}, []int{7}},
		{"some subscriptions", `{ account { subscriptions(first: 1, filters: {status: ACTIVE}) { edges { cursor } } } }`, nil,
			[]int{1_004}},
		{"subscriptions", `{ account { subscriptions(first: 1) { edges { cursor } } } }`, nil, []int{4}},
		{"some charges and their total",
			`{ account { charges(first: 1, filters: {kind: USAGE}) { totalCount edges { cursor } } } }`, nil, []int{6_005}},
		{"revenue", `{ account { revenue(from: "2026-01-01T00:00:00Z", to: "2026-02-01T00:00:00Z") { month } } }`, nil,
			[]int{3_012}},
		{"lines of invoices", `{ account { invoices(first: 3) { nodes { lines(first: 20) { nodes { id } } } } } }`, nil,
			[]int{3 + 3*(1+1+20)}},
		{"lines of invoices and their totals",
			`{ account { invoices(first: 3) { nodes { lines(first: 20) { totalCount nodes { id } } } } } }`, nil,
			[]int{3 + 3*(1+1+1+100+20)}},
		{"a billing run", `mutation { system { advanceTime(input: {seconds: 1}) { now } } }`, nil, []int{1_003}},
		{"lists of scopes", `{ nodes(ids: ["x", "x", "x"]) { ... on ApiToken { a: scopes b: scopes } } }`, nil,
			[]int{1 + 3*20}},
		{"scopes of tokens to review",
			`mutation { apiToken { revokeApiTokens(input: {ids: []}) { issuedTokensToReview { id scopes } } } }`,
			[]string{"account_api_tokens_write", "account_api_tokens_read"}, []int{3 + 250*11}},
		{"changes of users", `mutation { account { provisionUsers(input: {users: [{email: "a"}, {email: "b"}]}) {
			items { changes { field after } apiTokensToReview { id } } } } }`,
			[]string{"account_users_write", "account_api_tokens_read"}, []int{3 + 2*(1+1+10+1+1)}},
		{"data of events", "{ account { events(first: 2) { nodes { id data } } } }", []string{"account_audit_read"},
			[]int{3 + 2*21}},
		{"a page of users that is not selected", "{ account { users(first: 250) { pageInfo { hasNextPage } } } }",
			[]string{"account_users_read"}, []int{252}},
		{"pages of which little is selected", "{ account { " + numbered(9,
			"a%d: events(first: 250) { nodes { id } }") + " } }", []string{"account_audit_read"}, []int{1 + 9*2501}},
		{"99 pages of events that are not selected", "{ account { " + numbered(99,
			"a%d: events(first: 250) { pageInfo { hasNextPage } }") + " } }", []string{"account_audit_read"}, nil},
		{"pages in pages", "{ account { stores(first: 5) { edges { node { users(first: 20) { pageInfo { hasNextPage } } } } } } }",
			[]string{"account_users_read"}, []int{3 + 5*22}},
		{"a bulk of two, of which nothing is selected",
			`mutation { account { provisionUsers(input: {users: [{email: "a"}, {email: "b"}]}) { dryRun } } }`,
			[]string{"account_users_write"}, []int{2 + 2*10}},
		{"a removal of one", `mutation { account { deprovisionUsers(input: {users: {email: "a"}}) { dryRun } } }`,
			[]string{"account_users_write"}, []int{2 + 10}},
		{"GraphiQL's introspection", introspectionQuery(t), nil, []int{35_700}},
		{"a document that is invalid", "{ none }", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var charges []int
			var scans atomic.Int64
			a := newAPI(t, func(c *graph.Config) {
				c.Users = user.NewService(crowd{size: 150_000, scans: &scans}, nil, nil, time.Now)
				c.Audit, c.Events = noEvents{}, webhook.NewEvents(noLog{})
				c.Charge = func(_ context.Context, fields int) error { charges = append(charges, fields); return nil }
			})
			got := a.query(holding(tt.scopes...), tt.query, nil)
			if len(charges) != len(tt.charges) || len(charges) > 0 && charges[0] != tt.charges[0] {
				t.Errorf("charged %v, want %v: %.300s", charges, tt.charges, got)
			}
		})
	}
}

// An operation that cannot be paid is answered 429, and does not run.
func TestOperationThatCannotBePaid(t *testing.T) {
	var scans atomic.Int64
	a := newAPI(t, func(c *graph.Config) {
		c.Users = user.NewService(crowd{size: 100, scans: &scans}, nil, nil, time.Now)
		c.Charge = func(context.Context, int) error { return fault.Errorf(fault.RateLimited, "Too many.") }
	})
	got := a.send(newRequest(http.MethodPost, "",
		body(`{ account { users(filter: {search: "per"}) { edges { cursor } } } }`, nil)),
		holding("account_users_read"))
	if text := got.Body.String(); got.Code != http.StatusTooManyRequests ||
		!strings.Contains(text, `"code":"RATE_LIMITED","requestId":"r-1"`) || strings.Contains(text, `"data"`) {
		t.Errorf("got %d, %s, want 429, RATE_LIMITED and no data", got.Code, text)
	}
	if n := scans.Load(); n > 0 {
		t.Errorf("scans: got %d, want 0", n)
	}
}

// crowd is an account of so many users. It counts the scans over all of them.
type crowd struct {
	user.Repository
	size  int64
	scans *atomic.Int64
}

func (c crowd) Users(context.Context, uuid.UUID, user.Filter, paging.Window) (paging.Page[user.User], error) {
	c.scans.Add(1)
	return paging.Page[user.User]{}, nil
}

func (c crowd) CountUsers(_ context.Context, _ uuid.UUID, f user.Filter) (int64, error) {
	if f.Search != "" || f.WithoutStores || !f.UpdatedAfter.IsZero() {
		c.scans.Add(1)
	}
	return c.size, nil
}

// Searches and filters that no index serves cost by the account's size.
func TestScansArePricedByTheSizeOfTheAccount(t *testing.T) {
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
		{"three pages", 150_000, `{ account { ` + numbered(3,
			`a%d: users(filter: {search: "per"}) { edges { cursor } }`) + ` } }`, nil, false},
		{"four pages", 150_000, `{ account { ` + numbered(4,
			`a%d: users(filter: {search: "per"}) { edges { cursor } }`) + ` } }`, nil, true},
		{"by other filters", 150_000, `{ account { ` + numbered(2,
			`a%d: users(filter: {updatedAfter: "2026-01-31T09:30:00Z"}) { edges { cursor } }`) +
			numbered(2, `b%d: users(filter: {withoutStores: true}) { edges { cursor } }`) + ` } }`, nil, true},
		{"by addresses, which an index serves", 150_000,
			`{ account { ` + numbered(95,
				`a%d: users(filter: {search: "per", emails: ["a@b.example"]}) { collectionInfo { totalItems } }`) +
				` } }`, nil, false},
		{"by a variable", 150_000, `query($f: UserFilterInput) { account { ` + numbered(4,
			`a%d: users(filter: $f) { edges { cursor } }`) + ` } }`,
			map[string]any{"f": map[string]any{"search": "per"}}, true},
		{"by a variable that asks for nothing", 150_000,
			`query($f: UserFilterInput) { account { ` + numbered(4,
				`a%d: users(filter: $f) { edges { cursor } }`) + ` } }`, nil, false},
		{"by a variable within", 150_000, `query($s: String) { account { ` + numbered(4,
			`a%d: users(filter: {search: $s}) { edges { cursor } }`) + ` } }`,
			map[string]any{"s": "per"}, true},
		{"in fragments", 150_000,
			`{ account { ...F b: ` + total +
				` } } fragment F on Account { ... { users(filter: {search: "per"}) { ...C } } } fragment C on UserConnection { collectionInfo { totalItems } }`, nil, true},
		{"by nodes", 150_000, `{ a: ` + node + ` b: ` + node + ` }`, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var scans atomic.Int64
			a := newAPI(t, func(c *graph.Config) {
				c.Users = user.NewService(crowd{size: tt.size, scans: &scans}, nil, nil, time.Now)
			})
			got := a.query(holding("account_users_read"), tt.query, tt.variables)
			if refused := strings.Contains(got, "COMPLEXITY_LIMIT"); refused != tt.refused ||
				strings.Contains(got, "INVALID") {
				t.Errorf("refused %t: %.300s, want %t and not INVALID", refused, got, tt.refused)
			}
			if n := scans.Load(); tt.refused && n > 0 {
				t.Errorf("scans before the refusal: got %d, want 0", n)
			}
		})
	}
}

// A list is counted once, however often its total is selected.
func TestListIsCountedOnce(t *testing.T) {
	var scans atomic.Int64
	a := newAPI(t, func(c *graph.Config) {
		c.Users = user.NewService(crowd{size: 1000, scans: &scans}, nil, nil, time.Now)
	})
	got := a.query(holding("account_users_read"),
		`{ account { users(filter: {search: "per"}) { `+numbered(95, "a%d: collectionInfo { totalItems }")+` } } }`,
		nil)
	if n := scans.Load(); n != 2 || !strings.Contains(got, `"a94":{"totalItems":1000}`) {
		t.Errorf("%d scans for the page and its total, want 2: %.300s", n, got)
	}
}

// busy is a repository that notes how many of its calls are under way together.
type busy struct {
	fixedUsers
	now, most *atomic.Int64
}

func (b busy) Users(ctx context.Context, account uuid.UUID, f user.Filter, w paging.Window) (paging.Page[user.User],
	error) {
	defer b.now.Add(-1)
	b.most.Store(max(b.most.Load(), b.now.Add(1)))
	// Others that may run at the same time do so until this one has waited for them.
	for deadline := time.Now().Add(20 * time.Millisecond); b.now.Load() <= int64(runtime.GOMAXPROCS(0)) &&
		time.Now().Before(deadline); {
		runtime.Gosched()
	}
	b.most.Store(max(b.most.Load(), b.now.Load()))
	return b.fixedUsers.Users(ctx, account, f, w)
}

// The resolvers of expensive queries run few at a time, those of others at once.
func TestExpensiveQueriesRunInTurn(t *testing.T) {
	processors := int64(runtime.GOMAXPROCS(0))
	for _, tt := range []struct {
		name, query string
		few         bool
	}{
		{"expensive", "{ account { " + numbered(8,
			"a%d: users(first: 250) { edges { node { "+numbered(5, "b%d: id")+" } } }") + " } }", true},
		{"ordinary", "{ account { " + numbered(8,
			"a%d: users(first: 100) { edges { node { "+numbered(5, "b%d: id")+" } } }") + " } }", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var now, most atomic.Int64
			a := newAPI(t, func(c *graph.Config) {
				c.Users = user.NewService(busy{newUsers(3), &now, &most}, nil, nil, time.Now)
			})
			if got := a.query(holding("account_users_read"), tt.query, nil); strings.Contains(got, "errors") {
				t.Fatalf("got %.300s, want no errors", got)
			}
			switch n := most.Load(); {
			case tt.few && n > max(1, processors/2):
				t.Errorf("scans at once: got %d, want at most %d", n, max(1, processors/2))
			case !tt.few && n <= 1:
				t.Errorf("scans at once: got %d, want at least 2", n)
			}
		})
	}
}

// A bulk of 1,000 users may run, and not many in one operation.
func TestBulksInOneOperation(t *testing.T) {
	people := make([]any, membership.MaxBulk)
	for i := range people {
		people[i] = map[string]any{"email": "a@b.example"}
	}
	for _, tt := range []struct {
		n       int
		refused bool
	}{{1, false}, {4, false}, {5, true}, {99, true}} {
		var charged int
		a := newAPI(t, func(c *graph.Config) {
			// Nothing runs: the operation cannot be paid.
			c.Charge = func(_ context.Context, fields int) error {
				charged = fields
				return fault.Errorf(fault.RateLimited, "Too many.")
			}
		})
		got := a.query(holding("account_users_write"), `mutation($in: ProvisionUsersInput!) { account { `+
			numbered(tt.n, "a%d: provisionUsers(input: $in) { dryRun }")+` } }`,
			map[string]any{"in": map[string]any{"users": people, "dryRun": true}})
		if refused := strings.Contains(got, "COMPLEXITY_LIMIT"); refused != tt.refused || refused == (charged > 0) {
			t.Errorf("%d bulks: got refused %t, charged %d, want refused %t: %.300s", tt.n, refused, charged, tt.refused,
				got)
		}
	}
}

// The elements of the lists in a bulk's users count, also if one variable is the list of all users.
func TestListsInBulksAreCounted(t *testing.T) {
	texts := func(n int) string { return `["` + strings.Repeat(`x", "`, n-1) + `x"]` }
	each := func(users int, fields string) string {
		return `[` + strings.Repeat(`{email: "a@b.example", `+fields+`} `, users) + `]`
	}
	for _, tc := range []struct {
		name            string
		bulks           int
		users           string
		charged, stores int // charged is 0 for a refusal
	}{
		{"a few stores each", 1, each(300, `stores: ["x", "y", "z"]`), 2 + 300*10 + 300*3*2, 0},
		{"one store, not in a list", 1, `{email: "a@b.example", stores: "x"}`, 2 + 10, 0},
		{"permissions", 1, each(2, "stores: "+texts(4)+" permissions: "+texts(5)), 2 + 2*10 + 2*9*2, 0},
		{"a variable for all", 1, each(80, "stores: $stores"), 2 + 80*10 + 80*250*2, 250},
		{"a variable for too many", 1, each(460, "stores: $stores"), 0, 250},
		{"nine aliases", 9, each(80, "stores: $stores"), 0, 250},
	} {
		t.Run(tc.name, func(t *testing.T) {
			charged := 0
			a := newAPI(t, func(c *graph.Config) {
				// Nothing runs: the operation cannot be paid.
				c.Charge = func(_ context.Context, fields int) error {
					charged = fields
					return fault.Errorf(fault.RateLimited, "Too many.")
				}
			})
			declared, variables := "", map[string]any(nil)
			if tc.stores > 0 {
				declared, variables = "($stores: [ID!])", map[string]any{"stores": slices.Repeat([]any{"x"}, tc.stores)}
			}
			got := a.query(holding("account_users_write"), "mutation"+declared+" { account { "+numbered(tc.bulks,
				"a%d: provisionUsers(input: {dryRun: true, users: "+tc.users+"}) { dryRun }")+" } }", variables)
			if refused := strings.Contains(got, "COMPLEXITY_LIMIT"); charged != tc.charged ||
				refused != (tc.charged == 0) {
				t.Errorf("got refused %t, charged %d, want charged %d: %.300s", refused, charged, tc.charged, got)
			}
		})
	}
}

// order is a repository that notes which operations call it, in order.
type order struct {
	fixedUsers
	calls *calls
}

type calls struct {
	mu sync.Mutex
	of []any
}

type operationKey struct{}

func (o order) Users(ctx context.Context, account uuid.UUID, f user.Filter, w paging.Window) (paging.Page[user.User],
	error) {
	o.calls.mu.Lock()
	o.calls.of = append(o.calls.of, ctx.Value(operationKey{}))
	o.calls.mu.Unlock()
	time.Sleep(time.Millisecond) // so that those of others can run in between
	return o.fixedUsers.Users(ctx, account, f, w)
}

// The expensive operations of an account run one after the other, others at the same time.
func TestExpensiveOperationsRunAlone(t *testing.T) {
	const clients = 4
	for _, tt := range []struct {
		name, query string
		alone       bool
	}{
		{"expensive", "{ account { " + numbered(45, "a%d: users(first: 250) { pageInfo { hasNextPage } }") + " } }",
			true},
		{"ordinary", "{ account { " + numbered(35, "a%d: users(first: 250) { pageInfo { hasNextPage } }") + " } }",
			false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen calls
			a := newAPI(t, func(c *graph.Config) {
				c.Users = user.NewService(order{newUsers(3), &seen}, nil, nil, time.Now)
			})
			var all sync.WaitGroup
			for client := range clients {
				all.Go(func() {
					req := newRequest(http.MethodPost, "", body(tt.query, nil))
					req = req.WithContext(context.WithValue(t.Context(), operationKey{}, client))
					got := a.send(req, holding("account_users_read")).Body.String()
					if strings.Contains(got, "errors") {
						t.Errorf("got %.300s, want no errors", got)
					}
				})
			}
			all.Wait()
			turns := len(slices.Compact(seen.of))
			if alone := turns == clients; alone != tt.alone {
				t.Errorf("%d operations took %d turns: got alone %t, want %t", clients, turns, alone, tt.alone)
			}
		})
	}
}

// A bulk operation costs as many items as its input has, also those that it removes.
func TestBulkItemsAreCounted(t *testing.T) {
	users := func(n int) []any { return make([]any, n) }
	for _, tc := range []struct {
		field     string
		variables map[string]any
		want      int
	}{
		{"provisionUsers", map[string]any{"in": map[string]any{"users": users(1000)}}, 1000},
		{"provisionUsers", map[string]any{"in": map[string]any{"users": users(3), "removeOthers": true}},
			3 + membership.MaxBulk},
		{"deprovisionUsers", map[string]any{"in": map[string]any{"users": users(7)}}, 7},
		{"createUser", map[string]any{"in": map[string]any{"users": users(7)}}, 0},
	} {
		f := &ast.Field{Name: tc.field, Arguments: ast.ArgumentList{
			{Name: "input", Value: &ast.Value{Kind: ast.Variable, Raw: "in"}}}}
		check.Equal(t, graph.BulkItems(f, tc.variables), tc.want, "items of %s %v", tc.field, len(tc.variables))
	}
}
