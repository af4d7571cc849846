package apitest_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"latchkey/internal/user"
)

// bulkQuery selects all fields of each item.
const bulkQuery = `mutation($in: ProvisionUsersInput!) { account { provisionUsers(input: $in) {
	dryRun counts { created updated added unchanged removed failed }
	items { email action field code message changes { field before after } user { id email firstName lastName locale }
		apiTokensToReview { id name status createdAt createdBy { name } } } } } }`

// A request can have a thousand users, with all input and result fields, under the default limits.
func TestProvisionAThousand(t *testing.T) {
	const maxBody = 1 << 20 // the setting's default
	eachTenants(t, func(t *testing.T, w *tenants) {
		users := make([]map[string]any, 1000)
		for i := range users {
			users[i] = map[string]any{
				"email":     fmt.Sprintf("firstname.lastname-%04d@department.acme.example", i),
				"firstName": "Some First Name", "lastName": "Some Last Name",
				"locale": "en-US", "externalId": fmt.Sprintf("employee-%08d", i), "role": "SALES_MANAGER",
				"stores": []string{w.fill("<store0>"), w.fill("<store1.hash>"), w.fill("<store2.hash>")},
			}
		}
		variables := map[string]any{"in": map[string]any{"users": users}}
		body, err := json.Marshal(map[string]any{"query": bulkQuery, "variables": variables})
		if err != nil || len(body) > maxBody {
			t.Errorf("request: got %d bytes, %v, want at most %d", len(body), err, maxBody)
		}
		for _, want := range []string{`"created":1000,`, `"unchanged":1000,`} {
			w.check(t, scenario{by: w.robot, query: bulkQuery, variables: variables,
				has: []string{want, `"failed":0}`}})
		}
		aliases := ""
		for i := range 60 {
			aliases += fmt.Sprintf(" a%d: email", i)
		}
		w.check(t, scenario{by: w.robot, variables: variables, errors: []string{
			": COMPLEXITY_LIMIT: The operation could return 66003 fields, and the limit is 50000. " +
				"Request smaller pages or fewer fields of each element."},
			query: `mutation($in: ProvisionUsersInput!) { account { provisionUsers(input: $in) { items {` + aliases + ` } } } }`})
		variables["in"] = map[string]any{"users": append(users, users[0])}
		w.check(t, scenario{by: w.robot, query: bulkQuery, variables: variables, errors: []string{
			"account.provisionUsers: INVALID input.users: Name 1 to 1000 users; send the rest in further requests.",
		}})
	})
}

// What leaving answers over the API.
func TestRemoveUser(t *testing.T) {
	const query = `mutation($in: RemoveUserFromAccountInput!) { account { removeUserFromAccount(input: $in) {
		accountId userId apiTokensToReview { name status } revokedApiTokenIds } } }`
	eachTenants(t, func(t *testing.T, w *tenants) {
		email := w.leaver(t)
		in := func(input map[string]any) map[string]any { return map[string]any{"in": input} }
		w.run(t, []scenario{
			{
				name: "an owner", by: w.robot, query: query, variables: in(map[string]any{"userId": w.fill("<owner>")}),
				errors: []string{"account.removeUserFromAccount: CONFLICT: This user owns the account. Make another user its owner first."},
			},
			{
				name: "an id of another account", by: w.robot, query: query,
				variables: in(map[string]any{"userId": w.fill("<away.user0>")}),
				errors:    []string{"account.removeUserFromAccount: NOT_FOUND input.userId: There is no such user in this account."},
			},
			{
				name: "with a token", by: w.robot, query: query,
				variables: in(map[string]any{"email": email, "revokeApiTokens": true}),
				has:       []string{`"apiTokensToReview":[{"name":"The leaver's","status":"REVOKED"}],"revokedApiTokenIds":["bc/account/apiToken/`},
			},
			{
				name: "again", by: w.robot, query: query, variables: in(map[string]any{"email": email}),
				errors: []string{"account.removeUserFromAccount: NOT_FOUND input.email: There is no such user in this account."},
			},
		})
	})
}

// A removed user is shown without what the account recorded of the membership, each time the request names the user.
func TestUsersOfARemoval(t *testing.T) {
	const query = `mutation($in: DeprovisionUsersInput!) { account { deprovisionUsers(input: $in) { items { action
		user { externalId updatedAt provisionedBy { id } } } } } }`
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.place(t, w.home.Users[3], user.Membership{ExternalID: "hr-1", ProvisionedBy: w.robot.ID})
		item := func(action, shown string) string { return `{"action": "` + action + `", "user": ` + shown + `}` }
		answer := func(items string) string { return `{"account": {"deprovisionUsers": {"items": [` + items + `]}}}` }
		is := `{"externalId": "hr-1", "updatedAt": "2026-03-04T12:00:00.123456Z", "provisionedBy": {"id": "<Robot>"}}`
		was := `{"externalId": null, "updatedAt": "2026-01-02T03:04:05.678901Z", "provisionedBy": null}`
		in := func(dryRun bool) map[string]any {
			return map[string]any{"in": map[string]any{"dryRun": dryRun, "users": []any{
				map[string]any{"email": "<user1.email>"}, map[string]any{"id": "<user1>"}}}}
		}
		w.run(t, []scenario{
			{name: "dry run", by: w.robot, query: query, variables: in(true),
				data: answer(item("REMOVED", is) + "," + item("UNCHANGED", is))},
			{name: "removal", by: w.robot, query: query, variables: in(false),
				data: answer(item("REMOVED", was) + "," + item("UNCHANGED", was))},
		})
	})
}

