package signin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

func TestBegin(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		v := here
		v.UserAgent = "Test\x00 " + strings.Repeat("ü", 300)
		session, value, err := w.signIn.Begin(w.Context(), w.proof(w.home.Owner), uuid.Nil, v)
		w.must(err)
		if session.AccountID != w.home.Account.ID || session.ExpiresAt.Sub(session.CreatedAt) != 12*time.Hour ||
			session.IP != "192.0.2.1" ||
			len(session.UserAgent) > 200 || !strings.HasPrefix(session.UserAgent, "Test ü") {
			w.Errorf("the session: got %+v, want one of 12 hours in account %s, from 192.0.2.1, by Test ü…",
				session, w.home.Account.ID)
		}
		by, err := w.principal(value)
		w.must(err)
		if by.SessionID != session.ID || !by.AccountOwner {
			w.Errorf("the principal: got %+v, want an owner with session %s", by, session.ID)
		}
		if events := w.events(w.home, audit.SessionStarted); len(events) != 1 ||
			events[0].Details[0].Value != "password" ||
			events[0].IP != "192.0.2.1" {
			w.Errorf("events: got %+v, want 1 by password from 192.0.2.1", events)
		}
		_, _, err = w.signIn.Begin(w.Context(), w.proof(w.home.Owner), w.away.Account.ID, v)
		w.wants(err, fault.NotFound, "")
		w.Clock.Advance(12*time.Hour + time.Second)
		_, err = w.principal(value)
		w.wants(err, fault.Unauthenticated, "")
	})
}

// Switching keeps the time of authentication and the expiration; authenticating
// again renews the former. Both replace the session.
func TestSwitchAndRenew(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		_, err := w.Users.AddToAccount(w.Context(), owner(w.away), w.home.Owner.Email)
		w.must(err)
		by := w.begins(w.home.Owner, w.home.Account.ID)
		_, _, err = w.signIn.Switch(w.Context(), by, w.away.Account.ID, signin.ByPassword, w.Clock.Now(), here)
		w.wants(err, fault.NotFound, "")
		_, err = w.signIn.Accept(w.Context(), by, w.away.Account.ID)
		w.must(err)
		w.Clock.Advance(time.Minute)
		proved := clock.Timestamp(w.Clock.Now().Add(-time.Hour))
		there, value, err := w.signIn.Switch(w.Context(), by, w.away.Account.ID, signin.ByPassword, proved, here)
		w.must(err)
		if there.AccountID != w.away.Account.ID || !there.AuthenticatedAt.Equal(proved) ||
			!there.ExpiresAt.Equal(by.ExpiresAt) || w.live(w.home.Owner) != 1 {
			w.Errorf("the session there: got %+v, with %d live, want it in %s, proved at %v, and 1 live",
				there, w.live(w.home.Owner), w.away.Account.ID, proved)
		}
		if w.signIn.IsFresh(there.AuthenticatedAt) || !w.signIn.IsFresh(w.Clock.Now()) ||
			w.signIn.IsFresh(time.Time{}) {
			w.Errorf("IsFresh() = %t of an hour ago, %t of now, %t of never, want only that of now",
				w.signIn.IsFresh(there.AuthenticatedAt), w.signIn.IsFresh(w.Clock.Now()), w.signIn.IsFresh(time.Time{}))
		}
		by, err = w.principal(value)
		w.must(err)
		again, _, err := w.signIn.Renew(w.Context(), by, w.proof(w.home.Owner), here)
		w.must(err)
		if !w.signIn.IsFresh(again.AuthenticatedAt) || again.AccountID != w.away.Account.ID ||
			w.live(w.home.Owner) != 1 {
			w.Errorf("the session: got %+v, with %d live, want a fresh one in %s, and 1 live",
				again, w.live(w.home.Owner), w.away.Account.ID)
		}
		_, _, err = w.signIn.Switch(w.Context(), by, uuid.New(), signin.ByPassword, proved, here)
		w.wants(err, fault.NotFound, "")
		_, _, err = w.signIn.Renew(w.Context(), operator(w.home), w.proof(w.home.Owner), here)
		w.wants(err, fault.Forbidden, "")
	})
}

