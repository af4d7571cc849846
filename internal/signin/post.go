package signin

import (
	"context"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// post sends every mail to the address that is stored for the person. Two
// spellings that fold to the same address are one person here, but a mail server
// may deliver them to two mailboxes. An account chooses the spelling in its own
// record, and a visitor the one that they type, so mails go to neither: they
// could hand the person's link to another user.
type post struct {
	Mail

	persons *persons
}

// newPost returns nil if mail is not set up.
func newPost(m Mail, p *persons) Mail {
	if m == nil {
		return nil
	}
	return post{m, p}
}

// Invited implements Mail.
func (s post) Invited(ctx context.Context, to user.User, accountName, address string, until time.Time) error {
	to, err := s.persons.recipient(ctx, to)
	if err != nil {
		return err
	}
	return s.Mail.Invited(ctx, to, accountName, address, until)
}

// Forgot implements Mail.
func (s post) Forgot(ctx context.Context, to user.User, address string, until time.Time) error {
	to, err := s.persons.recipient(ctx, to)
	if err != nil {
		return err
	}
	return s.Mail.Forgot(ctx, to, address, until)
}

// Notify implements Mail. A user whom no account has any longer gets no notice.
func (s post) Notify(ctx context.Context, to user.User, n Notice) error {
	to, err := s.persons.recipient(ctx, to)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Mail.Notify(ctx, to, n)
}

// Recipient returns the user with the address that mails to them go to: the one
// that was recorded first for the person, in its own spelling. It returns
// fault.NotFound if no account has a user with the address.
func (s *Service) Recipient(ctx context.Context, u user.User) (user.User, error) {
	return s.persons.recipient(ctx, u)
}

func (p *persons) recipient(ctx context.Context, u user.User) (user.User, error) {
	folded := user.Fold(u.Email)
	person, err := p.Person(ctx, folded)
	if fault.KindOf(err) == fault.NotFound {
		person, err = p.EnsurePerson(ctx, folded, p.now.Timestamp())
	}
	if err != nil {
		return user.User{}, err
	}
	u.Email = person.Email
	return u, nil
}
