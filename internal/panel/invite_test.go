package panel_test

import (
	"net/http"
	"strings"
	"testing"
)

// Somebody who is invited chooses a password by the link, and may do what was chosen.
func TestInvite(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		form := owner.get(linkCalled(t, owner.get(s.page("/stores/acme1us/users")), "Invite somebody"))
		wrong := owner.submit(form, "Invite", "email", "dora", "firstName", "Dora", "lastName", "")
		wrong.wants(http.StatusUnprocessableEntity, "This is no e-mail address.").wants(http.StatusUnprocessableEntity, "Enter the last name: one line of at most 100")
		if !strings.Contains(wrong.body, `value="Dora"`) || !strings.Contains(wrong.body, `value="acme1us" checked`) {
			t.Error("what was entered is gone")
		}
		for _, role := range []string{"nonsense", "STORE_OWNER"} {
			owner.submit(wrong, "Invite", "email", "dora@acme.example", "lastName", "Dahl", "role.acme1us", role).wants(http.StatusUnprocessableEntity, "There is no such role.")
		}
		sent := []string{"email", "dora@acme.example", "lastName", "Dahl", "role.acme1us", "SALES_STAFF"}
		done := owner.submit(wrong, "Invite", sent...)
		done.wants(http.StatusOK, "Dora Dahl is in")
		if kept := done.header.Get("Cache-Control"); kept != "no-store" {
			t.Errorf("the link is kept: %s", kept)
		}
		_, link, found := strings.Cut(done.text(), s.URL)
		link, _, _ = strings.Cut(link, " ")
		if !found {
			t.Fatalf("no link in %s", done.text())
		}
		owner.submit(wrong, "Invite", sent...).wants(http.StatusUnprocessableEntity, "This form was sent already.").lacks(link)
		owner.get(s.page("/users")).wants(http.StatusOK, "Acme US: Sales staff").lacks(link)
		if page := s.visitor().get(link); page.status != http.StatusOK || !strings.Contains(page.body, "password") {
			t.Errorf("the link shows %d %s", page.status, page.text())
		}
		at := personAt(t, owner.get(s.page("/users")), "Dora Dahl")
		owner.submit(owner.get(at), "Make a link to sign in").wants(http.StatusOK, "Send them this link.")
		owner.submit(owner.get(s.page("/users/invite")), "Invite", "email", "dora@acme.example", "stores", "acme1us").wants(http.StatusUnprocessableEntity, "is in the store Acme US already")
	})
}

// A clerk invites into their store, and gives what is theirs to give; nobody else invites.
func TestInviteByOthers(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		clerk, nobody := clerkOfEU(s), s.signedIn(ben)
		form := clerk.get(s.page("/users/invite"))
		form.wants(http.StatusOK, "Choose at least one.").lacks("Acme US")
		person := []string{"email", "dora@acme.example", "firstName", "Dora", "lastName", "Dahl"}
		clerk.submit(form, "Invite", person...).wants(http.StatusUnprocessableEntity, "Choose at least one store.")
		form = clerk.get(s.page("/users/invite"))
		clerk.submit(form, "Invite", append(person, "stores", "acme2eu", "role.acme2eu", "STORE_ADMINISTRATOR")...).wants(http.StatusForbidden, "You do not have")
		form = clerk.get(s.page("/users/invite"))
		clerk.submit(form, "Invite", append(person, "stores", "acme2eu")...).wants(http.StatusOK, "ask the owner").lacks("lkl_")
		clerk.get(s.page("/stores/acme2eu/users")).wants(http.StatusOK, "Dora Dahl")
		nobody.get(s.page("/users/invite")).wants(http.StatusForbidden, s.OwnerEmail)
		nobody.post(s.page("/users/invite"), person...).wants(http.StatusForbidden, s.OwnerEmail)
	})
}
