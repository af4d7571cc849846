package apitest_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/membership"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// place adds a user of home to its stores, or changes the user's account membership.
func (w *tenants) place(t *testing.T, u user.User, in user.Membership, places ...user.Place) {
	t.Helper()
	in.UserID, in.Email, in.FirstName, in.LastName, in.Locale = u.ID, u.Email, u.FirstName, u.LastName, u.Locale
	if in.UpdatedAt.IsZero() {
		in.UpdatedAt = w.Clock.Now()
	}
	in.JoinedAt = in.UpdatedAt
	for i := range places {
		places[i].ID = uuid.Must(uuid.NewV7())
		places[i].Status, places[i].UpdatedAt = user.Active, w.Clock.Now()
	}
	err := w.DB.Users().Change(t.Context(), auth.NoActor("a test"), w.home.Account.ID, func(c user.Change) error {
		return errors.Join(c.SaveMembers(t.Context(), []user.Membership{in}),
			c.SavePlaces(t.Context(), map[uuid.UUID][]user.Place{u.ID: places}))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadPeople(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.place(t, w.home.Users[4], user.Membership{ExternalID: "hr-4",
			UpdatedAt: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)},
			user.Place{StoreID: w.home.Stores[0].ID, Permissions: user.SalesStaff.Permissions()})
		w.place(t, w.home.StoreOwner, user.Membership{}, user.Place{StoreID: w.home.Stores[0].ID})
		const all = `{ account { users(first: 1) { edges { node { email externalId createdAt updatedAt
			stores { edges { node { id status permissions role lastLoginAt updatedAt store { storeHash } } } collectionInfo { totalItems } } } } } } }`
		w.run(t, []scenario{
			{
				name: "all there is", by: w.robot, query: all,
				data: `{"account": {"users": {"edges": [{"node": {"email": "<user2.email>", "externalId": "hr-4", "createdAt": "2026-01-02T03:04:05.678901Z",
					"updatedAt": "2026-02-01T00:00:00Z", "stores": {"edges": [{"node": {"id": "<store0>", "status": "ACTIVE", "permissions": [
					"Add_Customer", "Add_Orders", "Edit_Customers", "Edit_Orders", "Manage_Customers", "Manage_Orders", "Manage_Returns",
					"Order_Messages", "See_Store_During_Maintenance", "Statistics_Orders", "Statistics_Overview"], "role": "SALES_STAFF",
					"lastLoginAt": null, "updatedAt": "2026-03-04T12:00:00.123456Z", "store": {"storeHash": "<store0.hash>"}}}],
					"collectionInfo": {"totalItems": 1}}}}]}}}`,
			},
			{
				name: "without the sight of stores", by: w.holding("account_users_read"),
				query: `{ account { users(first: 1) { edges { node { stores { edges { node { id role store { storeHash } } } } } } } } }`,
				has:   []string{`"users":{"edges":[{"node":{"stores":{"edges":[`}, lacks: []string{"<store0.hash>"},
				errors: []string{"account.users.edges.0.node.stores.edges.0.node.store.storeHash: FORBIDDEN [account_stores_read]"},
			},
			{
				name: "without a scope for users, the account's owner", by: w.holding("account_read"),
				query: `{ account { owner { email externalId updatedAt stores { edges { node { id } } } } } }`,
				data:  `null`, errors: []string{"account.owner.stores: FORBIDDEN [account_users_read]"},
			},
			{
				name: "a store's owner, of the stores they own", by: w.storeOwner,
				query: `{ viewer { user { email stores { edges { node { id role store { storeHash } } } } } } }`,
				data:  `{"viewer": {"user": {"email": "<storeOwner.email>", "stores": {"edges": [{"node": {"id": "<store0>", "role": "STORE_OWNER", "store": {"storeHash": "<store0.hash>"}}}]}}}}`,
			},
			{
				name: "roles of a store's users", by: w.robot,
				query: `{ account { stores(last: 1) { edges { node { users { edges { node { email role } } } } } } } }`,
				data: `{"account": {"stores": {"edges": [{"node": {"users": {"edges": [{"node": {"email": "<storeOwner.email>", "role": "STORE_OWNER"}},
					{"node": {"email": "<user2.email>", "role": "SALES_STAFF"}}, {"node": {"email": "<user1.email>", "role": "CUSTOM"}},
					{"node": {"email": "<user0.email>", "role": "CUSTOM"}}]}}}]}}}`,
			},
			{
				name: "the roles", by: w.holding(), query: `{ storeRoles { role name } }`,
				data: `{"storeRoles": [{"role": "STORE_OWNER", "name": "Store Owner"}, {"role": "STORE_ADMINISTRATOR", "name": "Store Administrator"},
					{"role": "SALES_MANAGER", "name": "Sales Manager"}, {"role": "SALES_STAFF", "name": "Sales Staff"}, {"role": "CUSTOM", "name": "Custom"}]}`,
			},
		})
	})
}

