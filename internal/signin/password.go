package signin

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/password"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// GivePassword gives the person of an e-mail address another password, and ends
// all of their sessions. It is the operator's alone: fault.Forbidden for anybody
// else, fault.Invalid on "password" for one that breaks a rule, and
// fault.NotFound on "email" when nobody has the address.
func (s *Service) GivePassword(ctx context.Context, by *auth.Principal, email string, chosen secret.Password) error {
	if by.Kind != auth.Operator {
		return auth.Denied()
	}
	person, err := s.Repository.Person(ctx, user.Fold(email))
	if fault.KindOf(err) == fault.NotFound {
		return fault.Errorf(fault.NotFound, "Nobody has this e-mail address.").On("email")
	}
	if err != nil {
		return err
	}
	return s.setPassword(ctx, by, person.User, chosen, chosen, uuid.Nil)
}

// setPassword replaces a password, tells of it in all accounts of the person,
// and ends their sessions but the one to keep.
func (s *Service) setPassword(ctx context.Context, by *auth.Principal, u user.User, chosen, confirmation secret.Password, keep uuid.UUID) error {
	if err := password.Check(chosen, confirmation, u.Email).Err(); err != nil {
		return err
	}
	hash, err := s.passwords.Hash(ctx, chosen)
	if err != nil {
		return err
	}
	accounts, err := s.Repository.Accounts(ctx, u.ID)
	if err != nil {
		return err
	}
	now := s.moment()
	events := make([]audit.Event, len(accounts))
	for i, a := range accounts {
		events[i] = user.Event(by, audit.PasswordSet, u.Target(), now)
		events[i].AccountID = a.ID
	}
	return s.Repository.SetPassword(ctx, u.ID, hash, keep, now, events, func(old user.Session) audit.Event { return user.SessionEnded(by, old, now) })
}
