package signin_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

const chosen = "a phrase that the account chose"

// vouches lets the away account choose a password for the address of home's
// owner, who has one of their own.
func (w *fixture) vouches() {
	w.Helper()
	w.signIn.CacheHashes()
	w.gives(w.home.Owner)
	_, err := w.Users.CreateWithPassword(w.Context(), owner(w.away),
		user.Details{Email: w.home.Owner.Email, FirstName: "X", LastName: "Y", Locale: "en"}, twice(chosen))
	w.must(err)
}

// knows signs in with the password that the account chose, and returns the
// device cookie.
func (w *fixture) knows(v signin.Visitor) (device string) {
	w.Helper()
	proof, err := w.signIn.VerifyPassword(w.Context(), w.home.Owner.Email, secret.NewPassword(chosen), v)
	w.must(err)
	if proof.User.ID == w.home.Owner.ID {
		w.Fatal("the password that the account chose is the owner's, want another user's")
	}
	device, err = w.signIn.Device(w.Context(), proof.User.ID)
	w.must(err)
	return device
}

// An account that chose a password for an address cannot guess the person's own
// by signing in between the guesses, with or without its device cookie.
func TestGuessesBetweenSuccesses(t *testing.T) {
	for _, withCookie := range []bool{true, false} {
		t.Run(fmt.Sprintf("cookie %t", withCookie), func(t *testing.T) {
			eachFixture(t, func(w *fixture) {
				w.vouches()
				mine, err := w.signIn.Device(w.Context(), w.home.Owner.ID)
				w.must(err)
				judged := 0
				for round := range 120 {
					from := visitor(fmt.Sprintf("198.51.100.%d", round))
					device := w.knows(from)
					if withCookie {
						from.Device = device
					}
					for range 3 {
						if err := w.tries(w.home.Owner.Email, "a guess",
							from); fault.KindOf(err) == fault.Unauthenticated {
							judged++
						} else {
							w.wants(err, fault.RateLimited, "")
						}
					}
					if round == 3 && judged > 10 {
						w.Errorf("guesses judged at once: got %d, want 10 at most", judged)
					}
					w.Clock.Advance(time.Minute)
				}
				if judged == 0 || judged > 100 {
					w.Errorf("guesses judged in two hours: got %d, want 1 to 100", judged)
				}
				// The one of the last minute.
				w.wants(w.tries(w.home.Owner.Email, "a guess", here), fault.Unauthenticated, "")
				w.wants(w.tries(w.home.Owner.Email, phrase, here), fault.RateLimited, "")
				w.must(w.triesOn(mine, phrase)) // the person's own browser
			})
		})
	}
}

// The device cookie of one password's user gives no attempts on the other
// password of the address, and a success with one does not reset the failures
// of the other.
func TestPasswordsOfAnAddressAreCountedApart(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		w.vouches()
		theirs := here
		theirs.Device = w.knows(here) // the first attempt on the person's own password
		for range 9 {
			w.wants(w.tries(w.home.Owner.Email, "a guess", here), fault.Unauthenticated, "")
		}
		w.wants(w.tries(w.home.Owner.Email, phrase, theirs), fault.RateLimited, "")
		w.must(w.tries(w.home.Owner.Email, chosen, theirs))
		w.wants(w.tries(w.home.Owner.Email, phrase, theirs), fault.RateLimited, "")
		mine, err := w.signIn.Device(w.Context(), w.home.Owner.ID)
		w.must(err)
		for range 5 {
			w.must(w.triesOn(mine, phrase))
		}
		w.wants(w.tries(w.home.Owner.Email, chosen, here), fault.RateLimited, "")
		w.Clock.Advance(10 * time.Minute)
		w.must(w.tries(w.home.Owner.Email, phrase, here))
		w.must(w.tries(w.home.Owner.Email, chosen, here))
	})
}
