package signin_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
)

// adds adds an authenticator app for the owner at home, and returns its secret
// and the recovery codes.
func (w *fixture) adds() (string, []secret.Password) {
	w.Helper()
	return w.enrols(owner(w.home))
}

// enrols adds an authenticator app for the principal.
func (w *fixture) enrols(by *auth.Principal) (string, []secret.Password) {
	w.Helper()
	flow, err := w.signIn.BeginTOTP(w.Context(), by)
	w.must(err)
	shown, err := w.signIn.PendingTOTP(w.Context(), by, flow.Reveal())
	w.must(err)
	app := bare(shown.Secret)
	codes, err := w.signIn.EnableTOTP(w.Context(), by, flow.Reveal(), w.shown(app, 0))
	w.must(err)
	return app, codes
}

// bare returns a secret as apps store it, without the groups.
func bare(text string) string { return strings.ReplaceAll(text, " ", "") }

// shown returns the code that the app shows the given number of steps from now.
func (w *fixture) shown(app string, steps int) string {
	w.Helper()
	code, err := totp.GenerateCode(app, w.Clock.Now().Add(time.Duration(steps)*30*time.Second))
	w.must(err)
	return code
}

// owes returns a flow of the owner at home, who has entered the password.
func (w *fixture) owes() string {
	w.Helper()
	flow, err := w.signIn.BeginCode(w.Context(), w.proof(w.home.Owner), "/next")
	w.must(err)
	return flow.Reveal()
}

func (w *fixture) enters(flow, code string) error {
	_, _, err := w.signIn.FinishCode(w.Context(), flow, code, here)
	return err
}

// refused fails the test unless err is a refusal for this reason.
func (w *fixture) refused(err error, want signin.Reason) {
	w.Helper()
	var refused *signin.Refused
	if !errors.As(err, &refused) || refused.Reason != want {
		w.Errorf("got %v, want %s", err, want)
	}
}

func TestCode(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		app, _ := w.adds()
		w.Clock.Advance(10 * time.Minute)
		for _, method := range []signin.Method{signin.ByPassword, signin.ByLink, signin.ByPasskey, signin.ByProvider} {
			needs, err := w.signIn.NeedsCode(w.Context(), w.home.Owner.ID, method)
			w.must(err)
			if want := method == signin.ByPassword || method == signin.ByLink; needs != want {
				w.Errorf("NeedsCode() after %s = %t, want %t", method, needs, want)
			}
		}
		_, _, err := w.signIn.Begin(w.Context(), w.proof(w.home.Owner), w.home.Account.ID, here)
		w.wants(err, fault.Forbidden, "")

		flow := w.owes()
		w.wants(w.enters(flow, w.shown(app, -2)), fault.Invalid, "code")
		w.wants(w.enters(flow, w.shown(app, 2)), fault.Invalid, "code")
		w.wants(w.enters(flow, "12345"), fault.Invalid, "code")
		w.wants(w.enters(flow, ""), fault.Invalid, "code")
		who, pending, err := w.signIn.FinishCode(w.Context(), flow, w.shown(app, 0), here)
		w.must(err)
		if who.User.ID != w.home.Owner.ID || who.Method != signin.ByPasswordAndCode || pending.Next != "/next" {
			w.Errorf("Code() = %s by %s, %+v, want %s by %s, then /next",
				who.User.Email, who.Method, pending, w.home.Owner.Email, signin.ByPasswordAndCode)
		}
		w.refused(w.enters(flow, w.shown(app, 1)), signin.ReasonEnded)
		w.wants(w.enters(w.owes(), w.shown(app, 0)), fault.Invalid, "code")
		w.wants(w.enters(w.owes(), w.shown(app, -1)), fault.Invalid, "code") // before the used one
		w.must(w.enters(w.owes(), w.shown(app, 1)))
		if _, _, err := w.signIn.Begin(w.Context(), who, w.home.Account.ID, here); err != nil {
			w.Error(err)
		}

		slow := w.owes()
		w.Clock.Advance(10*time.Minute + time.Second)
		w.refused(w.enters(slow, w.shown(app, 0)), signin.ReasonEnded)
	})
}

