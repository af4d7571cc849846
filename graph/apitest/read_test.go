package apitest_test

import (
	"testing"

	"latchkey/internal/test/check"
)

func TestReadAccount(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.run(t, []scenario{
			{
				name: "its own fields", by: w.robot,
				query: `{ account { id accountInfo { name } owner { id email firstName lastName locale } features } }`,
				data: `{"account": {"id": "<account>", "accountInfo": {"name": "<account.name>"},
					"owner": {"id": "<owner>", "email": "<owner.email>", "firstName": "First owner", "lastName": "Last owner", "locale": "en"},
					"features": ["AUTOMATED_BILLING"]}}`,
			},
			{
				name: "apps, newest first", by: w.robot,
				query: `{ account { apps { edges { node { id name } } } } }`,
				data:  `{"account": {"apps": {"edges": [{"node": {"id": "<app1>", "name": "App 1"}}, {"node": {"id": "<app0>", "name": "App 0"}}]}}}`,
				lacks: []string{"<away.app0>"},
			},
			{
				name: "users, newest first, and how many", by: w.robot,
				query: `{ account { users { edges { node { id email firstName lastName locale } } collectionInfo { totalItems } } } }`,
				data: `{"account": {"users": {"edges": [
					{"node": {"id": "<user2>", "email": "<user2.email>", "firstName": "First user2", "lastName": "Last user2", "locale": "en"}},
					{"node": {"id": "<user1>", "email": "<user1.email>", "firstName": "First user1", "lastName": "Last user1", "locale": "en"}},
					{"node": {"id": "<user0>", "email": "<user0.email>", "firstName": "First user0", "lastName": "Last user0", "locale": "en"}},
					{"node": {"id": "<storeOwner>", "email": "<storeOwner.email>", "firstName": "First store.owner", "lastName": "Last store.owner", "locale": "en"}},
					{"node": {"id": "<owner>", "email": "<owner.email>", "firstName": "First owner", "lastName": "Last owner", "locale": "en"}}
					], "collectionInfo": {"totalItems": 5}}}}`,
			},
			{
				name: "the service's clock", by: w.robot,
				query: `{ system { time } }`,
				data:  `{"system": {"time": 1772625600123}}`,
			},
			{
				name: "types by name", by: w.robot,
				query: `{ __typename account { __typename stores(first: 1) { __typename edges { __typename node { __typename } } pageInfo { __typename } } } }`,
				data: `{"__typename": "Query", "account": {"__typename": "Account", "stores": {"__typename": "StoreConnection",
					"edges": [{"__typename": "StoreEdge", "node": {"__typename": "Store"}}], "pageInfo": {"__typename": "PageInfo"}}}}`,
			},
			{
				name: "an account without features", by: w.session(t, w.away, w.away.Owner),
				query: `{ account { id } }`, data: `null`, lacks: []string{"<account>", "<away.account>"},
				errors: []string{"account: FORBIDDEN"},
			},
		})
		away := w.ask(t, w.away.Account.ID, w.session(t, w.away, w.away.Owner),
			`{ account { features apps { edges { node { name } } } } }`, nil)
		check.Equal(t, away.data, `{"account":{"features":[],"apps":{"edges":[{"node":{"name":"App 0"}}]}}}`, "away")
	})
}

