package apitest_test

import (
	"testing"
	"time"

	"latchkey/internal/test/check"
)

// keepLives gives the world tokens in every state of their life, and moves the clock on by two hours:
//   - Old: account level, used an hour ago; Fresh: account level, bound to networks, used just now
//   - Late: account level, expired; Gone: account level, revoked with a reason
//   - Rotating: account level, two access tokens
//   - Till: store0, never used; Drawer: store0, expired; Other: store1, revoked without a reason
func (w *tenants) keepLives(t *testing.T) {
	t.Helper()
	old := w.issue(t, w.owner, w.home, request{name: "Old One", scopes: []string{"account_users_write", "account_read"},
		expires: 720 * time.Hour})
	w.issue(t, w.owner, w.home, request{name: "Late", scopes: []string{"account_read"}, expires: time.Hour})
	gone := w.issue(t, w.owner, w.home, request{name: "Gone", scopes: []string{"account_read"}})
	rotating := w.issue(t, w.owner, w.home, request{name: "Rotating", scopes: []string{"store_cart"}})
	w.issue(t, w.storeOwner, w.home, request{name: "Till", scopes: []string{"store_v2_orders", "store_cart_read_only"},
		store: &w.home.Stores[0]})
	w.issue(t, w.storeOwner, w.home, request{name: "Drawer", scopes: []string{"store_cart"}, store: &w.home.Stores[0],
		expires: time.Minute})
	other := w.issue(t, w.owner, w.home, request{name: "Other", scopes: []string{"store_cart"},
		store: &w.home.Stores[1]})
	w.Clock.Advance(2 * time.Hour)
	fresh := w.issue(t, w.owner, w.home, request{name: "Fresh", scopes: []string{"store_cart"},
		ranges: []string{"203.0.113.0/24", "2001:db8::1"}})
	w.use(t, old, time.Hour)
	w.use(t, fresh, 0)
	w.revoke(t, w.owner, "left the company", gone)
	w.revoke(t, w.robot, "", other)
	rotation, err := w.Tokens.Rotate(t.Context(), w.owner, rotating.Token.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.names["<Rotating.new>"] = rotation.AccessToken.Hint()
}

func TestReadTokens(t *testing.T) {
	const everything = `id name level store { storeHash } apiPath clientId scopes status allowedIpRanges createdAt createdBy { kind id name }
		expiresAt lastUsedAt lastUsedIp revokedAt revokedBy { kind id name } revocationReason accessTokens { hint createdAt expiresAt }`
	const owner = `{"kind": "USER", "id": "<owner>", "name": "<owner.email>"}`
	const byID = `query($id: ID!) { account { apiToken(id: $id) { ` + everything + ` } } }`
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keepLives(t)
		read := func(name, data string) scenario {
			return scenario{
				name: name, by: w.robot, query: byID, variables: map[string]any{"id": "<" + name + ">"},
				data: `{"account": {"apiToken": {"id": "<` + name + `>", "name": "` + name + `", ` + data + `}}}`,
			}
		}
		w.run(t, []scenario{
			read("Old One", `"level": "ACCOUNT", "store": null, "apiPath": "https://api.latchkey.example/accounts/<account.uuid>/graphql",
				"clientId": "<Old One.client>", "scopes": ["account_read", "account_users_read", "account_users_write"], "status": "ACTIVE", "allowedIpRanges": [],
				"createdAt": "2026-03-04T12:00:00.123456Z", "createdBy": `+owner+`, "expiresAt": "2026-04-03T12:00:00.123456Z",
				"lastUsedAt": "2026-03-04T13:00:00.123456Z", "lastUsedIp": "203.0.113.7", "revokedAt": null, "revokedBy": null, "revocationReason": null,
				"accessTokens": [{"hint": "<Old One.hint>", "createdAt": "2026-03-04T12:00:00.123456Z", "expiresAt": null}]`),
			read("Fresh", `"level": "ACCOUNT", "store": null, "apiPath": "https://api.latchkey.example/accounts/<account.uuid>/graphql",
				"clientId": "<Fresh.client>", "scopes": ["store_cart", "store_cart_read_only"], "status": "ACTIVE", "allowedIpRanges": ["203.0.113.0/24", "2001:db8::1/128"],
				"createdAt": "2026-03-04T14:00:00.123456Z", "createdBy": `+owner+`, "expiresAt": null,
				"lastUsedAt": "2026-03-04T14:00:00.123456Z", "lastUsedIp": "203.0.113.7", "revokedAt": null, "revokedBy": null, "revocationReason": null,
				"accessTokens": [{"hint": "<Fresh.hint>", "createdAt": "2026-03-04T14:00:00.123456Z", "expiresAt": null}]`),
			read("Gone", `"level": "ACCOUNT", "store": null, "apiPath": "https://api.latchkey.example/accounts/<account.uuid>/graphql",
				"clientId": "<Gone.client>", "scopes": ["account_read"], "status": "REVOKED", "allowedIpRanges": [],
				"createdAt": "2026-03-04T12:00:00.123456Z", "createdBy": `+owner+`, "expiresAt": null, "lastUsedAt": null, "lastUsedIp": null,
				"revokedAt": "2026-03-04T14:00:00.123456Z", "revokedBy": `+owner+`, "revocationReason": "left the company", "accessTokens": []`),
			read("Till", `"level": "STORE", "store": {"storeHash": "<store0.hash>"}, "apiPath": "https://api.latchkey.example/stores/<store0.hash>/v3/",
				"clientId": "<Till.client>", "scopes": ["store_cart_read_only", "store_v2_orders", "store_v2_orders_read_only"], "status": "ACTIVE", "allowedIpRanges": [],
				"createdAt": "2026-03-04T12:00:00.123456Z", "createdBy": {"kind": "USER", "id": "<storeOwner>", "name": "<storeOwner.email>"},
				"expiresAt": null, "lastUsedAt": null, "lastUsedIp": null, "revokedAt": null, "revokedBy": null, "revocationReason": null,
				"accessTokens": [{"hint": "<Till.hint>", "createdAt": "2026-03-04T12:00:00.123456Z", "expiresAt": null}]`),
			{
				name: "during a rotation", by: w.robot,
				query: `{ account { apiToken(id: "<Rotating>") { status accessTokens { hint createdAt expiresAt } } } }`,
				data: `{"account": {"apiToken": {"status": "ACTIVE", "accessTokens": [
					{"hint": "<Rotating.new>", "createdAt": "2026-03-04T14:00:00.123456Z", "expiresAt": null},
					{"hint": "<Rotating.hint>", "createdAt": "2026-03-04T12:00:00.123456Z", "expiresAt": "2026-03-05T14:00:00.123456Z"}]}}}`,
			},
			{
				name: "revoked by a token, without a reason", by: w.robot,
				query: `{ account { apiToken(id: "<Other>") { revokedBy { kind id name } revocationReason } } }`,
				data:  `{"account": {"apiToken": {"revokedBy": {"kind": "API_TOKEN", "id": "<Robot>", "name": "Robot"}, "revocationReason": null}}}`,
			},
			{
				name: "expired", by: w.robot,
				query: `{ account { a: apiToken(id: "<Late>") { status } b: apiToken(id: "<Drawer>") { status } } }`,
				data:  `{"account": {"a": {"status": "EXPIRED"}, "b": {"status": "EXPIRED"}}}`,
			},
			{
				name: "by the bare key", by: w.robot, query: `{ account { apiToken(id: "<Till.uuid>") { name } } }`,
				data: `{"account": {"apiToken": {"name": "Till"}}}`,
			},
			{
				name: "an unknown token", by: w.robot,
				query:  `{ account { id apiToken(id: "bc/account/apiToken/<account.uuid>") { name } } }`,
				data:   `{"account": {"id": "<account>", "apiToken": null}}`,
				errors: []string{"account.apiToken: NOT_FOUND id: There is no such API token in this account."},
			},
			{
				name: "no token's id", by: w.robot, query: `{ account { apiToken(id: "<user0>") { name } } }`,
				data:   `{"account": {"apiToken": null}}`,
				errors: []string{`account.apiToken: INVALID id: "<user0>" is not an ID of this kind: bc/account/apiToken/…. Take it from the field id in Account.apiTokens.`},
			},
		})
	})
}

