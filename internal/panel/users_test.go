package panel_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

// The demo's users other than the account's owner: the owner of a store, a member of a store, and a user who is
// inactive in one.
const (
	euOwner = "eu@acme.example"
	ana     = "ana@acme.example"
	ben     = "ben@acme.example"
	chloe   = "chloe@acme.example"
)

// clerkOfEU lets Chloé list and edit the users of Acme EU.
func clerkOfEU(s *server) *visitor {
	s.apply(`accounts:
  - uuid: ` + s.Account + `
    name: Acme Retail
    owner: {email: ` + s.OwnerEmail + `}
    users:
      - {email: ` + chloe + `}
      - {email: ` + ana + `}
    stores:
      - hash: acme2eu
        name: Acme EU
        owner: {email: ` + euOwner + `}
        users:
          - {email: ` + chloe + `, permissions: [Manage_Users, Add_User, Edit_Users, Delete_Users, Add_Orders, Add_Brands]}
          - {email: ` + ana + `, permissions: [Add_Orders, IntegratedApps_LoadApp]}
`)
	return s.signedIn(chloe)
}

// page returns the address of a page of the account.
func (s *server) page(path string) string { return "/accounts/" + s.Account + path }

// personAt returns the address of the page of a user who is in a list.
func personAt(t *testing.T, list *reply, name string) string {
	t.Helper()
	for _, a := range list.all("a") {
		if to, _ := attribute(a, "href"); textOf(a) == name && strings.Contains(to, "/users/") {
			return to
		}
	}
	t.Fatalf("got no user %s in %s, want one", name, list.text())
	return ""
}

func TestPeople(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		all := owner.get(s.page("/users"))
		all.wants(http.StatusOK, "5 users").lacks("External ID")
		for _, text := range []string{"Ana Alvarez", ana, "Acme US: Custom permissions", "Acme EU: Store owner",
			"Account owner Acme US: Store owner", "No permissions Deactivated", "Never"} {
			all.wants(http.StatusOK, text)
		}
		found := owner.submit(all, "Search", "q", "CARON")
		found.wants(http.StatusOK, "1 user found").wants(http.StatusOK, chloe).lacks(ana)
		owner.get(s.page("/users?q=nobody+at+all")).wants(http.StatusOK, "No users match.")
		owner.get(s.page("/users?q=x")).wants(http.StatusUnprocessableEntity,
			"Search for 2 to 100 characters.").lacks(ana)
		owner.get(s.page("/users?sort=joined&after=x")).wants(http.StatusUnprocessableEntity, "This is not a cursor.")
		owner.get(s.page("/stores/acme1us/users")).wants(http.StatusOK, "3 users").wants(http.StatusOK,
			ben).lacks(chloe)
		owner.get(s.page("/stores/nowhere/users")).wants(http.StatusNotFound, "no such store")
	})
}

// The list of users is limited by status and store, and sorted by its columns.
func TestPeopleFilteredAndSorted(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		s.run("email,first_name,last_name\nzoe@acme.example,,\n", "user", "provision", "--account", s.Account, "--file",
			"-", "--format", "csv")
		all := owner.get(s.page("/users"))
		pending := owner.get(linkCalled(t, all, "Pending")).wants(http.StatusOK, "1 user found").lacks(ana)
		pending.wants(http.StatusOK, "zoe@acme.example In no store Pending Not invited yet")
		owner.get(linkCalled(t, pending, "Deactivated")).wants(http.StatusOK, "No users match.")
		owner.get(linkCalled(t, pending, "No store")).wants(http.StatusOK, "zoe@acme.example").lacks(ana)
		owner.get(s.page("/users?store=acme1us&status=active")).wants(http.StatusOK, ben).lacks(chloe)
		owner.get(s.page("/users?store=acme1us&q=ana")).wants(http.StatusOK, "1 user found").lacks(ben)
		owner.get(s.page("/users?store=acme1us")).lacks("In no store")
		owner.get(s.page("/users?role=STORE_OWNER")).wants(http.StatusOK, "Acme EU: Store owner").lacks(ana)
		owner.get(s.page("/stores/acme1us/users?role=CUSTOM")).wants(http.StatusOK, ana).lacks(ben)
		owner.get(s.page("/users?role=nonsense")).wants(http.StatusOK, "6 users")
		owner.get(s.page("/users?store=nowhere")).wants(http.StatusNotFound, "no such store")

		names := func(page *reply) (names []string) {
			for _, head := range page.all("th") {
				if scope, _ := attribute(head, "scope"); scope == "row" {
					name, _, _ := strings.Cut(textOf(head), " ")
					names = append(names, name)
				}
			}
			return names
		}
		check.Equal(t, names(all), []string{"Acme", "Ana", "Ben", "Chloé", "Store", "zoe@acme.example"}, "by name")
		down := owner.get(linkCalled(t, all, "Name"))
		check.Equal(t, names(down), []string{"zoe@acme.example", "Store", "Chloé", "Ben", "Ana", "Acme"}, "backward")
		check.Equal(t, names(owner.get(linkCalled(t, down, "Name"))), names(all), "forward again")
		joined := owner.get(s.page("/users?sort=joined"))
		check.Equal(t, names(joined)[0], "zoe@acme.example", "the user who joined last")
		_ = s.signedIn(ana)
		last := owner.get(linkCalled(t, owner.get(s.page("/users?q=an")), "Last sign-in"))
		check.Equal(t, names(last)[0], "Ana", "the user who signed in last")
		last.lacks(ben)
		owner.get(linkCalled(t, last, "Name")).wants(http.StatusOK, "Ana Alvarez")
	})
}

