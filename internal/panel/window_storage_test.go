package panel_test

import "testing"

// What somebody wrote into the API explorer is not there for whoever uses the window after them.
func TestSigningOutEmptiesTheWindow(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		b.open("/accounts")
		evaluate[string](b, "sessionStorage.setItem('kept', 'mine'), sessionStorage.getItem('kept')")
		b.open(s.page("/tokens"))
		if got := evaluate[string](b, "sessionStorage.getItem('kept')"); got != "mine" {
			t.Errorf("while signed in, %q is kept", got)
		}
		b.follow("Sign out")
		if got := evaluate[int](b, "sessionStorage.length"); got != 0 {
			t.Errorf("%d things are kept after signing out", got)
		}
	})
}
