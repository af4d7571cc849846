package signin_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// notices records the mailed notices.
type notices struct {
	postbox

	sent *[]sentNotice
	err  error
}

type sentNotice struct {
	to string
	signin.Notice
}

func (n notices) Notify(_ context.Context, to user.User, what signin.Notice) error {
	*n.sent = append(*n.sent, sentNotice{to.Email, what})
	return n.err
}

// mailed returns what has been mailed since the last call.
func (w *fixture) mailed(sent *[]sentNotice) (all []audit.Action) {
	w.Helper()
	w.signIn.SendNotices(w.Context())
	for _, n := range *sent {
		all = append(all, n.Action)
		if n.to != w.home.Owner.Email || n.Address != "https://keys.example/profile/security" ||
			n.IP != here.Origin.IP || !n.At.Equal(clock.Timestamp(w.Clock.Now())) {
			w.Errorf("mailed: got %+v, want it to %s, from %s, now", n, w.home.Owner.Email, here.Origin.IP)
		}
	}
	*sent = nil
	return all
}

// Each sign-in in an unknown browser, and each change to how a user signs in,
// is mailed to them once.
func TestNotices(t *testing.T) {
	var sent []sentNotice
	eachOracle(t, func(w *fixture, o *oracle) {
		sent = nil
		by := owner(w.home)
		expectNotices := func(doing string, want ...audit.Action) {
			w.Helper()
			if got := w.mailed(&sent); !slices.Equal(got, want) {
				w.Errorf("%s: mailed are %v, want %v", doing, got, want)
			}
		}
		must := func(err error, doing string, want ...audit.Action) {
			w.Helper()
			w.must(err)
			expectNotices(doing, want...)
		}
		chosen := "an altogether different phrase"
		link := func() string {
			l, err := w.signIn.Invite(w.Context(), operator(w.home),
				signin.Invitee{Details: user.Details{Email: w.home.Owner.Email}, Show: true})
			w.must(err)
			return secretIn(l.Address)
		}
		must(w.redeems(link()), "a first password", audit.PasswordSet)
		session := w.begins(w.home.Owner, w.home.Account.ID)
		expectNotices("a sign-in", audit.SessionStarted)
		must(w.signIn.ChangePassword(w.Context(), session, secret.NewPassword(phrase), twice(chosen), here),
			"a changed password", audit.PasswordSet)
		w.wants(w.signIn.ChangePassword(w.Context(), session, secret.NewPassword("wrong"), twice(chosen), here),
			fault.Unauthenticated, "")
		expectNotices("a wrong password")

		device, err := w.signIn.Device(w.Context(), w.home.Owner.ID)
		w.must(err)
		known := here
		known.Device = device
		_, _, err = w.signIn.Begin(w.Context(), w.proof(w.home.Owner), w.home.Account.ID, known)
		must(err, "a sign-in in a known browser")

		app, codes := w.adds()
		expectNotices("a new app", audit.TOTPEnabled)
		w.Clock.Advance(time.Minute)
		must(w.enters(w.owes(), w.shown(app, 0)), "a code")
		must(w.enters(w.owes(), codes[0].Reveal()), "a recovery code", audit.RecoveryCodeUsed)
		w.Clock.Advance(time.Minute)
		_, err = w.signIn.RenewCodes(w.Context(), by, w.shown(app, 0), here)
		must(err, "new recovery codes", audit.RecoveryCodesRenewed)
		w.wants(w.signIn.DisableTOTP(w.Context(), by, "000 000", here), fault.Invalid, "code")
		w.Clock.Advance(time.Minute)
		must(w.signIn.DisableTOTP(w.Context(), by, w.shown(app, 0), here), "no app", audit.TOTPDisabled)

		w.registers(by, "A name that a user typed")
		expectNotices("a new passkey", audit.PasskeyAdded)
		_, err = w.comes(o, by, signin.ToLink, signin.Claims{Subject: "1"})
		must(err, "a linked sign-in", audit.IdentityLinked)
		_, err = w.comes(o, by, signin.ToLink, signin.Claims{Subject: "1"})
		must(err, "the same once more")
		all, err := w.signIn.Security(w.Context(), by)
		w.must(err)
		must(w.signIn.Remove(w.Context(), by, all.Passkeys[0].ID), "no passkey", audit.PasskeyRemoved)
		must(w.signIn.Remove(w.Context(), by, all.Identities[0].ID), "no linked sign-in", audit.IdentityUnlinked)
		w.wants(w.signIn.Remove(w.Context(), by, all.Identities[0].ID), fault.NotFound, "")
		expectNotices("nothing to remove")
	}, func(c *signin.Config) { c.Mail = notices{sent: &sent} })
}

