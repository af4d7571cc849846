package panel_test

import (
	"net/http"
	"testing"

	"latchkey/internal/test/check"
)

// A visitor of an empty server creates the first account and opens their profile.
func TestSetupInBrowser(t *testing.T) {
	eachEmpty(t, func(t *testing.T, s *server) {
		b := s.browser(t)
		b.open(s.setup())
		b.inspect("setup")
		b.fill("Account name", "Acme Retail")
		b.fill("Store name", "Acme US")
		b.fill("First name", "Ada")
		b.fill("Last name", "Owner")
		b.fill("Email address", "ada@acme.example")
		b.fill("Password", "tiny")
		b.fill("Confirm password", "other")
		b.follow("Create the account and sign in")
		b.see("Use 8 to 256 characters.")
		b.inspect("setup-refused")
		check.Equal(t, b.value("Account name"), "Acme Retail", "the name")
		b.fill("Password", "correct horse battery")
		b.fill("Confirm password", "correct horse battery")
		b.follow("Create the account and sign in")
		b.see("Acme Retail")
		b.openAccountMenu()
		b.follow("Your profile")
		b.see("Current session")
		b.inspect("profile")
		b.open(s.setup())
		b.see("This link is not valid")
		b.inspect("setup-dead")
	})
}

// An invited user sets a password.
func TestLinkInBrowser(t *testing.T) {
	inBrowser(t, func(t *testing.T, s *server) {
		address := s.invite("nora@acme.example", "--first-name", "Nora", "--last-name", "New")
		b := s.browser(t)
		b.open(address)
		b.see("Acme Retail invited you")
		b.inspect("link")
		b.fill("Password", "correct horse battery")
		b.fill("Confirm password", "correct horse battery")
		b.follow("Set the password and sign in")
		b.await("her address", "document.getElementById('account-menu')?.textContent.includes('nora@acme.example')")
		check.Equal(t, b.open(address), http.StatusNotFound, "the link")
		b.inspect("link-dead")
		b.open("/forgot")
		b.inspect("forgot")
	})
}