// Lists have links to older and newer pages, which keep the filter.
func TestPeoplePages(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		var list strings.Builder
		list.WriteString("email,first_name,last_name\n")
		for n := range 60 {
			list.WriteString("many" + string(rune('a'+n/26)) + string(rune('a'+n%26)) + "@acme.example,Many,Person\n")
		}
		s.run(list.String(), "user", "provision", "--account", s.Account, "--file", "-", "--format", "csv")
		owner := s.signedIn(s.OwnerEmail)
		first := owner.get(s.page("/users?q=many&sort=joined"))
		first.wants(http.StatusOK, "60 users found").lacks("manyaa@")
		older := owner.get(linkCalled(t, first, "Older"))
		older.wants(http.StatusOK, "manyaa@acme.example").wants(http.StatusOK, "60 users found").lacks("Older")
		sorted := owner.get(s.page("/users?q=many&order=down"))
		sorted.wants(http.StatusOK, "60 users found").lacks("manych@")
		last := owner.get(linkCalled(t, sorted, "Next")).wants(http.StatusOK, "manych@acme.example").lacks("Next")
		owner.get(linkCalled(t, last, "Previous")).lacks("Previous")
		back := owner.get(linkCalled(t, older, "Newer"))
		if back.lacks("Newer"); len(back.all("tr")) != len(first.all("tr")) {
			t.Errorf("rows after going back: got %d, want %d", len(back.all("tr")), len(first.all("tr")))
		}
	})
}

func linkCalled(t *testing.T, page *reply, name string) string {
	t.Helper()
	for _, content := range page.all("main") {
		for a := range content.Descendants() {
			if to, is := attribute(a, "href"); is && textOf(a) == name {
				return page.absolute(to)
			}
		}
	}
	t.Fatalf("got no link %q on %s, want one", name, page.text())
	return ""
}

// A user who may see the users of one store sees only those.
func TestPeopleOfAClerk(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		clerk := clerkOfEU(s)
		list := clerk.open(s.page("/users"))
		list.wants(http.StatusOK, "All users of Acme EU").wants(http.StatusOK, ana).lacks(ben).lacks("Acme US")
		shown := clerk.get(personAt(t, list, "Ana Alvarez"))
		shown.wants(http.StatusOK,
			"Stores that you can see").lacks("Acme US").lacks("Remove from the account").lacks("Details").lacks(
			"Transfer ownership")
		owner := s.signedIn(s.OwnerEmail)
		hidden := personAt(t, owner.get(s.page("/users")), "Ben Becker")
		clerk.get(hidden).wants(http.StatusNotFound, "no such user")
		clerk.get(s.page("/users/nobody")).wants(http.StatusNotFound, "no such user")
		clerk.get(s.page("/stores/acme1us/users")).wants(http.StatusNotFound, "no such store")
		nobody := s.signedIn(ben)
		nobody.get(s.page("/users")).wants(http.StatusForbidden, s.OwnerEmail)
		nobody.get(s.page("/stores")).lacks("Users")
	})
}

