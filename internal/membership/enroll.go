package membership

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/user"
)

// Edit is what an identity provider asks to change of one user. A nil field is left
// unchanged.
type Edit struct {
	// Update has the user's names, locale and external ID. An empty name or external
	// ID removes it.
	user.Update

	// Email is the user's address. See Service.Edit for when it can change.
	Email *string
	// Active deactivates or reactivates the user. Nil makes a deactivated user active
	// again in Enroll, and changes nothing in Edit.
	Active *bool
}

func (e Edit) check() error {
	faults := e.CheckFields()
	if e.Email != nil && !user.IsEmail(*e.Email) {
		faults = append(fault.List(fault.Flatten(user.CheckEmail(*e.Email))), faults...)
	}
	return faults.Err()
}

// deactivates reports whether the request says that the user is not active.
func (e Edit) deactivates() bool { return e.Active != nil && !*e.Active }

// turns reports whether the request deactivates or reactivates the user.
func (e Edit) turns(p user.Person) bool { return e.Active != nil && *e.Active == p.Deactivated() }

// moves reports whether the request moves the membership to another address. The same address with other letters in
// upper case changes nothing: mails go to the spelling that was recorded first (docs/users.md).
func (e Edit) moves(p user.Person) bool {
	return e.Email != nil && user.Fold(*e.Email) != user.Fold(p.Email)
}

// Precondition decides, in the transaction of a change, whether the change may be made
// to the user, whose state before the change it gets. Nil permits all changes.
type Precondition func(ctx context.Context, c Change, before user.Person) error

// Enroll adds the user with the address to the principal's account, as pending, or makes
// a deactivated user with the address or the external ID active again and applies the
// other fields. It reports whether the user was added. It returns fault.Forbidden if the
// principal may not change all users or, to deactivate the user or to change the address,
// may not remove users;
// fault.Invalid for each field that breaks a rule; and fault.Conflict on "email" or
// "externalId" if a user who is active has it.
func (s *Service) Enroll(ctx context.Context, by *auth.Principal, e Edit) (p user.Person, added bool, err error) {
	if err := mayInBulk(by, scope.AccountUsersWrite); err != nil {
		return user.Person{}, false, err
	}
	if e.Email == nil {
		return user.Person{}, false, fault.Errorf(fault.Invalid, "Enter the user's email address.").On("email")
	}
	if err := e.check(); err != nil {
		return user.Person{}, false, err
	}
	if err := user.CheckValidEmail(*e.Email); err != nil {
		return user.Person{}, false, err
	}
	err = s.run(e)(ctx, by.Actor(), by.AccountID, func(c Change) (err error) {
		added = false // the transaction may be retried
		now := s.now.Timestamp()
		found, err := e.deactivated(ctx, c)
		switch {
		case err != nil:
			return err
		case found.Member:
			again := e
			if again.Active == nil {
				again.Active = new(true)
			}
			p, err = editing{c, by, now}.edit(ctx, found, again)
		default:
			added = true
			if err := user.CheckNewEmail(*e.Email); err != nil {
				return err
			}
			p, err = editing{c, by, now}.add(ctx, e)
		}
		return err
	})
	if err != nil {
		return user.Person{}, false, err
	}
	return p, added, nil
}

// deactivated returns the deactivated user with the address or the external ID of the
// request, or the zero Person. It returns fault.Conflict if an active user has either.
func (e Edit) deactivated(ctx context.Context, c Change) (user.Person, error) {
	same, err := c.MembersByEmail(ctx, []string{user.Fold(*e.Email)})
	if err != nil {
		return user.Person{}, err
	}
	if len(same) > 0 && !same[0].Deactivated() {
		return user.Person{}, user.ErrEmailTaken()
	}
	if e.ExternalID == nil || *e.ExternalID == "" {
		return append(same, user.Person{})[0], nil
	}
	holders, err := c.MembersByExternalID(ctx, []string{*e.ExternalID})
	switch {
	case err != nil:
		return user.Person{}, err
	case len(holders) > 0 && (!holders[0].Deactivated() || len(same) > 0 && same[0].ID != holders[0].ID):
		return user.Person{}, user.ErrExternalIDTaken()
	}
	return append(append(same, holders...), user.Person{})[0], nil
}

// run returns the transaction of an edit. Deactivation revokes tokens and overtakes other
// writes.
func (s *Service) run(e Edit) transaction {
	if e.deactivates() {
		return s.repo.Change
	}
	return s.repo.ChangeSlice
}

