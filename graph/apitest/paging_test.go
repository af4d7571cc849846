package apitest_test

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/auth"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"

	"github.com/google/uuid"
)

// billingLists are the connections that TestBillingPages pages through.
var billingLists = []string{"Account.subscriptions", "Account.charges", "Account.invoices", "Invoice.lines",
	"Checkout.items"}

// connections are all other connections, each asked for with PAGE in the place of its arguments and fields.
// TestPagingCoversEveryConnection holds the list to the schema.
var connections = map[string]string{
	"Account.stores":                      `{ account { stores PAGE } }`,
	"Account.users":                       `{ account { users PAGE } }`,
	"Account.apps":                        `{ account { apps PAGE } }`,
	"Account.apiTokens":                   `{ account { apiTokens PAGE } }`,
	"Account.auditEvents":                 `{ account { auditEvents PAGE } }`,
	"Account.webhooks":                    `{ account { webhooks PAGE } }`,
	"Account.events":                      `{ account { events PAGE } }`,
	"Webhook.deliveries":                  `{ account { webhooks(last: 1) { edges { node { deliveries PAGE } } } } }`,
	"Store.users":                         `{ account { stores(last: 1) { edges { node { users PAGE } } } } }`,
	"Store.apps":                          `{ account { stores(last: 1) { edges { node { apps PAGE } } } } }`,
	"Store.apiTokens":                     `{ account { stores(last: 1) { edges { node { apiTokens PAGE } } } } }`,
	"User.stores":                         `{ account { users(first: 1) { edges { node { stores PAGE } } } } }`,
	"RevokeApiTokensResult.usersToReview": `mutation { apiToken { revokeApiTokens(input: {ids: ["<HR sync>"]}) { usersToReview PAGE } } }`,
	"App.eventSources":                    `{ account { apps(first: 1) { edges { node { eventSources PAGE } } } } }`,
	"StoreUser.apps":                      `{ account { stores(last: 1) { edges { node { users(last: 1) { edges { node { apps PAGE } } } } } } } }`,
}

// connection is a page as it was answered.
type connection struct {
	Edges []struct {
		Node   struct{ ID string }
		Cursor string
	}
	PageInfo struct {
		HasNextPage, HasPreviousPage bool
		StartCursor, EndCursor       *string
	}
}

func (c connection) ids() []string {
	ids := make([]string, len(c.Edges))
	for i, e := range c.Edges {
		ids[i] = e.Node.ID
	}
	return ids
}

// pageQuery asks for a page by variables.
func pageQuery(query string) string {
	const page = `(first: $first, last: $last, after: $after, before: $before) {
		edges { node { id } cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }`
	operation, selection := "query", query
	if rest, is := strings.CutPrefix(query, "mutation "); is {
		operation, selection = "mutation", rest
	}
	return operation + `($first: Int, $last: Int, $after: String, $before: String) ` + strings.Replace(selection,
		"PAGE", page, 1)
}

// pages asks for pages of one connection.
type pages struct {
	*tenants

	by    *auth.Principal
	query string
	// end is a cursor after all entries.
	end string
}

// get returns the page with these arguments. Its cursors must be those of its edges.
func (p pages) get(t *testing.T, arguments map[string]any) connection {
	t.Helper()
	got := p.ask(t, p.home.Account.ID, p.by, pageQuery(p.query), arguments)
	var data any
	got.into(t, &data)
	var c connection
	text, err := json.Marshal(innermost(data))
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	info := c.PageInfo
	switch n := len(c.Edges); {
	case n == 0 && p.end != noKey && info.StartCursor == nil && info.EndCursor != nil &&
		*info.EndCursor == arguments["after"]: // the cursor to continue from
	case n == 0 && (info.StartCursor != nil || info.EndCursor != nil):
		t.Errorf("%v: got the start cursor %t and the end cursor %t of an empty page, want neither", arguments,
			info.StartCursor != nil, info.EndCursor != nil)
	case n > 0 && (*info.StartCursor != c.Edges[0].Cursor || *info.EndCursor != c.Edges[n-1].Cursor):
		t.Errorf("%v: got the page's cursors %q and %q, want those of its first and last edge, %q and %q", arguments,
			*info.StartCursor, *info.EndCursor, c.Edges[0].Cursor, c.Edges[n-1].Cursor)
	}
	return c
}

// innermost finds the one connection that has pageInfo.
func innermost(data any) any {
	switch v := data.(type) {
	case map[string]any:
		if _, is := v["pageInfo"]; is {
			return v
		}
		for _, child := range v {
			if found := innermost(child); found != nil {
				return found
			}
		}
	case []any:
		for _, child := range v {
			if found := innermost(child); found != nil {
				return found
			}
		}
	}
	return nil
}

// noKey is the cursor of no entry of a list that is ordered by UUIDs, newest first: all are before it.
var noKey = paging.Cursor(uuid.Nil)