// The right to remove users does not include the right to see them.
func TestRemovingIsNotSeeing(t *testing.T) {
	const query = `mutation($in: DeprovisionUsersInput!) { account { deprovisionUsers(input: $in) { items { email action %s } } } }`
	eachTenants(t, func(t *testing.T, w *tenants) {
		in := map[string]any{"in": map[string]any{"dryRun": true,
			"users": []any{map[string]any{"id": "<user0>"}, map[string]any{"email": "<user1.email>"}}}}
		remover := w.holding("account_users_delete")
		w.place(t, w.home.StoreOwner, user.Membership{},
			user.Place{StoreID: w.home.Stores[0].ID, Permissions: user.Permissions()})
		w.run(t, []scenario{
			{
				name: "what was sent comes back", by: remover, query: fmt.Sprintf(query, ""), variables: in,
				data: `{"account": {"deprovisionUsers": {"items": [{"email": "", "action": "REMOVED"}, {"email": "<user1.email>", "action": "REMOVED"}]}}}`,
			},
			{
				name: "the person", by: remover, query: fmt.Sprintf(query, "user { firstName }"), variables: in,
				data:   `{"account": {"deprovisionUsers": null}}`,
				errors: []string{"account.deprovisionUsers: FORBIDDEN [account_users_read]"},
			},
			{
				name: "by a token that may read users", by: w.holding("account_users_delete", "account_users_read"),
				query: fmt.Sprintf(query, "user { email }"), variables: in,
				data: `{"account": {"deprovisionUsers": {"items": [{"email": "<user0.email>", "action": "REMOVED", "user": {"email": "<user0.email>"}},
					{"email": "<user1.email>", "action": "REMOVED", "user": {"email": "<user1.email>"}}]}}}`,
			},
			{
				name: "a person as a store", by: w.robot, query: bulkQuery,
				has: []string{`"field":"users.0.stores.0","code":"INVALID"`},
				variables: map[string]any{"in": map[string]any{
					"users": []any{map[string]any{"email": "<user0.email>", "stores": []string{"<user0>"}}},
				}},
			},
			{
				name: "ownership, by a token", by: w.robot,
				query:  `mutation { account { transferOwnership(input: {userId: "x"}) { account { id } } } }`,
				data:   `{"account": {"transferOwnership": null}}`,
				errors: []string{"account.transferOwnership: FORBIDDEN"},
			},
			{
				name: "ownership, to an invalid ID", by: w.owner,
				query:  `mutation { account { transferOwnership(input: {userId: "x"}) { account { id } } } }`,
				errors: []string{`account.transferOwnership: INVALID input.userId: "x" is not an ID of this kind: bc/account/user/…. Take it from the field id in Account.users.`},
			},
			{
				name: "permissions of a store's owner, by a token", by: w.robot,
				query:  `mutation { user { setStoreUserPermissions(input: {storeId: "<store0>", userId: "<storeOwner>", permissions: ["Add_Pages"]}) { storeUser { id } } } }`,
				errors: []string{"user.setStoreUserPermissions: CONFLICT input.userId: This user owns the store <store0.hash>. Make another user its owner first."},
			},
		})
	})
}

// What cannot be an address fails, and is not taken for a user who has left. An
// address with a domain in Unicode and the same one in ASCII are one.
func TestAddressesInBulk(t *testing.T) {
	const (
		provision   = `mutation($in: ProvisionUsersInput!) { account { provisionUsers(input: $in) { items { action } } } }`
		deprovision = `mutation($in: DeprovisionUsersInput!) { account { deprovisionUsers(input: $in) { items { action field code } } } }`
	)
	users := func(items ...map[string]any) map[string]any {
		return map[string]any{"in": map[string]any{"users": items}}
	}
	email := func(address string) map[string]any { return map[string]any{"email": address} }
	una := func(address string) map[string]any {
		return map[string]any{"email": address, "firstName": "Una", "lastName": "Buch"}
	}
	eachTenants(t, func(t *testing.T, w *tenants) {
		invalid := func(i int) string {
			return fmt.Sprintf(`{"action": "FAILED", "field": "users.%d.email", "code": "INVALID"}`, i)
		}
		w.run(t, []scenario{
			{
				name: "no addresses", by: w.robot, query: deprovision,
				variables: users(email("ann"), email(""), email("Ann <ann@acme.example>"),
					email("ann@acme.example,bob@acme.example"), email("gone@acme.example")),
				data: `{"account": {"deprovisionUsers": {"items": [` + invalid(0) + `,` + invalid(1) + `,` + invalid(2) + `,` + invalid(3) + `,
					{"action": "UNCHANGED", "field": null, "code": null}]}}}`,
			},
			{
				name: "two spellings", by: w.robot, query: provision,
				variables: users(una("una@bücher.example"), una("una@xn--bcher-kva.example")),
				data:      `{"account": {"provisionUsers": {"items": [{"action": "CREATED"}, {"action": "UNCHANGED"}]}}}`,
			},
			{
				name: "by the other one", by: w.robot, query: deprovision,
				variables: users(email("UNA@XN--BCHER-KVA.example")),
				data:      `{"account": {"deprovisionUsers": {"items": [{"action": "REMOVED", "field": null, "code": null}]}}}`,
			},
		})
	})
}
