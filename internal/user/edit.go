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

// edit is one change to the users of the principal's account, with its audit
// events.
type edit struct {
	Change

	by     *auth.Principal
	now    time.Time
	events []audit.Event
}

// edit runs work in a transaction and records the events that it collects.
func (s *Service) edit(ctx context.Context, by *auth.Principal, work func(*edit) error) error {
	return s.editAs(ctx, by.Actor(), by, work)
}

// editAs is edit for a principal who uses a credential of another account.
func (s *Service) editAs(ctx context.Context, actor auth.Actor, by *auth.Principal, work func(*edit) error) error {
	return s.repo.Change(ctx, actor, by.AccountID, func(c Change) error {
		e := &edit{Change: c, by: by, now: s.now.Timestamp()}
		if err := work(e); err != nil {
			return err
		}
		return c.Record(ctx, e.events)
	})
}

// Event returns the event of an action by the principal on the target.
func Event(by *auth.Principal, action audit.Action, target audit.Target, at time.Time,
	details ...audit.Detail) audit.Event {
	e := audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: by.AccountID, At: at, Actor: audit.ActorOf(by.Subject()),
		Action: action, Target: target,
		RequestID: by.Origin.RequestID, Details: details,
	}
	if by.Origin.IP.IsValid() {
		e.IP = by.Origin.IP.String()
	}
	return e
}

// Target returns the user as the target of an event.
func (u User) Target() audit.Target {
	return audit.Target{Kind: audit.TargetUser, Key: u.ID.String(), Name: u.Email}
}

func (e *edit) addEvent(action audit.Action, target audit.Target, details ...audit.Detail) {
	e.events = append(e.events, Event(e.by, action, target, e.now, details...))
}

// addPersonEvent records a change of the user, who is saved with the current time.
func (e *edit) addPersonEvent(action audit.Action, p Person, details ...audit.Detail) {
	p.UpdatedAt = e.now
	e.events = append(e.events, PersonEvent(e.by, action, p, e.now, details...))
}

// addMemberEvent records a change of a user's membership in a store. place is the membership after the change or, if
// it was removed, as it was last.
func (e *edit) addMemberEvent(action audit.Action, p Person, in account.Store, place Place, details ...audit.Detail) {
	m := StoreMember{Place: place, User: p.User, Owner: in.OwnerID == p.ID}
	e.events = append(e.events, StoreMemberEvent(e.by, action, m, in.Hash, e.now, details...))
}

// mayInAccount returns fault.Forbidden unless the principal is the account's
// owner or holds the scope.
func mayInAccount(by *auth.Principal, scopeName string) error {
	if by.OwnsAccount(by.AccountID) || len(by.Missing(scopeName)) == 0 {
		return nil
	}
	return auth.Denied(scopeName)
}

// storeWhere returns the store if the principal has the permission there or
// holds the scope. A store that the principal cannot see is fault.NotFound.
func (e *edit) storeWhere(ctx context.Context, ref account.StoreRef, what auth.Permission,
	scopeName string) (account.Store, error) {
	found, err := e.Stores(ctx, []account.StoreRef{ref})
	switch {
	case err != nil:
		return account.Store{}, err
	case len(found) == 0 || !e.by.Reaches(e.by.AccountID, found[0].ID, scopeName):
		return account.Store{}, account.ErrNoStore().On("storeId")
	}
	return found[0], e.by.Require(e.by.AccountID, found[0].ID, what, scopeName)
}

// member returns a member of the account. An unknown ID and the ID of another
// account's user return the same fault.NotFound.
func (e *edit) member(ctx context.Context, id uuid.UUID, field string) (Person, error) {
	found, err := e.Members(ctx, []uuid.UUID{id})
	if err != nil {
		return Person{}, err
	}
	if len(found) == 0 {
		return Person{}, fault.Errorf(fault.NotFound, "No user in this account has this id.").On(field)
	}
	return found[0], nil
}

// memberIn returns a member of the account and their membership in the store.
func (e *edit) memberIn(ctx context.Context, s account.Store, userID uuid.UUID) (Person, Place, error) {
	p, err := e.member(ctx, userID, "userId")
	if err != nil {
		return Person{}, Place{}, err
	}
	place, ok := p.Place(s.ID)
	if !ok {
		return Person{}, Place{}, fault.Errorf(fault.NotFound, "This user is not in the store.").On("userId")
	}
	return p, place, nil
}

// withAddress returns the account's user with the address, or creates a pending
// one without names. It reads no record of another account, so its result does
// not reveal whether one exists.
func (e *edit) withAddress(ctx context.Context, email string) (Person, error) {
	if err := CheckValidEmail(email); err != nil {
		return Person{}, err
	}
	found, err := e.MembersByEmail(ctx, []string{Fold(email)})
	if err != nil {
		return Person{}, err
	}
	if len(found) > 0 {
		return found[0], nil
	}
	if err := CheckNewEmail(email); err != nil {
		return Person{}, err
	}
	return e.create(ctx, NewUser{User: User{Email: email, Locale: DefaultLocale}})
}

// saveMember saves the account's record of the user and sets its update time.
func (e *edit) saveMember(ctx context.Context, p *Person) error {
	p.UpdatedAt = e.now
	return e.SaveMembers(ctx, []Membership{p.Membership()})
}

// savePlace saves a changed store membership, sets its update time and records the change.
func (e *edit) savePlace(ctx context.Context, action audit.Action, p *Person, in account.Store, place *Place,
	details ...audit.Detail) error {
	place.UpdatedAt = e.now
	e.addMemberEvent(action, *p, in, *place, details...)
	if err := e.SavePlaces(ctx, map[uuid.UUID][]Place{p.ID: {*place}}); err != nil {
		return err
	}
	return e.saveMember(ctx, p)
}

// The scopes with which API tokens change users. Sessions use ownership and
// permissions.
const (
	scopeWrite  = scope.AccountUsersWrite
	scopeDelete = scope.AccountUsersDelete
)