func TestEnd(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		by, second := w.begins(w.home.Owner, w.home.Account.ID), w.begins(w.home.Owner, w.home.Account.ID)
		w.begins(w.home.Owner, w.home.Account.ID)
		stranger := w.begins(w.home.Users[1], w.home.Account.ID)
		if n, err := w.signIn.End(w.Context(), by, second.SessionID); n != 1 || err != nil {
			w.Errorf("End() = %d, %v, want 1", n, err)
		}
		// Another user's session cannot be ended.
		if n, err := w.signIn.End(w.Context(), by, stranger.SessionID); n != 0 || w.live(w.home.Users[1]) != 1 {
			w.Errorf("End() of another user's session = %d, %v, want 0", n, err)
		}
		operators := operatorOf()
		_, _, err := w.Users.StartSession(w.Context(), operators, user.SessionRequest{Email: w.home.Owner.Email,
			AccountID: w.home.Account.ID, TTL: time.Hour})
		w.must(err)
		for _, step := range []struct {
			operators   bool
			ended, live int
		}{{false, 1, 2}, {false, 0, 2}, {true, 1, 1}, {true, 0, 1}} {
			n, err := w.signIn.EndOthers(w.Context(), by, step.operators)
			if live := w.live(w.home.Owner); n != step.ended || err != nil || live != step.live {
				w.Errorf("EndOthers(%t) = %d, %v, with %d live, want %d, with %d live", step.operators, n, err, live,
					step.ended, step.live)
			}
		}
		_, err = w.signIn.Live(w.Context(), operator(w.home))
		w.wants(err, fault.Forbidden, "")
	})
}

func TestPasswords(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		w.wants(w.signIn.SetPassword(w.Context(), owner(w.home), w.home.Owner.Email, secret.NewPassword(phrase)),
			fault.Forbidden, "")
		w.wants(w.signIn.SetPassword(w.Context(), operator(w.home), "nobody@acme.example", secret.NewPassword(phrase)),
			fault.NotFound, "email")
		w.gives(w.home.Owner)
		by, _ := w.begins(w.home.Owner, w.home.Account.ID), w.begins(w.home.Owner, w.home.Account.ID)
		change := func(by *auth.Principal, present string, chosen user.PasswordChoice) error {
			return w.signIn.ChangePassword(w.Context(), by, secret.NewPassword(present), chosen, here)
		}
		w.wants(change(by, "not it", twice("another phrase")), fault.Unauthenticated, "")
		w.wants(change(by, phrase, user.PasswordChoice{Password: secret.NewPassword("another phrase"),
			Confirmation: secret.NewPassword("other")}), fault.Invalid, "passwordConfirmation")
		name := strings.TrimPrefix(w.home.Account.Name, "Account ")
		for _, guessable := range []string{"sunshine", "Sunshine.2026", "abcdefgh1", w.home.Owner.FirstName + "1!",
			name + "-2026", "keys.example", "Latchkey2026"} {
			w.wants(change(by, phrase, twice(guessable)), fault.Invalid, "password")
		}
		w.wants(change(operator(w.home), phrase, twice("another phrase")), fault.Forbidden, "")
		w.must(change(by, phrase, twice("another phrase")))
		if live, err := w.signIn.Live(w.Context(), by); err != nil || len(live) != 1 || live[0].ID != by.SessionID {
			w.Errorf("Live() = %v, %v, want only session %s", live, err, by.SessionID)
		}
		w.wants(w.tries(w.home.Owner.Email, phrase, here), fault.Unauthenticated, "")
		w.must(w.tries(w.home.Owner.Email, "another phrase", here))
		check.Equal(w, w.countEvents(w.home, audit.PasswordSet), 2, "passwords in the log")
	})
}
