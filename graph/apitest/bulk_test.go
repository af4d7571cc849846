package apitest_test

import (
	"encoding/json"
	"fmt"
	"testing"
)

// bulkQuery asks for all that there is to know of each item.
const bulkQuery = `mutation($in: ProvisionUsersInput!) { account { provisionUsers(input: $in) {
	dryRun counts { created updated added unchanged removed failed }
	items { email action field code message changes { field before after } user { id email firstName lastName locale }
		apiTokensToReview { id name status createdAt createdBy { name } } } } } }`

// A thousand people go into one request, with everything that can be said and asked of them, by the limits as they are.
func TestProvisionAThousand(t *testing.T) {
	const maxBody = 1 << 20 // the setting's default
	eachWorld(t, func(t *testing.T, w *world) {
		users := make([]map[string]any, 1000)
		for i := range users {
			users[i] = map[string]any{
				"email": fmt.Sprintf("firstname.lastname-%04d@department.acme.example", i), "firstName": "Some First Name", "lastName": "Some Last Name",
				"locale": "en-US", "externalId": fmt.Sprintf("employee-%08d", i), "role": "SALES_MANAGER",
				"stores": []string{w.fill("<store0>"), w.fill("<store1.hash>"), w.fill("<store2.hash>")},
			}
		}
		variables := map[string]any{"in": map[string]any{"users": users}}
		body, err := json.Marshal(map[string]any{"query": bulkQuery, "variables": variables})
		if err != nil || len(body) > maxBody {
			t.Errorf("the request has %d bytes, %v", len(body), err)
		}
		for _, want := range []string{`"created":1000,`, `"unchanged":1000,`} {
			w.check(t, scenario{by: w.robot, query: bulkQuery, variables: variables, has: []string{want, `"failed":0}`}})
		}
		variables["in"] = map[string]any{"users": append(users, users[0])}
		w.check(t, scenario{by: w.robot, query: bulkQuery, variables: variables, errors: []string{
			"account.provisionUsers: INVALID input.users: Name 1 to 1000 people; send the rest in further requests.",
		}})
	})
}

// What leaving answers over the API.
func TestRemoveUser(t *testing.T) {
	const query = `mutation($in: RemoveUserFromAccountInput!) { account { removeUserFromAccount(input: $in) {
		accountId userId apiTokensToReview { name status } revokedApiTokenIds } } }`
	eachWorld(t, func(t *testing.T, w *world) {
		email := w.leaver(t)
		in := func(input map[string]any) map[string]any { return map[string]any{"in": input} }
		w.run(t, []scenario{
			{
				name: "an owner", by: w.robot, query: query, variables: in(map[string]any{"userId": w.fill("<owner>")}),
				errors: []string{"account.removeUserFromAccount: CONFLICT: This person owns the account. Give it to somebody else first, by account.transferOwnership."},
			},
			{
				name: "an id of another account", by: w.robot, query: query, variables: in(map[string]any{"userId": w.fill("<away.user0>")}),
				errors: []string{"account.removeUserFromAccount: NOT_FOUND input.userId: There is no such person in this account."},
			},
			{
				name: "with a token", by: w.robot, query: query, variables: in(map[string]any{"email": email, "revokeApiTokens": true}),
				has: []string{`"apiTokensToReview":[{"name":"The leaver's","status":"REVOKED"}],"revokedApiTokenIds":["bc/account/apiToken/`},
			},
			{
				name: "again", by: w.robot, query: query, variables: in(map[string]any{"email": email}),
				errors: []string{"account.removeUserFromAccount: NOT_FOUND input.email: There is no such person in this account."},
			},
		})
	})
}
