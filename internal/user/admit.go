package user

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// Seat is a place in a store that somebody shall have.
type Seat struct {
	Store account.StoreRef
	// Permissions are what they may do there; none for nothing yet.
	Permissions []string
}

// Admission asks for somebody to be taken into the account, and into stores of
// it.
type Admission struct {
	// Details are what the account records of the person. Names may be empty; of
	// somebody who is in the account already only the address is used.
	Details

	Seats []Seat
}

// Admit takes the person of an address into the account, pending, and into the
// stores, and says what they may do there: all of
// it or nothing. It returns fault.Forbidden as AddToStore and
// SetStorePermissions do for each of the stores and, where there are none, as
// AddToAccount does; fault.Invalid for every field that breaks a rule; and
// fault.Conflict for a store that the person is in. Fields of a store are under
// "stores" and its number, as "stores.0.permissions".
func (s *Service) Admit(ctx context.Context, by *auth.Principal, a Admission) (Person, error) {
	if err := MayCreate(by); err != nil {
		return Person{}, err
	}
	if len(a.Seats) == 0 {
		if err := MayChangeAnybody(by); err != nil {
			return Person{}, fault.Errorf(fault.Invalid, "Choose at least one store.").On("stores")
		}
	}
	var admitted Person
	err := s.edit(ctx, by, func(e *edit) (err error) {
		if admitted, err = e.withDetails(ctx, a.Details); err != nil {
			return err
		}
		var faults fault.List
		var seats []seat
		for i, wanted := range a.Seats {
			checked, err := e.checkSeat(ctx, admitted, wanted)
			if fault.KindOf(err) == fault.Internal {
				return err
			}
			faults = append(faults, fault.Flatten(fault.Under(err, "stores."+strconv.Itoa(i)))...)
			seats = append(seats, checked)
		}
		if err := faults.Err(); err != nil {
			return err
		}
		return e.admit(ctx, &admitted, seats)
	})
	return admitted, err
}

// withDetails returns the person of the account who has the address, or a new
// one with the details.
func (e *edit) withDetails(ctx context.Context, d Details) (Person, error) {
	if err := d.checkGiven().Err(); err != nil {
		return Person{}, err
	}
	found, err := e.MembersByEmail(ctx, []string{Fold(d.Email)})
	if err != nil || len(found) > 0 {
		return append(found, Person{})[0], err
	}
	d.Locale = cmp.Or(d.Locale, defaultLocale)
	created, err := e.create(ctx, NewUser{User: d.user()})
	if err == nil {
		e.tell(audit.UserCreated, created.Target(), nameDetails(created.User)...)
	}
	return created, err
}

// checkGiven returns every field that breaks a rule. Names and language may be
// empty.
func (d Details) checkGiven() fault.List {
	var faults fault.List
	if !ValidEmail(d.Email) {
		faults = append(faults, invalidEmail())
	}
	return append(faults, checkNames(given(d.FirstName), given(d.LastName), given(d.Locale))...)
}

// given returns nil for an empty text.
func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// seat is a place in a store that may be given.
type seat struct {
	in          account.Store
	permissions []string
}

// checkSeat judges a place that a person shall have.
func (e *edit) checkSeat(ctx context.Context, p Person, wanted Seat) (seat, error) {
	in, err := e.storeWhere(ctx, wanted.Store, auth.AddUsers, scopeWrite)
	if err != nil {
		return seat{}, err
	}
	if _, there := p.Place(in.ID); there {
		return seat{}, fault.Errorf(fault.Conflict, "This person is in the store %s already. Change there what they may do.", in.Name).On("storeId")
	}
	permissions, err := CheckPermissions(wanted.Permissions)
	if err != nil || len(permissions) == 0 {
		return seat{in: in}, err
	}
	if err := MayIn(e.by, in.ID, auth.EditUsers); err != nil {
		return seat{}, fault.Errorf(fault.Forbidden, "You may take people into this store, and not say what they may do there.").On("permissions")
	}
	return seat{in, permissions}, e.mayGrant(ctx, in, nil, permissions)
}

// admit takes a person into the account and gives them their places.
func (e *edit) admit(ctx context.Context, p *Person, seats []seat) error {
	if err := e.join(ctx, p); err != nil {
		return err
	}
	for _, s := range seats {
		place := Place{ID: uuid.Must(uuid.NewV7()), StoreID: s.in.ID, Status: Active, Permissions: s.permissions}
		details := []audit.Detail{inStore(s.in)}
		if len(s.permissions) > 0 {
			details = append([]audit.Detail{{Name: "permissions", Value: strings.Join(s.permissions, " ")}}, details...)
		}
		e.tell(audit.UserAdded, p.Target(), details...)
		if err := e.savePlace(ctx, p, &place); err != nil {
			return err
		}
		p.Places = append(p.Places, place)
	}
	return nil
}