func TestPersonDetails(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		s.apply(`accounts:
  - uuid: 3f1d9f0e-52b4-4c0e-8a6d-2b7c1e9d4c02
    name: Blue Bicycles
    owner: {email: owner@bicycles.example}
    users: [{email: ` + ben + `}]
`)
		owner := s.signedIn(s.OwnerEmail)
		list := owner.get(s.page("/users"))
		at := personAt(t, list, "Ana Alvarez")
		wrong := owner.submit(owner.get(at), "Save", "firstName", " ", "lastName", "Kept", "locale", "no language")
		wrong.wants(http.StatusUnprocessableEntity,
			"Enter the first name: one line of at most 100 characters").wants(http.StatusUnprocessableEntity,
			"Write a language tag")
		if kept := wrong.forms(); !strings.Contains(wrong.body, `value="Kept"`) || len(kept) == 0 {
			t.Errorf("form after an error: got other values, want those entered: %s", wrong.text())
		}
		saved := owner.submit(owner.get(at), "Save", "firstName", "Anna", "externalId", "hr-7")
		saved.goes(at).notes("person_saved", 1)
		owner.get(at).wants(http.StatusOK, "Anna Alvarez")
		owner.get(s.page("/users")).wants(http.StatusOK, "External ID hr-7")
		other := owner.get(personAt(t, list, "Ben Becker"))
		owner.submit(other, "Save", "externalId", "hr-7").wants(http.StatusUnprocessableEntity,
			"Another user in this account has this external id.")
		owner.submit(other, "Save", "externalId", "hr-8", "firstName",
			"Mine").goes(personAt(t, list, "Ben Becker")).notes("person_saved", 1)
		// The name belongs to this account. Other accounts have their own.
		owner.get(s.page("/users")).wants(http.StatusOK, "Mine Becker").lacks("Ben Becker")
	})
}

// A user's permissions in a store change by roles and by checkboxes. Users are added to stores and removed.
func TestPlaces(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		at := personAt(t, owner.get(s.page("/users")), "Ana Alvarez")
		owner.submit(owner.get(at), "Add", "stores", "acme2eu", "role",
			"SALES_STAFF").goes(at).notes("person_in_store", 1)
		owner.get(at).wants(http.StatusOK, "Acme EU Sales staff Active")
		owner.post(at+"/stores", "stores", "acme2eu").refuses("role")
		owner.post(at+"/stores", "stores", "acme2eu", "role", "none").wants(http.StatusUnprocessableEntity,
			"is already in the store Acme EU")
		place := at + "/stores/acme2eu"
		owner.post(place, "role", "nonsense").wants(http.StatusUnprocessableEntity,
			"There is no such role.").wants(http.StatusUnprocessableEntity, "Orders 5 of 13")
		owner.post(at+"/stores", "stores", "acme2eu", "role", "nonsense").wants(http.StatusUnprocessableEntity,
			"There is no such role.")
		owner.submit(owner.get(place), "Assign role", "role",
			"STORE_ADMINISTRATOR").goes(place).notes("place_saved", 1)
		owner.get(at).wants(http.StatusOK, "Acme EU Store administrator Active")
		owner.submit(owner.get(place), "Save permissions", "permissions", "Add_Orders", "permissions",
			"Create_Store_API_Tokens").goes(place).notes("place_saved", 1)
		owner.get(place).wants(http.StatusOK, "Orders 1 of 13").wants(http.StatusOK,
			"API tokens and apps 1 of 7").wants(http.StatusOK, "High risk")
		owner.post(place, "permissions", "Fly").wants(http.StatusUnprocessableEntity, "There is no permission")
		owner.submit(owner.get(place), "Assign role", "role", "").wants(http.StatusUnprocessableEntity,
			"Choose a role.").wants(http.StatusUnprocessableEntity, "Orders 1 of 13")
		owner.get(place).wants(http.StatusOK, "Orders 1 of 13")
		owner.submit(owner.get(place), "Deactivate").goes(place).notes("place_saved", 1)
		owner.get(at).wants(http.StatusOK, "Acme EU Custom permissions Deactivated")
		owner.submit(owner.get(place), "Reactivate").goes(place).notes("place_saved", 1)
		confirmation := owner.get(linkCalled(t, owner.get(place), "Remove from the store"))
		owner.submit(confirmation.wants(http.StatusOK, "Remove Ana Alvarez from Acme EU?"),
			"Remove from the store").goes(at).notes("person_out_of_store", 1)
		owner.get(at).lacks("Custom permissions Deactivated")
		owner.get(place).wants(http.StatusNotFound, "not in the store")
		self := personAt(t, owner.get(s.page("/users")), "Acme Owner")
		owner.get(self).wants(http.StatusOK, "cannot be removed").lacks("Remove from the account")
		// The owner reclaims the store there. The only choice is selected.
		owner.get(linkCalled(t, owner.get(self), "Take ownership")).wants(http.StatusOK,
			"Take ownership of Acme EU?").wants(http.StatusOK, "Store Owner (eu@acme.example) stays").lacks("They get")
		own := self + "/stores/acme1us"
		check.Equal(t, linkCalled(t, owner.get(own), "Change owner"), s.page("/stores/acme1us/users"), "its users")
		owner.get(own).wants(http.StatusOK, "Acme Owner in Acme US You Active").wants(http.StatusOK,
			"You own this store and have all permissions in it.").lacks("Deactivate")
		owner.post(own+"/status", "status", "INACTIVE").wants(http.StatusUnprocessableEntity,
			"This user owns the store")
	})
}

