package signin

import (
	"context"

	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// mostWaiting is the most password reset requests in the queue.
const mostWaiting = 100

// Resets mails the links with which users who forgot their password choose
// another.
type Resets struct {
	persons  *persons
	links    *Links
	attempts *attempts
	// mail is nil if mail is not set up.
	mail        Mail
	noPasswords bool
	now         clock.Clock
	// waiting has the addresses of the requests.
	waiting chan string
}

// CanMail reports whether password reset links can be mailed.
func (s *Resets) CanMail() bool { return s.mail != nil && !s.noPasswords }

// Forgot mails a link to choose another password to the user with the address.
// It does not reveal whether there is one, and returns at once: Run does the
// work. It returns fault.RateLimited after too many requests from the visitor's
// address. Too many for one user are dropped.
func (s *Resets) Forgot(email string, v Visitor) error {
	allowed, err := s.attempts.admitForgot(v.Origin.IP, user.Fold(email), s.now())
	if err != nil || !allowed || !s.CanMail() {
		return err
	}
	select {
	case s.waiting <- email:
	default: // drop requests that exceed the queue
	}
	return nil
}

// send mails a link to the user with the address, if there is one who is
// in an account. An address that only the visitor entered gets no mail.
func (s *Resets) send(ctx context.Context, email string) error {
	person, err := s.persons.EnsurePerson(ctx, user.Fold(email), s.now.Timestamp())
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := s.persons.Accounts(ctx, person.ID)
	if err != nil || len(all) == 0 {
		return err
	}
	l, value, err := s.links.keep(ctx, proving(), Link{Purpose: Reset, UserID: person.ID}, nil)
	if err != nil {
		return err
	}
	return s.mail.Forgot(ctx, person.User, s.links.Address(value), l.ExpiresAt)
}
