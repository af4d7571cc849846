package signin_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
)

// A proof becomes invalid when what it rests on changes or is removed, at every
// step of the sign-in.
func TestProofsDoNotOutliveTheirGrounds(t *testing.T) {
	another := twice("another phrase entirely")
	changes := []struct {
		name string
		make func(w *fixture, by *auth.Principal)
	}{
		{"their own change", func(w *fixture, by *auth.Principal) {
			w.must(w.signIn.ChangePassword(w.Context(), by, secret.NewPassword(phrase), another, here))
		}},
		{"the operator's change", func(w *fixture, _ *auth.Principal) {
			w.must(w.signIn.SetPassword(w.Context(), operator(w.home), w.home.Owner.Email, another.Password))
		}},
		{"a change to the same text", func(w *fixture, _ *auth.Principal) { w.gives(w.home.Owner) }},
		{"a reset", func(w *fixture, _ *auth.Principal) {
			_, err := w.signIn.Redeem(w.Context(), w.invites(operator(w.home), w.home.Owner.Email), another, here)
			w.must(err)
		}},
	}
	for _, change := range changes {
		t.Run(change.name, func(t *testing.T) {
			eachOracle(t, func(w *fixture, _ *oracle) {
				w.gives(w.home.Owner)
				by := w.begins(w.home.Owner, w.home.Account.ID)
				app, _ := w.enrols(by)
				w.Clock.Advance(time.Minute)
				flow, err := w.signIn.BeginCode(w.Context(), w.proof(w.home.Owner), "")
				w.must(err)
				second, err := w.signIn.BeginCode(w.Context(), w.proof(w.home.Owner), "")
				w.must(err)
				pending, _, err := w.signIn.FinishCode(w.Context(), second.Reveal(), w.shown(app, 0), here)
				w.must(err)
				change.make(w, by)
				_, _, err = w.signIn.FinishCode(w.Context(), flow.Reveal(), w.shown(app, 1), here)
				w.refused(err, signin.ReasonChanged)
				_, _, err = w.signIn.Begin(w.Context(), pending, uuid.Nil, here)
				w.refused(err, signin.ReasonChanged)
			})
		})
	}
	t.Run("a passkey that is removed", func(t *testing.T) {
		eachFixture(t, func(w *fixture) {
			w.gives(w.home.Owner)
			by := w.begins(w.home.Owner, w.home.Account.ID)
			proof, err := w.proves(w.registers(by, "Key"))
			w.must(err)
			w.must(w.signIn.Remove(w.Context(), by, proof.Passkey.ID))
			_, _, err = w.signIn.Begin(w.Context(), proof.Proof, uuid.Nil, here)
			w.refused(err, signin.ReasonChanged)
			_, _, err = w.signIn.Renew(w.Context(), by, proof.Proof, here)
			w.refused(err, signin.ReasonChanged)
		})
	})
	t.Run("an identity that is unlinked", func(t *testing.T) {
		eachOracle(t, func(w *fixture, o *oracle) {
			result, err := w.comes(o, nil, signin.ToSignIn,
				signin.Claims{Subject: "1", Email: w.home.Owner.Email, EmailVerified: true})
			w.must(err)
			_, err = w.signIn.ResetFactors(w.Context(), operator(w.home), w.home.Owner.Email)
			w.must(err)
			_, _, err = w.signIn.Begin(w.Context(), result.Proof, uuid.Nil, here)
			w.refused(err, signin.ReasonChanged)
		})
	})
}