func TestReadStores(t *testing.T) {
	const hashes = `query($filter: StoreFilterInput) { account { stores(filter: $filter) { edges { node { storeHash } } } } }`
	eachTenants(t, func(t *testing.T, w *tenants) {
		filtered := func(name string, filter map[string]any, want string) scenario {
			return scenario{
				name: name, by: w.robot, query: hashes, variables: map[string]any{"filter": filter},
				data: `{"account": {"stores": {"edges": [` + want + `]}}}`,
			}
		}
		const store0, store1, store2 = `{"node": {"storeHash": "<store0.hash>"}}`,
			`{"node": {"storeHash": "<store1.hash>"}}`, `{"node": {"storeHash": "<store2.hash>"}}`
		w.run(t, []scenario{
			{
				name: "all, newest first", by: w.robot,
				query: `{ account { stores { edges { node { id name storeHash owner { email } } } } } }`,
				data: `{"account": {"stores": {"edges": [
					{"node": {"id": "<store2>", "name": "Store 2", "storeHash": "<store2.hash>", "owner": {"email": "<owner.email>"}}},
					{"node": {"id": "<store1>", "name": "Store 1", "storeHash": "<store1.hash>", "owner": {"email": "<owner.email>"}}},
					{"node": {"id": "<store0>", "name": "Store 0", "storeHash": "<store0.hash>", "owner": {"email": "<storeOwner.email>"}}}]}}}`,
			},
			filtered("no filter", nil, store2+","+store1+","+store0),
			filtered("an empty filter", map[string]any{}, store2+","+store1+","+store0),
			filtered("an empty list of ids", map[string]any{"ids": []string{}}, ""),
			filtered("an empty list of hashes", map[string]any{"storeHashes": []string{}}, ""),
			filtered("by id", map[string]any{"ids": []string{"<store1>"}}, store1),
			filtered("by an id with the hash", map[string]any{"ids": []string{"bc/account/store/<store1.hash>"}},
				store1),
			filtered("by the bare hash", map[string]any{"ids": []string{"<store1.hash>"}}, store1),
			filtered("by the bare key", map[string]any{"ids": []string{"<store1.uuid>"}}, store1),
			filtered("by all forms of one", map[string]any{"ids": []string{"<store0>", "bc/account/store/<store0.hash>",
				"<store0.hash>", "<store0.uuid>"}}, store0),
			filtered("by several forms", map[string]any{"ids": []string{"<store0.hash>", "<store2>"}},
				store2+","+store0),
			filtered("by hash", map[string]any{"storeHashes": []string{"<store2.hash>", "<store1.hash>"}},
				store2+","+store1),
			filtered("by both", map[string]any{"ids": []string{"<store0>", "<store1.hash>"},
				"storeHashes": []string{"<store1.hash>", "<store2.hash>"}}, store1),
			filtered("a hash is asked for, not an id", map[string]any{"storeHashes": []string{"<store1>"}}, ""),
			filtered("another account's, in every form",
				map[string]any{"ids": []string{"<away.store0>", "<away.store0.hash>", "<away.store0.uuid>",
					"<store0>"}}, store0),
			filtered("another account's, by hash", map[string]any{"storeHashes": []string{"<away.store0.hash>"}}, ""),
			filtered("nothing known", map[string]any{"ids": []string{"", "nowhere", "bc/account/store/",
				"bc/account/user/1", "'"}}, ""),
		})
	})
}

func TestReadStoresRefuses(t *testing.T) {
	const hashes = `query($filter: StoreFilterInput) { account { stores(filter: $filter) { edges { node { storeHash } } } } }`
	many := make([]string, 251)
	for i := range many {
		many[i] = "<store0>"
	}
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.run(t, []scenario{
			{
				name: "more names than a page has", by: w.robot, query: hashes, data: `null`,
				variables: map[string]any{"filter": map[string]any{"ids": many, "storeHashes": many}},
				errors: []string{
					"account.stores: INVALID filter.ids: Name at most 250 stores.",
					"account.stores: INVALID filter.storeHashes: Name at most 250 stores.",
				},
			},
			{
				name: "what no database keeps", by: w.robot, query: hashes,
				variables: map[string]any{"filter": map[string]any{"ids": []string{"<store0>", "\x00"}}},
				errors:    []string{`: INVALID filter.ids.1: Variable $filter.ids.1: "\u0000" is not of type ID. A String cannot contain the NUL character.`},
			},
			{
				name: "a number for a string", by: w.robot, query: hashes,
				variables: map[string]any{"filter": map[string]any{"storeHashes": []any{12345}}},
				errors:    []string{": INVALID filter.storeHashes.0: Variable $filter.storeHashes.0: 12345 is not of type String. A String must be in quotes."},
			},
			{
				name: "as many as a page has", by: w.robot, query: hashes,
				variables: map[string]any{"filter": map[string]any{"ids": many[:250]}},
				data:      `{"account": {"stores": {"edges": [{"node": {"storeHash": "<store0.hash>"}}]}}}`,
			},
		})
	})
}

