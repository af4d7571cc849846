package signin

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// Mail sends links and notices by email. Each call takes a bounded time.
// Errors are for the caller who caused the mail, so their text contains no
// secret.
type Mail interface {
	// Invited tells a user that an account invites them. The address is a link
	// that works until then or, if until is zero, the sign-in page.
	Invited(ctx context.Context, to user.User, accountName, address string, until time.Time) error
	// Forgot sends a user the link to choose another password.
	Forgot(ctx context.Context, to user.User, address string, until time.Time) error
	// Notify sends a user a notice of a sign-in, or of a change to how they
	// sign in.
	Notify(ctx context.Context, to user.User, n Notice) error
}

// Invitee is a user to invite to the principal's account.
type Invitee struct {
	// Details are the account's record of a new user. Names may be empty. The
	// locale defaults to English.
	user.Details

	// Store is a store to add the user to; zero for none.
	Store account.StoreRef
	// Show returns the link even if it could be mailed. Only the operator may
	// set it.
	Show bool
}

// Outcome is how an invited user can sign in.
type Outcome string

// The outcomes.
const (
	// Shown: the caller must pass the link on to them.
	Shown Outcome = "shown"
	// Mailed: the link was mailed to them.
	Mailed Outcome = "mailed"
	// SignsIn: they can sign in already.
	SignsIn Outcome = "signs_in"
	// AtProvider: passwords are turned off, and they sign in at the provider.
	AtProvider Outcome = "at_provider"
	// NeedsOwner: they are in the account, but its owner must invite them
	// again, since only owners are shown a link.
	NeedsOwner Outcome = "needs_owner"
	// NeedsOperator: they are in the account, but the operator must create
	// their link, since another account knows them too.
	NeedsOperator Outcome = "needs_operator"
)

// Invited is the result of an invitation.
type Invited struct {
	Person  user.User
	Outcome Outcome
	// Address is the URL of the link, with its secret. It is empty unless
	// Outcome is Shown.
	Address string
	// ExpiresAt is when the link expires; zero for no link.
	ExpiresAt time.Time
}

// Inviter invites users to accounts.
type Inviter struct {
	persons *persons
	users   *user.Service
	links   *Links
	factors *Factors
	// mail is nil if mail is not set up.
	mail        Mail
	mailFailed  func(ctx context.Context, err error)
	limits      *invitations
	publicURL   string
	noPasswords bool
	now         clock.Clock
}

// Invite adds a user to the principal's account and creates a link by which
// they accept the membership. Another invitation creates another link.
//
// A link that is mailed proves the address: with it, a person who cannot sign
// in yet chooses their own password. Without mail, the link is shown to the
// account's owner, who could use it themselves. The password that it sets
// therefore signs in to that account only, and is removed when the person
// accepts the membership with a proof of their own. The operator is shown any
// link. If passwords are turned off, only the operator gets a link: the mail
// leads to the sign-in page.
//
// Until the membership is accepted, the result depends on nothing outside the
// account. Invite returns fault.Forbidden if the principal may not create or
// add users; fault.Invalid on "email", "firstName", "lastName" and "locale";
// fault.NotFound on "storeId"; and, with the user already in the account,
// fault.Conflict on "email" if the link could not be mailed and
// fault.RateLimited on "email" after too many invitations.
func (s *Inviter) Invite(ctx context.Context, by *auth.Principal, in Invitee) (Invited, error) {
	invited, err := s.users.EnsureMember(ctx, by, in.Details, in.Store)
	if err != nil {
		return Invited{}, err
	}
	who, err := s.invitee(ctx, by, invited.User)
	if err != nil {
		return Invited{}, err
	}
	how := s.outcome(by, in, who)
	if how == Mailed {
		if err := s.limits.take(by, invited.User.Email, s.now()); err != nil {
			return Invited{}, err
		}
	}
	if how == Mailed && s.noPasswords {
		return Invited{Person: invited.User, Outcome: how},
			s.mailInvitation(ctx, invited.User, who.account.Name, Link{}, s.publicURL+"/signin")
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
		done.Address = s.links.Address(value)
		return done, nil
	}
	return done, s.mailInvitation(ctx, invited.User, who.account.Name, l, s.links.Address(value))
}