// Edit changes a user of the principal's account. It returns fault.Forbidden as Enroll
// does, fault.NotFound for an ID that is not in the account, fault.Invalid for each field
// that breaks a rule, the error of the precondition, and fault.Conflict for an owner who
// would be deactivated, or an address or external ID that another user has.
//
// A changed address moves the membership to the person with that address, and requires the
// right to remove users: the user's sessions end, the ways to sign in of the account's own
// record are removed, the tokens that the former person knows are handled by the account's
// off-boarding policy, and the membership is pending until the new person accepts it. It is
// fault.Conflict for an owner, for a user with permissions that the principal could not
// grant, and for a person who has accepted the membership and is also in other accounts, or
// whose address comes from the operator's manifest.
func (s *Service) Edit(ctx context.Context, by *auth.Principal, e Edit, may Precondition) (user.Person, error) {
	if err := mayInBulk(by, scope.AccountUsersWrite); err != nil {
		return user.Person{}, err
	}
	if err := e.check(); err != nil {
		return user.Person{}, err
	}
	var after user.Person
	err := s.run(e)(ctx, by.Actor(), by.AccountID, func(c Change) error {
		found, err := c.Members(ctx, []uuid.UUID{e.UserID})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return user.ErrNotInAccount()
		}
		if may != nil {
			if err := may(ctx, c, found[0]); err != nil {
				return err
			}
		}
		after, err = editing{c, by, s.now.Timestamp()}.edit(ctx, found[0], e)
		return err
	})
	if err != nil {
		return user.Person{}, err
	}
	return after, nil
}

// editing is one change of one user.
type editing struct {
	Change

	by  *auth.Principal
	now time.Time
}

// may returns fault.Forbidden if the edit needs the right to remove users and the principal does not have it: a
// deactivation does, and a new address, which takes the membership from the person with the former one. It must be
// called before anything that depends on other accounts, so that a refused request reveals nothing about them.
func (w editing) may(before user.Person, e Edit) error {
	if e.deactivates() && !before.Deactivated() || before.Member && e.moves(before) {
		return MayRemove(w.by, false)
	}
	return nil
}

// add adds a user to the account.
func (w editing) add(ctx context.Context, e Edit) (user.Person, error) {
	if err := w.may(user.Person{}, e); err != nil {
		return user.Person{}, err
	}
	p := e.Apply(user.Person{User: user.User{ID: uuid.Must(uuid.NewV7()), Email: *e.Email, Locale: user.DefaultLocale,
		CreatedAt: w.now, Pending: true}})
	if err := w.CreateUsers(ctx, []user.NewUser{{User: p.User}}); err != nil {
		return user.Person{}, err
	}
	p.Member, p.JoinedAt, p.UpdatedAt, p.ProvisionedBy = true, w.now, w.now, w.by.ID
	if err := w.SaveMembers(ctx, []user.Membership{p.Membership()}); err != nil {
		return user.Person{}, err
	}
	err := w.Record(ctx, []audit.Event{
		user.PersonEvent(w.by, audit.UserCreated, p, w.now, user.Differences(user.Person{}, p)...),
		user.PersonEvent(w.by, audit.UserAdded, p, w.now),
	})
	if err != nil {
		return user.Person{}, err
	}
	return w.setActive(ctx, p, e.Active)
}

// edit changes a user. A user who is not provisioned becomes so only if the request changes something: identity
// providers repeat what they have sent, and a user managed by hand stays so until the next change (ManageByHand).
func (w editing) edit(ctx context.Context, before user.Person, e Edit) (user.Person, error) {
	if err := w.may(before, e); err != nil {
		return user.Person{}, err
	}
	after := e.Apply(before)
	if err := user.CheckExternalID(ctx, w.Change, before, after); err != nil {
		return user.Person{}, err
	}
	details := user.Differences(before, after)
	if e.moves(before) {
		changed, review, err := w.readdress(ctx, before, *e.Email)
		if err != nil {
			return user.Person{}, err
		}
		after.Email, after.Pending = changed.Email, changed.Pending
		details = append(append(details, audit.Detail{Name: "email", Value: after.Email}), review...)
	}
	if len(details) > 0 {
		after.UpdatedAt = w.now
	}
	if len(details) > 0 || e.turns(before) || before.Provisioned() {
		after.ProvisionedBy = w.by.ID
	}
	if len(details) > 0 || before.ProvisionedBy != after.ProvisionedBy {
		if err := w.SaveMembers(ctx, []user.Membership{after.Membership()}); err != nil {
			return user.Person{}, err
		}
	}
	if len(details) > 0 {
		event := user.PersonEvent(w.by, audit.UserUpdated, after, w.now, details...)
		if err := w.Record(ctx, []audit.Event{event}); err != nil {
			return user.Person{}, err
		}
	}
	return w.setActive(ctx, after, e.Active)
}

// mayLeave returns the account, or fault.Conflict if the user owns it or a store in it.
func (w editing) mayLeave(ctx context.Context, id uuid.UUID) (account.Account, error) {
	ref := user.Ref{ID: &id}
	l, err := findLeavers(ctx, w.Change, []user.Ref{ref})
	if err != nil {
		return account.Account{}, err
	}
	_, err = l.find(ref)
	return l.account, err
}

// setActive deactivates or reactivates the user, unless active is nil or the user is
// in that state already.
func (w editing) setActive(ctx context.Context, p user.Person, active *bool) (user.Person, error) {
	if !(Edit{Active: active}).turns(p) {
		return p, nil
	}
	persons := []user.Person{p}
	if *active {
		err := user.Reactivate(ctx, w.Change, w.by, persons, w.now)
		return persons[0], err
	}
	in, err := w.mayLeave(ctx, p.ID)
	if err != nil {
		return user.Person{}, err
	}
	_, _, err = depart(ctx, w.Change, w.by, persons, deactivating, handlingBy(in, ""), w.now)
	return persons[0], err
}
