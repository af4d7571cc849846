package signin

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// Purpose is what a one-time link is for.
type Purpose string

// The purposes.
const (
	// Invitation is for a person who has no password, or none that opens the
	// account that invites them.
	Invitation Purpose = "invitation"
	// Reset is for a person who forgot theirs.
	Reset Purpose = "reset"
	// Setup is for whoever makes the first account.
	Setup Purpose = "setup"
)

// Lifetime is how long a link of the purpose works. A reset is asked for and
// used at once; an invitation may lie over a week-end and a journey.
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

// Link is a one-time link: whoever has its secret is who it is for, once.
type Link struct {
	ID      uuid.UUID
	Purpose Purpose
	// UserID is whom it is for; zero for the setup of the first account.
	UserID uuid.UUID
	// AccountID is the account that invites; zero for none.
	AccountID uuid.UUID
	// ShownTo is the owner of the account who was shown it, to pass it on; zero
	// for a link that was mailed, or that the operator was shown.
	ShownTo uuid.UUID
	// ByOperator reports whether the operator was shown it. Only such a link
	// signs anybody in where passwords are turned off.
	ByOperator bool
	// Server is the one that offers the setup; empty for all else.
	Server               string
	CreatedAt, ExpiresAt time.Time
}

// OpenLink is a link, with what is to be known to judge it.
type OpenLink struct {
	Link

	// Person is whom it is for; zero for none.
	Person Person
	// AccountName and AccountOwner are of the account that invites, and
	// Membership is the person's there.
	AccountName  string
	AccountOwner uuid.UUID
	Membership   Membership
	// Elsewhere says that the person accepted a membership of an account that
	// does not invite.
	Elsewhere bool
	// AcceptsOnly says that the link sets no password, since the person can sign
	// in without: it accepts the membership.
	AcceptsOnly bool
}

// works reports whether the link may still be used. One that an owner was
// shown would let them in as the person: so it works for as long as they own
// the account, and the person has neither a password nor another account.
func (l OpenLink) works() bool {
	return l.ShownTo == uuid.Nil || l.ShownTo == l.AccountOwner && l.Person.PasswordHash == "" && !l.Elsewhere
}

// vouchedBy is the account whose people may know the password that is set by
// the link.
func (l OpenLink) vouchedBy() uuid.UUID {
	if l.ShownTo == uuid.Nil {
		return uuid.Nil
	}
	return l.AccountID
}

// ErrNoLink is the answer to links that do not work, for whatever reason.
func ErrNoLink() *fault.Error {
	return fault.Errorf(fault.NotFound, "This link has been used or has expired.")
}

// Address is where a browser opens a link that is for a person.
func (s *Service) Address(value secret.Secret) string { return s.PublicURL + "/link/" + value.Reveal() }

// Link returns the link of a secret. It changes nothing: programs that guard
// mailboxes open links, too. It returns fault.NotFound for one that does not
// work, as none does that the operator was not shown where passwords are turned
// off.
func (s *Service) Link(ctx context.Context, presented string) (OpenLink, error) {
	l, err := s.open(ctx, presented)
	if err != nil {
		return OpenLink{}, err
	}
	if l.Purpose == Setup || !l.works() || s.NoPasswords && !l.ByOperator {
		return OpenLink{}, ErrNoLink()
	}
	if l.Purpose == Invitation && l.Person.VouchedBy == uuid.Nil {
		if l.AcceptsOnly, err = s.signsIn(ctx, l.Person); err == nil && l.AcceptsOnly && !l.Membership.Pending {
			return OpenLink{}, ErrNoLink() // there is nothing to accept
		}
	}
	return l, err
}

// signsIn reports whether a person has a way of their own to sign in.
func (s *Service) signsIn(ctx context.Context, p Person) (bool, error) {
	if p.PasswordHash != "" && !s.NoPasswords {
		return true, nil
	}
	passkeys, err := s.Repository.Passkeys(ctx, p.ID)
	if err != nil {
		return false, err
	}
	identities, err := s.Repository.Identities(ctx, p.ID)
	if err != nil {
		return false, err
	}
	stays := Ways{}
	for _, each := range passkeys {
		stays.Passkeys = append(stays.Passkeys, each.Site)
	}
	for _, each := range identities {
		stays.Issuers = append(stays.Issuers, each.Issuer)
	}
	return s.mayLose(stays) == nil, nil
}

