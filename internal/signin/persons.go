package signin

import (
	"context"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// persons reads who signs in, and returns the grounds and the events of changes
// to how they do.
type persons struct {
	PersonRepository

	now clock.Clock
}

// byEmail returns the person with the email address, or fault.NotFound on
// "email".
func (p *persons) byEmail(ctx context.Context, email string) (Person, error) {
	person, err := p.EnsurePerson(ctx, user.Fold(email), p.now.Timestamp())
	if fault.KindOf(err) == fault.NotFound {
		return Person{}, fault.Errorf(fault.NotFound, "No user has this email address.").On("email")
	}
	return person, err
}

// grounds returns the grounds of a change that a user makes to their own
// account, with the present version of their password.
func (p *persons) grounds(ctx context.Context, by *auth.Principal) (Grounds, error) {
	if by == nil || by.Kind != auth.Session {
		return Grounds{}, auth.Denied()
	}
	person, err := p.PersonByID(ctx, by.Person())
	return Grounds{UserID: by.Person(), Password: person.version(), Session: by.SessionID}, err
}

// ownEvents returns the events of a change that a user makes to their own
// sign-in.
func (p *persons) ownEvents(ctx context.Context, by *auth.Principal, action audit.Action,
	details ...audit.Detail) ([]audit.Event, error) {
	return p.events(ctx, by, self(by), action, details...)
}

// events returns the events of a change, for every account whose membership the
// person has accepted.
func (p *persons) events(ctx context.Context, by *auth.Principal, who user.User, action audit.Action,
	details ...audit.Detail) ([]audit.Event, error) {
	accounts, err := p.Accounts(ctx, who.ID)
	if err != nil {
		return nil, err
	}
	return eventsIn(accounts, by, who, p.now.Timestamp(), action, details...), nil
}

// eventsIn returns an event for each account, with the person's ID there.
// Pending memberships get none: those accounts must not see what the person
// does elsewhere.
func eventsIn(accounts []Membership, by *auth.Principal, who user.User, at time.Time, action audit.Action,
	details ...audit.Detail) []audit.Event {
	var events []audit.Event
	for _, a := range accounts {
		if !a.Pending {
			events = append(events, a.event(by, who, at, action, details...))
		}
	}
	return events
}

// event returns an event about the user in the account.
func (m Membership) event(by *auth.Principal, who user.User, at time.Time, action audit.Action,
	details ...audit.Detail) audit.Event {
	if by.Kind == auth.Session && by.Person() == who.ID {
		own := *by
		own.ID, by = m.UserID, &own
	}
	who.ID = m.UserID
	e := user.Event(by, action, who.Target(), at, details...)
	e.AccountID = m.ID
	return e
}

// self returns the person of a session.
func self(by *auth.Principal) user.User { return user.User{ID: by.Person(), Email: by.Name} }
