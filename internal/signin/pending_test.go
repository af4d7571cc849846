package signin_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/signin"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// An account sees its own newest invitations, of the users who have not accepted, and no others. It still sees them
// when they have expired and later invitations were sent.
func TestPendingInvitations(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		nora, guest := user.Details{Email: "nora@acme.example"}, user.Details{Email: w.away.Users[1].Email}
		invite := func(details user.Details) uuid.UUID {
			w.Helper()
			done, err := w.signIn.Invite(w.Context(), owner(w.home), signin.Invitee{Details: details})
			w.must(err)
			return done.Person.ID
		}
		shown, theirs := invite(nora), invite(guest)
		accepted := w.home.Users[1].ID
		w.invites(operator(w.home), w.home.Users[1].Email)
		ids := []uuid.UUID{shown, theirs, accepted}
		until := func() map[uuid.UUID]time.Time {
			w.Helper()
			found, err := w.signIn.PendingInvitations(w.Context(), owner(w.home), ids)
			w.must(err)
			ends := map[uuid.UUID]time.Time{}
			for id, l := range found {
				ends[id] = l.ExpiresAt
			}
			return ends
		}
		first := w.Clock.Now().Add(signin.Invitation.Lifetime())
		check.Equal(w.T, until(), map[uuid.UUID]time.Time{shown: first, theirs: first}, "invitations")
		found, err := w.signIn.PendingInvitations(w.Context(), owner(w.away), ids)
		if w.must(err); len(found) > 0 {
			w.Errorf("another account's look-up found %v, want none", found)
		}

		w.Clock.Advance(time.Hour)
		invite(nora)
		second := first.Add(time.Hour)
		check.Equal(w.T, until()[shown], second, "a newer invitation")
		w.invites(operator(w.home), nora.Email) // its link is for the person and not for the user of the account
		w.Clock.Advance(signin.Invitation.Lifetime() - time.Hour)
		both := map[uuid.UUID]time.Time{shown: second, theirs: first}
		check.Equal(w.T, until(), both, "invitations when one has expired")
		w.Clock.Advance(time.Hour)
		invite(user.Details{Email: "later@acme.example"})
		check.Equal(w.T, until(), both, "invitations when all have expired")
		invite(guest)
		third := w.Clock.Now().Add(signin.Invitation.Lifetime())
		check.Equal(w.T, until(), map[uuid.UUID]time.Time{shown: second, theirs: third}, "when one is invited again")
	})
}
