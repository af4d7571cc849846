package user

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
)

// Decline removes the principal, who declines the membership, from the account
// and every store in it. The actor is the credential in use, which belongs to
// another account. It returns fault.NotFound if the principal is not in the
// account, and fault.Conflict for an owner.
func (s *Service) Decline(ctx context.Context, actor auth.Actor, by *auth.Principal) error {
	return s.editAs(ctx, actor, by, func(e *edit) error {
		p, err := e.member(ctx, by.ID, "userId")
		if err != nil {
			return err
		}
		a, err := e.Account(ctx)
		if err != nil {
			return err
		}
		owned, err := e.OwnedStores(ctx, []uuid.UUID{p.ID})
		if err != nil {
			return err
		}
		if err := CheckRemoval(a, owned, p); err != nil {
			return err
		}
		e.addEvent(audit.UserDeclined, p.Target())
		return Leave(ctx, e.Change, by, []Person{p}, e.now, nil)
	})
}

// EnsureMember adds the user with the address to the account, as pending, and to the
// store if ref names one. A user who is already a member is left unchanged; the
// details are for a new one. It returns fault.Forbidden if the principal may
// not add users there, fault.Invalid for details that break a rule, fault.NotFound
// on "storeId", and fault.Conflict on "email" for a deactivated user.
func (s *Service) EnsureMember(ctx context.Context, by *auth.Principal, d Details, ref account.StoreRef) (Person,
	error) {
	if err := MayCreate(by); err != nil {
		return Person{}, err
	}
	var in Person
	err := s.edit(ctx, by, func(e *edit) (err error) {
		if in, err = e.withDetails(ctx, d); err != nil {
			return err
		}
		if ref == (account.StoreRef{}) {
			return e.join(ctx, &in)
		}
		st, err := e.storeWhere(ctx, ref, auth.AddUsers, scopeWrite)
		if err != nil {
			return err
		}
		if _, ok := in.Place(st.ID); ok {
			return nil
		}
		return e.invite(ctx, &in, []checkedGrant{{in: st}})
	})
	return in, err
}