// A flow that began in a session fails after the session has ended or the
// password has changed: neither adding or removing a factor nor replacing the
// session works.
func TestNothingGoesOnAfterTheSession(t *testing.T) {
	ends := []struct {
		name string
		end  func(w *fixture, by *auth.Principal)
	}{
		{"session", func(w *fixture, by *auth.Principal) {
			_, err := w.signIn.End(w.Context(), by, by.SessionID)
			w.must(err)
		}},
		{"password", func(w *fixture, _ *auth.Principal) { w.gives(w.home.Owner) }},
	}
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			eachOracle(t, func(w *fixture, o *oracle) {
				w.gives(w.home.Owner)
				first, by := w.begins(w.home.Owner, w.home.Account.ID), w.begins(w.home.Owner, w.home.Account.ID)
				app, recovery := w.enrols(first)
				kept := w.registers(first, "Kept")
				all, err := w.signIn.Security(w.Context(), first)
				w.must(err)

				a := newAuthenticator(w.T)
				options, adding, err := w.signIn.BeginNewPasskey(w.Context(), by)
				w.must(err)
				_, linking, err := w.signIn.BeginProvider(w.Context(), by, signin.ToLink, "", here)
				w.must(err)
				state := o.last.State
				o.says = signin.Claims{Subject: "1"}
				proof, err := w.proves(kept)
				w.must(err)
				end.end(w, by)

				w.late(w.signIn.AddPasskey(w.Context(), by, adding.Reveal(), "Late", a.makes(options)))
				_, err = w.signIn.FinishProvider(w.Context(), by, linking.Reveal(), signin.AuthResponse{State: state,
					Code: "code"},
					here)
				w.late(err)
				_, _, err = w.signIn.Renew(w.Context(), by, proof.Proof, here)
				w.late(err)
				_, _, err = w.signIn.Switch(w.Context(), by, w.home.Account.ID, signin.ByPassword, w.Clock.Now(), here)
				w.late(err)
				w.late(w.signIn.Remove(w.Context(), by, all.Passkeys[0].ID))
				w.late(w.signIn.RenamePasskey(w.Context(), by, all.Passkeys[0].ID, "Other"))
				_, err = w.signIn.RenewCodes(w.Context(), by, recovery[0].Reveal(), here)
				w.late(err)
				w.late(w.signIn.DisableTOTP(w.Context(), by, recovery[1].Reveal(), here))
				w.late(w.signIn.ChangePassword(w.Context(), by, secret.NewPassword(phrase), twice("another phrase"),
					here))

				now, err := w.signIn.Security(w.Context(), first)
				w.must(err)
				if len(now.Passkeys) != 1 || now.Passkeys[0].Name != "Kept" || now.TOTPSince.IsZero() ||
					len(now.Identities) != 0 || app == "" {
					w.Errorf("Security() = %+v, want the passkey named Kept, the app and no identity", now)
				}
			})
		})
		t.Run(end.name+", authenticator app", func(t *testing.T) {
			eachFixture(t, func(w *fixture) {
				w.gives(w.home.Owner)
				by := w.begins(w.home.Owner, w.home.Account.ID)
				flow, err := w.signIn.BeginTOTP(w.Context(), by)
				w.must(err)
				shown, err := w.signIn.PendingTOTP(w.Context(), by, flow.Reveal())
				w.must(err)
				end.end(w, by)
				_, err = w.signIn.EnableTOTP(w.Context(), by, flow.Reveal(), w.shown(bare(shown.Secret), 0))
				w.late(err)
			})
		})
	}
}

// late fails the test unless err refuses an action after its session: because
// of the actor that the write checks, or of the grounds that the proof rests
// on.
func (w *fixture) late(err error) {
	w.Helper()
	if fault.KindOf(err) != fault.Unauthenticated || !errors.Is(err, auth.ErrStale) {
		w.refused(err, signin.ReasonChanged)
	}
}

// When a password change returns, sessions that began concurrently have ended,
// in either order.
func TestBeginsBesideAChange(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		w.gives(w.home.Owner)
		for range 5 {
			proof := w.proof(w.home.Owner)
			by := w.begins(w.home.Owner, w.home.Account.ID)
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					_, _, err := w.signIn.Begin(w.Context(), proof, uuid.Nil, here)
					w.changedOr(err)
				})
			}
			all.Go(func() {
				_, _, err := w.signIn.Switch(w.Context(), by, w.home.Account.ID, signin.ByPassword, w.Clock.Now(), here)
				w.changedOr(err)
			})
			all.Go(func() { w.gives(w.home.Owner) })
			all.Wait()
			if n := w.live(w.home.Owner); n != 0 {
				w.Fatalf("sessions that outlive the password: got %d, want none", n)
			}
		}
	})
}

// changedOr fails the test for any error except changed grounds or an ended
// session.
func (w *fixture) changedOr(err error) {
	var refused *signin.Refused
	if err != nil && !errors.Is(err, auth.ErrStale) && (!errors.As(err, &refused) ||
		refused.Reason != signin.ReasonChanged) {
		w.Errorf("got error %v, want none, %v or reason %q", err, auth.ErrStale, signin.ReasonChanged)
	}
}

// A sign-in that waits for a code, and a known browser, become invalid when an
// account changes the password that it chose, even to the same text or back.
func TestProofsDoNotOutliveAChosenPassword(t *testing.T) {
	for name, texts := range map[string][]string{"same text": {chosen},
		"there and back": {"another phrase entirely", chosen}} {
		t.Run(name, func(t *testing.T) {
			eachFixture(t, func(w *fixture) {
				w.vouches()
				device := w.knows(here)
				proof, err := w.signIn.VerifyPassword(w.Context(), w.home.Owner.Email, secret.NewPassword(chosen), here)
				w.must(err)
				by := w.begins(proof.User, w.away.Account.ID)
				app, _ := w.enrols(by)
				w.Clock.Advance(time.Minute)
				flow, err := w.signIn.BeginCode(w.Context(), proof, "")
				w.must(err)
				present := chosen
				for _, text := range texts {
					w.must(w.signIn.ChangePassword(w.Context(), by, secret.NewPassword(present), twice(text), here))
					present = text
				}
				_, _, err = w.signIn.FinishCode(w.Context(), flow.Reveal(), w.shown(app, 1), here)
				w.refused(err, signin.ReasonChanged)
				_, _, err = w.signIn.Begin(w.Context(), proof, uuid.Nil, here)
				if err == nil {
					w.Error("a proof from before began a session, want an error")
				}
				for range 10 {
					_ = w.tries(w.home.Owner.Email, "a guess", here)
				}
				w.wants(w.triesOn(device, chosen), fault.RateLimited, "")
			})
		})
	}
}