// A clerk grants and takes away only permissions that they have. The others stay unchanged.
func TestPlacesByAClerk(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		clerk := clerkOfEU(s)
		place := personAt(t, clerk.open(s.page("/users")), "Ana Alvarez") + "/stores/acme2eu"
		shown := clerk.get(place)
		shown.wants(http.StatusOK, "You cannot change some of the permissions.").lacks("Assign role")
		clerk.submit(shown, "Save permissions", "permissions", "Add_Brands").goes(place).notes("place_saved", 1)
		clerk.get(place).wants(http.StatusOK, "API tokens and apps 1 of 7").wants(http.StatusOK,
			"Products, categories, brands and reviews 1 of 22").wants(http.StatusOK, "Orders 0 of 13")
		clerk.post(place, "permissions", "Delete_Brands").wants(http.StatusForbidden,
			"You do not have “Delete brands” in this store")
		clerk.post(place, "permissions", "Create_Store_API_Tokens").wants(http.StatusForbidden, "Only the owner")
		clerk.post(place, "role", "STORE_ADMINISTRATOR").wants(http.StatusForbidden, "You do not have")
		clerk.submit(clerk.get(place), "Deactivate").goes(place).notes("place_saved", 1)
		// Reactivating would grant permissions that only owners can grant.
		clerk.get(place).lacks("Reactivate")
		clerk.post(place+"/status", "status", "ACTIVE").wants(http.StatusForbidden, "Only the owner")
		clerk.post(place+"/remove").goes(s.page("/users")).notes("person_out_of_store", 1)
	})
}

