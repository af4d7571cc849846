package signin_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

func (w *fixture) tries(email, text string, v signin.Visitor) error {
	_, err := w.signIn.VerifyPassword(w.Context(), email, secret.NewPassword(text), v)
	return err
}

// Wrong passwords for a user are limited from every address. The user is not,
// in a browser that they used before, and not after a while elsewhere.
func TestWrongPasswordsOfAPerson(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		w.gives(w.home.Owner)
		device, err := w.signIn.Device(w.Context(), w.home.Owner.ID)
		w.must(err)
		others, err := w.signIn.Device(w.Context(), w.home.Users[1].ID)
		w.must(err)
		for range 10 {
			w.wants(w.tries(w.home.Owner.Email, "a guess", here), fault.Unauthenticated, "")
		}
		elsewhere := visitor("198.51.100.7")
		err = w.tries(w.home.Owner.Email, phrase, elsewhere)
		w.wants(err, fault.RateLimited, "")
		if wait := signin.Wait(err); wait < 30*time.Second || wait > time.Minute+time.Second {
			w.Errorf("Wait() = %s, want 30 seconds to a minute", wait)
		}
		w.must(w.triesOn(device, phrase))
		number := strings.Split(device, ".")[1]
		for name, forged := range map[string]string{
			"another person's": others, "changed": device[:len(device)-1] + "x", "none": "a.b.c.d.e",
			// With the signature of the first.
			"another": strings.Replace(device, number, strings.Repeat("0", len(number)), 1),
		} {
			if err := w.triesOn(forged, phrase); fault.KindOf(err) != fault.RateLimited {
				w.Errorf("%s browser: got error %v, want kind %s", name, err, fault.RateLimited)
			}
		}
		for range 10 {
			w.wants(w.triesOn(device, "a guess"), fault.Unauthenticated, "")
		}
		w.wants(w.triesOn(device, phrase), fault.RateLimited, "")
		w.Clock.Advance(time.Minute + time.Second)
		w.must(w.tries(w.home.Owner.Email, phrase, elsewhere))
		w.Clock.Advance(signin.DeviceLifetime)
		for range 10 {
			w.wants(w.tries(w.home.Owner.Email, "a guess", here), fault.Unauthenticated, "")
		}
		w.wants(w.triesOn(device, phrase), fault.RateLimited, "")
	})
}

func (w *fixture) triesOn(device, text string) error {
	v := here
	v.Device = device
	return w.tries(w.home.Owner.Email, text, v)
}

// An address that guesses many users' passwords is limited, and an office whose
// users sign in at the same time is not.
func TestWrongPasswordsFromAnAddress(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		w.gives(w.home.Owner)
		for range 40 {
			w.must(w.tries(w.home.Owner.Email, phrase, here))
		}
		for i := range 30 {
			w.wants(w.tries("nobody"+string(rune('a'+i))+"@acme.example", "a guess", here), fault.Unauthenticated, "")
		}
		w.wants(w.tries(w.home.Owner.Email, phrase, here), fault.RateLimited, "")
		w.must(w.tries(w.home.Owner.Email, phrase, visitor("192.0.2.2")))
		// The holder of one IPv6 address has all of its network.
		for i := range 30 {
			from := visitor(fmt.Sprintf("2001:db8::%x", i+1))
			w.wants(w.tries(fmt.Sprintf("somebody%d@acme.example", i), "a guess", from), fault.Unauthenticated, "")
		}
		w.wants(w.tries(w.home.Owner.Email, phrase, visitor("2001:db8::ffff")), fault.RateLimited, "")
		w.must(w.tries(w.home.Owner.Email, phrase, visitor("2001:db8:0:1::1")))
	})
}

