package scimapi_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/test/check"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Deactivation ends sessions at once, and a session does not work again after the user is active. DELETE does the same.
func TestDeactivationRefusesSessionsAtOnce(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		for _, end := range []struct {
			name string
			send func(path string) answer
		}{
			{"PATCH", func(path string) answer { return d.patch(t, path, `{"active": "False"}`) }},
			{"PUT", func(path string) answer {
				return d.send(t, "PUT", path, `{"userName": "PUT@corp.example", "active": false}`)
			}},
			{"DELETE", func(path string) answer { return d.send(t, "DELETE", path, "") }},
			{"another address", func(path string) answer {
				return d.patch(t, path, `{"userName": "moved@corp.example"}`)
			}},
		} {
			t.Run(end.name, func(t *testing.T) {
				email := strings.ReplaceAll(end.name, " ", "") + "@corp.example"
				path := "/Users/" + d.create(t, email)
				session := d.session(t, d.home, email)
				if _, err := d.Verifier.Principal(t.Context(), session, auth.Origin{}); err != nil {
					t.Fatal(err)
				}
				if a := end.send(path); a.StatusCode >= 300 {
					t.Fatalf("%s: got %d, %s, want success", end.name, a.StatusCode, a.text)
				}
				_, err := d.Verifier.Principal(t.Context(), session, auth.Origin{})
				check.Equal(t, fault.KindOf(err), fault.Unauthenticated, "the session afterwards")
				if end.name == "PATCH" {
					wantStatus(t, d.patch(t, path, `{"active": true}`), 200, "reactivate")
					_, err := d.Verifier.Principal(t.Context(), session, auth.Origin{})
					check.Equal(t, fault.KindOf(err), fault.Unauthenticated, "the session after the reactivation")
					d.session(t, d.home, email)
				}
			})
		}
	})
}

// A user keeps stores and roles while deactivated. The account's policy decides on the tokens that the user knows.
func TestDeactivationKeepsStoresAndFollowsThePolicy(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		member := d.home.Users[2]
		path := "/Users/" + member.ID.String()
		before := d.send(t, "GET", path, "")
		known := d.knownToken(t, d.home.Members[d.home.Stores[1].ID][0])
		works := func() bool {
			_, err := d.Verifier.Principal(t.Context(), known, auth.Origin{})
			return err == nil
		}
		off := d.patch(t, path, `{"active": false}`)
		wantStatus(t, off, 200, "deactivate")
		check.Equal(t, len(off.at("roles").([]any)), len(before.at("roles").([]any)), "roles of the deactivated user")
		check.Equal(t, works(), true, "the token works after a deactivation that keeps tokens")
		on := d.patch(t, path, `{"active": true}`)
		check.Equal(t, on.at("roles"), off.at("roles"), "roles of the reactivated user")
		check.Equal(t, d.actions(t, member.ID.String())[:2],
			[]audit.Action{audit.UserReactivated, audit.UserDeactivated}, "events")

		_, err := d.Memberships.SetOffboardingPolicy(t.Context(), d.owner(t), account.RevokeTokens)
		check.Equal(t, err, nil, "change the policy")
		wantStatus(t, d.patch(t, path, `{"active": false}`), 200, "deactivate with the policy that revokes tokens")
		check.Equal(t, works(), false, "the token works after a deactivation that revokes tokens")
		wantStatus(t, d.patch(t, path, `{"active": true}`), 200, "reactivate")
		check.Equal(t, works(), false, "the token works after the reactivation")
	})
}

// knownToken returns the access token of a store-level API token that a member of the store has issued.
func (d *directories) knownToken(t *testing.T, member user.StoreMember) string {
	t.Helper()
	place := member.Place
	place.Permissions = user.StoreOwner.Permissions()
	err := d.DB.Users().Change(t.Context(), auth.NoActor("a test"), d.home.Account.ID, func(c user.Change) error {
		return c.SavePlaces(t.Context(), map[uuid.UUID][]user.Place{member.User.ID: {place}})
	})
	check.Equal(t, err, nil, "give the member permissions")
	by, err := d.Verifier.Principal(t.Context(), d.session(t, d.home, member.User.Email), auth.Origin{})
	check.Equal(t, err, nil, "the member's session")
	of, err := token.StoreOwner(d.home.Account, d.home.Stores[1])
	check.Equal(t, err, nil, "the owner of the token")
	issued, err := d.Tokens.Create(
		t.Context(),
		by,
		token.Request{Owner: of, Name: "Member's", Scopes: []string{"store_cart"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	return issued.AccessToken.Reveal()
}
