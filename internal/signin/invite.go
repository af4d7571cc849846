package signin

import (
	"context"
	"errors"
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
	// Notify tells a user of a sign-in, or of a change of how they sign in.
	Notify(ctx context.Context, to user.User, n Notice) error
}

// Invitee asks for somebody to be invited into the principal's account.
type Invitee struct {
	// Details are what the account records of a person who comes into it by this;
	// names may be empty. No locale is English.
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

// Invite takes a person into the principal's account and gives them a link by
// which they accept the membership. To invite again is to give another link.
//
// A link that is mailed proves the address: with it somebody who cannot sign in
// yet chooses a password of their own. Where no mail is set up, the link is
// shown to the account's owner, who could use it themselves: the password that it
// sets opens that account alone, and ends when the person accepts the membership
// with a proof of their own. The operator is shown any. Where passwords are turned
// off, nobody else is given a link: the mail leads to the page to sign in.
//
// Until the membership is accepted, what is answered depends on nothing outside
// the account. It returns fault.Forbidden for a principal that may not create or
// add people, fault.Invalid on "email", "firstName", "lastName" and "locale",
// fault.NotFound on "storeId", and fault.Conflict on "email" when the link could
// not be mailed, and fault.RateLimited on "email" for one too many: the person is
// in the account then.
func (s *Service) Invite(ctx context.Context, by *auth.Principal, in Invitee) (Invited, error) {
	invited, err := s.Users.TakeIn(ctx, by, in.Details, in.Store)
	if err != nil {
		return Invited{}, err
	}
	who, err := s.invitee(ctx, by, invited.User)
	if err != nil {
		return Invited{}, err
	}
	how := s.outcome(by, in, who)
	if how == Mailed {
		if err := s.mayMail(by, invited.User.Email); err != nil {
			return Invited{}, err
		}
	}
	if how == Mailed && s.NoPasswords {
		return Invited{Person: invited.User, Outcome: how}, s.mailInvitation(ctx, invited.User, who.account.Name, Link{}, s.PublicURL+"/signin")
	}
	if how != Shown && how != Mailed {
		return Invited{Person: invited.User, Outcome: how}, nil
	}
	l, value, err := s.invite(ctx, by, who, how)
	if err != nil {
		return Invited{}, err
	}
	done := Invited{Person: invited.User, Outcome: how, ExpiresAt: l.ExpiresAt}
	if how == Shown {
		done.Address = s.Address(value)
		return done, nil
	}
	return done, s.mailInvitation(ctx, invited.User, who.account.Name, l, s.Address(value))
}

// invitee is a user of an account who is invited.
type invitee struct {
	user user.User
	// record is the user as one who signs in with a password of the account's,
	// and person who has the address.
	record, person Person
	account        Membership
	// elsewhere says that the person accepted a membership of another account.
	elsewhere bool
}

// invitee reads what decides how a user of the principal's account gets in.
func (s *Service) invitee(ctx context.Context, by *auth.Principal, u user.User) (invitee, error) {
	who := invitee{user: u}
	var err error
	if who.record, err = s.Repository.PersonByID(ctx, u.ID); err != nil {
		return who, err
	}
	if who.person, err = s.Repository.EnsurePerson(ctx, user.Fold(u.Email), s.moment()); err != nil {
		return who, err
	}
	all, err := s.Repository.Accounts(ctx, who.person.ID)
	for _, m := range all {
		if m.ID == by.AccountID {
			who.account = m
			continue
		}
		who.elsewhere = who.elsewhere || !m.Pending
	}
	return who, err
}

// outcome decides how the person gets in. Of a person who is pending, it asks
// for nothing but what the account did.
func (s *Service) outcome(by *auth.Principal, in Invitee, who invitee) Outcome {
	operator := by.Kind == auth.Operator
	chosen := who.record.VouchedBy == by.AccountID && who.record.PasswordHash != ""
	own := !who.user.Pending && who.person.PasswordHash != "" && who.person.VouchedBy == uuid.Nil
	switch {
	case (chosen || own) && !operator && !s.NoPasswords:
		return SignsIn
	case s.Mail != nil && (!in.Show || !operator):
		return Mailed
	case operator:
		return Shown
	case s.NoPasswords:
		return AtProvider
	case !who.user.Pending && (who.person.PasswordHash != "" || who.elsewhere):
		return NeedsOperator
	case !by.OwnsAccount(by.AccountID):
		return NeedsOwner
	}
	return Shown
}

// invite makes the link: for the person if only they, or the operator, see it,
// and for the user of the account otherwise.
func (s *Service) invite(ctx context.Context, by *auth.Principal, who invitee, how Outcome) (Link, secret.Secret, error) {
	l := Link{Purpose: Invitation, UserID: who.person.ID, AccountID: by.AccountID}
	if how == Shown && by.Kind != auth.Operator {
		l.UserID, l.ShownTo = who.user.ID, by.ID
	}
	if by.Kind == auth.Operator && who.person.PasswordHash != "" {
		l.Purpose = Reset
	}
	l.ByOperator = how == Shown && by.Kind == auth.Operator
	details := []audit.Detail{{Name: "link", Value: string(how)}, {Name: "purpose", Value: string(l.Purpose)}}
	return s.keepLink(ctx, by.Actor(), l, []audit.Event{user.Event(by, audit.UserInvited, who.user.Target(), s.moment(), details...)})
}

// mailInvitation mails a link, and ends one that could not be mailed.
func (s *Service) mailInvitation(ctx context.Context, to user.User, accountName string, l Link, address string) error {
	err := s.Mail.Invited(ctx, to, accountName, address, l.ExpiresAt)
	if err == nil {
		return nil
	}
	failed := fault.Wrap(err, fault.Conflict, "They are in the account, but the invitation could not be mailed. Invite them again when mail works.")
	s.mailFailed(ctx, err)
	// What failed may be that ctx has ended, and the link must end all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaningUp)
	defer cancel()
	if err := s.Repository.EndLink(ctx, l.ID); err != nil {
		return errors.Join(failed.On("email"), err)
	}
	return failed.On("email")
}

// cleaningUp is how long it may take to take back what was begun in vain.
const cleaningUp = 5 * time.Second
