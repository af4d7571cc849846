package user

import (
	"context"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
)

// Decline takes the principal out of the account, whose membership they decline,
// and out of every store of it. The actor is the credential that they act by, which
// is of another account. It returns fault.NotFound when they are not in
// the account, and fault.Conflict for an owner.
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
		owned, err := e.OwnedStores(ctx, idsOf([]Person{p}))
		if err != nil {
			return err
		}
		if err := CheckRemoval(a, owned, p); err != nil {
			return err
		}
		e.tell(audit.UserDeclined, p.Target())
		return Leave(ctx, e.Change, by, []Person{p}, e.now)
	})
}

// TakeIn makes sure that the person of an address is in the account, and in the
// store if one is named: pending, and with the details, if they come by this. It
// returns fault.Forbidden for a principal that may not add people there,
// fault.Invalid for details that break a rule, and fault.NotFound on "storeId".
func (s *Service) TakeIn(ctx context.Context, by *auth.Principal, d Details, ref account.StoreRef) (Person, error) {
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
		if _, there := in.Place(st.ID); there {
			return nil
		}
		return e.admit(ctx, &in, []seat{{in: st}})
	})
	return in, err
}
