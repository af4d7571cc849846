package signin_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
)

// Failed sign-ins of a user are in the audit log of each of their accounts: a
// few events for any number of attempts, without the text that was entered.
func TestFailedSignInsAreRecorded(t *testing.T) {
	const typed = "not the password"
	eachFixture(t, func(w *fixture) {
		w.gives(w.home.Owner)
		tries := func(email string, n int) {
			for range n {
				// Another test checks that it fails.
				_, _ = w.signIn.VerifyPassword(w.Context(), email, secret.NewPassword(typed), here)
			}
		}
		tries(w.home.Owner.Email, 1)
		tries("nobody@nowhere.example", 3)
		w.must(w.signIn.WriteFailures(w.Context()))
		tries(w.home.Owner.Email, 12) // some of them too many
		w.must(w.signIn.WriteFailures(w.Context()))
		w.failed("1 password")
		w.Clock.Advance(10 * time.Minute)
		w.must(w.signIn.WriteFailures(w.Context()))
		w.failed("12 password", "1 password")
		w.Clock.Advance(10 * time.Minute)
		w.must(w.signIn.WriteFailures(w.Context()))
		w.failed("12 password", "1 password")

		app, _ := w.adds()
		w.wants(w.enters(w.owes(), w.shown(app, 3)), fault.Invalid, "code")
		w.must(w.signIn.WriteFailures(w.Context()))
		w.failed("1 password_and_code", "12 password", "1 password")
		for _, e := range w.events(w.home, audit.SignInFailed) {
			text, err := json.Marshal(e)
			w.must(err)
			if strings.Contains(string(text), typed) || e.IP != here.Origin.IP.String() ||
				e.Target.Name != w.home.Owner.Email {
				w.Errorf("the event: got %s, want it of %s from %s, without what was typed",
					text, w.home.Owner.Email, here.Origin.IP)
			}
		}
		check.Equal(w, w.countEvents(w.away, audit.SignInFailed), 0, "events of another account")
		check.Equal(w, w.signIn.Failing(), 1, "users counted")
		w.Clock.Advance(time.Hour)
		w.must(w.signIn.WriteFailures(w.Context()))
		check.Equal(w, w.signIn.Failing(), 0, "users counted an hour later")
	})
}

// failed fails the test unless these are the events at home about failed
// sign-ins, newest first.
func (w *fixture) failed(want ...string) {
	w.Helper()
	var got []string
	for _, e := range w.events(w.home, audit.SignInFailed) {
		var values []string
		for _, d := range e.Details {
			values = append(values, d.Value)
		}
		got = append(got, strings.Join(values, " "))
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		w.Errorf("got %q, want %q", got, want)
	}
}

// A passkey with an invalid signature is a failed sign-in of its user.
func TestFailedPasskeysAreRecorded(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		a := w.registers(owner(w.home), "Key")
		_, flow, err := w.signIn.BeginPasskey(w.Context(), here)
		w.must(err)
		other, _, err := w.signIn.BeginPasskey(w.Context(), here)
		w.must(err)
		_, err = w.signIn.FinishPasskey(w.Context(), flow.Reveal(), a.signs(other), here)
		w.refused(err, signin.ReasonPasskey)
		w.must(w.signIn.WriteFailures(w.Context()))
		w.failed("1 passkey")
	})
}

// Counted failures are written when the server stops, and after a database
// failure.
func TestFailuresAreWrittenAtStop(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		for range 3 {
			_, _ = w.signIn.VerifyPassword(w.Context(), w.home.Owner.Email, secret.NewPassword("wrong one"), here)
		}
		gone, cancel := context.WithCancel(w.Context())
		cancel()
		if err := w.signIn.WriteFailures(gone); !errors.Is(err, context.Canceled) {
			w.Errorf("WriteFailures: got error %v, want %v", err, context.Canceled)
		}
		w.signIn.Run(gone)
		w.failed("3 password")
	})
}
