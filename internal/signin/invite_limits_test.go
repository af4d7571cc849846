package signin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// A user who declines an invitation leaves the account, whose audit log has the
// event.
func TestDecline(t *testing.T) {
	eachFixture(t, func(w *fixture) {
		_, err := w.Users.AddToAccount(w.Context(), owner(w.away), w.home.Owner.Email)
		w.must(err)
		by := w.begins(w.home.Owner, w.home.Account.ID)
		offered, err := w.signIn.Invitations(w.Context(), by.Person())
		w.must(err)
		if len(offered) != 1 || offered[0].ID != w.away.Account.ID {
			w.Fatalf("Invitations() = %+v, want one of account %s", offered, w.away.Account.ID)
		}
		_, err = w.signIn.Decline(w.Context(), by, w.away.Account.ID)
		w.must(err)
		offered, err = w.signIn.Invitations(w.Context(), by.Person())
		w.must(err)
		if len(offered) != 0 || w.countEvents(w.away, audit.UserDeclined) != 1 ||
			w.countEvents(w.home, audit.UserDeclined) != 0 {
			w.Errorf("invitations %+v, recorded %d and %d times, want none, once and never",
				offered, w.countEvents(w.away, audit.UserDeclined), w.countEvents(w.home, audit.UserDeclined))
		}
		_, err = w.signIn.Accept(w.Context(), by, w.away.Account.ID)
		w.wants(err, fault.NotFound, "")
		_, err = w.signIn.Decline(w.Context(), by, w.away.Account.ID)
		w.wants(err, fault.NotFound, "")
		_, err = w.signIn.Decline(w.Context(), by, w.home.Account.ID) // accepted already
		w.wants(err, fault.NotFound, "")
	})
}

// Mailed invitations are limited by sender, account and address. A refused one
// names its limit, and counts towards none.
func TestInvitationsAreLimited(t *testing.T) {
	var sent []sentNotice
	box := make(chan user.User, 100)
	eachFixture(t, func(w *fixture) {
		invites := func(by *auth.Principal, email string) error {
			w.Helper()
			_, err := w.signIn.Invite(w.Context(), by, signin.Invitee{Details: user.Details{Email: email}})
			if err == nil {
				<-box
			}
			return err
		}
		limited := func(err error, whose string) {
			w.Helper()
			w.wants(err, fault.RateLimited, "email")
			if text := fault.Flatten(err)[0].Message; !strings.Contains(text, whose) ||
				!strings.Contains(text, " min.") {
				w.Errorf("the error: got %q, want it to contain %q and the minutes", text, whose)
			}
		}
		for range 5 {
			w.must(invites(owner(w.home), "nora@acme.example"))
			w.must(invites(owner(w.home), "NORA@acme.example"))
		}
		limited(invites(owner(w.home), "nora@acme.example"), "to one address")
		w.must(invites(owner(w.away), "nora@acme.example"))
		w.must(invites(operator(w.home), "nora@acme.example"))
		w.must(invites(owner(w.home), "ann@acme.example"))
		w.Clock.Advance(24 * time.Hour / 10)
		w.must(invites(owner(w.home), "nora@acme.example"))
		check.Equal(w, len(box), 0, "mails of refused invitations")
		for i := range 99 {
			w.must(w.signIn.MayMail(owner(w.home), fmt.Sprintf("user%d@acme.example", i)))
		}
		limited(invites(owner(w.home), "bob@acme.example"), "by one user")
		w.must(invites(owner(w.away), "bob@acme.example"))
	}, func(c *signin.Config) { c.Mail = notices{postbox: postbox{box, nil}, sent: &sent} })
}
