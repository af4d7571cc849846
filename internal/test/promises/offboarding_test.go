package promises_test

import (
	"testing"

	"latchkey/internal/account"
	"latchkey/internal/test/check"
)

// The command that removes users goes by the account's off-boarding policy, unless it says what happens to the tokens.
func TestDeprovisionCommandByPolicy(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		n := h.serve()
		c := &actors{deployment: h, n: n, owner: h.session(acmeOwner)}
		for _, policy := range account.OffboardingPolicies() {
			n.must(c.owner, acme, userMutation("account", "updateAccount"),
				vars{"in": vars{"offboardingPolicy": policy}})
			for flag, revokes := range map[string]bool{"": policy == account.RevokeTokens,
				"--revoke-api-tokens": true, "--revoke-api-tokens=false": false} {
				_, email, session := c.member()
				made := n.issue(session, acme,
					vars{"name": "Known", "scopes": []string{"store_cart"}, "storeId": euStore})
				args := []string{"user", "deprovision", "--account", acme, email}
				if flag != "" {
					args = append(args, flag)
				}
				h.run("", args...)
				a := n.must(c.owner, acme, `query($id: ID!) { account { apiToken(id: $id) { status } } }`,
					vars{"id": made.id})
				want := map[bool]string{true: "REVOKED", false: "ACTIVE"}[revokes]
				check.Equal(t, a.text("account.apiToken.status"), want, "%s %s: the status of the user's token", policy,
					flag)
			}
		}
	})
}
