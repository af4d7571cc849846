package signin

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// Mail tells people of links by e-mail, each within a bounded time. Errors are
// for whoever caused the mail; their text names no secret.
type Mail interface {
	// Invited tells somebody that an account invites them. The address is that
	// of a link that works until then, or, where until is zero, of the page to
	// sign in.
	Invited(ctx context.Context, to user.User, accountName, address string, until time.Time) error
	// Forgot gives somebody the link to choose another password.
	Forgot(ctx context.Context, to user.User, address string, until time.Time) error
}

// Invitee asks for somebody to be invited into the principal's account.
type Invitee struct {
	// Details are those of a person who is not known yet; of one who is, only
	// the address counts. No locale is English.
	user.Details

	// Store is the store of the account to take the person into as well; zero
	// for none.
	Store account.StoreRef
	// Show asks for the link to be shown even if it could be mailed, which the
	// operator alone may ask for.
	Show bool
}

// Outcome is how somebody who was invited gets in.
type Outcome string

// The outcomes.
const (
	// Shown: the link is to be passed on to them.
	Shown Outcome = "shown"
	// Mailed: they were mailed a link.
	Mailed Outcome = "mailed"
	// SignsIn: they can sign in already.
	SignsIn Outcome = "signs_in"
	// AtProvider: passwords are turned off, and they sign in at the provider.
	AtProvider Outcome = "at_provider"
	// NeedsOwner: they are in the account, and its owner is to invite them
	// again, since a link is shown to owners alone.
	NeedsOwner Outcome = "needs_owner"
	// NeedsOperator: they are in the account, and the operator is to make a
	// link for them, since another account knows them, too.
	NeedsOperator Outcome = "needs_operator"
)

// Invited is what became of an invitation.
type Invited struct {
	Person  user.User
	Outcome Outcome
	// Address is that of the link, with its secret; empty unless it is Shown.
	Address string
	// ExpiresAt is when the link ends; zero for no link.
	ExpiresAt time.Time
}

// Invite takes a person into the principal's account, who is created if nobody
// has the address, and gives them a link by which to choose a password, which
// ends the one before. To invite again is to give another link.
//
// A link is mailed where mail is set up. Otherwise it is shown to whoever
// invites, who could use it themselves: so it is shown to the account's owner
// alone, of a person who has no password and is in no other account; the
// operator is shown any. Where passwords are turned off, nobody else is given a
// link: the mail leads to the page to sign in.
//
// It returns fault.Forbidden for whoever may not create or add people,
// fault.Invalid on "email", "firstName", "lastName" and "locale",
// fault.NotFound on "storeId", and fault.Conflict on "email" when the link
// could not be mailed: the person is in the account then.
func (s *Service) Invite(ctx context.Context, by *auth.Principal, in Invitee) (Invited, error) {
	if err := user.MayCreate(by); err != nil {
		return Invited{}, err
	}
	if err := s.takeIn(ctx, by, in); err != nil {
		return Invited{}, err
	}
	person, err := s.Repository.Person(ctx, user.Fold(in.Email))
	if err != nil {
		return Invited{}, err
	}
	all, err := s.Repository.Accounts(ctx, person.ID)
	if err != nil {
		return Invited{}, err
	}
	how := s.outcome(by, in, person, all)
	if how == Mailed && s.NoPasswords {
		return Invited{Person: person.User, Outcome: how}, s.mailInvitation(ctx, person.User, nameOf(all, by.AccountID), Link{}, s.PublicURL+"/signin")
	}
	if how != Shown && how != Mailed {
		return Invited{Person: person.User, Outcome: how}, nil
	}
	l, value, err := s.invite(ctx, by, person, how)
	if err != nil {
		return Invited{}, err
	}
	done := Invited{Person: person.User, Outcome: how, ExpiresAt: l.ExpiresAt}
	if how == Shown {
		done.Address = s.Address(value)
		return done, nil
	}
	return done, s.mailInvitation(ctx, person.User, nameOf(all, by.AccountID), l, s.Address(value))
}

// takeIn makes sure that the person is in the account, and in the store if one
// is named.
func (s *Service) takeIn(ctx context.Context, by *auth.Principal, in Invitee) error {
	if in.Locale == "" {
		in.Locale = "en"
	}
	there, err := s.isIn(ctx, by.AccountID, in.Email)
	if fault.KindOf(err) == fault.NotFound {
		_, err = s.Users.Create(ctx, by, in.Details)
		there = true
	}
	switch {
	case err != nil:
	case in.Store != (account.StoreRef{}):
		_, _, err = s.Users.AddToStore(ctx, by, in.Store, user.Whom{Email: &in.Email})
	case !there:
		_, err = s.Users.AddToAccount(ctx, by, in.Email)
	}
	return err
}

// isIn reports whether the person of an address is in an account. It returns
// fault.NotFound when nobody has the address.
func (s *Service) isIn(ctx context.Context, accountID uuid.UUID, email string) (bool, error) {
	person, err := s.Repository.Person(ctx, user.Fold(email))
	if err != nil {
		return false, err
	}
	all, err := s.Repository.Accounts(ctx, person.ID)
	return slices.ContainsFunc(all, func(m Membership) bool { return m.ID == accountID }), err
}

// outcome decides how the person gets in.
func (s *Service) outcome(by *auth.Principal, in Invitee, p Person, all []Membership) Outcome {
	operator := by.Kind == auth.Operator
	switch {
	case p.enters(by.AccountID) && !operator && !s.NoPasswords:
		return SignsIn
	case s.Mail != nil && (!in.Show || !operator):
		return Mailed
	case operator:
		return Shown
	case s.NoPasswords:
		return AtProvider
	case p.PasswordHash != "" || len(all) > 1:
		return NeedsOperator
	case !by.OwnsAccount(by.AccountID):
		return NeedsOwner
	}
	return Shown
}

// invite makes the link.
func (s *Service) invite(ctx context.Context, by *auth.Principal, p Person, how Outcome) (Link, secret.Secret, error) {
	l := Link{Purpose: Invitation, UserID: p.ID, AccountID: by.AccountID}
	if p.PasswordHash != "" {
		l.Purpose = Reset
	}
	switch {
	case how == Shown && by.Kind == auth.Operator:
		l.ByOperator = true
	case how == Shown:
		l.ShownTo = by.ID
	}
	details := []audit.Detail{{Name: "link", Value: string(how)}, {Name: "purpose", Value: string(l.Purpose)}}
	return s.keepLink(ctx, by.Actor(), l, []audit.Event{user.Event(by, audit.UserInvited, p.Target(), s.moment(), details...)})
}

// mailInvitation mails a link, and ends one that could not be mailed.
func (s *Service) mailInvitation(ctx context.Context, to user.User, accountName string, l Link, address string) error {
	err := s.Mail.Invited(ctx, to, accountName, address, l.ExpiresAt)
	if err == nil {
		return nil
	}
	failed := fault.Wrap(err, fault.Conflict, "They are in the account, but the invitation could not be mailed: %v. Invite them again when mail works.", err)
	if err := s.Repository.EndLink(ctx, l.ID); err != nil {
		return err
	}
	return failed.On("email")
}

func nameOf(all []Membership, id uuid.UUID) string {
	for _, m := range all {
		if m.ID == id {
			return m.Name
		}
	}
	return ""
}
