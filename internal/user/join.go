package user

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// AddToAccount takes the person of the e-mail address into the account, pending
// and without names. One who is in it already stays as they are. It returns
// fault.Forbidden for a principal that is neither the account's owner nor holds
// account_users_write, and fault.Invalid for what is no address.
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

// join takes a person into the account who is not in it.
func (e *edit) join(ctx context.Context, p *Person) error {
	if p.Member {
		return nil
	}
	p.Member, p.JoinedAt = true, e.now
	e.tell(audit.UserAdded, p.Target())
	return e.saveMember(ctx, p)
}

// AddToStore takes a person into a store: by e-mail address into the account
// as well, by id only one who is in it already. They may do nothing there until
// they are given permissions; one who is there already stays as they are.
// It returns fault.Forbidden for whoever neither may add people to the store nor
// holds account_users_write; fault.NotFound on "storeId" or "user.id";
// fault.Invalid when the person is not named, or two are.
func (s *Service) AddToStore(ctx context.Context, by *auth.Principal, ref account.StoreRef, who Whom) (account.Store, Person, error) {
	var in account.Store
	var added Person
	err := s.edit(ctx, by, func(e *edit) (err error) {
		if in, err = e.storeWhere(ctx, ref, auth.AddUsers, scopeWrite); err != nil {
			return err
		}
		if added, err = e.identified(ctx, who); err != nil {
			return fault.Under(err, "user")
		}
		if _, there := added.Place(in.ID); there {
			return nil
		}
		if err := e.join(ctx, &added); err != nil {
			return err
		}
		place := Place{ID: uuid.Must(uuid.NewV7()), StoreID: in.ID, Status: Active}
		e.tell(audit.UserAdded, added.Target(), inStore(in))
		if err := e.savePlace(ctx, &added, &place); err != nil {
			return err
		}
		added.Places = append(added.Places, place)
		return nil
	})
	return in, added, err
}

// identified returns the person who is named.
func (e *edit) identified(ctx context.Context, who Whom) (p Person, err error) {
	if who.Email == nil && who.ID == nil {
		return p, fault.Errorf(fault.Invalid, "Name the person by the e-mail address or by the id.").On("email")
	}
	if who.ID != nil {
		if p, err = e.member(ctx, *who.ID, "id"); err != nil || who.Email == nil {
			return p, err
		}
	}
	if who.ID == nil {
		return e.withAddress(ctx, *who.Email)
	}
	if err := CheckEmail(*who.Email); err != nil {
		return p, err
	}
	if Fold(*who.Email) != Fold(p.Email) {
		return p, fault.Errorf(fault.Invalid, "The e-mail address and the id are not the same person's.").On("id")
	}
	return p, nil
}

// RemoveFromStore takes a person out of a store; they stay in the account. It
// returns fault.Forbidden for whoever neither may delete people there nor holds
// account_users_delete; fault.NotFound on "storeId" or "userId"; and
// fault.Conflict on "userId" for the store's owner.
func (s *Service) RemoveFromStore(ctx context.Context, by *auth.Principal, ref account.StoreRef, userID uuid.UUID) (account.Store, Person, error) {
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
		e.tell(audit.UserRemoved, p.Target(), inStore(out))
		if err := e.RemovePlaces(ctx, []uuid.UUID{place.ID}); err != nil {
			return err
		}
		removed = p
		return e.saveMember(ctx, &removed)
	})
	return out, removed, err
}
