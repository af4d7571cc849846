package panel_test

import (
	"net/http"
	"testing"
)

// Somebody who finds an empty server makes the first account, and looks at who
// they are.
func TestSetupInBrowser(t *testing.T) {
	eachEmpty(t, func(t *testing.T, s *server) {
		b := s.browser(t)
		b.open(s.setup())
		b.look("setup")
		b.fill("Name of the account", "Acme Retail")
		b.fill("Name of the first store", "Acme US")
		b.fill("First name", "Ada")
		b.fill("Last name", "Owner")
		b.fill("E-mail address", "ada@acme.example")
		b.fill("Password", "tiny")
		b.fill("Password, once more", "other")
		b.follow("Make the account and sign in")
		b.see("A password has 8 to 256 characters.")
		b.look("setup-refused")
		if got := b.value("Name of the account"); got != "Acme Retail" {
			t.Errorf("the name is %q", got)
		}
		b.fill("Password", "correct horse battery")
		b.fill("Password, once more", "correct horse battery")
		b.follow("Make the account and sign in")
		b.see("Acme Retail")
		b.follow("ada@acme.example")
		b.see("This one")
		b.look("profile")
		b.open(s.setup())
		b.see("This link does not work any more")
		b.look("setup-dead")
	})
}

// Somebody who was invited chooses a password.
func TestLinkInBrowser(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		address := s.invite("nora@acme.example", "--first-name", "Nora", "--last-name", "New")
		b := s.browser(t)
		b.open(address)
		b.see("Acme Retail invites you")
		b.look("link")
		b.fill("Password", "correct horse battery")
		b.fill("Password, once more", "correct horse battery")
		b.follow("Set the password and sign in")
		b.see("nora@acme.example")
		if status := b.open(address); status != http.StatusNotFound {
			t.Errorf("the link answers %d", status)
		}
		b.look("link-dead")
		b.open("/forgot")
		b.look("forgot")
	})
}
