package user

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// Transfer is the result of a transfer of ownership.
type Transfer struct {
	Account account.Account
	// Store is nil if the account itself was transferred.
	Store *account.Store
}

// TransferOwnership makes a user of the account the owner of a store, or of the
// account if ref is nil. A store's new owner gets every permission there, and
// the former owner becomes a store administrator. A transfer to the current
// owner changes nothing. It returns fault.Forbidden unless the principal is the
// operator or a session of the account's owner or, for a store, of its owner;
// fault.NotFound on "storeId" or "userId"; and fault.Conflict on "userId" for a
// pending or deactivated user.
func (s *Service) TransferOwnership(ctx context.Context, by *auth.Principal, userID uuid.UUID,
	ref *account.StoreRef) (Transfer, error) {
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

// MayTransfer returns fault.Forbidden if the principal can never transfer
// ownership: API tokens cannot.
func MayTransfer(by *auth.Principal) error {
	if by.Kind != auth.Session && by.Kind != auth.Operator {
		return auth.Denied()
	}
	return nil
}

// mayGive returns fault.Forbidden unless the principal is one of the current
// owners. A session may have been looked up before another transfer.
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
	if err := e.addTransferEvent(ctx, target, a.OwnerID, next); err != nil {
		return err
	}
	a.OwnerID = to
	e.addOwnerEvent(audit.AccountUpdated, target, next, a.Data())
	return e.SetOwner(ctx, uuid.Nil, to)
}

// nextOwner returns a member who may become an owner. A pending user may not:
// until they accept, the object would have no owner, and it would never have
// one if the address is mistyped. Neither may a deactivated one.
func (e *edit) nextOwner(ctx context.Context, id uuid.UUID) (Person, error) {
	next, err := e.member(ctx, id, "userId")
	switch {
	case err == nil && next.Deactivated():
		err = errDeactivated().On("userId")
	case err == nil && next.Pending:
		err = fault.Errorf(fault.Conflict,
			"This user has not accepted the membership yet. They can become an owner after they accept it.").On(
			"userId")
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
	if err := e.addTransferEvent(ctx, target, former, next); err != nil {
		return err
	}
	st.OwnerID = to
	e.addOwnerEvent(audit.StoreUpdated, target, next, st.Data())
	if err := e.SetOwner(ctx, st.ID, to); err != nil {
		return err
	}
	if err := e.giveRole(ctx, next, *st, StoreOwner); err != nil {
		return err
	}
	was, err := e.member(ctx, former, "userId")
	if fault.KindOf(err) == fault.NotFound {
		return nil // the former owner is no longer in the account
	}
	if err != nil {
		return err
	}
	return e.giveRole(ctx, was, *st, StoreAdministrator)
}

// checkedGrant gives a user an active store membership with the role's permissions.
func (e *edit) giveRole(ctx context.Context, p Person, in account.Store, r Role) error {
	action := audit.StoreUserUpdated
	place, ok := p.Place(in.ID)
	if !ok {
		action, place = audit.StoreUserAdded, Place{ID: uuid.Must(uuid.NewV7()), StoreID: in.ID}
	}
	place.Status, place.Permissions = Active, r.Permissions()
	return e.savePlace(ctx, action, &p, in, &place,
		audit.Detail{Name: "permissions", Value: strings.Join(place.Permissions, " ")})
}

func (e *edit) addTransferEvent(ctx context.Context, target audit.Target, former uuid.UUID, next Person) error {
	from := former.String()
	found, err := e.Members(ctx, []uuid.UUID{former})
	if err != nil {
		return err
	}
	if len(found) > 0 {
		from = found[0].Email
	}
	e.addEvent(audit.OwnershipTransferred, target, audit.Detail{Name: "from", Value: from},
		audit.Detail{Name: "to", Value: next.Email})
	return nil
}

// addOwnerEvent records the change of owner as an update of the target, which webhooks receive. data is the target
// after the change. audit.OwnershipTransferred has no type: its target can be an account or a store.
func (e *edit) addOwnerEvent(action audit.Action, target audit.Target, next Person, data json.RawMessage) {
	event := Event(e.by, action, target, e.now, audit.Detail{Name: "owner", Value: next.Email})
	event.Data = data
	e.events = append(e.events, event)
}
