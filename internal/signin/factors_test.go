package signin_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
)

func noPasswords(c *signin.Config) { c.NoPasswords = true }

// A user cannot remove their last way to sign in.
func TestRemoveButOne(t *testing.T) {
	eachOracle(t, func(w *fixture, o *oracle) {
		by := owner(w.home)
		w.gives(w.home.Owner) // has no effect here
		w.registers(by, "Telephone")
		_, err := w.comes(o, by, signin.ToLink, signin.Claims{Subject: "1"})
		w.must(err)
		all, err := w.signIn.Security(w.Context(), by)
		w.must(err)
		var gone atomic.Int32
		var both sync.WaitGroup
		for _, id := range []uuid.UUID{all.Passkeys[0].ID, all.Identities[0].ID} {
			both.Go(func() {
				switch err := w.signIn.Remove(w.Context(), by, id); fault.KindOf(err) {
				case "":
					gone.Add(1)
				case fault.Conflict:
				default:
					w.Errorf("the removal of the last: got error %v, want kind %s", err, fault.Conflict)
				}
			})
		}
		both.Wait()
		if gone.Load() != 1 || w.countEvents(w.home, audit.PasskeyRemoved)+w.countEvents(w.home,
			audit.IdentityUnlinked) != 1 {
			w.Errorf("removed: got %d of two, want 1 and its event", gone.Load())
		}
	}, noPasswords)
}

// A password is a way to sign in unless passwords are turned off.
func TestRemoveAll(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		by := owner(w.home)
		w.registers(by, "Telephone")
		all, err := w.signIn.Security(w.Context(), by)
		w.must(err)
		w.wants(w.signIn.Remove(w.Context(), by, all.Passkeys[0].ID), fault.Conflict, "")
		proofs, err := w.signIn.Proofs(w.Context(), by)
		w.must(err)
		if proofs != (signin.Proofs{Passkey: true}) {
			w.Errorf("Proofs() = %+v, want a passkey only", proofs)
		}
		w.gives(w.home.Owner)
		w.must(w.signIn.Remove(w.Context(), by, all.Passkeys[0].ID))
		if proofs, err = w.signIn.Proofs(w.Context(), by); err != nil || proofs != (signin.Proofs{Password: true}) {
			w.Errorf("Proofs() = %+v, %v, want a password only", proofs, err)
		}
	})
}

func TestNoPasswords(t *testing.T) {
	eachOracle(t, func(w *fixture, o *oracle) {
		w.gives(w.home.Owner)
		_, err := w.signIn.VerifyPassword(w.Context(), w.home.Owner.Email, secret.NewPassword(phrase), here)
		w.wants(err, fault.Forbidden, "")
		if all, ready, err := w.signIn.OwnersWithoutPassword(w.Context()); err != nil || all != 2 || ready != 0 {
			w.Errorf("OwnersWithoutPassword() = %d of %d, %v, want 0 of 2", ready, all, err)
		}
		w.registers(owner(w.home), "Telephone")
		_, err = w.comes(o, owner(w.away), signin.ToLink, signin.Claims{Subject: "1"})
		w.must(err)
		if all, ready, err := w.signIn.OwnersWithoutPassword(w.Context()); err != nil || all != 2 || ready != 2 {
			w.Errorf("OwnersWithoutPassword() = %d of %d, %v, want 2 of 2", ready, all, err)
		}
	}, noPasswords)
}

func TestResetFactors(t *testing.T) {
	eachOracle(t, func(w *fixture, o *oracle) {
		by := owner(w.home)
		w.adds()
		w.registers(by, "Telephone")
		_, err := w.comes(o, by, signin.ToLink, signin.Claims{Subject: "1", Email: "there@id.example"})
		w.must(err)
		_, err = w.signIn.ResetFactors(w.Context(), by, w.home.Owner.Email)
		w.wants(err, fault.Forbidden, "")
		_, err = w.signIn.ResetFactors(w.Context(), operator(w.home), "nobody@acme.example")
		w.wants(err, fault.NotFound, "email")
		gone, err := w.signIn.ResetFactors(w.Context(), operator(w.home), w.home.Owner.Email)
		w.must(err)
		if !gone.TOTP || gone.RecoveryCodes != 10 || len(gone.Passkeys) != 1 || len(gone.Identities) != 1 {
			w.Errorf("ResetFactors() = %+v, want the app, 10 codes, a passkey and an identity", gone)
		}
		for _, action := range []audit.Action{audit.TOTPDisabled, audit.PasskeyRemoved, audit.IdentityUnlinked} {
			if events := w.events(w.home, action); len(events) != 1 || events[0].Actor.Kind != audit.ActorOperator {
				w.Errorf("events %s: got %+v, want 1 by an operator", action, events)
			}
		}
		if gone, err = w.signIn.ResetFactors(w.Context(), operator(w.home), w.home.Owner.Email); err != nil ||
			gone.TOTP || len(gone.Passkeys) > 0 {
			w.Errorf("ResetFactors() again = %+v, %v, want nothing", gone, err)
		}
	})
}

// An owner who was shown an invitation may have accepted it in the user's place
// and added a passkey. When the user sets their own password, the passkey is
// removed; factors that they add later stay.
func TestOwnPasswordDropsWhatOthersMayHaveAdded(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		const email = "nora@acme.example"
		w.must(w.redeems(w.invites(owner(w.home), email)))
		who, err := w.signIn.VerifyPassword(w.Context(), email, secret.NewPassword(phrase), here)
		w.must(err)
		a := w.registers(w.begins(who.User, w.home.Account.ID), "Not mine")
		_, err = w.proves(a)
		w.must(err)
		w.must(w.signIn.SetPassword(w.Context(), operator(w.home), email, secret.NewPassword("my own phrase")))
		person, err := w.signIn.VerifyPassword(w.Context(), email, secret.NewPassword("my own phrase"), here)
		w.must(err)
		by := w.begins(person.User, w.home.Account.ID)
		_, err = w.proves(a)
		w.refused(err, signin.ReasonPasskey)
		_, err = w.signIn.VerifyPassword(w.Context(), email, secret.NewPassword(phrase), here)
		w.wants(err, fault.Unauthenticated, "")
		check.Equal(w, w.countEvents(w.home, audit.PasskeyRemoved), 1, "removed passkeys in the log")
		own := w.registers(by, "Mine")
		w.gives(person.User)
		_, err = w.proves(own)
		w.must(err)
	})
}

// Servers that share a database continue each other's flows.
func TestFlowsAreShared(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		app, _ := w.adds()
		w.Clock.Advance(time.Minute)
		flow := w.owes()
		other, err := signin.NewService(w.config)
		w.must(err)
		if _, _, err := other.FinishCode(w.Context(), flow, w.shown(app, 0), here); err != nil {
			w.Error(err)
		}
	})
}
