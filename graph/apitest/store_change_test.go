package apitest_test

import "testing"

// Stores are added and renamed by the account's owner and by tokens with the scope. The data of the events is what the
// API shows.
func TestChangeStores(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		writer := w.verified(t, w.issue(t, w.owner, w.home, request{name: "Stores", scopes: []string{
			"account_stores_write"}}))
		var made struct {
			Store struct {
				CreateStore struct {
					Store struct{ StoreHash, Name string }
				}
			}
		}
		w.ask(t, w.home.Account.ID, writer,
			`mutation { store { createStore(input: {name: " Acme Asia "}) { store { storeHash name } } } }`, nil).into(t, &made)
		w.names["<made.hash>"] = made.Store.CreateStore.Store.StoreHash
		if name := made.Store.CreateStore.Store.Name; name != "Acme Asia" {
			t.Errorf("created: got the name %q, want Acme Asia", name)
		}
		w.wantData(t, "Acme Asia", "store.added", w.storeShown(t, w.fill("<made.hash>")))
		w.run(t, []scenario{
			{name: "renamed", by: writer,
				query: `mutation { store { updateStore(input: {storeId: "<made.hash>", name: "Acme Japan"}) { store { name storeHash } } } }`,
				data:  `{"store": {"updateStore": {"store": {"name": "Acme Japan", "storeHash": "<made.hash>"}}}}`},
			{name: "owned by the account's owner", by: w.owner,
				query: `{ account { stores(first: 1) { edges { node { name owner { email } users { edges { node { email role status } } } } } } } }`,
				data: `{"account": {"stores": {"edges": [{"node": {"name": "Acme Japan", "owner": {"email": "<owner.email>"},
					"users": {"edges": [{"node": {"email": "<owner.email>", "role": "STORE_OWNER", "status": "ACTIVE"}}]}}}]}}}`},
			{name: "a result that the token may not read", by: writer,
				query:  `mutation { store { createStore(input: {name: "Unseen"}) { store { owner { email } } } } }`,
				data:   `{"store": {"createStore": null}}`,
				errors: []string{"store.createStore: FORBIDDEN [account_users_read]"}},
			{name: "without the scope", by: w.holding("account_stores_read"),
				query:  `mutation { store { createStore(input: {name: "No"}) { store { name } } } }`,
				data:   `{"store": {"createStore": null}}`,
				errors: []string{"store.createStore: FORBIDDEN [account_stores_write]"}},
			{name: "an empty name", by: w.owner,
				query:  `mutation { store { createStore(input: {name: " "}) { store { name } } } }`,
				data:   `{"store": {"createStore": null}}`,
				errors: []string{"store.createStore: INVALID input.name: Enter the store's name: one line of at most 255 characters."}},
			{name: "nothing to change", by: w.owner,
				query:  `mutation { store { updateStore(input: {storeId: "<store0>"}) { store { name } } } }`,
				data:   `{"store": {"updateStore": null}}`,
				errors: []string{"store.updateStore: INVALID: Nothing would change. Change at least one field."}},
			{name: "another account's store", by: w.owner,
				query:  `mutation { store { updateStore(input: {storeId: "<away.store0>", name: "Mine"}) { store { name } } } }`,
				data:   `{"store": {"updateStore": null}}`,
				errors: []string{"store.updateStore: NOT_FOUND input.storeId: There is no such store in this account."}},
		})
		w.wantData(t, "Acme Japan", "store.updated", w.storeShown(t, w.fill("<made.hash>")))
	})
}