// The name of an identity provider's token is only for callers that may read tokens. It costs one statement for all
// users.
func TestProvisionedBy(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		const one, two = "one@corp.example", "two@corp.example"
		for _, email := range []string{one, two} {
			_, _, err := w.Memberships.Enroll(t.Context(), w.robot, membership.Edit{Email: new(email)})
			check.Equal(t, err, nil, "add %s as an identity provider", email)
		}
		const query = `{ account { users(filter: {emails: ["one@corp.example", "two@corp.example", "<user0.email>"]}) { edges { node {
			email provisionedBy { kind id name } externalId } } } } }`
		shown := func(name string, byHand bool) string {
			by := `{"kind": "API_TOKEN", "id": "<Robot>", "name": "` + name + `"}`
			ofOne := map[bool]string{true: "null", false: by}[byHand]
			return `{"account": {"users": {"edges": [{"node": {"email": "` + two + `", "provisionedBy": ` + by + `, "externalId": null}},
				{"node": {"email": "` + one + `", "provisionedBy": ` + ofOne + `, "externalId": null}},
				{"node": {"email": "<user0.email>", "provisionedBy": null, "externalId": null}}]}}}`
		}
		w.run(t, []scenario{
			{name: "by a token that may read tokens", by: w.robot, query: query, data: shown("Robot", false)},
			{name: "by the account's owner", by: w.owner, query: query, data: shown("Robot", false)},
			{name: "by a token that may not", by: w.holding("account_users_read"), query: query,
				data: shown("", false)},
		})
		w.statements.Take()
		w.ask(t, w.home.Account.ID, w.robot, w.fill(query), nil)
		statements := w.statements.Take()
		check.Equal(t, len(statements), 2, "statements, for users and tokens:\n%s",
			strings.Join(statements, "\n"))
		_, err := w.Memberships.ManageByHand(t.Context(), w.owner, user.Ref{Email: new(one)})
		check.Equal(t, err, nil, "manage a user by hand")
		w.run(t, []scenario{{name: "by hand", by: w.robot, query: query, data: shown("Robot", true)}})
	})
}

// A person who is in the account no more has nothing of it to show.
func TestReadFormerMember(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		if err := w.DB.Users().Change(t.Context(), auth.NoActor("a test"), w.home.Account.ID,
			func(c user.Change) error {
				return errors.Join(c.SetOwner(t.Context(), uuid.Nil, w.away.Owner.ID))
			}); err != nil {
			t.Fatal(err)
		}
		w.check(t, scenario{
			by:    w.robot,
			query: `{ account { owner { email externalId createdAt updatedAt stores { edges { node { id } } collectionInfo { totalItems } } } } }`,
			data: `{"account": {"owner": {"email": "<away.owner.email>", "externalId": null, "createdAt": "2026-01-02T03:04:05.678901Z",
				"updatedAt": "2026-01-02T03:04:05.678901Z", "stores": {"edges": [], "collectionInfo": {"totalItems": 0}}}}}`,
		})
	})
}

const listedPeople = `query($filter: UserFilterInput) { account { users(filter: $filter) { edges { node { email } } collectionInfo { totalItems } } } }`

