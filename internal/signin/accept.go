package signin

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// principal is the person as the user of the account.
func (m Membership) principal(who user.User, v Visitor) *auth.Principal {
	return &auth.Principal{Kind: auth.Session, ID: m.UserID, PersonID: who.ID, Name: who.Email, AccountID: m.ID, Origin: v.Origin}
}

// acceptance is the acceptance of the membership by the person.
func (m Membership) acceptance(by *auth.Principal, who user.User, at time.Time) Acceptance {
	return Acceptance{
		AccountID: m.ID, UserID: m.UserID, PersonID: who.ID, At: at,
		Event: m.event(by, who, at, audit.UserAccepted),
		Ended: func(old user.Session) audit.Event { return user.SessionEnded(by, old, at) },
		Removed: func(gone Removed) []audit.Event {
			return removalEvents(by, who, gone, []Membership{{Account: m.Account, UserID: m.UserID}}, at)
		},
	}
}

// Accept accepts a membership of the principal's person in another account. It
// returns fault.NotFound when there is none that is pending.
func (s *Service) Accept(ctx context.Context, by *auth.Principal, accountID uuid.UUID) (account.Account, error) {
	m, err := s.pending(ctx, by, accountID)
	if err != nil {
		return account.Account{}, err
	}
	who := self(by)
	return m.Account, s.Repository.Accept(ctx, by.Actor(), m.acceptance(m.principal(who, Visitor{Origin: by.Origin}), who, s.moment()))
}

// Decline ends a membership of the principal's person that is pending, with all
// that the account gave them. It returns errors as Accept does.
func (s *Service) Decline(ctx context.Context, by *auth.Principal, accountID uuid.UUID) (account.Account, error) {
	m, err := s.pending(ctx, by, accountID)
	if err != nil {
		return account.Account{}, err
	}
	return m.Account, s.Users.Decline(ctx, by.Actor(), m.principal(self(by), Visitor{Origin: by.Origin}))
}

// pending returns a membership of the principal's person that is pending.
func (s *Service) pending(ctx context.Context, by *auth.Principal, accountID uuid.UUID) (Membership, error) {
	if by.Kind != auth.Session {
		return Membership{}, auth.Denied()
	}
	all, err := s.Repository.Accounts(ctx, by.Person())
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

// AcceptLink accepts the membership of a link of somebody who can sign in
// already (OpenLink.AcceptsOnly), without a session. It returns fault.NotFound
// for a link that does not work.
func (s *Service) AcceptLink(ctx context.Context, presented string, v Visitor) (account.Account, error) {
	l, err := s.Link(ctx, presented)
	if err == nil && !l.AcceptsOnly {
		err = ErrNoLink()
	}
	if err == nil {
		a := l.Membership.acceptance(l.Membership.principal(l.Person.User, v), l.Person.User, s.moment())
		a.Link = l.ID
		err = s.Repository.Accept(ctx, proving(), a)
	}
	s.Observe(Attempt{Method: ByLink, UserID: l.Person.ID, Origin: v.Origin, Err: err})
	return l.Membership.Account, err
}
