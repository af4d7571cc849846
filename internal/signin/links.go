package signin

import (
	"context"
	"io"
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

// Purpose is the purpose of a one-time link.
type Purpose string

// The purposes.
const (
	// Invitation is for a person who has no password, or none that signs in to
	// the inviting account.
	Invitation Purpose = "invitation"
	// Reset is for a user who forgot their password.
	Reset Purpose = "reset"
	// Setup is for creating the first account.
	Setup Purpose = "setup"
)

// Lifetime is how long a link of this purpose works. A reset is requested and
// used at once; an invitation must outlast a weekend or a trip.
func (p Purpose) Lifetime() time.Duration {
	switch p {
	case Invitation:
		return 7 * 24 * time.Hour
	case Reset:
		return time.Hour
	case Setup:
		return 30 * time.Minute
	}
	return 0
}

// Link is a one-time link. The holder of its secret acts once as the user that
// it is for.
type Link struct {
	ID      uuid.UUID
	Purpose Purpose
	// UserID is the user that it is for; zero for the setup of the first
	// account.
	UserID uuid.UUID
	// AccountID is the inviting account; zero for none.
	AccountID uuid.UUID
	// ShownTo is the account's owner who was shown the link to pass it on; zero
	// for a link that was mailed or that the operator was shown.
	ShownTo uuid.UUID
	// ByOperator reports whether the operator was shown the link. If passwords
	// are turned off, only such a link signs a user in.
	ByOperator bool
	// Server is the server that offers the setup; empty for other purposes.
	Server               string
	CreatedAt, ExpiresAt time.Time
}

// OpenLink is a link with what is needed to check it.
type OpenLink struct {
	Link

	// Person is the user that it is for; zero for none.
	Person Person
	// AccountName and AccountOwner are of the inviting account, and Membership
	// is the user's membership there.
	AccountName  string
	AccountOwner uuid.UUID
	Membership   Membership
	// Elsewhere reports whether the person has accepted a membership of another
	// account.
	Elsewhere bool
	// AcceptsOnly reports that the link sets no password, since the person can
	// sign in already. It only accepts the membership.
	AcceptsOnly bool
}

// works reports whether the link may still be used. A link that an owner was
// shown would let them act as the user. It therefore works only while they own
// the account, and while the person has neither a password nor another account.
func (l OpenLink) works() bool {
	return l.ShownTo == uuid.Nil || l.ShownTo == l.AccountOwner && l.Person.PasswordHash == "" && !l.Elsewhere
}

// vouchedBy returns the account whose members may know the password that the
// link sets.
func (l OpenLink) vouchedBy() uuid.UUID {
	if l.ShownTo == uuid.Nil {
		return uuid.Nil
	}
	return l.AccountID
}

// ErrNoLink is the error for every link that does not work, for any reason.
func ErrNoLink() *fault.Error {
	return fault.Errorf(fault.NotFound, "This link has been used or has expired.")
}

// Links makes one-time links and redeems them.
type Links struct {
	persons     *persons
	repo        LinkRepository
	memberships MembershipRepository
	passwords   *Passwords
	factors     *Factors
	failures    *failures
	keys        *secret.Keyring
	random      io.Reader
	publicURL   string
	noPasswords bool
	now         clock.Clock
}

// Address returns the URL of a link for a user.
func (s *Links) Address(value secret.Secret) string { return s.publicURL + "/link/" + value.Reveal() }

// Link returns the link of a secret. It changes nothing, since mail scanners
// open links too. It returns fault.NotFound for a link that does not work. If
// passwords are turned off, only links that the operator was shown work.
func (s *Links) Link(ctx context.Context, presented string) (OpenLink, error) {
	l, err := s.open(ctx, presented)
	if err != nil {
		return OpenLink{}, err
	}
	if l.Purpose == Setup || !l.works() || s.noPasswords && !l.ByOperator {
		return OpenLink{}, ErrNoLink()
	}
	if l.Purpose == Invitation && l.Person.VouchedBy == uuid.Nil {
		if l.AcceptsOnly, err = s.factors.signsIn(ctx, l.Person); err == nil && l.AcceptsOnly && !l.Membership.Pending {
			return OpenLink{}, ErrNoLink() // no membership to accept
		}
	}
	return l, err
}

func (s *Links) open(ctx context.Context, presented string) (OpenLink, error) {
	value, err := secret.Parse(presented)
	if err != nil || value.Kind() != secret.OneTimeLink {
		return OpenLink{}, ErrNoLink()
	}
	return s.repo.Link(ctx, s.keys.Candidates(value), s.now.Timestamp())
}

// Redeem uses a link up and sets the password of its user. If passwords are
// turned off, it sets none and ignores chosen. It ends the user's sessions and
// deletes their other links, and returns the proof of the user. It returns
// fault.NotFound for a link that does not work, and fault.Invalid on "password"
// and "passwordConfirmation", which does not use the link up.
func (s *Links) Redeem(ctx context.Context, presented string, chosen user.PasswordChoice, v Visitor) (Proof, error) {
	l, err := s.Link(ctx, presented)
	if err != nil {
		s.failures.observe(ctx, Attempt{Method: ByLink, Origin: v.Origin, Err: err})
		return Proof{}, err
	}
	if l.AcceptsOnly {
		return Proof{}, ErrNoLink()
	}
	proof := prove(l.Person, ByLink)
	proof.byOperator = l.ByOperator
	by := actor(l.Person.User, l.AccountID, v)
	change := passwordChange{Chosen: chosen, Link: l.ID, VouchedBy: l.vouchedBy(), In: l.AccountID}
	if s.noPasswords {
		proof.grounds.Password, err = s.passwords.removeVouched(ctx, by, l.Person, change)
	} else {
		proof.grounds.Password, err = s.passwords.set(ctx, by, l.Person.User, change)
	}
	if err == nil && l.ShownTo == uuid.Nil && l.Membership.Pending {
		err = s.memberships.Accept(ctx, proving(),
			l.Membership.acceptance(l.Membership.principal(l.Person.User, v), l.Person.User, s.now.Timestamp()))
	}
	s.failures.observe(ctx, Attempt{Method: ByLink, UserID: l.Person.ID, Origin: v.Origin, Err: err})
	return proof, err
}

// AcceptLink accepts the membership of a link for a person who can sign in
// already (OpenLink.AcceptsOnly). It needs no session. It returns
// fault.NotFound for a link that does not work.
func (s *Links) AcceptLink(ctx context.Context, presented string, v Visitor) (account.Account, error) {
	l, err := s.Link(ctx, presented)
	if err == nil && !l.AcceptsOnly {
		err = ErrNoLink()
	}
	if err == nil {
		a := l.Membership.acceptance(l.Membership.principal(l.Person.User, v), l.Person.User, s.now.Timestamp())
		a.Link = l.ID
		err = s.memberships.Accept(ctx, proving(), a)
	}
	s.failures.observe(ctx, Attempt{Method: ByLink, UserID: l.Person.ID, Origin: v.Origin, Err: err})
	return l.Membership.Account, err
}

// actor returns the principal for a user who acts without a session.
func actor(u user.User, accountID uuid.UUID, v Visitor) *auth.Principal {
	return &auth.Principal{
		Kind: auth.Session, ID: u.ID, Name: u.Email, AccountID: accountID, Origin: v.Origin,
		NoCredential: proving().NoCredential,
	}
}

// proving is the actor of a user who is authenticating. There is no credential
// to check yet; the proof itself is checked where it is used up.
func proving() auth.Actor { return auth.NoActor("the person is about to prove who they are") }

// keep creates a link and deletes those that it replaces.
func (s *Links) keep(ctx context.Context, by auth.Actor, l Link, own []audit.Event) (Link, secret.Secret, error) {
	value, err := secret.Generate(s.random, secret.OneTimeLink)
	if err != nil {
		return Link{}, secret.Secret{}, err
	}
	l.ID, l.CreatedAt = uuid.Must(uuid.NewV7()), s.now.Timestamp()
	l.ExpiresAt = l.CreatedAt.Add(l.Purpose.Lifetime())
	return l, value, s.repo.SaveLink(ctx, by, l, s.keys.Digest(value), own)
}

// OfferSetup creates the link for the first account and replaces the one that
// the server with this name offered before. It returns the URL with the secret,
// and when it expires.
func (s *Links) OfferSetup(ctx context.Context, server string) (address string, until time.Time, err error) {
	l, value, err := s.keep(ctx, auth.NoActor("the server offers to make the first account"),
		Link{Purpose: Setup, Server: server}, nil)
	if err != nil {
		return "", time.Time{}, err
	}
	return s.publicURL + "/setup/" + value.Reveal(), l.ExpiresAt, nil
}

// SetupLink is Link for the setup of the first account.
func (s *Links) SetupLink(ctx context.Context, presented string) (Link, error) {
	l, err := s.open(ctx, presented)
	if err == nil && l.Purpose != Setup {
		err = ErrNoLink()
	}
	return l.Link, err
}

// OperatorProof returns the proof of the user with the email address, based on
// a secret that the operator was shown. It returns fault.NotFound on "email" if
// there is no such user.
func (s *Links) OperatorProof(ctx context.Context, email string) (Proof, error) {
	person, err := s.persons.byEmail(ctx, email)
	if err != nil {
		return Proof{}, err
	}
	p := prove(person, ByLink)
	p.byOperator = true
	return p, nil
}
