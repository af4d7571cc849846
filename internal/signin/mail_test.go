package signin_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// postbox records mails, or fails to send them.
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

// lostPost records the addresses of links, and fails to send the mails.
type lostPost struct {
	postbox

	links chan string
}

func (p lostPost) Invited(ctx context.Context, to user.User, name, address string, until time.Time) error {
	p.links <- address
	return p.postbox.Invited(ctx, to, name, address, until)
}

var nora = user.Details{Email: "nora@acme.example", FirstName: "Nora", LastName: "New"}

// With mail set up, no link is shown, except to an operator who asks for it.
func TestInviteByMail(t *testing.T) {
	box := make(chan user.User, 10)
	eachFixture(t, func(w *fixture) {
		done, err := w.signIn.Invite(w.Context(), owner(w.home), signin.Invitee{Details: nora, Show: true})
		w.must(err)
		if got := <-box; done.Outcome != signin.Mailed || done.Address != "" || got.Email != nora.Email {
			w.Errorf("Invite() = %s with the address %q, mailed to %s, want %s to %s",
				done.Outcome, done.Address, got.Email, signin.Mailed, nora.Email)
		}
		if done, err = w.signIn.Invite(w.Context(), operator(w.home),
			signin.Invitee{Details: nora, Show: true}); err != nil || done.Outcome != signin.Shown {
			w.Errorf("Invite() by an operator: got outcome %s, %v, want %s", done.Outcome, err, signin.Shown)
		}
	}, func(c *signin.Config) { c.Mail = postbox{box, nil} })
}

// A password reset mail that cannot be sent is reported to the log.
func TestForgottenMailFails(t *testing.T) {
	lost := errors.New("no such mailbox")
	box := make(chan user.User, 10)
	eachFixture(t, func(w *fixture) {
		ctx, stop := context.WithCancel(w.Context())
		results, ended := make(chan error, 10), make(chan struct{})
		service := w.service(func(c *signin.Config) {
			c.OnMailFailed = func(_ context.Context,
				err error) {
				results <- err
			}
		})
		go func() {
			defer close(ended)
			service.Run(ctx)
		}()
		w.must(service.Forgot(w.home.Owner.Email, here))
		select {
		case err := <-results:
			if !errors.Is(err, lost) {
				w.Errorf("reported %v, want %v", err, lost)
			}
		case <-time.After(10 * time.Second):
			w.Errorf("nothing was reported, want %v within 10 seconds", lost)
		}
		stop()
		<-ended
	}, func(c *signin.Config) { c.Mail = postbox{box, lost} })
}

// A user who left gets no mail: no account remains for the password.
func TestForgottenByWhoLeft(t *testing.T) {
	box := make(chan user.User, 10)
	eachFixture(t, func(w *fixture) {
		leaver := w.home.Users[2]
		_, err := membership.NewService(w.DB.Memberships(), w.Clock.Now).Remove(w.Context(), owner(w.home),
			membership.Removal{User: user.Ref{Email: &leaver.Email}})
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
				w.Errorf("mailed to %s, want %s", got.Email, w.home.Owner.Email)
			}
		case <-time.After(10 * time.Second):
			w.Error("no mail, want one within 10 seconds")
		}
		stop()
		<-ended
	}, func(c *signin.Config) { c.Mail = postbox{box, nil} })
}

// An invitation that cannot be mailed returns an error and deletes its link,
// even if the mail failed because the request timed out. The mail server's
// answer is for the log only.
func TestMailFails(t *testing.T) {
	box, links := make(chan user.User, 10), make(chan string, 10)
	lost := errors.New("mail.internal.example:587 said 550 no such mailbox")
	eachFixture(t, func(w *fixture) {
		var logged []error
		service := w.service(func(c *signin.Config) {
			c.OnMailFailed = func(_ context.Context, err error) { logged = append(logged, err) }
		})
		for _, ends := range []bool{false, true} {
			ctx, cancel := context.WithCancel(w.Context())
			defer cancel()
			if ends {
				service = w.service(func(c *signin.Config) {
					c.Mail = cutOff{lostPost{postbox{box, lost}, links},
						cancel}
				})
			}
			_, err := service.Invite(ctx, owner(w.home), signin.Invitee{Details: nora})
			w.wants(err, fault.Conflict, "email")
			if all := fault.Flatten(
				err); all[0].Message != "They are in the account, but the invitation could not be mailed. Invite them again when mail works." {
				w.Errorf("the error: got %q, want that mail does not work", all[0].Message)
			}
			w.wants(w.redeems(secretIn(<-links)), fault.NotFound, "")
		}
		if len(logged) != 1 || !errors.Is(logged[0], lost) {
			w.Errorf("logged: got %v, want only %v", logged, lost)
		}
	}, func(c *signin.Config) { c.Mail = lostPost{postbox{box, lost}, links} })
}

// cutOff cancels the request while its mail is sent.
type cutOff struct {
	lostPost

	cancel func()
}

func (p cutOff) Invited(ctx context.Context, to user.User, name, address string, until time.Time) error {
	p.cancel()
	return errors.Join(p.lostPost.Invited(ctx, to, name, address, until), ctx.Err())
}