// Of concurrent sign-ins with one code, one succeeds.
func TestCodeAtOnce(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		app, recovery := w.adds()
		w.Clock.Advance(time.Minute)
		for name, code := range map[string]string{"code": w.shown(app, 0), "recovery code": recovery[0].Reveal()} {
			const racers = 4
			var flows [racers]string
			for i := range flows {
				flows[i] = w.owes()
			}
			var in atomic.Int32
			var all sync.WaitGroup
			for _, flow := range flows {
				all.Go(func() {
					switch err := w.enters(flow, code); fault.KindOf(err) {
					case "":
						in.Add(1)
					case fault.Invalid:
					default:
						w.Errorf("a code that was used: got error %v, want kind %s", err, fault.Invalid)
					}
				})
			}
			all.Wait()
			check.Equal(w, in.Load(), 1, "sign-ins by one %s", name)
		}
		check.Equal(w, w.countEvents(w.home, audit.RecoveryCodeUsed), 1, "recovery codes in the log")
	})
}

// Of concurrent calls that finish one flow, one succeeds.
func TestFlowAtOnce(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		_, recovery := w.adds()
		flow := w.owes()
		var in atomic.Int32
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				if err := w.enters(flow, recovery[i].Reveal()); err == nil {
					in.Add(1)
				}
			})
		}
		all.Wait()
		check.Equal(w, in.Load(), 1, "sign-ins by one flow")
	})
}

func TestRecoveryCodes(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		app, codes := w.adds()
		if len(codes) != signin.RecoveryCodes {
			w.Fatalf("recovery codes: got %d, want %d", len(codes), signin.RecoveryCodes)
		}
		others, err := w.signIn.BeginCode(w.Context(), w.proof(w.away.Owner), "")
		w.must(err)
		w.wants(w.enters(others.Reveal(), codes[3].Reveal()), fault.Invalid, "code")
		w.must(w.enters(w.owes(), "  "+strings.ToUpper(strings.ReplaceAll(codes[3].Reveal(), "-", " "))+" "))
		w.wants(w.enters(w.owes(), codes[3].Reveal()), fault.Invalid, "code")
		renewed, err := w.signIn.RenewCodes(w.Context(), owner(w.home), codes[5].Reveal(), here)
		w.must(err)
		w.wants(w.enters(w.owes(), codes[4].Reveal()), fault.Invalid, "code")
		w.must(w.enters(w.owes(), renewed[0].Reveal()))
		all, err := w.signIn.Security(w.Context(), owner(w.home))
		w.must(err)
		if all.RecoveryCodes != 9 || all.TOTPSince.IsZero() {
			w.Errorf("Security() = %+v, want 9 recovery codes and the app", all)
		}

		w.must(w.signIn.DisableTOTP(w.Context(), owner(w.home), renewed[1].Reveal(), here))
		w.wants(w.signIn.DisableTOTP(w.Context(), owner(w.home), renewed[2].Reveal(), here), fault.NotFound, "")
		_, err = w.signIn.RenewCodes(w.Context(), owner(w.home), renewed[2].Reveal(), here)
		w.wants(err, fault.NotFound, "")
		w.wants(w.enters(w.owes(), w.shown(app, 0)), fault.NotFound, "")
		for action, want := range map[audit.Action]int{
			audit.TOTPEnabled: 1, audit.TOTPDisabled: 1, audit.RecoveryCodesRenewed: 1, audit.RecoveryCodeUsed: 4,
		} {
			check.Equal(w, w.countEvents(w.home, action), want, "events %s", action)
		}
	})
}

