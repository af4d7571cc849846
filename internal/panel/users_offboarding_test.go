package panel_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

// setPolicy sets the account's off-boarding policy with the form on the page about provisioning.
func (v *visitor) setPolicy(s *server, policy string) {
	v.t.Helper()
	at := s.page("/users/provisioning")
	v.submit(v.get(at), "Save off-boarding policy", "policy", policy).goes(at).notes("offboarding_saved", 1)
}

// makers are users who may create API tokens of the first store.
const makers = `accounts:
  - uuid: 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01
    name: Acme Retail
    owner: {email: owner@acme.example}
    stores:
      - hash: acme1us
        name: Acme US
        users:
          - {email: one@acme.example, first_name: One, last_name: Maker, locale: en, permissions: [Create_Store_API_Tokens]}
          - {email: two@acme.example, first_name: Two, last_name: Maker, locale: en, permissions: [Create_Store_API_Tokens]}
          - {email: three@acme.example, first_name: Three, last_name: Maker, locale: en, permissions: [Create_Store_API_Tokens]}
`

// The pages of removals and deactivations select all tokens or none, by the policy. What the form sends counts.
func TestLeavingByPolicy(t *testing.T) {
	for path, button := range map[string]string{"/remove": "Remove from the account", "/deactivate": "Deactivate"} {
		t.Run(button, func(t *testing.T) {
			eachServer(t, func(t *testing.T, s *server) {
				s.apply(makers)
				owner := s.signedIn(s.OwnerEmail)
				for _, c := range []struct {
					user, policy string
					// clears says that the form is sent with nothing selected.
					clears bool
					want   string
				}{
					{"One", "KEEP_TOKENS", false, "active"}, {"Two", "REVOKE_TOKENS", false, "deleted"},
					{"Three", "REVOKE_TOKENS", true, "active"},
				} {
					owner.setPolicy(s, c.policy)
					name := "Known to " + c.user
					s.issued(s.signedIn(strings.ToLower(c.user)+"@acme.example"), "acme1us", name)
					id := idOf(owner, tokensOf(s)["store"], name)
					at := personAt(t, owner.get(s.page("/users")), c.user+" Maker")
					page := owner.get(at+path).wants(http.StatusOK, name)
					for _, f := range page.forms() {
						if slices.Contains(f.buttons, button) {
							selected := len(f.values["tokens"]) > 0
							check.Equal(t, selected, c.policy == "REVOKE_TOKENS", "%s: the token is selected", c.policy)
						}
					}
					send := func() *reply { return owner.submit(page, button) }
					if c.clears {
						send = func() *reply { return owner.post(at+path, "shown", id) }
					}
					if r := send(); r.status != http.StatusSeeOther {
						t.Fatalf("%s: got %d %s, want 303", path, r.status, r.text())
					}
					owner.get(s.page("/stores/acme1us/tokens?status="+c.want)).wants(http.StatusOK, name)
				}
			})
		})
	}
}

// A deactivated user is refused at once and shown as deactivated until the reactivation, which gives the stores back.
func TestDeactivateFromTheAccount(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		clerk, owner := clerkOfEU(s), s.signedIn(s.OwnerEmail)
		at := personAt(t, owner.get(s.page("/users")), "Chloé Caron")
		list := s.page("/stores/acme2eu/users")
		clerk.get(list).wants(http.StatusOK, "All users of Acme EU")
		owner.submit(owner.get(at+"/deactivate").wants(http.StatusOK, "They are signed out of 1 session"),
			"Deactivate").goes(at).notes("person_deactivated", 1)
		if r := clerk.get(list); r.status != http.StatusSeeOther {
			t.Errorf("a deactivated user: got %d %s, want 303 to sign in", r.status, r.text())
		}
		page := owner.get(at).wants(http.StatusOK, "Deactivated").wants(http.StatusOK,
			"Acme EU").lacks("Add to a store")
		owner.get(s.page("/users")).wants(http.StatusOK, "Deactivated")
		owner.get(at + "/deactivate").goes(at)
		owner.submit(owner.get(s.page("/users/invite")), "Invite", "email", chloe, "stores",
			"acme2eu", "role.acme2eu", "none").wants(http.StatusUnprocessableEntity,
			"This user is deactivated in the account.")
		owner.submit(page, "Reactivate").goes(at).notes("person_reactivated", 1)
		owner.get(at).wants(http.StatusOK, "Acme EU").lacks("Deactivated")
		s.age(time.Minute)
		clerkOfEU(s).get(list).wants(http.StatusOK, "All users of Acme EU")
		owner.get(s.page("/audit")).wants(http.StatusOK, "deactivated Chloé Caron").wants(http.StatusOK,
			"reactivated Chloé Caron")
	})
}

// The account's owner chooses the leak policy.
func TestLeakPolicy(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, at := s.signedIn(s.OwnerEmail), s.page("/users/provisioning")
		for _, policy := range []string{"NOTIFY", "NOTIFY", "REVOKE"} {
			owner.submit(owner.get(at), "Save leak policy", "policy", policy).goes(at).notes("leak_policy_saved", 1)
			chosen := `value="` + policy + `" checked`
			if text := owner.get(at).body; !strings.Contains(text, chosen) {
				t.Errorf("after choosing %s: got a page without %s", policy, chosen)
			}
		}
		owner.get(s.page("/audit")).wants(http.StatusOK, "Leaked API tokens are deleted")
	})
}

// Owners are not offered the deactivation.
func TestOwnersAreNotDeactivated(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		at := personAt(t, owner.get(s.page("/users")), "Store Owner")
		owner.get(at).wants(http.StatusOK, "Store Owner").lacks(at + "/deactivate")
		before := s.contents()
		owner.get(at+"/deactivate").wants(http.StatusOK, "Store Owner owns Acme EU and cannot be deactivated.")
		owner.post(at+"/deactivate").wants(http.StatusUnprocessableEntity, "owns Acme EU")
		owner.post(s.page("/users/offboarding"), "policy", "SOME").wants(http.StatusUnprocessableEntity, "form")
		owner.post(s.page("/users/leaks"), "policy", "SOME").wants(http.StatusUnprocessableEntity, "form")
		owner.post(s.page("/users/leaks")).wants(http.StatusUnprocessableEntity, "form")
		s.unchanged(before)
	})
}
