package signin_test

import (
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// A session that its browser keeps replacing, by switching accounts, ends with
// the person's other sessions, by any of its earlier IDs, and with all sessions
// of the address.
func TestEndOfASessionThatSwitches(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		_, err := w.Users.AddToAccount(w.Context(), owner(w.away), w.home.Owner.Email)
		w.must(err)
		by := w.begins(w.home.Owner, w.home.Account.ID)
		_, err = w.signIn.Accept(w.Context(), by, w.away.Account.ID)
		w.must(err)
		for range 8 {
			for name, end := range map[string]func(listed uuid.UUID) error{
				"others": func(uuid.UUID) error { _, err := w.signIn.EndOthers(w.Context(), by, false); return err },
				"one":    func(listed uuid.UUID) error { _, err := w.signIn.End(w.Context(), by, listed); return err },
				"operator, one": func(listed uuid.UUID) error {
					_, err := w.Users.EndSessions(w.Context(), operatorOf(),
						user.SessionFilter{IDs: []uuid.UUID{listed}})
					return err
				},
				"operator, all": func(uuid.UUID) error {
					_, err := w.Users.EndSessions(w.Context(), operatorOf(),
						user.SessionFilter{Email: w.home.Owner.Email})
					return err
				},
			} {
				w.switches(name, end)
				if name == "operator, all" {
					by = w.begins(w.home.Owner, w.home.Account.ID)
				}
				if n := w.live(w.home.Owner); n != 1 {
					w.Fatalf("%s: live sessions: got %d, want 1", name, n)
				}
			}
		}
	})
}

func operatorOf() *auth.Principal {
	by := auth.OperatorPrincipal()
	return &by
}

// switches has a browser switch accounts until it is signed out by end, which
// gets the ID of the first session.
func (w *fixture) switches(name string, end func(uuid.UUID) error) {
	w.Helper()
	thief := w.begins(w.home.Owner, w.home.Account.ID)
	began := thief.SessionID
	var switched atomic.Int64
	started, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := range 10_000 {
			to := []uuid.UUID{w.away.Account.ID, w.home.Account.ID}[n%2]
			_, value, err := w.signIn.Switch(w.Context(), thief, to, signin.ByPassword, w.Clock.Now(), here)
			if err == nil {
				thief, err = w.principal(value)
			}
			if err != nil {
				done <- err
				return
			}
			if switched.Add(1) == 2 {
				close(started)
			}
		}
		done <- nil
	}()
	select {
	case <-started:
	case err := <-done:
		w.Fatalf("%s: switching: got error %v, want two switches", name, err)
	}
	err := end(began)
	ended := switched.Load()
	w.must(err)
	out := <-done
	if fault.KindOf(out) == fault.Internal || out == nil {
		w.Fatalf("%s: the browser switched %d times, then: got error %v, want a refusal", name, switched.Load(), out)
	}
	if more := switched.Load() - ended; more > 1 { // one may have committed before, and have been counted after
		w.Errorf("%s: the browser switched %d times after it was signed out, want once at most", name, more)
	}
}
