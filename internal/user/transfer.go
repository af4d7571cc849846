package user

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// Transfer is what was given to another owner.
type Transfer struct {
	Account account.Account
	// Store is nil when the account itself was given.
	Store *account.Store
}

// TransferOwnership makes a person of the account the owner of a store, or of
// the account where ref is nil. A store's next owner gets every permission
// there, and the former one stays as an administrator. To give it to whoever
// has it changes nothing. It returns fault.Forbidden for all but a session of
// the account's owner, that of the store's owner for the store, and the
// operator; fault.NotFound on "storeId" or "userId"; and fault.Conflict on
// "userId" for a person who is pending.
func (s *Service) TransferOwnership(ctx context.Context, by *auth.Principal, userID uuid.UUID, ref *account.StoreRef) (Transfer, error) {
	if err := MayTransfer(by); err != nil {
		return Transfer{}, err
	}
	var done Transfer
	err := s.edit(ctx, by, func(e *edit) (err error) {
		if done.Account, err = e.Account(ctx); err != nil {
			return err
		}
		if ref == nil {
			return e.giveAccount(ctx, &done.Account, userID)
		}
		found, err := e.Stores(ctx, []account.StoreRef{*ref})
		if err != nil {
			return err
		}
		if len(found) == 0 || !by.May(by.AccountID, found[0].ID, auth.NoPermission) {
			return account.ErrNoStore().On("storeId")
		}
		done.Store = &found[0]
		return e.giveStore(ctx, done.Account, done.Store, userID)
	})
	return done, err
}

// MayTransfer refuses principals that never make anybody an owner, whatever is
// to be given: API tokens. It returns fault.Forbidden.
func MayTransfer(by *auth.Principal) error {
	if by.Kind != auth.Session && by.Kind != auth.Operator {
		return auth.Denied()
	}
	return nil
}

// mayGive refuses whoever owns neither of the two as of now: a session may
// have been looked up before another transfer.
func mayGive(by *auth.Principal, owners ...uuid.UUID) error {
	for _, owner := range owners {
		if by.Kind == auth.Operator || by.ID == owner {
			return nil
		}
	}
	return auth.Denied()
}

func (e *edit) giveAccount(ctx context.Context, a *account.Account, to uuid.UUID) error {
	if err := mayGive(e.by, a.OwnerID); err != nil {
		return err
	}
	next, err := e.nextOwner(ctx, to)
	if err != nil || a.OwnerID == to {
		return err
	}
	target := audit.Target{Kind: audit.TargetAccount, Key: a.ID.String(), Name: a.Name}
	if err := e.tellTransfer(ctx, target, a.OwnerID, next); err != nil {
		return err
	}
	a.OwnerID = to
	return e.SetOwner(ctx, uuid.Nil, to)
}

// nextOwner returns a member who may own something: nobody who is pending, since
// what they own would have no owner until they accept, or for ever where the
// address is mistyped.
func (e *edit) nextOwner(ctx context.Context, id uuid.UUID) (Person, error) {
	next, err := e.member(ctx, id, "userId")
	if err == nil && next.Pending {
		err = fault.Errorf(fault.Conflict, "This person has not accepted the membership yet. They can own something when they have.").On("userId")
	}
	return next, err
}

func (e *edit) giveStore(ctx context.Context, a account.Account, st *account.Store, to uuid.UUID) error {
	if err := mayGive(e.by, a.OwnerID, st.OwnerID); err != nil {
		return err
	}
	next, err := e.nextOwner(ctx, to)
	if err != nil || st.OwnerID == to {
		return err
	}
	former := st.OwnerID
	target := audit.Target{Kind: audit.TargetStore, Key: st.ID.String(), Name: st.Name}
	if err := e.tellTransfer(ctx, target, former, next); err != nil {
		return err
	}
	st.OwnerID = to
	if err := e.SetOwner(ctx, st.ID, to); err != nil {
		return err
	}
	if err := e.seat(ctx, next, st.ID, StoreOwner); err != nil {
		return err
	}
	was, err := e.member(ctx, former, "userId")
	if fault.KindOf(err) == fault.NotFound {
		return nil // who owned it is in the account no more
	}
	if err != nil {
		return err
	}
	return e.seat(ctx, was, st.ID, StoreAdministrator)
}

// seat gives a person an active place in a store, in that role.
func (e *edit) seat(ctx context.Context, p Person, storeID uuid.UUID, r Role) error {
	place, there := p.Place(storeID)
	if !there {
		place = Place{ID: uuid.Must(uuid.NewV7()), StoreID: storeID}
	}
	place.Status, place.Permissions = Active, r.Permissions()
	return e.savePlace(ctx, &p, &place)
}

func (e *edit) tellTransfer(ctx context.Context, target audit.Target, former uuid.UUID, next Person) error {
	from := former.String()
	found, err := e.Members(ctx, []uuid.UUID{former})
	if err != nil {
		return err
	}
	if len(found) > 0 {
		from = found[0].Email
	}
	e.tell(audit.OwnershipTransferred, target, audit.Detail{Name: "from", Value: from}, audit.Detail{Name: "to", Value: next.Email})
	return nil
}
