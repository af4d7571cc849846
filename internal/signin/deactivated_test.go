package signin_test

import (
	"errors"
	"slices"
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/paging"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// deactivates deactivates all users of the account except its owner.
func (w *fixture) deactivates() {
	w.Helper()
	found, err := w.DB.Users().Users(w.Context(), w.home.Account.ID, user.Filter{}, paging.Window{Size: 250})
	w.must(err)
	for _, item := range found.Items {
		if item.Key == w.home.Owner.ID || item.Node.Deactivated() {
			continue
		}
		_, err := w.Memberships.Deactivate(w.Context(), operator(w.home),
			membership.Deactivation{User: user.Ref{ID: &item.Key}})
		w.must(err)
	}
}

// No way to sign in that was begun before the deactivation ends in a session in the account.
func TestEveryDoorIsClosedToTheDeactivated(t *testing.T) {
	box := mailbox{make(chan string, 10)}
	eachOracle(t, func(w *fixture, _ *oracle) {
		for _, d := range doors {
			u, app := w.newcomer(d.app)
			finish := d.begin(w, u, app)
			w.deactivates()
			p, err := finish(w.signIn)
			if err == nil {
				_, _, err = w.signIn.Begin(w.Context(), p, w.home.Account.ID, here)
			}
			var refused *signin.Refused // by the provider's door
			if !slices.Contains([]fault.Kind{fault.Forbidden, fault.NotFound}, fault.KindOf(err)) &&
				!errors.As(err, &refused) {
				w.Errorf("%s: got error %v, want it refused", d.name, err)
			}
			check.Equal(w.T, w.live(u), 0, "%s: live sessions", d.name)
		}
	}, func(c *signin.Config) { c.Mail, c.Unlimited = box, true })
}

// After the reactivation the same password signs in again.
func TestSigningInAfterTheReactivation(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		u, _ := w.newcomer(false)
		w.deactivates()
		p, err := w.signIn.VerifyPassword(w.Context(), u.Email, secret.NewPassword(phrase), here)
		w.must(err)
		_, _, err = w.signIn.Begin(w.Context(), p, w.home.Account.ID, here)
		w.wants(err, fault.NotFound, "")
		_, err = w.signIn.Invite(w.Context(), operator(w.home), signin.Invitee{Details: user.Details{Email: u.Email}})
		w.wants(err, fault.Conflict, "email")
		_, err = w.Memberships.Reactivate(w.Context(), operator(w.home), user.Ref{Email: &u.Email})
		w.must(err)
		if _, _, err = w.signIn.Begin(w.Context(), p, w.home.Account.ID, here); err != nil {
			w.Errorf("after the reactivation: %v, want a session", err)
		}
	})
}

// A person cannot see, accept or decline a membership that is deactivated, nor switch to it.
func TestDeactivatedMembershipsElsewhere(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		w.gives(w.away.Owner)
		by := w.begins(w.away.Owner, w.away.Account.ID)
		_, err := w.Users.AddToAccount(w.Context(), operator(w.home), w.away.Owner.Email)
		w.must(err)
		invitations := func() int {
			found, err := w.signIn.Invitations(w.Context(), by.Person())
			w.must(err)
			return len(found)
		}
		check.Equal(w.T, invitations(), 1, "invitations before the deactivation")
		w.deactivates()
		check.Equal(w.T, invitations(), 0, "invitations after the deactivation")
		_, err = w.signIn.Accept(w.Context(), by, w.home.Account.ID)
		w.wants(err, fault.NotFound, "")
		_, err = w.signIn.Decline(w.Context(), by, w.home.Account.ID)
		w.wants(err, fault.NotFound, "")
		_, _, err = w.signIn.Switch(w.Context(), by, w.home.Account.ID, signin.ByPassword, w.Clock.Now(), here)
		w.wants(err, fault.NotFound, "")
	})
}
