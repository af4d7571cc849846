package user

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
)

// edit is one change to the people of the principal's account, and the events
// that tell of it.
type edit struct {
	Change

	by     *auth.Principal
	now    time.Time
	events []audit.Event
}

// edit runs work in a transaction, with the events that it gathers.
func (s *Service) edit(ctx context.Context, by *auth.Principal, work func(*edit) error) error {
	return s.editAs(ctx, by.Actor(), by, work)
}

// editAs is edit for a principal who acts by a credential of another account.
func (s *Service) editAs(ctx context.Context, actor auth.Actor, by *auth.Principal, work func(*edit) error) error {
	return s.repo.Change(ctx, actor, by.AccountID, func(c Change) error {
		e := &edit{Change: c, by: by, now: s.moment()}
		if err := work(e); err != nil {
			return err
		}
		return c.Record(ctx, e.events)
	})
}

// Event is the event of something that the principal did to a person, or to
// what a person owns.
func Event(by *auth.Principal, action audit.Action, target audit.Target, at time.Time, details ...audit.Detail) audit.Event {
	e := audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: by.AccountID, At: at, Actor: audit.ActorOf(by.Subject()), Action: action, Target: target,
		RequestID: by.Origin.RequestID, Details: details,
	}
	if by.Origin.IP.IsValid() {
		e.IP = by.Origin.IP.String()
	}
	return e
}

// Target is the person as the target of an event.
func (u User) Target() audit.Target {
	return audit.Target{Kind: audit.TargetUser, Key: u.ID.String(), Name: u.Email}
}

func (e *edit) tell(action audit.Action, target audit.Target, details ...audit.Detail) {
	e.events = append(e.events, Event(e.by, action, target, e.now, details...))
}

func inStore(s account.Store) audit.Detail { return audit.Detail{Name: "storeHash", Value: s.Hash} }

// mayInAccount refuses principals that are neither the account's owner nor
// hold the scope.
func mayInAccount(by *auth.Principal, scopeName string) error {
	if by.OwnsAccount(by.AccountID) || len(by.Missing(scopeName)) == 0 {
		return nil
	}
	return auth.Denied(scopeName)
}

// storeWhere returns a store in which the principal may do what the permission
// says, or by the scope. A store that it does not even see is fault.NotFound.
func (e *edit) storeWhere(ctx context.Context, ref account.StoreRef, what auth.Permission, scopeName string) (account.Store, error) {
	found, err := e.Stores(ctx, []account.StoreRef{ref})
	switch {
	case err != nil:
		return account.Store{}, err
	case len(found) == 0 || !e.by.Reaches(e.by.AccountID, found[0].ID, scopeName):
		return account.Store{}, account.ErrNoStore().On("storeId")
	}
	return found[0], e.by.Require(e.by.AccountID, found[0].ID, what, scopeName)
}

// member returns a person of the account. The id of nobody and that of a
// person of another account are the same fault.NotFound.
func (e *edit) member(ctx context.Context, id uuid.UUID, field string) (Person, error) {
	found, err := e.Members(ctx, []uuid.UUID{id})
	if err != nil {
		return Person{}, err
	}
	if len(found) == 0 {
		return Person{}, fault.Errorf(fault.NotFound, "There is nobody of this id in the account.").On(field)
	}
	return found[0], nil
}

// memberIn returns a person of the account and their place in the store.
func (e *edit) memberIn(ctx context.Context, s account.Store, userID uuid.UUID) (Person, Place, error) {
	p, err := e.member(ctx, userID, "userId")
	if err != nil {
		return Person{}, Place{}, err
	}
	place, there := p.Place(s.ID)
	if !there {
		return Person{}, Place{}, fault.Errorf(fault.NotFound, "This person is not in the store.").On("userId")
	}
	return p, place, nil
}

// withAddress returns the person of the account who has the address, or a new
// one without names, who is pending. Nothing of what other accounts record of
// the address is read, so nothing tells whether there is any.
func (e *edit) withAddress(ctx context.Context, email string) (Person, error) {
	if !ValidEmail(email) {
		return Person{}, invalidEmail()
	}
	found, err := e.MembersByEmail(ctx, []string{Fold(email)})
	if err != nil {
		return Person{}, err
	}
	if len(found) > 0 {
		return found[0], nil
	}
	return e.create(ctx, NewUser{User: User{Email: email, Locale: defaultLocale}})
}

// saveMember keeps what the account records of a person, and that it changed.
func (e *edit) saveMember(ctx context.Context, p *Person) error {
	p.UpdatedAt = e.now
	return e.SaveMembers(ctx, []Membership{p.membership()})
}

// savePlace keeps a person's place in a store, in which something changed.
func (e *edit) savePlace(ctx context.Context, p *Person, place *Place) error {
	place.UpdatedAt = e.now
	if err := e.SavePlaces(ctx, map[uuid.UUID][]Place{p.ID: {*place}}); err != nil {
		return err
	}
	return e.saveMember(ctx, p)
}

// The scopes by which API tokens change people. Sessions go by who owns what,
// and by permissions.
const (
	scopeWrite  = scope.AccountUsersWrite
	scopeDelete = scope.AccountUsersDelete
)
