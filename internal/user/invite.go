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

// StoreGrant is a store membership that the caller asks for.
type StoreGrant struct {
	Store account.StoreRef
	// Permissions are the permissions to grant in the store; empty grants none.
	Permissions []string
}

// Invitation is a request to add a user to the account and to stores in it.
type Invitation struct {
	// Details are the user's address and names. The names may be empty. If the
	// user is already in the account, only the address is used.
	Details

	Stores []StoreGrant
}

// Invite adds the user with the address to the account, as pending, and to the
// stores, with their permissions there. It applies all of the invitation or none
// of it. For each store it returns fault.Forbidden as AddToStore and
// SetStorePermissions do; without stores, as AddToAccount does. It returns
// fault.Invalid for each field that breaks a rule, and fault.Conflict for a
// store that the user is already in, and on "email" for a deactivated user and, without
// stores, for one who has accepted already. Fields of a store are reported under
// "stores" and its index, such as "stores.0.permissions".
func (s *Service) Invite(ctx context.Context, by *auth.Principal, i Invitation) (Person, error) {
	if err := MayCreate(by); err != nil {
		return Person{}, err
	}
	if len(i.Stores) == 0 {
		if err := MayChangeAll(by); err != nil {
			return Person{}, fault.Errorf(fault.Invalid, "Choose at least one store.").On("stores")
		}
	}
	var invited Person
	err := s.edit(ctx, by, func(e *edit) (err error) {
		if invited, err = e.withDetails(ctx, i.Details); err != nil {
			return err
		}
		if len(i.Stores) == 0 && !invited.Pending {
			return ErrEmailTaken()
		}
		var faults fault.List
		var grants []checkedGrant
		for n, wanted := range i.Stores {
			checked, err := e.checkStoreGrant(ctx, invited, wanted)
			if fault.KindOf(err) == fault.Internal {
				return err
			}
			faults = append(faults, fault.Flatten(fault.Under(err, "stores."+strconv.Itoa(n)))...)
			grants = append(grants, checked)
		}
		if err := faults.Err(); err != nil {
			return err
		}
		return e.invite(ctx, &invited, grants)
	})
	return invited, err
}

// withDetails returns the account's user with the address, or creates one with
// the details. It returns fault.Conflict on "email" for a deactivated user.
func (e *edit) withDetails(ctx context.Context, d Details) (Person, error) {
	if err := d.checkOptional(CheckValidEmail(d.Email)); err != nil {
		return Person{}, err
	}
	found, err := e.MembersByEmail(ctx, []string{Fold(d.Email)})
	switch {
	case err != nil:
		return Person{}, err
	case len(found) > 0 && found[0].Deactivated():
		return Person{}, errDeactivated().On("email")
	case len(found) > 0:
		return found[0], nil
	}
	if err := CheckNewEmail(d.Email); err != nil {
		return Person{}, err
	}
	d.Locale = cmp.Or(d.Locale, DefaultLocale)
	created, err := e.create(ctx, NewUser{User: d.user()})
	if err == nil {
		e.addPersonEvent(audit.UserCreated, created, nameDetails(created.User)...)
	}
	return created, err
}

// checkOptional adds an error for each name that breaks a rule to that of the
// address. Names and locale may be empty.
func (d Details) checkOptional(ofEmail error) error {
	return append(fault.List(fault.Flatten(ofEmail)),
		checkNames(nonEmpty(d.FirstName), nonEmpty(d.LastName), nonEmpty(d.Locale))...).Err()
}

// nonEmpty returns a pointer to text, or nil if text is empty.
func nonEmpty(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// checkedGrant is a store membership that has passed checkStoreGrant.
type checkedGrant struct {
	in          account.Store
	permissions []string
}

// checkStoreGrant reports whether the principal may give the user this store
// membership.
func (e *edit) checkStoreGrant(ctx context.Context, p Person, wanted StoreGrant) (checkedGrant, error) {
	in, err := e.storeWhere(ctx, wanted.Store, auth.AddUsers, scopeWrite)
	if err != nil {
		return checkedGrant{}, err
	}
	if _, ok := p.Place(in.ID); ok {
		return checkedGrant{}, fault.Errorf(fault.Conflict,
			"This user is already in the store %s. Change their permissions there.", in.Name).On("storeId")
	}
	permissions, err := CheckPermissions(wanted.Permissions)
	if err != nil || len(permissions) == 0 {
		return checkedGrant{in: in}, err
	}
	if err := MayIn(e.by, in.ID, auth.EditUsers); err != nil {
		return checkedGrant{}, fault.Errorf(fault.Forbidden,
			"You may add users to this store, but not set their permissions there.").On("permissions")
	}
	return checkedGrant{in, permissions}, e.mayGrant(ctx, in, nil, permissions)
}

// invite adds the user to the account and to the stores.
func (e *edit) invite(ctx context.Context, p *Person, grants []checkedGrant) error {
	if err := e.join(ctx, p); err != nil {
		return err
	}
	for _, s := range grants {
		place := Place{ID: uuid.Must(uuid.NewV7()), StoreID: s.in.ID, Status: Active, Permissions: s.permissions}
		var details []audit.Detail
		if len(s.permissions) > 0 {
			details = []audit.Detail{{Name: "permissions", Value: strings.Join(s.permissions, " ")}}
		}
		if err := e.savePlace(ctx, audit.StoreUserAdded, p, s.in, &place, details...); err != nil {
			return err
		}
		p.Places = append(p.Places, place)
	}
	return nil
}
