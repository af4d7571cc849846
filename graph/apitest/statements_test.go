package apitest_test

import (
	"fmt"
	"strings"
	"testing"

	"latchkey/graph/server"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// A level of an answer costs one statement for each of its fields that are read from the database, however many objects
// the level has. The numbers are part of the promise: one more is an added query.
func TestStatements(t *testing.T) {
	type cost struct {
		name, query string
		statements  int
	}
	costs := []cost{
		{"nothing", `{ account { id } system { time } viewer { scopes kind } }`, 0},
		{"the account, read once", `{ account { accountInfo { name } features } }`, 1},
		{"the account, cached", `{ scopeCatalog(level: STORE) { key } }`, 0},
		{"its owner", `{ account { accountInfo { name } owner { email } features } }`, 1},
		{"lists",
			`{ account { users(first: 50) { edges { node { email } } } apps { edges { node { name } } } apiTokens { edges { node { name } } } auditEvents { edges { node { action } } } } }`, 4},
		{"lists and their counts", `{ account { users { edges { node { email } } collectionInfo { totalItems } } apiTokens { edges { node { name } } collectionInfo { totalItems } }
			auditEvents { collectionInfo { totalItems } } } }`, 6},
		{"stores", `{ account { stores(first: 250) { edges { node { name storeHash } } } } }`, 1},
		{"stores, all there is of them", `{ account { stores(first: 250) { edges { node { name
			owner { email }
			apps { edges { node { name } } }
			users { edges { node { email apps { edges { node { name } } } } } collectionInfo { totalItems } }
			apiTokens { edges { node { name store { name } accessTokens { hint } } } collectionInfo { totalItems } } } } } } }`, 10},
		{"stores, a field twice", `{ account { stores(first: 250) { edges { node {
			a: users(first: 1) { edges { node { email } } collectionInfo { totalItems } }
			b: users(last: 1) { edges { node { email } } collectionInfo { totalItems } }
			c: users(first: 1) { edges { node { email } } } } } } } }`, 4},
		{"users, with all fields", `{ account { users(filter: {search: "user1"}) { edges { node { email externalId createdAt updatedAt
			stores { edges { node { role permissions store { name owner { email } } } } collectionInfo { totalItems } } } } } } }`, 5},
		{"users of stores, and their roles",
			`{ account { stores(first: 250) { edges { node { users { edges { node { email role } } } } } } } }`, 2},
		{"users, filtered, and their count",
			`{ account { users(filter: {search: "user"}) { edges { node { email } } collectionInfo { totalItems } } } }`, 3},
		{"roles", `{ storeRoles { role name permissions } }`, 0},
		{"tokens of the account, with theirs",
			`{ account { apiTokens(first: 250) { edges { node { name store { name } accessTokens { hint } } } } } }`,
			2},
		{"stores below tokens of stores",
			`{ account { stores(first: 250) { edges { node { apiTokens { edges { node { store { owner { email } users { edges { node { email } } } } } } } } } } } }`, 5},
		{"event sources of the apps of stores",
			`{ account { apps { edges { node { eventSources { edges { node { webhooksCount } } } } } } stores(first: 250) { edges { node { apps { edges { node { eventSources(first: 1) { edges { node { arn } } } } } } } } } } }`, 5},
		{"webhooks, all there is of them", `{ account { webhooks { nodes { url createdBy { name }
			deliveries { nodes { id event { type } attempts { number } } totalCount } } totalCount } } }`, 6},
		{"webhooks, without attempts", `{ account { webhooks { nodes { deliveries { nodes { id } } } } } }`, 3},
		{"events", `{ account { events { nodes { id type data } } } eventTypes { name example } }`, 1},
		{"the viewer", `{ viewer { apiToken { name store { name } accessTokens { hint } } } }`, 2},
	}
	eachCrowd(t, func(t *testing.T, w *tenants) {
		for _, c := range costs {
			w.statements.Take()
			got := w.ask(t, w.home.Account.ID, w.robot, c.query, nil)
			statements := w.statements.Take()
			if len(got.errors) > 0 || strings.Contains(got.data, `"edges":[]`) {
				t.Errorf("%s: got errors %q, data %s, want none and no empty list", c.name, got.failures(), got.data)
			}
			check.Equal(t, len(statements), c.statements, "statements of %s:\n%s", c.name,
				strings.Join(statements, "\n"))
		}
	})
}

// eachCrowd runs test on each database with few stores and with many.
func eachCrowd(t *testing.T, test func(t *testing.T, w *tenants)) {
	t.Helper()
	for _, stores := range []int{1, 5, 50} {
		t.Run(fmt.Sprintf("%d stores", stores), func(t *testing.T) {
			dbtest.EachURL(t, func(t *testing.T, url string) {
				// As many objects as this are more than the limits let through.
				test(t, crowd(t, newAPI(t, url, server.Limits{Complexity: 1_000_000}), stores))
			})
		})
	}
}

// crowd is a world with so many stores, each with users, apps and tokens.
func crowd(t *testing.T, a *api, stores int) *tenants {
	t.Helper()
	w := &tenants{api: a, names: map[string]string{}}
	w.home = dbtest.Seed{Stores: stores, StoreOwner: true, Users: 3, MembersPerStore: 2, Apps: 2}.Make(t, a.DB)
	w.owner = w.session(t, w.home, w.home.Owner)
	w.robot = w.verified(t, w.issue(t, w.owner, w.home, request{name: "Robot", scopes: []string{
		"account_read", "account_stores_read", "account_users_read", "account_apps_read", "account_api_tokens_read",
		"account_audit_read", "account_webhooks_read",
	}}))
	for app := range w.home.Apps {
		w.eventSource(t, app, "orders")
	}
	for i := range 3 {
		w.hook(t, w.owner, fmt.Sprintf("Hook %d", i), "*")
	}
	for i := range w.home.Stores {
		w.issue(t, w.owner, w.home, request{name: "Till", scopes: []string{"store_cart"}, store: &w.home.Stores[i]})
	}
	return w
}

// Objects by their ids cost one statement for each kind, and what is below them one for each field.
func TestStatementsOfNodes(t *testing.T) {
	const query = `query($ids: [ID!]!) { nodes(ids: $ids) { id
		... on Store { owner { email } users { edges { node { id } } } apiTokens { collectionInfo { totalItems } edges { node { name } } } }
		... on ApiToken { name accessTokens { hint } store { name } } ... on User { email } ... on App { name } ... on Account { accountInfo { name } } } }`
	eachCrowd(t, func(t *testing.T, w *tenants) {
		ids := []string{"bc/account/account/" + w.home.Account.ID.String(), w.fill("<Robot>"), w.fill("<Till>")}
		for _, s := range w.home.Stores {
			ids = append(ids, "bc/account/store/"+s.ID.String(), "bc/account/store/"+s.Hash)
		}
		for _, u := range w.home.Users {
			ids = append(ids, "bc/account/user/"+u.ID.String())
		}
		w.statements.Take()
		got := w.ask(t, w.home.Account.ID, w.robot, query, map[string]any{"ids": ids})
		// Stores, tokens, users, the account; of stores: owners, users, tokens, counts; of tokens: access tokens,
		// stores.
		if statements := w.statements.Take(); len(statements) != 10 || len(got.errors) > 0 {
			t.Errorf("%d IDs: got %d statements, errors %q, want 10 and none\n%s", len(ids), len(statements),
				got.failures(), strings.Join(statements, "\n"))
		}
	})
}