func TestReadWhatStoresHave(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		const member0 = `{"node": {"id": "<user0>", "email": "<user0.email>", "firstName": "First user0", "lastName": "Last user0", "locale": "en",
			"lastLoginAt": null, "permissions": ["Add_Brands", "Add_Orders"], "status": "ACTIVE", "updatedAt": "2026-01-02T03:04:05.678901Z"}}`
		const apps = `{"edges": [{"node": {"id": "<app1>", "name": "App 1"}}, {"node": {"id": "<app0>", "name": "App 0"}}]}`
		w.run(t, []scenario{
			{
				name: "users", by: w.robot,
				query: `{ account { stores(filter: {ids: "<store1>"}) { edges { node { users(last: 1) { edges { node {
					id email firstName lastName locale lastLoginAt permissions status updatedAt } } collectionInfo { totalItems } } } } } } }`,
				data: `{"account": {"stores": {"edges": [{"node": {"users": {"edges": [` + member0 +
					`], "collectionInfo": {"totalItems": 2}}}}]}}}`,
			},
			{
				name: "apps, and those that users may use", by: w.robot,
				query: `{ account { stores(first: 1) { edges { node { apps { edges { node { id name } } }
					users { edges { node { id apps { edges { node { id name } } } } } } } } } } }`,
				data: `{"account": {"stores": {"edges": [{"node": {"apps": ` + apps + `, "users": {"edges": [
					{"node": {"id": "<user1>", "apps": ` + apps + `}}, {"node": {"id": "<user0>", "apps": ` + apps + `}}]}}}]}}}`,
			},
			{
				name: "under other names, with other arguments", by: w.robot,
				query: `{ account { a: stores(first: 1) { edges { node { one: users(first: 1) { edges { node { id } } }
					other: users(last: 1) { edges { node { id } } } none: users(first: 0) { edges { node { id } } } } } }
					b: stores(last: 1) { edges { node { storeHash } } } } }`,
				data: `{"account": {"a": {"edges": [{"node": {"one": {"edges": [{"node": {"id": "<user1>"}}]},
					"other": {"edges": [{"node": {"id": "<user0>"}}]}, "none": {"edges": []}}}]},
					"b": {"edges": [{"node": {"storeHash": "<store0.hash>"}}]}}}`,
			},
			{
				name: "how many users each has", by: w.robot,
				query: `{ account { stores { edges { node { storeHash users(first: 0) { collectionInfo { totalItems } } } } } } }`,
				data: `{"account": {"stores": {"edges": [
					{"node": {"storeHash": "<store2.hash>", "users": {"collectionInfo": {"totalItems": 2}}}},
					{"node": {"storeHash": "<store1.hash>", "users": {"collectionInfo": {"totalItems": 2}}}},
					{"node": {"storeHash": "<store0.hash>", "users": {"collectionInfo": {"totalItems": 2}}}}]}}}`,
			},
		})
	})
}

func TestReadScopeCatalog(t *testing.T) {
	const catalog = `{ account: scopeCatalog(level: ACCOUNT) { key name section description permissions { name scope implies } } store: scopeCatalog(level: STORE) { key } }`
	const users = `{"key":"account_users","name":"Account Users","section":"Account",` +
		`"description":"The users of the account, and what they may do in which store.","permissions":[` +
		`{"name":"read-only","scope":"account_users_read","implies":[]},` +
		`{"name":"modify","scope":"account_users_write","implies":["account_users_read"]},` +
		`{"name":"remove","scope":"account_users_delete","implies":[]}]}`
	const charges = `{"name":"modify","scope":"account_charges_write","implies":["account_charges_read"]}`
	eachTenants(t, func(t *testing.T, w *tenants) {
		nothing := w.holding()
		enrolled := w.ask(t, w.home.Account.ID, nothing, catalog, nil)
		w.run(t, []scenario{{name: "with automated billing", by: nothing, query: catalog,
			has: []string{users, charges, `{"key":"store_carts",`}}})
		away := w.ask(t, w.away.Account.ID, w.session(t, w.away, w.away.Owner), catalog, nil)
		type resources []struct {
			Key         string
			Permissions []struct{ Scope string }
		}
		var here, there struct{ Account, Store resources }
		enrolled.into(t, &here)
		away.into(t, &there)
		if got := len(here.Account) - len(there.Account); got != 3 || len(here.Store) != len(there.Store) ||
			len(there.Store) == 0 {
			t.Errorf("with automated billing there are %d account resources more, want 3", got)
		}
		for _, r := range there.Account {
			switch r.Key {
			case "account_charges", "account_checkouts", "account_subscriptions":
				t.Errorf("account without automated billing: got the resource %s, want none of billing", r.Key)
			}
		}
		for _, r := range here.Store {
			if len(r.Key) < 6 || r.Key[:6] == "accoun" {
				t.Errorf("store level: got the resource %s, want none of the account", r.Key)
			}
		}
	})
}