func TestListTokens(t *testing.T) {
	const lists = `query($filter: ApiTokenFilterInput) { account { apiTokens(filter: $filter) { edges { node { name } } collectionInfo { totalItems } }
		stores { edges { node { apiTokens(filter: $filter) { edges { node { name } } collectionInfo { totalItems } } } } } } }`
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keepLives(t)
		type connection struct {
			Edges          []struct{ Node struct{ Name string } }
			CollectionInfo struct{ TotalItems int }
		}
		names := func(c connection) string {
			text := ""
			for _, e := range c.Edges {
				text += e.Node.Name + ", "
			}
			check.Equal(t, len(c.Edges), c.CollectionInfo.TotalItems, "%s", text)
			return text
		}
		for _, tc := range []struct {
			name   string
			filter map[string]any
			// account and stores are the names of tokens, newest first.
			account, stores string
		}{
			{"by default those that are not revoked", nil, "Fresh, Rotating, Late, Old One, Robot, ", "Drawer, Till, "},
			{"an empty filter is none", map[string]any{}, "Fresh, Rotating, Late, Old One, Robot, ", "Drawer, Till, "},
			{"no states are the default", map[string]any{"statuses": []string{}},
				"Fresh, Rotating, Late, Old One, Robot, ", "Drawer, Till, "},
			{"active", map[string]any{"statuses": []string{"ACTIVE"}}, "Fresh, Rotating, Old One, Robot, ", "Till, "},
			{"expired", map[string]any{"statuses": []string{"EXPIRED"}}, "Late, ", "Drawer, "},
			{"revoked", map[string]any{"statuses": []string{"REVOKED"}}, "Gone, ", "Other, "},
			{"all, one state twice", map[string]any{"statuses": []string{"REVOKED", "ACTIVE", "EXPIRED", "ACTIVE"}},
				"Fresh, Rotating, Gone, Late, Old One, Robot, ", "Other, Drawer, Till, "},
			{"by a scope that another includes", map[string]any{"scope": "store_cart_read_only"},
				"Fresh, Rotating, Robot, ", "Drawer, Till, "},
			{"by the scope that includes it", map[string]any{"scope": "store_cart"}, "Fresh, Rotating, Robot, ",
				"Drawer, "},
			{"not used since before there was anything", map[string]any{"unusedSince": "0000-01-01T00:00:00Z"}, "", ""},
			{"not used since some time to come", map[string]any{"unusedSince": "9999-12-31T23:59:59Z"},
				"Fresh, Rotating, Late, Old One, Robot, ", "Drawer, Till, "},
			{"not used since long ago", map[string]any{"unusedSince": "2026-03-04T11:00:00Z"}, "", ""},
			{"not used since an hour and a half", map[string]any{"unusedSince": "2026-03-04T12:30:00Z"},
				"Rotating, Late, Robot, ", "Drawer, Till, "},
			{"not used since half an hour, in another offset",
				map[string]any{"unusedSince": "2026-03-04T14:30:00+01:00"}, "Rotating, Late, Old One, Robot, ",
				"Drawer, Till, "},
			{"by several conditions", map[string]any{"statuses": []string{"ACTIVE"}, "scope": "store_cart",
				"unusedSince": "2026-03-04T13:30:00Z"}, "Rotating, Robot, ", ""},
		} {
			t.Run(tc.name, func(t *testing.T) {
				var got struct {
					Account struct {
						APITokens connection
						Stores    struct {
							Edges []struct {
								Node struct{ APITokens connection }
							}
						}
					}
				}
				w.ask(t, w.home.Account.ID, w.robot, lists, map[string]any{"filter": tc.filter}).into(t, &got)
				stores := ""
				for _, s := range got.Account.Stores.Edges {
					stores += names(s.Node.APITokens)
				}
				if account := names(got.Account.APITokens); account != tc.account || stores != tc.stores {
					t.Errorf("account-level %q, store-level %q; want %q, %q", account, stores, tc.account, tc.stores)
				}
			})
		}
		const noScope = `INVALID filter.scope: There is no scope "store_carts". The catalogue of scopes lists all.`
		w.run(t, []scenario{
			{
				name: "an unknown scope", by: w.robot,
				query:     `query($filter: ApiTokenFilterInput) { account { apiTokens(filter: $filter) { edges { cursor } } } }`,
				variables: map[string]any{"filter": map[string]any{"scope": "store_carts"}}, data: `null`,
				errors: []string{"account.apiTokens: " + noScope},
			},
			{
				name: "an unknown scope in stores", by: w.robot,
				query:  `{ account { stores(first: 1) { edges { node { apiTokens(filter: {scope: "store_carts"}) { edges { cursor } } } } } } }`,
				data:   `{"account": {"stores": {"edges": [null]}}}`,
				errors: []string{"account.stores.edges.0.node.apiTokens: " + noScope},
			},
			{
				name: "other filters of the same field", by: w.robot,
				query: `{ account { stores(last: 1) { edges { node { a: apiTokens(filter: {statuses: ACTIVE}) { edges { node { name } } collectionInfo { totalItems } }
					b: apiTokens(filter: {statuses: EXPIRED}) { edges { node { name } } collectionInfo { totalItems } }
					c: apiTokens(first: 1) { edges { node { name store { id } } } collectionInfo { totalItems } } } } } } }`,
				data: `{"account": {"stores": {"edges": [{"node": {
					"a": {"edges": [{"node": {"name": "Till"}}], "collectionInfo": {"totalItems": 1}},
					"b": {"edges": [{"node": {"name": "Drawer"}}], "collectionInfo": {"totalItems": 1}},
					"c": {"edges": [{"node": {"name": "Drawer", "store": {"id": "<store0>"}}}], "collectionInfo": {"totalItems": 2}}}}]}}}`,
			},
		})
	})
}