// Removing a user revokes their sessions and the selected tokens.
func TestRemovePerson(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, leaver := s.signedIn(s.OwnerEmail), s.signedIn(euOwner)
		for _, name := range []string{"goes", "stays"} {
			s.issued(leaver, "acme2eu", name+" with them")
		}
		list := owner.get(s.page("/users"))
		at := personAt(t, list, "Store Owner")
		owner.get(at+"/remove").wants(http.StatusOK, "Store Owner owns Acme EU.").lacks("At once")
		heir := personAt(t, list, "Ana Alvarez")
		give := owner.get(heir + "/owner")
		owner.submit(give, "Transfer ownership").wants(http.StatusUnprocessableEntity,
			"Choose what to transfer.")
		give.wants(http.StatusOK, "Store Owner (eu@acme.example) stays as an administrator.")
		owner.submit(give, "Transfer ownership", "what", "acme2eu").goes(heir).notes("owner_now", 1)
		owner.setPolicy(s, "REVOKE_TOKENS")
		confirmation := owner.get(at + "/remove")
		confirmation.wants(http.StatusOK, "They are signed out of 1 session").wants(http.StatusOK,
			"goes with them").wants(http.StatusOK, "stays with them").wants(http.StatusOK,
			"Acme EU (Store administrator)")
		var ids []string
		for _, f := range confirmation.forms() {
			if len(f.values["tokens"]) > 0 {
				ids = f.values["tokens"]
			}
		}
		if len(ids) != 2 {
			t.Fatalf("selected tokens: got %d, want 2", len(ids))
		}
		before := s.contents()
		for _, sent := range [][]string{nil, {"shown", ids[0]}, {"tokens", ids[0]},
			{"shown", ids[0], "tokens", ids[0]}} {
			owner.post(at+"/remove", sent...).wants(http.StatusUnprocessableEntity,
				"the list of API tokens has changed").wants(http.StatusUnprocessableEntity, "stays with them")
		}
		s.unchanged(before)
		owner.submit(confirmation, "Remove from the account", "tokens",
			ids[0]).goes(s.page("/users")).notes("person_removed_with_tokens", 1)
		owner.get(s.page("/users")).wants(http.StatusOK, "Ben Becker").lacks(euOwner)
		if r := leaver.get(s.page("/stores")); r.status != http.StatusSeeOther {
			t.Errorf("a removed user: got %d %s, want 303", r.status, r.text())
		}
		owner.get(at).wants(http.StatusNotFound, "no such user")
		tokens := owner.get(s.page("/stores/acme2eu/tokens")).wants(http.StatusOK, "Left the account")
		tokens.wants(http.StatusOK, "Created by "+euOwner)
		owner.get(linkCalled(t, tokens, "stays with them")).wants(http.StatusOK, "by "+euOwner+" Left the account")
		owner.get(linkCalled(t, owner.get(s.page("/stores/acme2eu/tokens?status=deleted")),
			"goes with them")).wants(http.StatusOK, "Left the account")
		s.issued(owner, "acme2eu", "made by the owner")
		owner.get(linkCalled(t, owner.get(s.page("/stores/acme2eu/tokens")),
			"made by the owner")).lacks("Left the account")
	})
}

// Deselected tokens stay so if the page is shown again because another token was deleted in the meantime. Then the
// user is not removed.
func TestRemovalShownAgain(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		s.apply(staff)
		owner, maker := s.signedIn(s.OwnerEmail), s.signedIn("maker@acme.example")
		for _, name := range []string{"goes", "stays", "is gone"} {
			s.issued(maker, "acme1us", name+" with them")
		}
		at := personAt(t, owner.get(s.page("/users")), "M M")
		confirmation := owner.get(at + "/remove")
		of := func(name string) string { return idOf(owner, tokensOf(s)["store"], name+" with them") }
		stays, goes, gone := of("stays"), of("goes"), of("is gone")
		owner.post(tokensOf(s)["store"]+"/delete", "id", gone)
		again := owner.submit(confirmation, "Remove from the account", "tokens", goes, "tokens",
			gone).wants(http.StatusUnprocessableEntity, "Review it again.")
		for _, f := range again.forms() {
			if slices.Contains(f.buttons, "Remove from the account") &&
				(!slices.Equal(f.values["tokens"], []string{goes}) || !slices.Contains(f.values["shown"], stays)) {
				t.Errorf("form after an error: got %v selected of %v, want %s selected and %s shown",
					f.values["tokens"], f.values["shown"], goes, stays)
			}
		}
		owner.get(at).wants(http.StatusOK, "M M")
	})
}

// A deactivated user is denied from the next request on.
func TestDeactivate(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		clerk, owner := clerkOfEU(s), s.signedIn(s.OwnerEmail)
		at := personAt(t, owner.get(s.page("/users")), "Chloé Caron") + "/stores/acme2eu"
		list := s.page("/stores/acme2eu/users")
		clerk.get(list).wants(http.StatusOK, "All users of Acme EU")
		owner.submit(owner.get(at), "Deactivate").goes(at).notes("place_saved", 1)
		clerk.get(list).wants(http.StatusNotFound, "no such store")
		owner.submit(owner.get(at), "Reactivate").goes(at).notes("place_saved", 1)
		clerk.get(list).wants(http.StatusOK, "All users of Acme EU")
	})
}

