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
	who, err := s.known(ctx, email)
	if err != nil {
		return err
	}
	_, err = s.setPassword(ctx, by, who.User, passwordChange{Chosen: user.PasswordChoice{Password: chosen, Confirmation: chosen}, SignedIn: true})
	return err
}

// passwordChange is a password that somebody chose, and by what right.
type passwordChange struct {
	Chosen user.PasswordChoice
	// VouchedBy, Link, Keep and Grounds are those of NewPassword.
	VouchedBy, Link, Keep uuid.UUID
	Grounds               Grounds
	// SignedIn is that of NewPassword.
	SignedIn bool
	// In is the account whose link it was, which is told although the membership
	// is pending.
	In uuid.UUID
}

// setPassword replaces a password, tells of it in all accounts of the person,
// and ends their links, and their sessions but the one to keep. It returns the
// version of the new password.
func (s *Service) setPassword(ctx context.Context, by *auth.Principal, u user.User, c passwordChange) (PasswordVersion, error) {
	accounts, err := s.Repository.Accounts(ctx, u.ID)
	if err != nil {
		return "", err
	}
	names := []string{u.Email, u.FirstName, u.LastName}
	for _, a := range accounts {
		names = append(names, a.Name)
	}
	hash, err := s.hashFor(ctx, c, u.Email, names...)
	if err != nil {
		return "", err
	}
	return VersionOf(hash), s.keepPassword(ctx, by, u, hash, c, audit.PasswordSet)
}

// withoutPassword does what setPassword does but for the password: the user's
// own stays, and one that others may know is removed.
func (s *Service) withoutPassword(ctx context.Context, by *auth.Principal, p Person, c passwordChange) (PasswordVersion, error) {
	if p.VouchedBy == uuid.Nil {
		return p.version(), s.keepPassword(ctx, by, p.User, "", c)
	}
	return VersionOf(""), s.keepPassword(ctx, by, p.User, "", c, audit.PasswordRemoved)
}

// keepPassword keeps a hash and its events, in every account of the user.
func (s *Service) keepPassword(ctx context.Context, by *auth.Principal, u user.User, hash string, c passwordChange, tell ...audit.Action) error {
	accounts, err := s.Repository.Accounts(ctx, u.ID)
	if err != nil {
		return err
	}
	now := s.moment()
	for i := range accounts {
		accounts[i].Pending = accounts[i].Pending && accounts[i].ID != c.In
	}
	var own []audit.Event
	for _, action := range tell {
		own = append(own, eventsIn(accounts, by, u, now, action)...)
	}
	var gone Removed
	err = s.Repository.SetPassword(ctx, by.Actor(), NewPassword{
		UserID: u.ID, Hash: hash, VouchedBy: c.VouchedBy, Link: c.Link, Keep: c.Keep, Grounds: c.Grounds, SignedIn: c.SignedIn, At: now, Own: own,
		Ended: func(old user.Session) audit.Event { return user.SessionEnded(by, old, now) },
		Removed: func(removed Removed) []audit.Event {
			gone = removed
			return removalEvents(by, u, removed, accounts, now)
		},
	})
	if err == nil {
		s.notify(u.ID, by.Origin.IP, append(tell, gone.actions()...)...)
	}
	return err
}

// hashFor is HashPassword, with the salt of passwords that accounts choose where
// it is one.
func (s *Service) hashFor(ctx context.Context, c passwordChange, email string, names ...string) (string, error) {
	if c.VouchedBy == uuid.Nil {
		return s.HashPassword(ctx, c.Chosen, names...)
	}
	if err := s.checkPassword(c.Chosen, names...); err != nil {
		return "", err
	}
	return s.passwords.HashSalted(ctx, c.Chosen.Password, user.VouchedSalt(s.Keys, email))
}

// checkPassword returns fault.Invalid on "password" and "passwordConfirmation".
func (s *Service) checkPassword(chosen user.PasswordChoice, names ...string) error {
	return password.Check(chosen.Password, chosen.Confirmation, append(names, s.PublicURL)...).Err()
}

// HashPassword returns the hash of a password that the user of the names chose:
// their address, their own and their accounts' names. It returns fault.Invalid
// on "password" and "passwordConfirmation".
func (s *Service) HashPassword(ctx context.Context, chosen user.PasswordChoice, names ...string) (string, error) {
	if err := s.checkPassword(chosen, names...); err != nil {
		return "", err
	}
	return s.passwords.Hash(ctx, chosen.Password)
}

// known returns who has the e-mail address. It returns fault.NotFound on
// "email" for nobody.
func (s *Service) known(ctx context.Context, email string) (Person, error) {
	person, err := s.Repository.EnsurePerson(ctx, user.Fold(email), s.moment())
	if fault.KindOf(err) == fault.NotFound {
		return Person{}, fault.Errorf(fault.NotFound, "Nobody has this e-mail address.").On("email")
	}
	return person, err
}

// ChangePassword gives the principal's person another password. It asks for the
// present one, as Password does, and ends all of their sessions but the
// principal's. It returns fault.Invalid on "password" and
// "passwordConfirmation".
func (s *Service) ChangePassword(ctx context.Context, by *auth.Principal, present secret.Password, chosen user.PasswordChoice, v Visitor) error {
	if by.Kind != auth.Session {
		return auth.Denied()
	}
	person, err := s.Repository.PersonByID(ctx, by.Person())
	if err != nil {
		return err
	}
	proof, err := s.Password(ctx, person.Email, present, v)
	if err != nil {
		return err
	}
	if proof.User.ID != person.ID { // of the same address, but not of this session
		return errWrong()
	}
	proof.grounds.Session = by.SessionID
	// Whoever may have known the present one may have changed it.
	change := passwordChange{Chosen: chosen, VouchedBy: person.VouchedBy, Keep: by.SessionID, Grounds: proof.grounds}
	_, err = s.setPassword(ctx, by, person.User, change)
	return err
}
