package apitest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/membership"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

const updatePolicy = `mutation($policy: OffboardingPolicy) { account { updateAccount(input: {offboardingPolicy: $policy}) {
	account { offboardingPolicy } } } }`

// Only a session of the account's owner changes the policy, which every credential with account_read reads.
func TestOffboardingPolicy(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		policy := func(value any) map[string]any { return map[string]any{"policy": value} }
		const read = `{ account { offboardingPolicy } }`
		is := func(value string) string { return `{"account": {"offboardingPolicy": "` + value + `"}}` }
		before := dbtest.Dump(t, w.URL)
		w.run(t, []scenario{
			{name: "a new account", by: w.robot, query: read, data: is("KEEP_TOKENS")},
			{name: "read without the scope", by: w.holding("account_users_read"), query: read,
				errors: []string{"account.offboardingPolicy: FORBIDDEN [account_read]"}},
			{name: "by a token with every scope", by: w.robot, query: updatePolicy, variables: policy("REVOKE_TOKENS"),
				errors: []string{"account.updateAccount: FORBIDDEN"}},
			{name: "by a store's owner", by: w.storeOwner, variables: policy("REVOKE_TOKENS"),
				query:  `mutation($policy: OffboardingPolicy) { account { updateAccount(input: {offboardingPolicy: $policy}) { account { id } } } }`,
				errors: []string{"account.updateAccount: FORBIDDEN"}},
			{name: "without a change", by: w.owner, query: updatePolicy, variables: policy(nil),
				errors: []string{"account.updateAccount: INVALID: Nothing would change. Change at least one field."}},
			{name: "the policy that it has", by: w.owner, query: updatePolicy, variables: policy("KEEP_TOKENS"),
				data: `{"account": {"updateAccount": {"account": {"offboardingPolicy": "KEEP_TOKENS"}}}}`},
		})
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after requests that change nothing")
		w.run(t, []scenario{
			{name: "by the owner", by: w.owner, query: updatePolicy, variables: policy("REVOKE_TOKENS"),
				data: `{"account": {"updateAccount": {"account": {"offboardingPolicy": "REVOKE_TOKENS"}}}}`},
			{name: "read afterwards", by: w.robot, query: read, data: is("REVOKE_TOKENS")},
			{name: "its event", by: w.owner, query: `{ account { auditEvents(first: 1) { nodes { action details { name value } } } } }`,
				data: `{"account": {"auditEvents": {"nodes": [{"action": "account.updated",
					"details": [{"name": "offboardingPolicy", "value": "REVOKE_TOKENS"}]}]}}}`},
		})
		w.wantData(t, w.home.Account.Name, "account.updated",
			w.object(t, `{ account { `+accountFields+` } }`, "account"))
	})
}

// Each door by each policy and each answer to the question about tokens: an answer wins over the policy.
func TestRemovalsByPolicy(t *testing.T) {
	doors := map[string]string{
		"removeUserFromAccount": `mutation { account { removeUserFromAccount(input: {email: %q%s}) { userId } } }`,
		"deprovisionUsers":      `mutation { account { deprovisionUsers(input: {users: [{email: %q}]%s}) { counts { removed } } } }`,
	}
	eachTenants(t, func(t *testing.T, w *tenants) {
		for _, policy := range []string{"KEEP_TOKENS", "REVOKE_TOKENS"} {
			w.run(t, []scenario{{name: policy, by: w.owner, query: updatePolicy,
				variables: map[string]any{"policy": policy}, has: []string{policy}}})
			for door, query := range doors {
				for answer, want := range map[string]string{
					"": map[string]string{"KEEP_TOKENS": "ACTIVE", "REVOKE_TOKENS": "REVOKED"}[policy],
					", revokeApiTokens: null": map[string]string{"KEEP_TOKENS": "ACTIVE",
						"REVOKE_TOKENS": "REVOKED"}[policy],
					", revokeApiTokens: true": "REVOKED", ", revokeApiTokens: false": "ACTIVE",
				} {
					// The policy needs no right of its own, which an answer that revokes does.
					by := w.holding("account_users_delete")
					if want == "REVOKED" && answer == ", revokeApiTokens: true" {
						by = w.robot
					}
					email := w.leaver(t)
					got := w.ask(t, w.home.Account.ID, by, fmt.Sprintf(query, email, answer), nil)
					if len(got.errors) > 0 {
						t.Fatalf("%s with %q: got %q, want no errors", door, answer, got.failures())
					}
					check.Equal(t, w.tokenShown(t, "The leaver's")["status"], any(want),
						"%s, %s%s: the status of the user's token", policy, door, answer)
				}
			}
		}
	})
}

// A deactivated user stays in lists, with the time, and is INACTIVE in every store until the reactivation.
func TestDeactivatedUsersInLists(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		p := w.deactivated(t)
		w.names["<left>"] = "bc/account/user/" + p.ID.String()
		w.names["<left.email>"] = p.Email
		const query = `{ account {
			users(filter: {emails: ["<left.email>"]}) { edges { node { deactivatedAt stores { nodes { status } } } } }
			stores(filter: {ids: ["<store0>"]}) { edges { node { users(first: 1) { edges { node { id status deactivatedAt } } } } } } } }`
		shown := func(status, at string) string {
			return `{"account": {"users": {"edges": [{"node": {"deactivatedAt": ` + at + `, "stores": {"nodes": [{"status": "` +
				status + `"}]}}}]},
				"stores": {"edges": [{"node": {"users": {"edges": [{"node": {"id": "<left>", "status": "` + status +
				`", "deactivatedAt": ` + at + `}}]}}}]}}}`
		}
		at := `"` + p.DeactivatedAt.UTC().Format(time.RFC3339Nano) + `"`
		w.run(t, []scenario{
			{name: "deactivated", by: w.robot, query: w.fill(query), data: shown("INACTIVE", at)},
			{name: "as an owner", by: w.owner, query: transferTo, variables: map[string]any{"id": w.fill("<left>")},
				errors: []string{"account.transferOwnership: CONFLICT input.userId: This user is deactivated in the account. Reactivate the user first."}},
		})
		if _, err := w.Memberships.Reactivate(t.Context(), w.robot, user.Ref{ID: &p.ID}); err != nil {
			t.Fatal(err)
		}
		w.run(t, []scenario{{name: "reactivated", by: w.robot, query: w.fill(query), data: shown("ACTIVE", "null")}})
	})
}

const transferTo = `mutation($id: ID!) { account { transferOwnership(input: {userId: $id}) { account { id } } } }`

// A session of a deactivated user is refused, also by a write that was decided before.
func TestDeactivatedUsersAreRefused(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		u := w.home.Users[2]
		by := w.session(t, w.home, u)
		const write = `mutation { user { updateUser(input: {userId: %q, firstName: %q}) { user { id } } } }`
		ask := func(by *auth.Principal, name string) []string {
			return w.ask(t, w.home.Account.ID, by, fmt.Sprintf(write, userIDOf(u), name), nil).failures()
		}
		if got := ask(by, "Before"); len(got) > 0 {
			t.Fatalf("before the deactivation: got %q, want no errors", got)
		}
		if _, err := w.Memberships.Deactivate(t.Context(), w.robot,
			membership.Deactivation{User: user.Ref{ID: &u.ID}}); err != nil {
			t.Fatal(err)
		}
		if got := ask(by, "After"); len(got) != 1 ||
			!strings.HasPrefix(got[0], "user.updateUser: UNAUTHENTICATED") {
			t.Errorf("after the deactivation: got %q, want the write refused as UNAUTHENTICATED", got)
		}
	})
}