// Concurrent guesses get no further than sequential ones, and concurrent
// correct passwords all succeed.
func TestAttemptsAtOnce(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		w.gives(w.home.Owner)
		var wrong, right atomic.Int64
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				if i%2 == 0 {
					if fault.KindOf(w.tries(w.home.Users[1].Email, "a guess",
						visitor("192.0.2.3"))) == fault.Unauthenticated {
						wrong.Add(1)
					}
				} else if w.tries(w.home.Owner.Email, phrase, here) == nil {
					right.Add(1)
				}
			})
		}
		all.Wait()
		if wrong.Load() != 10 || right.Load() != 20 {
			w.Errorf("guesses: %d were judged and %d signed in, want 10 and 20", wrong.Load(), right.Load())
		}
	})
}

// An unknown address gets the same answer as a wrong password, and computes a
// hash as well.
func TestUnknownAddress(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		w.gives(w.home.Owner)
		hashes := w.signIn.CountHashes()
		for _, email := range []string{w.home.Owner.Email, w.home.Users[1].Email, "nobody@acme.example"} {
			before := hashes()
			err := w.tries(email, "a guess", here)
			if err == nil || err.Error() != "The email address or the password is wrong." || hashes() != before+1 {
				w.Errorf("%s: got error %v after %d hashes, want the same error after 1", email, err, hashes()-before)
			}
		}
	})
}

func TestUnlimited(t *testing.T) {
	var reported []signin.Attempt
	eachFixture(t, func(w *fixture) {
		for range 12 {
			w.wants(w.tries("nobody@acme.example", "a guess", here), fault.Unauthenticated, "")
		}
		if len(reported) < 12 || reported[0].Method != signin.ByPassword || reported[0].Err == nil {
			w.Errorf("reported: got %+v, want 12 failed attempts by password at least", reported)
		}
	}, func(c *signin.Config) {
		c.Unlimited = true
		c.OnAttempt = func(_ context.Context, a signin.Attempt) { reported = append(reported, a) }
	})
}

// Password reset requests are limited, with the same answer.
func TestForgotLimits(t *testing.T) {
	box := make(chan user.User, 10)
	eachFixture(t, func(w *fixture) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.signIn.Run(w.Context())
		}()
		for range 5 {
			w.must(w.signIn.Forgot(w.home.Owner.Email, here))
			w.must(w.signIn.Forgot("nobody@acme.example", here))
		}
		for range 3 {
			select {
			case got := <-box:
				if got.ID != w.home.Owner.ID {
					w.Errorf("mailed to %s, want %s", got.Email, w.home.Owner.Email)
				}
			case <-time.After(10 * time.Second):
				w.Fatal("no mail, want one within 10 seconds")
			}
		}
		for range 10 {
			w.must(w.signIn.Forgot("else@acme.example", here))
		}
		w.wants(w.signIn.Forgot("else@acme.example", here), fault.RateLimited, "")
		// Requests run in order, so a fourth mail would have been sent by now.
		w.must(w.signIn.Forgot(w.home.Users[1].Email, visitor("192.0.2.2")))
		select {
		case got := <-box:
			if got.ID != w.home.Users[1].ID {
				w.Errorf("mailed to %s, want %s, and no fourth mail", got.Email, w.home.Users[1].Email)
			}
		case <-time.After(10 * time.Second):
			w.Error("no mail to another user, want one within 10 seconds")
		}
	}, func(c *signin.Config) { c.Mail = postbox{box, nil} })
}

// A known browser becomes unknown after ten failures and when the password
// changes. All of a user's known browsers share a ceiling, so an attacker gains
// nothing by collecting them.
func TestHoardedBrowsers(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		w.gives(w.home.Owner)
		hoard := make([]string, 25)
		for i := range hoard {
			var err error
			hoard[i], err = w.signIn.Device(w.Context(), w.home.Owner.ID)
			w.must(err)
		}
		judged := 0
		for i := range 250 {
			if err := w.triesOn(hoard[i%len(hoard)], "a guess"); fault.KindOf(err) == fault.Unauthenticated {
				judged++
			}
		}
		if judged > 30 { // 20 of all known browsers, 10 of the others
			w.Errorf("guesses judged: got %d, want 30 at most", judged)
		}
		w.Clock.Advance(100 * time.Hour)
		w.must(w.triesOn(hoard[0], phrase))
		w.gives(w.home.Owner) // the same text is another password
		for range 10 {
			w.wants(w.tries(w.home.Owner.Email, "a guess", here), fault.Unauthenticated, "")
		}
		w.wants(w.triesOn(hoard[1], phrase), fault.RateLimited, "")
	})
}

