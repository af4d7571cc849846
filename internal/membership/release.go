package membership

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/user"
)

// ManageByHand removes the mark of the identity provider that keeps a user of the
// principal's account up to date, so that sessions can change the user again
// (user.CheckByHand). The provider's next change of the user sets the mark again. A user
// without the mark is left unchanged. It returns fault.Forbidden unless the principal is
// the operator or a session of the account's owner, fault.Invalid unless ref identifies
// exactly one user, and fault.NotFound for a user who is not in the account. Fields are
// "email" and "id".
func (s *Service) ManageByHand(ctx context.Context, by *auth.Principal, ref user.Ref) (user.Person, error) {
	if err := MayManageByHand(by); err != nil {
		return user.Person{}, err
	}
	var p user.Person
	err := s.repo.Change(ctx, by.Actor(), by.AccountID, func(c Change) error {
		l, err := findLeavers(ctx, c, []user.Ref{ref})
		if err != nil {
			return err
		}
		if p, err = l.member(ref); err != nil || !p.Provisioned() {
			return err
		}
		p.ProvisionedBy = uuid.Nil
		if err := c.SaveMembers(ctx, []user.Membership{p.Membership()}); err != nil {
			return err
		}
		return c.Record(ctx, []audit.Event{user.Event(by, audit.UserReleased, p.Target(), s.now.Timestamp())})
	})
	if err != nil {
		return user.Person{}, err
	}
	return p, nil
}

// MayManageByHand returns fault.Forbidden unless the principal may manage provisioned users by hand.
func MayManageByHand(by *auth.Principal) error {
	if !by.OwnsAccount(by.AccountID) {
		return auth.Denied()
	}
	return nil
}
