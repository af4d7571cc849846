package panel_test

import (
	"testing"

	"latchkey/internal/test/check"
)

// Text that a user wrote into the API explorer is deleted when they sign out.
func TestSigningOutEmptiesTheWindow(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		b.open("/accounts")
		evaluate[string](b, "sessionStorage.setItem('kept', 'mine'), sessionStorage.getItem('kept')")
		b.open(s.page("/tokens"))
		check.Equal(t, evaluate[string](b, "sessionStorage.getItem('kept')"), "mine", "while signed in, the storage")
		b.signOut()
		check.Equal(t, evaluate[int](b, "sessionStorage.length"), 0, "entries of the session storage")
	})
}