// A session is not enough to turn off the second factor. It takes an unused
// code, with the same limit of attempts as at sign-in.
func TestChangingTheAppTakesACode(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		app, codes := w.adds()
		w.Clock.Advance(10 * time.Minute)
		other, _ := w.enrols(owner(w.away))
		by := owner(w.home)
		changes := map[string]func(code string) error{
			"remove": func(code string) error { return w.signIn.DisableTOTP(w.Context(), by, code, here) },
			"renew": func(code string) error {
				_, err := w.signIn.RenewCodes(w.Context(), by, code, here)
				return err
			},
		}
		w.must(w.enters(w.owes(), w.shown(app, 0)))
		for _, change := range changes {
			for _, code := range []string{"", "1234", w.shown(app, 0), w.shown(app, 2), w.shown(other, 1)} {
				w.wants(change(code), fault.Invalid, "code")
			}
		}
		w.Clock.Advance(10 * time.Minute)
		w.must(changes["renew"](w.shown(app, 0)))
		w.wants(changes["remove"](codes[0].Reveal()), fault.Invalid, "code") // a replaced code
		w.wants(changes["remove"](w.shown(app, 0)), fault.Invalid, "code")
		var err error
		for range 15 {
			err = changes["remove"]("123456")
		}
		w.wants(err, fault.RateLimited, "")
		w.Clock.Advance(10 * time.Minute)
		w.must(changes["remove"](w.shown(app, 0)))
		if needs, err := w.signIn.NeedsCode(w.Context(), w.home.Owner.ID, signin.ByPassword); needs || err != nil {
			w.Errorf("NeedsCode() after the app was removed = %t, %v, want false", needs, err)
		}
	})
}

func TestAddingAnApp(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		by, other := owner(w.home), owner(w.away)
		flow, err := w.signIn.BeginTOTP(w.Context(), by)
		w.must(err)
		shown, err := w.signIn.PendingTOTP(w.Context(), by, flow.Reveal())
		w.must(err)
		if !strings.HasPrefix(string(shown.Picture), "\x89PNG") {
			w.Errorf("the picture: got %d bytes of another format, want a PNG", len(shown.Picture))
		}
		app := strings.ReplaceAll(shown.Secret, " ", "")
		_, err = w.signIn.PendingTOTP(w.Context(), other, flow.Reveal())
		w.refused(err, signin.ReasonEnded)
		_, err = w.signIn.EnableTOTP(w.Context(), other, flow.Reveal(), w.shown(app, 0))
		w.refused(err, signin.ReasonEnded)
		_, err = w.signIn.EnableTOTP(w.Context(), by, flow.Reveal(), "000000")
		w.wants(err, fault.Invalid, "code")
		_, err = w.signIn.EnableTOTP(w.Context(), by, w.owes(), w.shown(app, 0)) // a flow of another purpose
		w.refused(err, signin.ReasonEnded)
		second, err := w.signIn.BeginTOTP(w.Context(), by)
		w.must(err)
		toldAgain, err := w.signIn.PendingTOTP(w.Context(), by, second.Reveal())
		w.must(err)
		_, err = w.signIn.EnableTOTP(w.Context(), by, flow.Reveal(), w.shown(app, 0))
		w.must(err)
		// The code that added the app is used up.
		w.wants(w.enters(w.owes(), w.shown(app, 0)), fault.Invalid, "code")
		_, err = w.signIn.BeginTOTP(w.Context(), by)
		w.wants(err, fault.Conflict, "")
		_, err = w.signIn.EnableTOTP(w.Context(), by, second.Reveal(),
			w.shown(strings.ReplaceAll(toldAgain.Secret, " ", ""), 0))
		w.wants(err, fault.Conflict, "")
	})
}

// Guesses are limited, and entering the password again gives no more of them.
func TestCodesAreLimited(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		w.adds()
		w.gives(w.home.Owner)
		var limited int
		for range 15 {
			_, err := w.signIn.VerifyPassword(w.Context(), w.home.Owner.Email, secret.NewPassword(phrase),
				visitor("192.0.2.2"))
			w.must(err)
			if err := w.enters(w.owes(), "123456"); fault.KindOf(err) == fault.RateLimited {
				limited++
			}
		}
		if limited < 5 {
			w.Errorf("tries refused as too many: got %d of 15, want 5 at least", limited)
		}
		w.Clock.Advance(10 * time.Minute)
		w.wants(w.enters(w.owes(), "123456"), fault.Invalid, "code")

		flow, err := w.signIn.BeginTOTP(w.Context(), owner(w.away))
		w.must(err)
		for range 15 {
			_, err = w.signIn.EnableTOTP(w.Context(), owner(w.away), flow.Reveal(), "123456")
		}
		w.wants(err, fault.RateLimited, "")
	})
}
