package panel_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/signin"
	"latchkey/internal/test/check"
)

// An invited user sets a password with the link and gets the chosen permissions.
func TestInvite(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		form := owner.get(linkCalled(t, owner.get(s.page("/stores/acme1us/users")), "Invite user"))
		form.wants(http.StatusOK, "You get a link to send to them.")
		wrong := owner.submit(form, "Invite", "email", "dora", "firstName", "Dora", "lastName", "")
		wrong.wants(http.StatusUnprocessableEntity, "This is not an email address.")
		if !strings.Contains(wrong.body, `value="Dora"`) || !strings.Contains(wrong.body, `value="acme1us" checked`) {
			t.Errorf("the form after an error: got other values, want those entered: %s", wrong.text())
		}
		for _, role := range []string{"nonsense", "STORE_OWNER"} {
			owner.submit(wrong, "Invite", "email", "dora@acme.example", "lastName", "Dahl", "role.acme1us",
				role).wants(http.StatusUnprocessableEntity, "There is no such role.")
		}
		forgotten := []string{"email", "dora@acme.example", "lastName", "Dahl"}
		owner.submit(wrong, "Invite", forgotten...).wants(http.StatusUnprocessableEntity, "Choose a role for Acme US.")
		// The role of a store that is not chosen is ignored.
		sent := append(slices.Clip(forgotten), "role.acme1us", "SALES_STAFF", "role.acme2eu", "SALES_STAFF")
		done := owner.submit(wrong, "Invite", sent...)
		done.wants(http.StatusOK, "Dora Dahl is invited")
		check.Equal(t, done.header.Get("Cache-Control"), "no-store", "the link is stored")
		_, link, found := strings.Cut(done.text(), s.URL)
		link, _, _ = strings.Cut(link, " ")
		if !found {
			t.Fatalf("got no link in %s, want one", done.text())
		}
		owner.submit(wrong, "Invite", sent...).wants(http.StatusUnprocessableEntity,
			"This form was sent already.").lacks(link)
		owner.get(s.page("/users")).wants(http.StatusOK,
			"Acme US: Sales staff Pending Invited · expires "+nextWeek()).lacks(link)
		if page := s.visitor().get(link); page.status != http.StatusOK || !strings.Contains(page.body, "password") {
			t.Errorf("the link: got %d %s, want 200 that asks for a password", page.status, page.text())
		}
		at := personAt(t, owner.get(s.page("/users")), "Dora Dahl")
		person := owner.get(at)
		person.wants(http.StatusOK, "Dora Dahl Pending").wants(http.StatusOK, "the invitation expires on")
		owner.submit(person, "Resend invitation").wants(http.StatusOK, "Send this link to Dora Dahl, who uses it to set a password.")
		owner.submit(person, "Resend invitation").wants(http.StatusConflict,
			"This form was sent already.").lacks("lkl_")
		owner.submit(owner.get(s.page("/users/invite")), "Invite", "email", "dora@acme.example", "stores",
			"acme1us", "role.acme1us", "none").wants(http.StatusUnprocessableEntity, "is already in the store Acme US")
		owner.submit(owner.get(s.page("/users/invite")), "Invite", "email", s.OwnerEmail).wants(
			http.StatusUnprocessableEntity, "already has this email address")
		list := owner.get(s.page("/users?status=pending")).wants(http.StatusOK, "1 user found").lacks(ana)
		owner.submit(list, "Resend invitation").wants(http.StatusOK,
			"Send this link to Dora Dahl, who uses it to set a password.")
		s.expireLinks()
		owner.get(at).wants(http.StatusOK, "Dora Dahl Pending").wants(http.StatusOK,
			"the invitation expired on").lacks("Withdraw invitation")
		owner.get(linkCalled(t, owner.get(at), "Remove from the account")).wants(http.StatusOK,
			"Remove Dora Dahl from Acme Retail?").lacks("Withdraw")
		list = owner.get(s.page("/users?status=pending")).wants(http.StatusOK,
			"Acme US: Sales staff Pending Invitation expired")
		again := owner.submit(list, "Resend the invitation of Dora Dahl").wants(http.StatusOK,
			"Send this link to Dora Dahl, who uses it to set a password.")
		_, link, _ = strings.Cut(again.text(), s.URL)
		link, _, _ = strings.Cut(link, " ")
		owner.get(s.page("/users")).wants(http.StatusOK, "Invited · expires "+nextWeek()).lacks("Invitation expired")
		question := owner.get(linkCalled(t, owner.get(at), "Withdraw invitation"))
		question.wants(http.StatusOK, "Withdraw the invitation of Dora Dahl?").lacks("API tokens to review")
		owner.submit(question, "Withdraw invitation").goes(s.page("/users")).notes("invitation_withdrawn", 1)
		owner.get(s.page("/users")).lacks("Dora")
		s.visitor().get(link).wants(http.StatusNotFound, "This link is not valid")
	})
}