// eachConnection runs test for each connection, over a list of some length.
func eachConnection(t *testing.T, test func(t *testing.T, p pages)) {
	t.Helper()
	eachAPI(t, func(t *testing.T, a *api) {
		w := &tenants{api: a, names: map[string]string{}}
		w.home = dbtest.Seed{Stores: 7, Users: 7, MembersPerStore: 7, Apps: 7}.Make(t, a.DB)
		w.owner = w.session(t, w.home, w.home.Owner)
		for i := range 7 {
			w.hook(t, w.owner, fmt.Sprintf("Hook %d", i), "*")
		}
		for i := range 7 {
			w.issue(t, w.owner, w.home, request{name: fmt.Sprintf("Account %d", i), scopes: []string{"account_read"}})
			w.issue(t, w.owner, w.home, request{name: fmt.Sprintf("Store %d", i), scopes: []string{"store_cart"},
				store: &w.home.Stores[0]})
			w.eventSource(t, 6, fmt.Sprintf("source%d", i))
		}
		hr := w.issue(t, w.owner, w.home, request{name: "HR sync", scopes: []string{"account_users_write"}})
		w.addedBy(t, hr.Token, w.home.Users)
		for name, query := range connections {
			end := noKey
			if name == "Account.events" { // oldest first, by their positions
				end = paging.Item[int]{Position: paging.Position{Era: 1 << 40, Commit: 1, Sequence: 1}}.Cursor()
			}
			t.Run(name, func(t *testing.T) { test(t, pages{w, w.owner, w.fill(query), end}) })
		}
	})
}

// addedBy has the audit log say that the token added users.
func (w *tenants) addedBy(t *testing.T, by token.Token, users []user.User) {
	t.Helper()
	for _, u := range users {
		insert := func(at string) string {
			return fmt.Sprintf(`INSERT INTO audit_events (account_id, id, at, actor_kind, actor_id, actor_name, action, target_kind, target_key,
				target_name, ip, request_id, details) VALUES ('%s', '%s', %s, 'API_TOKEN', '%s', 'HR sync', 'user.added', 'user', '%s', '', '', '', '[]')`,
				w.home.Account.ID, uuid.Must(uuid.NewV7()), at, by.ID, u.ID)
		}
		dbtest.Exec(t, w.URL, insert("1767225600000000"), insert("to_timestamp(1767225600)"))
	}
}

// A list that is walked page by page is the list, in both directions, and the page says truly what is beyond it.
func TestWalk(t *testing.T) {
	eachConnection(t, func(t *testing.T, p pages) {
		all := p.get(t, map[string]any{"first": paging.MaxSize})
		if n := len(all.Edges); n < 7 || n > 39 || all.PageInfo.HasNextPage || all.PageInfo.HasPreviousPage {
			t.Fatalf("list: got %d entries, %+v, want from 7 to 39 on one page", n, all.PageInfo)
		}
		for _, size := range []int{1, 2, 3, len(all.Edges) - 1, len(all.Edges), len(all.Edges) + 1} {
			check.Equal(t, p.forward(t, size), all.ids(), "forward by %d", size)
			check.Equal(t, p.backward(t, size), all.ids(), "backward by %d", size)
		}
	})
}

func (p pages) forward(t *testing.T, size int) []string {
	t.Helper()
	var walked []string
	arguments := map[string]any{"first": size}
	for range 40 {
		c := p.get(t, arguments)
		if c.PageInfo.HasPreviousPage != (len(walked) > 0) {
			t.Errorf("after %d entries: got hasPreviousPage %t, want %t", len(walked), c.PageInfo.HasPreviousPage,
				len(walked) > 0)
		}
		walked = append(walked, c.ids()...)
		if !c.PageInfo.HasNextPage {
			break
		}
		arguments["after"] = *c.PageInfo.EndCursor
	}
	return walked
}

func (p pages) backward(t *testing.T, size int) []string {
	t.Helper()
	var walked []string
	arguments := map[string]any{"last": size}
	for range 40 {
		c := p.get(t, arguments)
		if c.PageInfo.HasNextPage != (len(walked) > 0) {
			t.Errorf("before %d entries: got hasNextPage %t, want %t", len(walked), c.PageInfo.HasNextPage,
				len(walked) > 0)
		}
		walked = append(c.ids(), walked...)
		if !c.PageInfo.HasPreviousPage {
			break
		}
		arguments["before"] = *c.PageInfo.StartCursor
	}
	return walked
}