// The operator's changes are mailed as well, and so is the removal of factors
// that others may know.
func TestNoticesOfTheOperator(t *testing.T) {
	var sent []sentNotice
	eachFixture(t, func(w *fixture) {
		sent = nil
		w.gives(w.home.Owner)
		w.adds()
		w.registers(owner(w.home), "Telephone")
		_, err := w.signIn.ResetFactors(w.Context(), operator(w.home), w.home.Owner.Email)
		w.must(err)
		w.signIn.SendNotices(w.Context())
		var got []audit.Action
		for _, n := range sent {
			got = append(got, n.Action)
			if operators := n.Action != audit.TOTPEnabled &&
				n.Action != audit.PasskeyAdded; n.IP.IsValid() == operators {
				w.Errorf("%s: got the address %s, want none if by an operator: %t", n.Action, n.IP, operators)
			}
		}
		if want := []audit.Action{audit.PasswordSet, audit.TOTPEnabled, audit.PasskeyAdded, audit.TOTPDisabled,
			audit.PasskeyRemoved}; !slices.Equal(got, want) {
			w.Errorf("mailed: got %v, want %v", got, want)
		}
	}, func(c *signin.Config) { c.Mail = notices{sent: &sent} })
}

// When a user's failed attempts reach the ceiling, they get a notice once a
// day: one for passwords and one for codes.
func TestNoticeOfTheCeiling(t *testing.T) {
	var sent []sentNotice
	eachFixture(t, func(w *fixture) {
		w.gives(w.home.Owner)
		app, _ := w.adds()
		w.drops(&sent)
		for what, fail := range map[string]func(signin.Visitor) error{
			"passwords": func(v signin.Visitor) error {
				_, err := w.signIn.VerifyPassword(w.Context(), w.home.Owner.Email, secret.NewPassword("wrong"), v)
				return err
			},
			"codes": func(v signin.Visitor) error {
				_, _, err := w.signIn.FinishCode(w.Context(), w.owes(), wrong(w.shown(app, 0)), v)
				return err
			},
		} {
			// Ten failures in each of two browsers, and one an hour later in
			// another.
			browsers, at := []signin.Visitor{w.device(), w.device(), w.device()}, []int(nil)
			for n := 1; n <= 21; n++ {
				if n == 21 {
					w.Clock.Advance(time.Hour)
				}
				if err := fail(browsers[(n-1)/10]); fault.KindOf(err) != fault.Unauthenticated &&
					fault.KindOf(err) != fault.Invalid {
					w.Fatalf("%s, attempt %d: got error %v, want kind %s or %s",
						what, n, err, fault.Unauthenticated, fault.Invalid)
				}
				w.signIn.SendNotices(w.Context())
				for _, each := range sent {
					at = append(at, n)
					if each.Action != audit.SignInFailed || each.to != w.home.Owner.Email || each.IP != here.Origin.IP {
						w.Errorf("mailed: got %+v, want %s to %s from %s",
							each, audit.SignInFailed, w.home.Owner.Email, here.Origin.IP)
					}
				}
				sent = nil
			}
			if !slices.Equal(at, []int{20}) {
				w.Errorf("%s: mailed after failures %v, want only after the 20th", what, at)
			}
		}
	}, func(c *signin.Config) { c.Mail = notices{sent: &sent} })
}

// device is a browser in which the owner at home has signed in.
func (w *fixture) device() signin.Visitor {
	w.Helper()
	v := here
	var err error
	v.Device, err = w.signIn.Device(w.Context(), w.home.Owner.ID)
	w.must(err)
	return v
}

// wrong returns a code that differs from the given one.
func wrong(code string) string {
	return strings.Map(func(r rune) rune { return '0' + (r-'0'+5)%10 }, code)
}

// drops discards the notices so far.
func (w *fixture) drops(sent *[]sentNotice) {
	w.signIn.SendNotices(w.Context())
	*sent = nil
}

