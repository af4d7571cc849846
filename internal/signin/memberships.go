package signin

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// Memberships lists the memberships of a person, and accepts and declines
// pending ones.
type Memberships struct {
	persons *persons
	repo    MembershipRepository
	users   *user.Service
	now     clock.Clock
}

// principal returns the user of this membership as a principal.
func (m Membership) principal(who user.User, v Visitor) *auth.Principal {
	return &auth.Principal{Kind: auth.Session, ID: m.UserID, PersonID: who.ID, Name: who.Email, AccountID: m.ID,
		Origin: v.Origin}
}

// acceptance returns the acceptance of the membership by the user.
func (m Membership) acceptance(by *auth.Principal, who user.User, at time.Time) Acceptance {
	return Acceptance{
		AccountID: m.ID, UserID: m.UserID, PersonID: who.ID, At: at,
		Event: m.event(by, who, at, audit.UserAccepted),
		Ended: func(old user.Session) audit.Event { return user.SessionEnded(by, old, at) },
		Removed: func(removed Removed) []audit.Event {
			return removalEvents(by, who, removed, []Membership{{Account: m.Account, UserID: m.UserID}}, at)
		},
	}
}

// Accept accepts a pending membership that the principal's person has in
// another account. It returns fault.NotFound if there is none.
func (s *Memberships) Accept(ctx context.Context, by *auth.Principal, accountID uuid.UUID) (account.Account, error) {
	m, err := s.pending(ctx, by, accountID)
	if err != nil {
		return account.Account{}, err
	}
	who := self(by)
	return m.Account, s.repo.Accept(ctx, by.Actor(),
		m.acceptance(m.principal(who, Visitor{Origin: by.Origin}), who, s.now.Timestamp()))
}

// Decline deletes a pending membership of the principal's person, with all that
// the account gave them. It returns errors as Accept does.
func (s *Memberships) Decline(ctx context.Context, by *auth.Principal, accountID uuid.UUID) (account.Account, error) {
	m, err := s.pending(ctx, by, accountID)
	if err != nil {
		return account.Account{}, err
	}
	return m.Account, s.users.Decline(ctx, by.Actor(), m.principal(self(by), Visitor{Origin: by.Origin}))
}

// pending returns a pending membership of the principal's person.
func (s *Memberships) pending(ctx context.Context, by *auth.Principal, accountID uuid.UUID) (Membership, error) {
	if by.Kind != auth.Session {
		return Membership{}, auth.Denied()
	}
	all, err := s.persons.Accounts(ctx, by.Person())
	if err != nil {
		return Membership{}, err
	}
	for _, m := range all {
		if m.ID == accountID && m.Pending && m.open() {
			return m, nil
		}
	}
	return Membership{}, fault.Errorf(fault.NotFound, "There is no such invitation.")
}

// accepted returns the memberships that are not pending.
func accepted(all []Membership) []Membership {
	return slices.DeleteFunc(slices.Clone(all), func(m Membership) bool { return m.Pending })
}

// Accounts returns the memberships with which a person can have a session, by the
// account's name: those that they have accepted.
func (s *Memberships) Accounts(ctx context.Context, personID uuid.UUID) ([]Membership, error) {
	all, err := s.persons.Accounts(ctx, personID)
	return slices.DeleteFunc(accepted(all), func(m Membership) bool { return !m.open() }), err
}

// Invitations returns the accounts whose membership a person can accept or
// decline, by name.
func (s *Memberships) Invitations(ctx context.Context, personID uuid.UUID) ([]account.Account, error) {
	all, err := s.persons.Accounts(ctx, personID)
	return accountsOf(slices.DeleteFunc(all, func(m Membership) bool { return !m.Pending })), err
}

// accountsOf returns the accounts in which a session is possible.
func accountsOf(all []Membership) []account.Account {
	var open []account.Account
	for _, m := range all {
		if m.open() {
			open = append(open, m.Account)
		}
	}
	return open
}