func TestFilterPeople(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.place(t, w.home.Users[2], user.Membership{ExternalID: "hr-1"})
		w.place(t, w.home.Users[3], user.Membership{ExternalID: "HR-1",
			UpdatedAt: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)})
		for _, tc := range []struct {
			name   string
			filter map[string]any
			want   []string
		}{
			{"nothing", nil, []string{"user2", "user1", "user0", "storeOwner", "owner"}},
			{"nulls", map[string]any{"emails": nil, "search": nil, "storeId": nil, "withoutStores": nil},
				[]string{"user2", "user1", "user0", "storeOwner", "owner"}},
			{"addresses, in any case", map[string]any{"emails": []string{strings.ToUpper(w.names["<user1.email>"]),
				"<owner.email>", "<away.owner.email>", "nobody"}}, []string{"user1", "owner"}},
			{"no addresses", map[string]any{"emails": []string{}}, nil},
			{"external ids, case-sensitive", map[string]any{"externalIds": []string{"hr-1", "x"}}, []string{"user0"}},
			{"part of an address", map[string]any{"search": "USER1@"}, []string{"user1"}},
			{"part of a name", map[string]any{"search": "er LAST us"}, nil},
			{"part of both names", map[string]any{"search": "1 LAST us"}, []string{"user1"}},
			{"a store by its id", map[string]any{"storeId": "<store1>"}, []string{"user1", "user0"}},
			{"a store by its hash", map[string]any{"storeId": "<store1.hash>"}, []string{"user1", "user0"}},
			{"what changed", map[string]any{"updatedAfter": "2026-02-01T00:00:00Z"}, []string{"user0"}},
			{"what has just changed", map[string]any{"updatedAfter": "2026-01-31T23:59:59.999999Z"},
				[]string{"user1", "user0"}},
			{"no store", map[string]any{"withoutStores": true}, []string{"user2", "storeOwner", "owner"}},
			{"all at once", map[string]any{
				"storeId": "<store0>", "emails": []string{"<user0.email>", "<user1.email>"},
				"externalIds": []string{"HR-1"}, "search": "user",
				"updatedAfter": "2026-01-31T00:00:00Z", "withoutStores": false,
			}, []string{"user1"}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				nodes := make([]string, len(tc.want))
				for i, name := range tc.want {
					nodes[i] = `{"node": {"email": "<` + name + `.email>"}}`
				}
				w.check(t, scenario{by: w.holding("account_users_read"), query: listedPeople,
					variables: map[string]any{"filter": tc.filter}, data: fmt.Sprintf(
						`{"account": {"users": {"edges": [%s], "collectionInfo": {"totalItems": %d}}}}`,
						strings.Join(nodes, ", "), len(tc.want))})
			})
		}
	})
}

func TestFilterPeopleRefuses(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		refused := func(name string, by *auth.Principal, filter map[string]any, failures ...string) scenario {
			for i := range failures {
				failures[i] = "account.users: " + failures[i]
			}
			return scenario{name: name, by: by, query: listedPeople, variables: map[string]any{"filter": filter},
				data: `null`, errors: failures}
		}
		const noStore = "NOT_FOUND filter.storeId: There is no such store in this account."
		many := slices.Repeat([]string{"a@b.example"}, 251)
		w.run(t, []scenario{
			refused("too much", w.robot, map[string]any{"emails": many, "externalIds": many, "search": "x",
				"storeId": "nowhere", "withoutStores": true},
				"INVALID filter.emails: Name at most 250 addresses.",
				"INVALID filter.externalIds: Name at most 250 ids.",
				"INVALID filter.search: Search for 2 to 100 characters.", noStore),
			refused("another account's store", w.robot, map[string]any{"storeId": "<away.store0>"}, noStore),
			refused("a long search", w.robot, map[string]any{"search": strings.Repeat("ü", 101)},
				"INVALID filter.search: Search for 2 to 100 characters."),
			refused("only spaces", w.robot, map[string]any{"search": "   "},
				"INVALID filter.search: Search for 2 to 100 characters."),
			refused("a store and none", w.robot, map[string]any{"storeId": "<store0>", "withoutStores": true},
				"INVALID filter.withoutStores: Ask for the users of a store or for those without a store, not for both."),
		})
	})
}
