package user

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// AddToAccount adds the user with the email address to the account, as pending
// and without names. A user who is already in the account is left unchanged. It
// returns fault.Forbidden if the principal is neither the account's owner nor
// holds account_users_write, and fault.Invalid if email is not an email
// address.
func (s *Service) AddToAccount(ctx context.Context, by *auth.Principal, email string) (Person, error) {
	if err := mayInAccount(by, scopeWrite); err != nil {
		return Person{}, err
	}
	var added Person
	err := s.edit(ctx, by, func(e *edit) error {
		var err error
		if added, err = e.withAddress(ctx, email); err != nil {
			return err
		}
		return e.join(ctx, &added)
	})
	return added, err
}

// join adds the user to the account. It does nothing for a member.
func (e *edit) join(ctx context.Context, p *Person) error {
	if p.Member {
		return nil
	}
	p.Member, p.JoinedAt = true, e.now
	e.addPersonEvent(audit.UserAdded, *p)
	return e.saveMember(ctx, p)
}

// AddToStore adds a user to a store. A user named by email address is also
// added to the account; one named by ID must be in it already. The new
// membership has no permissions; an existing one is left unchanged. It returns
// fault.Forbidden if the principal neither may add users to the store nor holds
// account_users_write, fault.NotFound on "storeId" or "user.id", and
// fault.Invalid if u names no user or two different ones.
func (s *Service) AddToStore(ctx context.Context, by *auth.Principal, ref account.StoreRef, u Ref) (account.Store,
	Person, error) {
	var in account.Store
	var added Person
	err := s.edit(ctx, by, func(e *edit) (err error) {
		if in, err = e.storeWhere(ctx, ref, auth.AddUsers, scopeWrite); err != nil {
			return err
		}
		if added, err = e.identified(ctx, u); err != nil {
			return fault.Under(err, "user")
		}
		if _, ok := added.Place(in.ID); ok {
			return nil
		}
		if err := e.join(ctx, &added); err != nil {
			return err
		}
		place := Place{ID: uuid.Must(uuid.NewV7()), StoreID: in.ID, Status: Active}
		if err := e.savePlace(ctx, audit.StoreUserAdded, &added, in, &place); err != nil {
			return err
		}
		added.Places = append(added.Places, place)
		return nil
	})
	return in, added, err
}

// identified returns the user that u identifies.
func (e *edit) identified(ctx context.Context, u Ref) (p Person, err error) {
	if u.Email == nil && u.ID == nil {
		return p, fault.Errorf(fault.Invalid, "Name the user by email address or id.").On("email")
	}
	if u.ID != nil {
		if p, err = e.member(ctx, *u.ID, "id"); err != nil || u.Email == nil {
			return p, err
		}
	}
	if u.ID == nil {
		return e.withAddress(ctx, *u.Email)
	}
	if err := CheckEmail(*u.Email); err != nil {
		return p, err
	}
	if Fold(*u.Email) != Fold(p.Email) {
		return p, fault.Errorf(fault.Invalid,
			"The email address and the id belong to different users. Give one of the two.").On("id")
	}
	return p, nil
}

// RemoveFromStore removes a user from a store, but not from the account. It
// returns fault.Forbidden if the principal neither may delete users there nor
// holds account_users_delete, fault.NotFound on "storeId" or "userId", and
// fault.Conflict on "userId" for the store's owner.
func (s *Service) RemoveFromStore(ctx context.Context, by *auth.Principal, ref account.StoreRef,
	userID uuid.UUID) (account.Store, Person, error) {
	var out account.Store
	var removed Person
	err := s.edit(ctx, by, func(e *edit) (err error) {
		if out, err = e.storeWhere(ctx, ref, auth.DeleteUsers, scopeDelete); err != nil {
			return err
		}
		if err := CheckStoreOwner(out, userID); err != nil {
			return err
		}
		p, place, err := e.memberIn(ctx, out, userID)
		if err != nil {
			return err
		}
		e.addMemberEvent(audit.StoreUserRemoved, p, out, place)
		if err := e.RemovePlaces(ctx, []uuid.UUID{place.ID}); err != nil {
			return err
		}
		removed = p
		return e.saveMember(ctx, &removed)
	})
	return out, removed, err
}