// A user's password can be guessed at most a hundred times in a row, over any
// time and from any number of addresses. A success resets the count, and
// guesses from other browsers do not block a known one.
func TestCeilingOfAPerson(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		w.gives(w.home.Owner)
		device, err := w.signIn.Device(w.Context(), w.home.Owner.ID)
		w.must(err)
		guess := func() (judged int) {
			for i := range 200 {
				if fault.KindOf(w.tries(w.home.Owner.Email, "a guess",
					visitor(fmt.Sprintf("198.51.100.%d", i)))) == fault.Unauthenticated {
					judged++
				}
				w.Clock.Advance(time.Minute)
			}
			return judged
		}
		if n := guess(); n < 80 || n > 84 { // one more in each hour
			w.Errorf("guesses judged: got %d, want 80 to 84", n)
		}
		w.must(w.triesOn(device, phrase))
		if n := guess(); n < 80 || n > 84 {
			w.Errorf("guesses judged after a success: got %d, want 80 to 84", n)
		}
	})
}

// An invalid address costs no hash and is not stored, and what is stored for
// others does not grow with their length.
func TestNoAddress(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		hashes := w.signIn.CountHashes()
		for _, email := range []string{strings.Repeat("a", 1<<20) + "@acme.example", "", "nobody", "a@b\x00c.example",
			"\xff@acme.example"} {
			for range 20 {
				w.wants(w.tries(email, "a guess", here), fault.Unauthenticated, "")
			}
		}
		check.Equal(w, hashes(), 0, "passwords compared")
		w.gives(w.home.Owner)
		w.must(w.tries(w.home.Owner.Email, phrase, here))
	})
}

// With only the password, an attacker cannot block the user's codes in a known
// browser, nor their recovery codes anywhere.
func TestCodesAreNotLockedOut(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		w.gives(w.home.Owner)
		app, recovery := w.adds()
		w.Clock.Advance(time.Minute)
		device, err := w.signIn.Device(w.Context(), w.home.Owner.ID)
		w.must(err)
		for i := range 40 {
			_, _, err = w.signIn.FinishCode(w.Context(), w.owes(), "123456", visitor(fmt.Sprintf("198.51.100.%d", i)))
		}
		w.wants(err, fault.RateLimited, "")
		for range 40 {
			_, _, err = w.signIn.FinishCode(w.Context(), w.owes(), "no-recovery-code", visitor("198.51.100.1"))
		}
		w.wants(err, fault.RateLimited, "")
		known := here
		known.Device = device
		_, _, err = w.signIn.FinishCode(w.Context(), w.owes(), w.shown(app, 0), known)
		w.must(err)
		_, _, err = w.signIn.FinishCode(w.Context(), w.owes(), recovery[0].Reveal(), here)
		w.must(err)
	})
}

// Every sign-in method is counted.
func TestAttemptsAreCounted(t *testing.T) {
	reported := map[signin.Method]int{}
	eachFixture(t, func(w *fixture) {
		clear(reported)
		w.gives(w.home.Owner)
		w.adds()
		w.wants(w.enters(w.owes(), "123456"), fault.Invalid, "code")
		_, err := w.signIn.FinishPasskey(w.Context(), "", "{}", here)
		w.refused(err, signin.ReasonEnded)
		if reported[signin.ByPasswordAndCode] != 1 || reported[signin.ByPasskey] != 1 {
			w.Errorf("reported: got %v, want 1 by code and 1 by passkey", reported)
		}
	}, func(c *signin.Config) {
		c.OnAttempt = func(_ context.Context, a signin.Attempt) { reported[a.Method]++ }
	})
}
