package panel_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"latchkey/internal/test/check"
)

// In a browser: from the list to a user's page, their permissions, and their removal from the account.
func TestPeopleInABrowser(t *testing.T) {
	inBrowser(t, func(t *testing.T, s *server) {
		b := s.browser(t)
		b.signIn(s.OwnerEmail)
		s.issued(s.signedIn(s.OwnerEmail), "acme1us", "Of the owner")
		b.follow("Users")
		b.inspect("users")
		b.fill("Search by name or email address", "ben")
		b.follow("Search")
		b.see("1 user found")
		b.follow("Ben Becker")
		b.inspect("person")
		b.follow("Permissions in Acme US")
		b.choose("Role", "Sales manager")
		b.follow("Assign role")
		b.see("was updated.")
		b.inspect("place")
		b.follow("Reactivate")
		b.see("This user can work in the store.")
		b.follow("Ben Becker")
		b.follow("Transfer ownership")
		b.inspect("owner")
		b.follow("Cancel")
		b.follow("Remove from the account")
		b.see("They lose access to 1 store")
		b.inspect("person-remove")
		b.follow("Remove from the account")
		b.see("4 users")
		b.follow("Invite user")
		b.fill("Email address", "dora@acme.example")
		b.fill("Last name", "Dahl")
		b.miss("Choose a role")
		b.check("Acme US")
		b.choose("Role in Acme US", "Sales staff")
		b.inspect("invite")
		b.follow("Invite")
		b.see("Send this link to ")
		b.inspect("invited")
		b.follow("Done")
		s.expireLinks()
		b.reload()
		b.see("Invitation expired")
		b.inspect("users-expired")
	})
}

func TestAuditInABrowser(t *testing.T) {
	inBrowser(t, func(t *testing.T, s *server) {
		eventful(s)
		b := s.browser(t)
		b.signIn(s.OwnerEmail)
		b.follow("Audit log")
		b.see("Store Owner created the API token “Till one” for Acme EU")
		b.inspect("audit-all")
		b.choose("Action", "API token created")
		b.fill("User or API token", euOwner)
		b.follow("Filter")
		b.see("created the API token “Till one”")
		b.miss("Nightly export")
		b.tabTo("Clear filters")
		b.press(kb.Tab) // to the first row
		b.press(kb.Enter)
		b.see("Store Owner (" + euOwner + ")")
		b.inspect("audit")
		b.click("Export as CSV")
		if name, content := b.downloaded(); !strings.HasSuffix(name, ".csv") ||
			!strings.Contains(content, "Till one") || strings.Contains(content, "Nightly export") {
			t.Errorf("downloaded %s: %s, want a .csv file with Till one only", name, content)
		}
		b.follow("Remove the filter By: " + euOwner)
		b.see("Nightly export")
		check.Equal(t, b.at(), s.page("/audit?action=api_token.created"), "the page without the filter")
	})
}