// An action that cannot be undone asks for the password again if the last sign-in is old.
func TestRemoveAsksAgain(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		at := personAt(t, owner.get(s.page("/users")), "Ben Becker")
		confirmation, give := owner.get(at+"/remove"), owner.get(at+"/owner")
		place := owner.get(at + "/stores/acme1us/remove")
		s.age(16 * time.Minute)
		owner.submit(place, "Remove from the store").wants(http.StatusOK, "Confirm your identity")
		owner.submit(give, "Transfer ownership", "what", "acme1us").wants(http.StatusOK, "Confirm your identity")
		again := owner.submit(confirmation, "Remove from the account").wants(http.StatusOK, "Confirm your identity")
		owner.get(at).wants(http.StatusOK, ben)
		owner.submit(again, "Continue", "password_again",
			s.known(s.OwnerEmail)).goes(s.page("/users")).notes("person_removed", 1)
	})
}

// Users cannot perform actions without the permission, by any request.
func TestPeopleRefuse(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		list := owner.get(s.page("/users"))
		target, clerkPage := personAt(t, list, "Ana Alvarez"), personAt(t, list, "Chloé Caron")
		clerk, storeOwner, nobody := clerkOfEU(s), s.signedIn(euOwner), s.signedIn(ben)
		stranger := s.signedIn("owner@bicycles.example")
		for _, c := range []struct {
			name, path string
			form       []string
			// The statuses for the clerk of Acme EU, its owner and a user without any permission.
			clerk, storeOwner, nobody int
		}{
			{"details", target, []string{"firstName", "X", "lastName", "Y", "locale", "en"}, 403, 403, 403},
			{"own place in another store", clerkPage + "/stores/acme1us", []string{"role", "SALES_STAFF"}, 404, 404,
				403},
			{"another store", target + "/stores", []string{"stores", "acme1us", "role", "SALES_STAFF"}, 422, 422, 403},
			{"another store's place", target + "/stores/acme1us", []string{"role", "SALES_STAFF"}, 404, 404, 403},
			{"another store's status", target + "/stores/acme1us/status", []string{"status", "INACTIVE"}, 404, 404,
				403},
			{"out of another store", target + "/stores/acme1us/remove", nil, 404, 404, 403},
			{"the account's owner", target + "/owner", []string{"what", "*"}, 403, 403, 403},
			{"a store's owner", target + "/owner", []string{"what", "acme1us"}, 404, 404, 403},
			{"out of the account", target + "/remove", nil, 403, 403, 403},
			{"deactivated", target + "/deactivate", nil, 403, 403, 403},
			{"reactivated", target + "/reactivate", nil, 403, 403, 403},
			{"the off-boarding policy", s.page("/users/offboarding"), []string{"policy", "REVOKE_TOKENS"}, 403, 403,
				403},
			{"the leak policy", s.page("/users/leaks"), []string{"policy", "NOTIFY"}, 403, 403, 403},
		} {
			for who, each := range map[string]struct {
				v    *visitor
				want int
			}{"clerk": {clerk, c.clerk}, "store owner": {storeOwner, c.storeOwner}, "nobody": {nobody, c.nobody},
				"stranger": {stranger, http.StatusNotFound}} {
				if r := each.v.post(c.path, c.form...); r.status != each.want {
					t.Errorf("%s by %s: %d, want %d: %s", c.name, who, r.status, each.want, r.text())
				}
			}
		}
		owner.get(target).wants(http.StatusOK, "Ana Alvarez").wants(http.StatusOK, "Acme US Custom permissions Active")
	})
}

// issued creates a token with the visitor's session through the API explorer and returns the access token. An empty
// store creates an account-level token.
func (s *server) issued(v *visitor, store, name string) string {
	s.t.Helper()
	in := map[string]any{"name": name, "scopes": []string{"store_cart_read_only"}}
	if store != "" {
		in["storeId"] = store
	}
	body, err := json.Marshal(map[string]any{"variables": map[string]any{"in": in}, "query": `mutation($in: CreateApiTokenInput!) {
		apiToken { createApiToken(input: $in) { credentials { accessToken } } } }`})
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.URL+s.page("/graphiql/query"),
		bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer := v.send(r)
	_, rest, found := strings.Cut(answer.body, `"accessToken":"`)
	secret, _, _ := strings.Cut(rest, `"`)
	if !found {
		s.t.Fatalf("createApiToken: got %s, want an access token", answer.body)
	}
	return secret
}
