package signin_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

func (w *world) tries(email, text string, v signin.Visitor) error {
	_, err := w.signIn.Password(w.Context(), email, secret.NewPassword(text), v)
	return err
}

// Who guesses a person's password is stopped, wherever they are; the person is
// not, in a browser that they used before, and after a while anywhere.
func TestWrongPasswordsOfAPerson(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.gives(w.home.Owner)
		device, err := w.signIn.Device(w.home.Owner.ID)
		w.must(err)
		others, err := w.signIn.Device(w.home.Users[1].ID)
		w.must(err)
		for range 10 {
			w.wants(w.tries(w.home.Owner.Email, "a guess", here), fault.Unauthenticated, "")
		}
		elsewhere := visitor("198.51.100.7")
		err = w.tries(w.home.Owner.Email, phrase, elsewhere)
		w.wants(err, fault.RateLimited, "")
		if wait := signin.Wait(err); wait < 30*time.Second || wait > time.Minute+time.Second {
			w.Errorf("to wait %s", wait)
		}
		w.must(w.triesOn(device, phrase))
		number := strings.Split(device, ".")[1]
		for name, forged := range map[string]string{
			"another person's": others, "changed": device[:len(device)-1] + "x", "none": "a.b.c.d.e",
			"another": strings.Replace(device, number, strings.Repeat("0", len(number)), 1), // under the signature of the first
		} {
			if err := w.triesOn(forged, phrase); fault.KindOf(err) != fault.RateLimited {
				w.Errorf("%s browser: %v", name, err)
			}
		}
		for range 10 {
			w.wants(w.triesOn(device, "a guess"), fault.Unauthenticated, "")
		}
		w.wants(w.triesOn(device, phrase), fault.RateLimited, "")
		w.passes(time.Minute + time.Second)
		w.must(w.tries(w.home.Owner.Email, phrase, elsewhere))
		w.passes(signin.DeviceLifetime)
		for range 10 {
			w.wants(w.tries(w.home.Owner.Email, "a guess", here), fault.Unauthenticated, "")
		}
		w.wants(w.triesOn(device, phrase), fault.RateLimited, "")
	})
}

func (w *world) triesOn(device, text string) error {
	v := here
	v.Device = device
	return w.tries(w.home.Owner.Email, text, v)
}

// An address is stopped that guesses many people's, and an office that signs in
// at nine is not.
func TestWrongPasswordsFromAnAddress(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.gives(w.home.Owner)
		for range 40 {
			w.must(w.tries(w.home.Owner.Email, phrase, here))
		}
		for i := range 30 {
			w.wants(w.tries("nobody"+string(rune('a'+i))+"@acme.example", "a guess", here), fault.Unauthenticated, "")
		}
		w.wants(w.tries(w.home.Owner.Email, phrase, here), fault.RateLimited, "")
		w.must(w.tries(w.home.Owner.Email, phrase, visitor("192.0.2.2")))
		// Whoever has one address of IPv6 has all of its network.
		for i := range 30 {
			from := visitor(fmt.Sprintf("2001:db8::%x", i+1))
			w.wants(w.tries(fmt.Sprintf("somebody%d@acme.example", i), "a guess", from), fault.Unauthenticated, "")
		}
		w.wants(w.tries(w.home.Owner.Email, phrase, visitor("2001:db8::ffff")), fault.RateLimited, "")
		w.must(w.tries(w.home.Owner.Email, phrase, visitor("2001:db8:0:1::1")))
	})
}

// Guesses at the same time get no further, and right ones are all let in.
func TestAttemptsAtOnce(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.gives(w.home.Owner)
		var wrong, right atomic.Int64
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				if i%2 == 0 {
					if fault.KindOf(w.tries(w.home.Users[1].Email, "a guess", visitor("192.0.2.3"))) == fault.Unauthenticated {
						wrong.Add(1)
					}
				} else if w.tries(w.home.Owner.Email, phrase, here) == nil {
					right.Add(1)
				}
			})
		}
		all.Wait()
		if wrong.Load() != 10 || right.Load() != 20 {
			w.Errorf("%d guesses were judged, %d of 20 were let in", wrong.Load(), right.Load())
		}
	})
}

// The answer for an address that nobody has is that for a wrong password, and
// takes a hash as well.
func TestUnknownAddress(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.gives(w.home.Owner)
		hashes := w.signIn.CountHashes()
		for _, email := range []string{w.home.Owner.Email, w.home.Users[1].Email, "nobody@acme.example"} {
			before := hashes()
			err := w.tries(email, "a guess", here)
			if err == nil || err.Error() != "The e-mail address or the password is wrong." || hashes() != before+1 {
				w.Errorf("%s: %v after %d hashes", email, err, hashes()-before)
			}
		}
	})
}

func TestUnlimited(t *testing.T) {
	var told []signin.Attempt
	eachWorld(t, func(w *world) {
		for range 12 {
			w.wants(w.tries("nobody@acme.example", "a guess", here), fault.Unauthenticated, "")
		}
		if len(told) < 12 || told[0].Method != signin.ByPassword || told[0].Err == nil {
			w.Errorf("told of %+v", told)
		}
	}, func(c *signin.Config) {
		c.Unlimited = true
		c.OnAttempt = func(a signin.Attempt) { told = append(told, a) }
	})
}

// A wish for another password is limited, and answered alike.
func TestForgotLimits(t *testing.T) {
	box := make(chan user.User, 10)
	eachWorld(t, func(w *world) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.signIn.Run(w.Context(), func(err error) { w.Error(err) })
		}()
		for range 5 {
			w.must(w.signIn.Forgot(w.home.Owner.Email, here))
			w.must(w.signIn.Forgot("nobody@acme.example", here))
		}
		for range 3 {
			select {
			case got := <-box:
				if got.ID != w.home.Owner.ID {
					w.Errorf("mailed to %s", got.Email)
				}
			case <-time.After(10 * time.Second):
				w.Fatal("no mail")
			}
		}
		for range 10 {
			w.must(w.signIn.Forgot("else@acme.example", here))
		}
		w.wants(w.signIn.Forgot("else@acme.example", here), fault.RateLimited, "")
		// What comes later is done later: by now a fourth mail would have been sent.
		w.must(w.signIn.Forgot(w.home.Users[1].Email, visitor("192.0.2.2")))
		select {
		case got := <-box:
			if got.ID != w.home.Users[1].ID {
				w.Error("a fourth mail was sent")
			}
		case <-time.After(10 * time.Second):
			w.Error("no mail to another person")
		}
	}, func(c *signin.Config) { c.Mail = postbox{box, nil} })
}