// Every cursor cuts the list where its entry is.
func TestCursors(t *testing.T) {
	eachConnection(t, func(t *testing.T, p pages) {
		all := p.get(t, map[string]any{"first": paging.MaxSize})
		ids := all.ids()
		for i, e := range all.Edges {
			if after := p.get(t, map[string]any{"after": e.Cursor, "first": paging.MaxSize}); !slices.Equal(after.ids(),
				ids[i+1:]) {
				t.Errorf("after entry %d: %q, want %q", i, after.ids(), ids[i+1:])
			}
			if before := p.get(t, map[string]any{"before": e.Cursor,
				"last": paging.MaxSize}); !slices.Equal(before.ids(), ids[:i]) {
				t.Errorf("before entry %d: %q, want %q", i, before.ids(), ids[:i])
			}
		}
		first, last := all.Edges[0].Cursor, all.Edges[len(ids)-1].Cursor
		for _, tc := range []struct {
			name      string
			arguments map[string]any
			want      []string
		}{
			{"between two", map[string]any{"after": first, "before": last}, ids[1:min(11, len(ids)-1)]},
			{"the first between two", map[string]any{"after": first, "before": last, "first": 2}, ids[1:3]},
			{"the last between two", map[string]any{"after": first, "before": last, "last": 2},
				ids[len(ids)-3 : len(ids)-1]},
			{"between two the wrong way round", map[string]any{"after": last, "before": first}, []string{}},
			{"the first before one", map[string]any{"before": last, "first": 2}, ids[:2]},
			{"the last after one", map[string]any{"after": first, "last": 2}, ids[len(ids)-2:]},
			{"by default", nil, ids[:min(10, len(ids))]},
			{"none", map[string]any{"first": 0}, []string{}},
			{"none from the end", map[string]any{"last": 0}, []string{}},
			{"after a cursor of no entry", map[string]any{"after": p.end}, []string{}},
			{"before a cursor of no entry", map[string]any{"before": p.end, "first": 3}, ids[:3]},
		} {
			if c := p.get(t, tc.arguments); !slices.Equal(c.ids(), tc.want) {
				t.Errorf("%s: %q, want %q", tc.name, c.ids(), tc.want)
			}
		}
	})
}

func TestPagingRefuses(t *testing.T) {
	const size, cursor = "A page holds 0 to 250 items.",
		"This is not a cursor. Pass one that this list returned, unchanged."
	eachConnection(t, func(t *testing.T, p pages) {
		for _, tc := range []struct {
			name      string
			arguments map[string]any
			want      []string // without the path
		}{
			{"fewer than none", map[string]any{"first": -1}, []string{"INVALID first: " + size}},
			{"one too many", map[string]any{"first": 251}, []string{"INVALID first: " + size}},
			{"one too many from the end", map[string]any{"last": 251}, []string{"INVALID last: " + size}},
			{"far too many", map[string]any{"first": 1<<31 - 1}, []string{"INVALID first: " + size}},
			{"both directions", map[string]any{"first": 1, "last": 1},
				[]string{"INVALID last: Give first or last, not both."}},
			{"an empty cursor", map[string]any{"after": ""}, []string{"INVALID after: " + cursor}},
			{"no cursor", map[string]any{"before": "MTIzNDU="}, []string{"INVALID before: " + cursor}},
			{"a cursor of another service", map[string]any{"after": "YXJyYXljb25uZWN0aW9uOjA="},
				[]string{"INVALID after: " + cursor}},
			{"a cursor of another list", map[string]any{"after": paging.Cursor(uuid.Nil) + "x"},
				[]string{"INVALID after: " + cursor}},
			{"everything", map[string]any{"first": -1, "last": 251, "after": "x", "before": "y"}, []string{
				"INVALID after: " + cursor, "INVALID before: " + cursor, "INVALID first: " + size,
				"INVALID last: " + size, "INVALID last: Give first or last, not both.",
			}},
		} {
			got := p.ask(t, p.home.Account.ID, p.by, pageQuery(p.query), tc.arguments)
			var failures []string
			for _, f := range got.failures() {
				_, failure, _ := strings.Cut(f, ": ")
				failures = append(failures, failure)
			}
			slices.Sort(tc.want)
			check.Equal(t, failures, tc.want, "%s", tc.name)
		}
	})
}

// Every list refuses the cursors of every other, and only those.
func TestCursorsOfAnotherListAreRefused(t *testing.T) {
	letters := map[string]string{}
	eachConnection(t, func(t *testing.T, p pages) {
		c, name := p.get(t, map[string]any{"first": 1}), path.Base(t.Name())
		cursor := c.Edges[0].Cursor
		list := cursor[len(cursor)-1:]
		if other, taken := letters[list]; taken && other != name {
			t.Errorf("%s: got cursors that end in %q as those of %s, want a letter of its own", name, list, other)
		}
		letters[list] = name
		p.get(t, map[string]any{"after": cursor})
		p.get(t, map[string]any{"after": cursor[:len(cursor)-1]}) // as they were before they named their list
		for other := range strings.SplitSeq("u s a t e U A T B S r w d l", " ") {
			got := p.ask(t, p.home.Account.ID, p.by, pageQuery(p.query),
				map[string]any{"before": cursor[:len(cursor)-1] + other})
			if refused := len(got.errors) > 0; refused == (other == list) {
				t.Errorf("%s: a cursor of the list %q: got %s, want it refused: %t", p.query, other, got.text,
					other != list)
			}
		}
	})
}