func TestViewer(t *testing.T) {
	const viewer = `{ viewer { kind user { id email } apiToken { name level accessTokens { hint } } scopes expiresAt } }`
	eachTenants(t, func(t *testing.T, w *tenants) {
		plain := w.verified(t, w.issue(t, w.owner, w.home,
			request{name: "Plain", scopes: []string{"account_users_write", "store_cart"}, expires: time.Hour}))
		w.run(t, []scenario{
			{
				name: "a token that may read nothing of other tokens", by: plain, query: viewer,
				data: `{"viewer": {"kind": "API_TOKEN", "user": null, "apiToken": {"name": "Plain", "level": "ACCOUNT", "accessTokens": [{"hint": "<Plain.hint>"}]},
					"scopes": ["account_users_read", "account_users_write", "store_cart", "store_cart_read_only"], "expiresAt": "2026-03-04T13:00:00.123456Z"}}`,
			},
			{
				name: "a token without an end", by: w.robot,
				query: `{ viewer { expiresAt apiToken { id expiresAt } } }`,
				data:  `{"viewer": {"expiresAt": null, "apiToken": {"id": "<Robot>", "expiresAt": null}}}`,
			},
			{
				name: "the account's owner", by: w.owner,
				query: `{ viewer { kind user { id email } apiToken { name } expiresAt } }`,
				data:  `{"viewer": {"kind": "SESSION", "user": {"id": "<owner>", "email": "<owner.email>"}, "apiToken": null, "expiresAt": "2026-03-05T12:00:00.123456Z"}}`,
			},
			{
				name: "a store's owner", by: w.storeOwner, query: viewer,
				data: `{"viewer": {"kind": "SESSION", "user": {"id": "<storeOwner>", "email": "<storeOwner.email>"}, "apiToken": null, "scopes": [], "expiresAt": "2026-03-05T12:00:00.123456Z"}}`,
			},
		})
	})
}
