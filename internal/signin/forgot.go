package signin

import (
	"context"
	"sync"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// mostWaiting is how many wishes for another password may wait to be worked on.
const mostWaiting = 100

// noticesGrace is how long a server that stops goes on sending notices.
const noticesGrace = 5 * time.Second

// CanMail reports whether people can be mailed links by which they choose a
// password.
func (s *Service) CanMail() bool { return s.Mail != nil && !s.NoPasswords }

// Forgot mails whoever has the address a link to choose another password. It
// tells nothing of whether somebody does, and returns at once: what it takes is
// done by Run. It returns fault.RateLimited for too many wishes from the
// visitor's address; too many for one person are left undone.
func (s *Service) Forgot(email string, v Visitor) error {
	allowed, err := s.attempts.admitForgot(v.Origin.IP, user.Fold(email), s.Now())
	if err != nil || !allowed || !s.CanMail() {
		return err
	}
	select {
	case s.forgotten <- email:
	default: // so many at once are no people
	}
	return nil
}

// mailFailed tells of a mail that could not be sent.
func (s *Service) mailFailed(ctx context.Context, err error) {
	if s.OnMailFailed != nil {
		s.OnMailFailed(ctx, err)
	}
}

// Run does until ctx ends what the service put off.
func (s *Service) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.runFailures(ctx) })
	s.runMails(ctx)
	running.Wait()
}

func (s *Service) runMails(ctx context.Context) {
	// Notices are of what has happened, so a server that stops sends those that
	// wait, in a bounded time.
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(noticesGrace, cancel) })()
	for {
		select {
		case <-ctx.Done():
			s.SendNotices(lasting)
			return
		case n := <-s.notices.waiting:
			s.sendNotice(lasting, n)
		case email := <-s.forgotten:
			if err := s.mailReset(ctx, email); err != nil && ctx.Err() == nil {
				s.mailFailed(ctx, err)
			}
		}
	}
}

// mailReset mails a person a link, if there is such a person, who is in an
// account: what somebody else typed is mailed to nobody.
func (s *Service) mailReset(ctx context.Context, email string) error {
	person, err := s.Repository.EnsurePerson(ctx, user.Fold(email), s.moment())
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := s.Repository.Accounts(ctx, person.ID)
	if err != nil || len(all) == 0 {
		return err
	}
	l, value, err := s.keepLink(ctx, proving(), Link{Purpose: Reset, UserID: person.ID}, nil)
	if err != nil {
		return err
	}
	return s.Mail.Forgot(ctx, person.User, s.Address(value), l.ExpiresAt)
}
