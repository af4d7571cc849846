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

func (postbox) Notify(context.Context, user.User, signin.Notice) error { return nil }

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
		service := w.service(func(c *signin.Config) { c.OnMailFailed = func(_ context.Context, err error) { told <- err } })
		go func() {
			defer close(ended)
			service.Run(ctx)
		}()
		w.must(service.Forgot(w.home.Owner.Email, here))
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
			w.signIn.Run(ctx)
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

// A mail that cannot be sent is told to whoever invites, and its link ends, also
// when what failed is that the request's time was over. What the mail server
// said is for the log alone.
func TestMailFails(t *testing.T) {
	box, links := make(chan user.User, 10), make(chan string, 10)
	lost := errors.New("mail.internal.example:587 said 550 no such mailbox")
	eachWorld(t, func(w *world) {
		var logged []error
		service := w.service(func(c *signin.Config) {
			c.OnMailFailed = func(_ context.Context, err error) { logged = append(logged, err) }
		})
		for _, ends := range []bool{false, true} {
			ctx, cancel := context.WithCancel(w.Context())
			defer cancel()
			if ends {
				service = w.service(func(c *signin.Config) { c.Mail = cutOff{lostPost{postbox{box, lost}, links}, cancel} })
			}
			_, err := service.Invite(ctx, owner(w.home), signin.Invitee{Details: nora})
			w.wants(err, fault.Conflict, "email")
			if all := fault.Flatten(err); all[0].Message != "They are in the account, but the invitation could not be mailed. Invite them again when mail works." {
				w.Error(all[0].Message)
			}
			w.wants(w.redeems(secretIn(<-links)), fault.NotFound, "")
		}
		if len(logged) != 1 || !errors.Is(logged[0], lost) {
			w.Errorf("logged are %v", logged)
		}
	}, func(c *signin.Config) { c.Mail = lostPost{postbox{box, lost}, links} })
}

// cutOff ends the request while its mail is sent.
type cutOff struct {
	lostPost

	cancel func()
}

func (p cutOff) Invited(ctx context.Context, to user.User, name, address string, until time.Time) error {
	p.cancel()
	return errors.Join(p.lostPost.Invited(ctx, to, name, address, until), ctx.Err())
}