// invitee is a user of an account who is invited.
type invitee struct {
	user user.User
	// record is the user as an identity with a password of the account, and
	// person the one who has the address.
	record, person Person
	account        Membership
	// elsewhere reports whether the person has accepted a membership of another
	// account.
	elsewhere bool
	// signsIn reports whether the person has accepted the membership and can
	// sign in with a factor that others do not know.
	signsIn bool
}

// invitee reads what decides how the invited user can sign in.
func (s *Inviter) invitee(ctx context.Context, by *auth.Principal, u user.User) (invitee, error) {
	who := invitee{user: u}
	var err error
	if who.record, err = s.persons.PersonByID(ctx, u.ID); err != nil {
		return who, err
	}
	if who.person, err = s.persons.EnsurePerson(ctx, user.Fold(u.Email), s.now.Timestamp()); err != nil {
		return who, err
	}
	all, err := s.persons.Accounts(ctx, who.person.ID)
	for _, m := range all {
		if m.ID == by.AccountID {
			who.account = m
			continue
		}
		who.elsewhere = who.elsewhere || !m.Pending
	}
	if err == nil && !u.Pending && who.person.VouchedBy == uuid.Nil {
		who.signsIn, err = s.factors.signsIn(ctx, who.person)
	}
	return who, err
}

// outcome decides how the user can sign in. For a pending user, it depends only
// on what the account did.
func (s *Inviter) outcome(by *auth.Principal, in Invitee, who invitee) Outcome {
	operator := by.Kind == auth.Operator
	chosen := who.record.VouchedBy == by.AccountID && who.record.PasswordHash != ""
	switch {
	case (chosen || who.signsIn) && !operator && !s.noPasswords:
		return SignsIn
	case s.mail != nil && (!in.Show || !operator):
		return Mailed
	case operator:
		return Shown
	case s.noPasswords:
		return AtProvider
	case !who.user.Pending && (who.person.PasswordHash != "" || who.elsewhere):
		return NeedsOperator
	case !by.OwnsAccount(by.AccountID):
		return NeedsOwner
	}
	return Shown
}

// invite creates the link: for the person if only they or the operator see it,
// and for the user of the account otherwise.
func (s *Inviter) invite(ctx context.Context, by *auth.Principal, who invitee, how Outcome) (Link, secret.Secret,
	error) {
	l := Link{Purpose: Invitation, UserID: who.person.ID, AccountID: by.AccountID}
	if how == Shown && by.Kind != auth.Operator {
		l.UserID, l.ShownTo = who.user.ID, by.ID
	}
	if by.Kind == auth.Operator && (who.person.PasswordHash != "" || who.signsIn) { // there is nothing to accept
		l.Purpose = Reset
	}
	l.ByOperator = how == Shown && by.Kind == auth.Operator
	details := []audit.Detail{{Name: "link", Value: string(how)}, {Name: "purpose", Value: string(l.Purpose)}}
	return s.links.keep(ctx, by.Actor(), l, []audit.Event{user.Event(by, audit.UserInvited, who.user.Target(),
		s.now.Timestamp(), details...)})
}

// mailInvitation mails a link, and deletes it if that fails.
func (s *Inviter) mailInvitation(ctx context.Context, to user.User, accountName string, l Link, address string) error {
	err := s.mail.Invited(ctx, to, accountName, address, l.ExpiresAt)
	if err == nil {
		return nil
	}
	failed := fault.Wrap(err, fault.Conflict,
		"They are in the account, but the invitation could not be mailed. Invite them again when mail works.")
	s.mailFailed(ctx, err)
	// The mail may have failed because ctx ended. The link must be deleted all
	// the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaningUp)
	defer cancel()
	if err := s.links.repo.EndLink(ctx, l.ID); err != nil {
		return errors.Join(failed.On("email"), err)
	}
	return failed.On("email")
}

// cleaningUp is the time limit for undoing a failed operation.
const cleaningUp = 5 * time.Second

// PendingInvitations returns, by user, the newest invitation of the principal's account for each of the users who have
// not accepted it yet. It may have expired. It depends only on what the account did. The caller must have taken the IDs
// from records that the principal can see.
func (s *Inviter) PendingInvitations(ctx context.Context, by *auth.Principal,
	userIDs []uuid.UUID) (map[uuid.UUID]Link, error) {
	if len(userIDs) == 0 || s.noPasswords {
		return map[uuid.UUID]Link{}, nil
	}
	return s.links.repo.Invitations(ctx, by.AccountID, userIDs)
}
