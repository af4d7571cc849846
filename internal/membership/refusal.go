package membership

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/user"
)

// RecordRefusal records that the principal's request to deactivate or remove a user was
// refused, with the reason. It does nothing if the user is not in the account.
func (s *Service) RecordRefusal(ctx context.Context, by *auth.Principal, id uuid.UUID, why string) error {
	return auth.BoundWrite(ctx, func(ctx context.Context) error {
		return s.repo.ChangeSlice(ctx, by.Actor(), by.AccountID, func(c Change) error {
			found, err := c.Members(ctx, []uuid.UUID{id})
			if err != nil || len(found) == 0 {
				return err
			}
			return c.Record(ctx, []audit.Event{user.Event(by, audit.UserRemovalRefused, found[0].Target(),
				s.now.Timestamp(), audit.Detail{Name: "reason", Value: why})})
		})
	})
}
