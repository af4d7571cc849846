package signin_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/offboard"
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

// lostPost tells the addresses of links, and loses the mails.
type lostPost struct {
	postbox

	links chan string
}

func (p lostPost) Invited(ctx context.Context, to user.User, name, address string, until time.Time) error {
	p.links <- address
	return p.postbox.Invited(ctx, to, name, address, until)
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

// A mail that cannot be sent to whoever forgot their password is told to who runs the server, for the log.
func TestForgottenMailFails(t *testing.T) {
	lost := errors.New("no such mailbox")
	box := make(chan user.User, 10)
	eachWorld(t, func(w *world) {
		ctx, stop := context.WithCancel(w.Context())
		told, ended := make(chan error, 10), make(chan struct{})
		go func() {
			defer close(ended)
			w.signIn.Run(ctx, func(err error) { told <- err })
		}()
		w.must(w.signIn.Forgot(w.home.Owner.Email, here))
		select {
		case err := <-told:
			if !errors.Is(err, lost) {
				w.Errorf("told of %v", err)
			}
		case <-time.After(10 * time.Second):
			w.Error("told of nothing")
		}
		stop()
		<-ended
	}, func(c *signin.Config) { c.Mail = postbox{box, lost} })
}

// Whoever left is mailed nothing: no account is left that a password of theirs would open.
func TestForgottenByWhoLeft(t *testing.T) {
	box := make(chan user.User, 10)
	eachWorld(t, func(w *world) {
		leaver := w.home.Users[2]
		_, err := offboard.NewService(w.db.Offboard(), w.now).Remove(w.Context(), owner(w.home), offboard.Removal{Whom: user.Whom{Email: &leaver.Email}})
		w.must(err)
		ctx, stop := context.WithCancel(w.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.signIn.Run(ctx, func(err error) { w.Error(err) })
		}()
		w.must(w.signIn.Forgot(leaver.Email, here))
		w.must(w.signIn.Forgot(w.home.Owner.Email, here))
		select {
		case got := <-box:
			if got.ID != w.home.Owner.ID {
				w.Errorf("mailed to %s", got.Email)
			}
		case <-time.After(10 * time.Second):
			w.Error("no mail")
		}
		stop()
		<-ended
	}, func(c *signin.Config) { c.Mail = postbox{box, nil} })
}

// A mail that cannot be sent is told to whoever invites, and its link ends.
func TestMailFails(t *testing.T) {
	box, links := make(chan user.User, 10), make(chan string, 10)
	eachWorld(t, func(w *world) {
		_, err := w.signIn.Invite(w.Context(), owner(w.home), signin.Invitee{Details: nora})
		w.wants(err, fault.Conflict, "email")
		if all := fault.Flatten(err); all[0].Message != "They are in the account, but the invitation could not be mailed: no such mailbox. Invite them again when mail works." {
			w.Error(all[0].Message)
		}
		w.wants(w.redeems(secretIn(<-links)), fault.NotFound, "")
	}, func(c *signin.Config) { c.Mail = lostPost{postbox{box, errors.New("no such mailbox")}, links} })
}
