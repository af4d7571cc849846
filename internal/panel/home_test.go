package panel_test

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// A user signs in with only the keyboard, sees their accounts and signs out.
func TestSignInByKeyboard(t *testing.T) {
	inBrowser(t, func(t *testing.T, s *server) {
		b := s.browser(t)
		b.open("/accounts")
		b.inspect("signin")
		b.focuses("Email address")
		b.press(s.OwnerEmail)
		b.tabTo("Password")
		b.press(s.Password)
		b.enter()
		b.see("You belong to one account.")
		b.inspect("accounts")
		b.tabTo("Account menu: Acme Retail " + s.OwnerEmail)
		b.press(kb.Enter)
		b.inspect("account-menu")
		b.tabTo("Sign out")
		b.enter()
		b.see("You are signed out.")
	})
}
