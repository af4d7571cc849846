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
// all of their sessions but those that the operator started, for which no
// password was asked. It is the operator's alone: fault.Forbidden for anybody
// else, fault.Invalid on "password" for one that breaks a rule, and
// fault.NotFound on "email" when nobody has the address.
func (s *Service) GivePassword(ctx context.Context, by *auth.Principal, email string, chosen secret.Password) error {
	if by.Kind != auth.Operator {
		return auth.Denied()
	}
	who, err := s.Known(ctx, email)
	if err != nil {
		return err
	}
	return s.setPassword(ctx, by, who, passwordChange{Chosen: user.PasswordChoice{Password: chosen, Confirmation: chosen}, SignedIn: true})
}

// passwordChange is a password that somebody chose, and by what right.
type passwordChange struct {
	Chosen user.PasswordChoice
	// VouchedBy, Link and Keep are those of NewPassword.
	VouchedBy, Link, Keep uuid.UUID
	// SignedIn is that of NewPassword.
	SignedIn bool
}

// setPassword replaces a password, tells of it in all accounts of the person,
// and ends their links, and their sessions but the one to keep.
func (s *Service) setPassword(ctx context.Context, by *auth.Principal, u user.User, c passwordChange) error {
	hash, err := s.HashPassword(ctx, c.Chosen, u.Email)
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
	return s.Repository.SetPassword(ctx, NewPassword{
		UserID: u.ID, Hash: hash, VouchedBy: c.VouchedBy, Link: c.Link, Keep: c.Keep, SignedIn: c.SignedIn, At: now, Own: events,
		Ended:   func(old user.Session) audit.Event { return user.SessionEnded(by, old, now) },
		Removed: func(gone Removed) []audit.Event { return removalEvents(by, u, gone, idsOf(accounts), now) },
	})
}

// HashPassword returns the hash of a password that the person of the address
// chose. It returns fault.Invalid on "password" and "passwordConfirmation".
func (s *Service) HashPassword(ctx context.Context, chosen user.PasswordChoice, email string) (string, error) {
	if err := password.Check(chosen.Password, chosen.Confirmation, email).Err(); err != nil {
		return "", err
	}
	return s.passwords.Hash(ctx, chosen.Password)
}

// Known returns who has the e-mail address. It returns fault.NotFound on
// "email" for nobody.
func (s *Service) Known(ctx context.Context, email string) (user.User, error) {
	person, err := s.Repository.Person(ctx, user.Fold(email))
	if fault.KindOf(err) == fault.NotFound {
		return user.User{}, fault.Errorf(fault.NotFound, "Nobody has this e-mail address.").On("email")
	}
	return person.User, err
}

// ChangePassword gives the principal's person another password. It asks for the
// present one, as Password does, and ends all of their sessions but the
// principal's. It returns fault.Invalid on "password" and
// "passwordConfirmation".
func (s *Service) ChangePassword(ctx context.Context, by *auth.Principal, present secret.Password, chosen user.PasswordChoice, v Visitor) error {
	if by.Kind != auth.Session {
		return auth.Denied()
	}
	person, err := s.Repository.PersonByID(ctx, by.ID)
	if err != nil {
		return err
	}
	if _, err := s.Password(ctx, person.Email, present, v); err != nil {
		return err
	}
	// Whoever may have known the present one may have changed it.
	return s.setPassword(ctx, by, person.User, passwordChange{Chosen: chosen, VouchedBy: person.VouchedBy, Keep: by.SessionID})
}