// nextWeek returns the day on which an invitation of today expires, as pages show it.
func nextWeek() string {
	now := time.Now().UTC()
	until := now.Add(signin.Invitation.Lifetime())
	if until.Year() != now.Year() {
		return until.Format("2 Jan 2006")
	}
	return until.Format("2 Jan")
}

// A clerk can invite users to their store with the permissions that they may grant. Other users cannot invite.
func TestInviteByOthers(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		clerk, nobody := clerkOfEU(s), s.signedIn(ben)
		form := clerk.get(s.page("/users/invite"))
		form.wants(http.StatusOK, "Choose at least one.").lacks("Acme US")
		form.wants(http.StatusOK, "The owner of the account can then create a link")
		person := []string{"email", "dora@acme.example", "firstName", "Dora", "lastName", "Dahl"}
		clerk.submit(form, "Invite", person...).wants(http.StatusUnprocessableEntity, "Choose at least one store.")
		form = clerk.get(s.page("/users/invite"))
		clerk.submit(form, "Invite", append(person, "stores", "acme2eu", "role.acme2eu",
			"STORE_ADMINISTRATOR")...).wants(http.StatusForbidden, "You do not have")
		form = clerk.get(s.page("/users/invite"))
		clerk.submit(form, "Invite", append(person, "stores", "acme2eu", "role.acme2eu", "none")...).
			wants(http.StatusOK, "Only the owner of the account can create a sign-in link").lacks("lkl_")
		clerk.get(s.page("/stores/acme2eu/users")).wants(http.StatusOK, "Dora Dahl")
		nobody.get(s.page("/users/invite")).wants(http.StatusForbidden, s.OwnerEmail)
		nobody.post(s.page("/users/invite"), person...).wants(http.StatusForbidden, s.OwnerEmail)
	})
}

// A user who can add users to one store cannot invite them to another store whose users they see, and neither can
// the users they add.
func TestInviteIntoAnotherStore(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		s.apply(`accounts:
  - uuid: ` + s.Account + `
    name: Acme Retail
    owner: {email: ` + s.OwnerEmail + `}
    users:
      - {email: ` + chloe + `}
    stores:
      - hash: acme1us
        name: Acme US
        users:
          - {email: ` + chloe + `, permissions: [Add_User]}
      - hash: acme2eu
        name: Acme EU
        owner: {email: ` + euOwner + `}
        users:
          - {email: ` + chloe + `, permissions: [Manage_Users]}
`)
		clerk := s.signedIn(chloe)
		form := clerk.get(s.page("/users/invite")).wants(http.StatusOK, "Acme US")
		if strings.Contains(form.body, "role.acme2eu") {
			t.Errorf("the form: got a role in Acme EU, want none: %s", form.body)
		}
		at := personAt(t, clerk.get(s.page("/stores/acme2eu/users")), "Store Owner")
		clerk.get(at).wants(http.StatusOK, euOwner).lacks("Create sign-in link")
		before := s.contents()
		clerk.submit(form, "Invite", "email", "dora@acme.example", "firstName", "Dora", "lastName", "Dahl", "stores",
			"acme2eu", "role.acme2eu", "none").wants(http.StatusForbidden, s.OwnerEmail)
		clerk.post(at+"/invite", "form", uuid.Must(uuid.NewV7()).String()).wants(http.StatusForbidden, s.OwnerEmail)
		for _, row := range s.contents() {
			if !slices.Contains(before, row) && !strings.HasPrefix(row, "sent_forms ") {
				t.Errorf("got the new row %s, want sent forms only", row)
			}
		}
	})
}
