package panel_test

import (
	"strings"
	"testing"
)

// In a browser: from the list to a person, what they may do, and out of the account.
func TestPeopleInABrowser(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.browser(t)
		b.signIn(s.OwnerEmail)
		s.issued(s.signedIn(s.OwnerEmail), "acme1us", "Of the owner")
		b.follow("Users")
		b.look("users")
		b.fill("Search by name or e-mail address", "ben")
		b.follow("Search")
		b.see("1 person found")
		b.follow("Ben Becker")
		b.look("person")
		b.follow("Permissions in Acme US")
		b.choose("Role", "Sales manager")
		b.follow("Give this role")
		b.see("Saved, and in force already.")
		b.look("place")
		b.follow("Activate")
		b.see("This person can work in the store.")
		b.follow("Ben Becker")
		b.follow("Make an owner")
		b.look("owner")
		b.follow("Cancel")
		b.follow("Remove from the account")
		b.see("They lose their place in 1 store")
		b.look("person-remove")
		b.follow("Remove from the account")
		b.see("4 people")
	})
}

func TestAuditInABrowser(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		eventful(s)
		b := s.browser(t)
		b.signIn(s.OwnerEmail)
		b.follow("Audit log")
		b.see("created the API token Till one")
		b.choose("What was done", "API token created")
		b.fill("Person or API token", euOwner)
		b.follow("Show")
		b.see("created the API token Till one")
		b.miss("Nightly export")
		b.look("audit")
		b.click("Export as CSV")
		if name, content := b.downloaded(); !strings.HasSuffix(name, ".csv") || !strings.Contains(content, "Till one") || strings.Contains(content, "Nightly export") {
			t.Errorf("%s has %s", name, content)
		}
	})
}