func (s *Service) open(ctx context.Context, presented string) (OpenLink, error) {
	value, err := secret.Parse(presented)
	if err != nil || value.Kind() != secret.OneTimeLink {
		return OpenLink{}, ErrNoLink()
	}
	return s.Repository.Link(ctx, s.Keys.Candidates(value), s.moment())
}

// Redeem sets the password of the person whom a link is for, and uses it up.
// Where passwords are turned off it sets none, and what is chosen is ignored.
// Their sessions end, and their other links. It returns the proof of who they
// are; fault.NotFound for a link that does not work, and fault.Invalid on
// "password" and "passwordConfirmation", in which case the link stays.
func (s *Service) Redeem(ctx context.Context, presented string, chosen user.PasswordChoice, v Visitor) (Proof, error) {
	l, err := s.Link(ctx, presented)
	if err != nil {
		s.Observe(Attempt{Method: ByLink, Origin: v.Origin, Err: err})
		return Proof{}, err
	}
	if l.AcceptsOnly {
		return Proof{}, ErrNoLink()
	}
	proof := prove(l.Person, ByLink)
	proof.byOperator = l.ByOperator
	by := actor(l.Person.User, l.AccountID, v)
	change := passwordChange{Chosen: chosen, Link: l.ID, VouchedBy: l.vouchedBy(), In: l.AccountID}
	if s.NoPasswords {
		proof.grounds.Password, err = s.withoutPassword(ctx, by, l.Person, change)
	} else {
		proof.grounds.Password, err = s.setPassword(ctx, by, l.Person.User, change)
	}
	if err == nil && l.ShownTo == uuid.Nil && l.Membership.Pending {
		err = s.Repository.Accept(ctx, proving(), l.Membership.acceptance(l.Membership.principal(l.Person.User, v), l.Person.User, s.moment()))
	}
	s.Observe(Attempt{Method: ByLink, UserID: l.Person.ID, Origin: v.Origin, Err: err})
	return proof, err
}

// actor is a person as the principal of what they do without a session.
func actor(u user.User, accountID uuid.UUID, v Visitor) *auth.Principal {
	return &auth.Principal{
		Kind: auth.Session, ID: u.ID, Name: u.Email, AccountID: accountID, Origin: v.Origin, NoCredential: proving().NoCredential,
	}
}

// proving is the actor of what a person does to prove who they are. There is no
// credential to check yet; the proof itself is checked where it is used up.
func proving() auth.Actor { return auth.NoActor("the person is about to prove who they are") }

// keepLink makes a link, and ends those that it replaces.
func (s *Service) keepLink(ctx context.Context, by auth.Actor, l Link, own []audit.Event) (Link, secret.Secret, error) {
	value, err := secret.Generate(s.Random, secret.OneTimeLink)
	if err != nil {
		return Link{}, secret.Secret{}, err
	}
	l.ID, l.CreatedAt = uuid.Must(uuid.NewV7()), s.moment()
	l.ExpiresAt = l.CreatedAt.Add(l.Purpose.Lifetime())
	return l, value, s.Repository.KeepLink(ctx, by, l, s.Keys.Digest(value), own)
}

// OfferSetup makes the link by which the first account is made, in the place of
// the one that the server of that name offered before. It returns the address
// with the secret, and until when it works.
func (s *Service) OfferSetup(ctx context.Context, server string) (address string, until time.Time, err error) {
	l, value, err := s.keepLink(ctx, auth.NoActor("the server offers to make the first account"), Link{Purpose: Setup, Server: server}, nil)
	if err != nil {
		return "", time.Time{}, err
	}
	return s.PublicURL + "/setup/" + value.Reveal(), l.ExpiresAt, nil
}

// SetupLink is Link for one that makes the first account.
func (s *Service) SetupLink(ctx context.Context, presented string) (Link, error) {
	l, err := s.open(ctx, presented)
	if err == nil && l.Purpose != Setup {
		err = ErrNoLink()
	}
	return l.Link, err
}
