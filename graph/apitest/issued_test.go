package apitest_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

const revokeReviewing = `mutation($input: RevokeApiTokensInput!) { apiToken { revokeApiTokens(input: $input) {
	revokedIds issuedTokensToReview { name status }
	usersToReview(first: 1) { collectionInfo { totalItems } edges { node { email } } } } } }`

// issueChain issues a token that may issue, which issues one and adds a user,
// and has the second look as if it had issued a third.
func (w *tenants) issueChain(t *testing.T) {
	t.Helper()
	hr := w.issue(t, w.owner, w.home, request{name: "HR sync", scopes: []string{
		"account_api_tokens_write", "account_api_tokens_read", "account_users_read", "account_users_write",
		"account_read", "store_cart"}})
	by := w.verified(t, hr)
	child := w.issue(t, by, w.home, request{name: "Child", scopes: []string{"account_read"}})
	grandchild := w.issue(t, w.owner, w.home,
		request{name: "Grandchild", scopes: []string{"store_cart"}, store: &w.home.Stores[0]})
	byID := "UPDATE api_tokens SET created_by_kind = 'API_TOKEN', created_by_id = '" + child.Token.ID.String() +
		"' WHERE id = '" + grandchild.Token.ID.String() + "'"
	dbtest.Exec(t, w.URL, byID, byID)
	w.check(t, scenario{by: by, query: `mutation { user { createUser(input: {
		email: "new@acme.example", firstName: "New", lastName: "Person", locale: "en"}) { user { email } } } }`, has: []string{"new@acme.example"}})
}

func TestRevokeTokensListsWhatTheyIssued(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.issueChain(t)
		revoked := scenario{
			by: w.owner, query: revokeReviewing,
			variables: map[string]any{"input": map[string]any{"ids": []string{"<HR sync>"}}},
			data: `{"apiToken": {"revokeApiTokens": {"revokedIds": ["<HR sync>"],
				"issuedTokensToReview": [{"name": "Child", "status": "ACTIVE"}, {"name": "Grandchild", "status": "ACTIVE"}],
				"usersToReview": {"collectionInfo": {"totalItems": 1}, "edges": [{"node": {"email": "new@acme.example"}}]}}}}`,
		}
		w.check(t, revoked)
		w.check(t, revoked) // a repeat lists the same

		revoked.variables = map[string]any{"input": map[string]any{"ids": []string{"<HR sync>"}, "revokeIssued": true,
			"reason": "leaked"}}
		revoked.data = strings.ReplaceAll(strings.Replace(revoked.data, `["<HR sync>"]`,
			`["<HR sync>", "<Child>", "<Grandchild>"]`, 1), "ACTIVE", "REVOKED")
		w.check(t, revoked)
		w.check(t, scenario{
			by: w.owner, query: `{ account { apiToken(id: "<Grandchild>") { status revocationReason } } }`,
			data: `{"account": {"apiToken": {"status": "REVOKED", "revocationReason": "leaked"}}}`,
		})
		revoked.data = `{"apiToken": {"revokeApiTokens": {"revokedIds": ["<HR sync>"], "issuedTokensToReview": [],
			"usersToReview": {"collectionInfo": {"totalItems": 1}, "edges": [{"node": {"email": "new@acme.example"}}]}}}}`
		w.check(t, revoked) // nothing is left to revoke
	})
}

func TestRevokeIssuedRefuses(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.issueChain(t)
		w.issue(t, w.owner, w.home, request{name: "Till", scopes: []string{"store_cart"}, store: &w.home.Stores[0]})
		before := dbtest.Dump(t, w.URL)
		refused := func(name string, input map[string]any, failures ...string) scenario {
			input["revokeIssued"] = true
			return scenario{name: name, by: w.owner, query: revokeTokens, variables: map[string]any{"input": input},
				data: `{"apiToken": {"revokeApiTokens": null}}`, errors: failures}
		}
		unknown := refused("one that does not exist", map[string]any{"ids": []string{"<HR sync>", uuid.NewString()}},
			"apiToken.revokeApiTokens: NOT_FOUND input.ids.1: "+noToken)
		ofStore := refused("by a store's owner", map[string]any{"ids": []string{"<Till>"}},
			"apiToken.revokeApiTokens: FORBIDDEN [account_api_tokens_write]")
		ofStore.by = w.storeOwner
		w.run(t, []scenario{unknown, ofStore})
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after a refusal")
	})
}
