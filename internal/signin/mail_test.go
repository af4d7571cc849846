package signin_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// postbox is told of mails, or fails to send them.
type postbox struct {
	to  chan user.User
	err error
}

func (p postbox) Invited(_ context.Context, to user.User, _, _ string, _ time.Time) error {
	p.to <- to
	return p.err
}

func (p postbox) Forgot(_ context.Context, to user.User, _ string, _ time.Time) error {
	p.to <- to
	return p.err
}

var nora = user.Details{Email: "nora@acme.example", FirstName: "Nora", LastName: "New"}

// Where mail is set up, whoever invites is shown no link, but for the operator
// who asks for it.
func TestInviteByMail(t *testing.T) {
	box := make(chan user.User, 10)
	eachWorld(t, func(w *world) {
		done, err := w.signIn.Invite(w.Context(), owner(w.home), signin.Invitee{Details: nora, Show: true})
		w.must(err)
		if got := <-box; done.Outcome != signin.Mailed || done.Address != "" || got.Email != nora.Email {
			w.Errorf("%s: %s to %s", done.Outcome, done.Address, got.Email)
		}
		if done, err = w.signIn.Invite(w.Context(), operator(w.home), signin.Invitee{Details: nora, Show: true}); err != nil || done.Outcome != signin.Shown {
			w.Errorf("%s, %v", done.Outcome, err)
		}
	}, func(c *signin.Config) { c.Mail = postbox{box, nil} })
}

// A mail that cannot be sent is told to whoever invites.
func TestMailFails(t *testing.T) {
	box := make(chan user.User, 10)
	eachWorld(t, func(w *world) {
		_, err := w.signIn.Invite(w.Context(), owner(w.home), signin.Invitee{Details: nora})
		w.wants(err, fault.Conflict, "email")
		if all := fault.Flatten(err); all[0].Message != "They are in the account, but the invitation could not be mailed: no such mailbox. Invite them again when mail works." {
			w.Error(all[0].Message)
		}
	}, func(c *signin.Config) { c.Mail = postbox{box, errors.New("no such mailbox")} })
}
