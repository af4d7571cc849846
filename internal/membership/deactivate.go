package membership

import (
	"context"

	"latchkey/internal/auth"
	"latchkey/internal/scope"
	"latchkey/internal/user"
)

// Deactivation is a request to deactivate one user in the principal's account. It has
// the fields of a Removal.
type Deactivation Removal

// Deactivate deactivates a user in the account: their sessions there end, and they
// cannot sign in to it. Their store memberships stay recorded and work again after
// Reactivate. A user who is already deactivated is left unchanged, for any choice
// about tokens. It returns errors as Remove does, and those of user.CheckByHand.
func (s *Service) Deactivate(ctx context.Context, by *auth.Principal, d Deactivation) (RemovalResult, error) {
	return s.offboard(ctx, by, Removal(d), deactivating)
}

// Reactivate makes a deactivated user of the account active again, with the store
// memberships that they have. Sessions and tokens stay ended and revoked. A user who had
// not accepted the membership before is pending again. A user who is not deactivated is
// left unchanged. It returns fault.Forbidden if the principal may not change all users,
// fault.Invalid unless ref identifies exactly one user, fault.NotFound for a user who is
// not in the account, and fault.Conflict from user.CheckByHand. Fields are "email" and "id".
func (s *Service) Reactivate(ctx context.Context, by *auth.Principal, ref user.Ref) (user.Person, error) {
	if err := MayReactivate(by); err != nil {
		return user.Person{}, err
	}
	var p user.Person
	err := s.repo.Change(ctx, by.Actor(), by.AccountID, func(c Change) error {
		l, err := findLeavers(ctx, c, []user.Ref{ref})
		if err != nil {
			return err
		}
		if p, err = l.member(ref); err != nil || !p.Deactivated() {
			return err
		}
		if err := user.CheckByHand(by, p); err != nil {
			return err
		}
		back := []user.Person{p}
		err = user.Reactivate(ctx, c, by, back, s.now.Timestamp())
		p = back[0]
		return err
	})
	if err != nil {
		return user.Person{}, err
	}
	return p, nil
}

// MayReactivate returns fault.Forbidden if the principal may not reactivate users of its account.
func MayReactivate(by *auth.Principal) error { return mayInBulk(by, scope.AccountUsersWrite) }