// Notices to a user are limited, a full queue blocks no request, and dropped
// notices are reported once.
func TestNoticesAreBounded(t *testing.T) {
	var sent []sentNotice
	eachFixture(t, func(w *fixture) {
		sent = nil
		w.gives(w.home.Owner)
		w.drops(&sent)
		for range 150 {
			w.begins(w.home.Owner, w.home.Account.ID)
		}
		if w.signIn.SendNotices(w.Context()); len(sent) != 19 {
			w.Errorf("mails to one user: got %d, want 20", len(sent)+1)
		}
		w.Clock.Advance(24 * time.Hour)
		sent = nil
		w.begins(w.home.Owner, w.home.Account.ID)
		if w.signIn.SendNotices(w.Context()); len(sent) != 1 {
			w.Errorf("mails a day later: got %d, want 1", len(sent))
		}

		var reported []string
		service := w.service(func(c *signin.Config) {
			c.Mail = notices{sent: &sent, err: errors.New("550 no")}
			c.OnMailFailed = func(_ context.Context, err error) { reported = append(reported, err.Error()) }
		})
		service.FillNotices(w.home.Owner.ID)
		w.must(service.SetPassword(w.Context(), operator(w.home), w.home.Owner.Email, secret.NewPassword(phrase)))
		w.must(service.SetPassword(w.Context(), operator(w.home), w.home.Users[1].Email, secret.NewPassword(phrase)))
		service.SendNotices(w.Context())
		dropped := 0
		for _, text := range reported {
			dropped += strings.Count(text, "2 notices to users were dropped")
		}
		if dropped != 1 || len(reported) != 100 {
			w.Errorf("reports: got %d of %d of dropped notices, want 1 of 100", dropped, len(reported))
		}
	}, func(c *signin.Config) { c.Mail = notices{sent: &sent} })
}

// Without mail, no notice is queued.
func TestNoNoticesWithoutMail(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		w.gives(w.home.Owner)
		w.begins(w.home.Owner, w.home.Account.ID)
		w.adds()
		check.Equal(w, w.signIn.WaitingNotices(), 0, "notices that wait")
		w.signIn.SendNotices(w.Context())
	})
}

// What an account does with the passwords that it chose for an address, it does
// not use up the notices of the person with the address.
func TestAccountsCannotUseUpNotices(t *testing.T) {
	var sent []sentNotice
	eachFixture(t, func(w *fixture) {
		sent = nil
		w.gives(w.home.Owner)
		w.drops(&sent)
		_, err := w.Users.CreateWithPassword(w.Context(), owner(w.away),
			user.Details{Email: w.home.Owner.Email, FirstName: "Nora", LastName: "New", Locale: "en"},
			twice("chosen by the other account"))
		w.must(err)
		for range 7 {
			who, err := w.signIn.VerifyPassword(w.Context(), w.home.Owner.Email,
				secret.NewPassword("chosen by the other account"), here)
			w.must(err)
			_, _, err = w.signIn.Begin(w.Context(), who, w.away.Account.ID, here)
			w.must(err)
		}
		if w.signIn.SendNotices(w.Context()); len(sent) != 5 {
			w.Errorf("mails about another account's actions: got %d, want 5", len(sent))
		}
		sent = nil
		w.begins(w.home.Owner, w.home.Account.ID)
		if got := w.mailed(&sent); !slices.Equal(got, []audit.Action{audit.SessionStarted}) {
			w.Errorf("mailed: got %v, want only %s", got, audit.SessionStarted)
		}
	}, func(c *signin.Config) { c.Mail = notices{sent: &sent} })
}

// A stopping server mails the queued notices.
func TestNoticesAreMailedAtTheEnd(t *testing.T) {
	var sent []sentNotice
	eachFixture(t, func(w *fixture) {
		sent = nil
		w.gives(w.home.Owner)
		ctx, stop := context.WithCancel(w.Context())
		stop()
		w.signIn.Run(ctx)
		if len(sent) != 1 || w.signIn.WaitingNotices() != 0 {
			w.Errorf("mailed: got %+v, with %d waiting, want 1 and none", sent, w.signIn.WaitingNotices())
		}
	}, func(c *signin.Config) { c.Mail = notices{sent: &sent} })
}
