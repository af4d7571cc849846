package apitest_test

import "testing"

// The owner of one store sees that store, its users, its apps and its tokens, and of the rest of the account its id.
func TestWhatAStoreOwnerSees(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keep(t)
		w.issue(t, w.owner, w.home, request{name: "Other", scopes: []string{"store_cart"}, store: &w.home.Stores[1]})
		others := []string{"<store1>", "<store1.hash>", "<store2>", "<Reader>", "<Other>", "<user2>", "<away.store0>",
			"<Stray>"}
		w.run(t, []scenario{
			{
				name: "the store", by: w.storeOwner, lacks: others,
				query: `{ account { id stores { edges { node { id name storeHash owner { email } apps { edges { node { id } } }
					users { edges { node { id apps(first: 1) { edges { node { name } } } } } collectionInfo { totalItems } }
					apiTokens { edges { node { id name store { id } accessTokens { hint } } } collectionInfo { totalItems } } } } pageInfo { hasNextPage hasPreviousPage } } } }`,
				data: `{"account": {"id": "<account>", "stores": {"edges": [{"node": {"id": "<store0>", "name": "Store 0", "storeHash": "<store0.hash>",
					"owner": {"email": "<storeOwner.email>"}, "apps": {"edges": [{"node": {"id": "<app1>"}}, {"node": {"id": "<app0>"}}]},
					"users": {"edges": [{"node": {"id": "<user1>", "apps": {"edges": [{"node": {"name": "App 1"}}]}}},
						{"node": {"id": "<user0>", "apps": {"edges": [{"node": {"name": "App 1"}}]}}}], "collectionInfo": {"totalItems": 2}},
					"apiTokens": {"edges": [{"node": {"id": "<Till>", "name": "Till", "store": {"id": "<store0>"}, "accessTokens": [{"hint": "<Till.hint>"}]}}],
						"collectionInfo": {"totalItems": 1}}}}], "pageInfo": {"hasNextPage": false, "hasPreviousPage": false}}}}`,
			},
			{
				name: "not by asking for another", by: w.storeOwner, lacks: []string{"Store 1", "Store 2"},
				query: `{ account { stores(filter: {ids: ["<store1>", "<store2.hash>"], storeHashes: ["<store1.hash>"]}) { edges { node { name } } } } }`,
				data:  `{"account": {"stores": {"edges": []}}}`,
			},
			{
				name: "a token of the store", by: w.storeOwner,
				query: `{ account { apiToken(id: "<Till>") { name } } }`,
				data:  `{"account": {"apiToken": {"name": "Till"}}}`,
			},
			{
				name: "not a token of another store, nor of the account", by: w.storeOwner,
				query: `{ account { a: apiToken(id: "<Other>") { name } b: apiToken(id: "<Reader>") { name } c: apiToken(id: "<Stray>") { name } } }`,
				data:  `{"account": {"a": null, "b": null, "c": null}}`, lacks: []string{"Other", "Reader", "Stray"},
				errors: []string{"account.a: NOT_FOUND id: " + noToken, "account.b: NOT_FOUND id: " + noToken,
					"account.c: NOT_FOUND id: " + noToken},
			},
			{
				name: "nothing that is the account's", by: w.storeOwner,
				query: `{ account { id accountInfo { name } } }`, data: `null`,
				lacks: []string{"<account.name>"}, errors: []string{"account.accountInfo: FORBIDDEN [account_read]"},
			},
			{
				name: "the scopes to choose from", by: w.storeOwner,
				query: `{ scopeCatalog(level: STORE) { permissions { scope } } }`, has: []string{`"store_cart"`},
			},
		})
	})
}
