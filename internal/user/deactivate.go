package user

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// Deactivate deactivates users in the account and ends their sessions there. Their store memberships stay recorded,
// but give no rights until Reactivate. The users must pass CheckRemoval, since owners cannot be deactivated, and must
// not be deactivated.
func Deactivate(ctx context.Context, c Change, by *auth.Principal, persons []Person, now time.Time,
	review Review) error {
	if len(persons) == 0 {
		return nil
	}
	ids := idsOf(persons)
	ended := func(s Session) audit.Event { return SessionEnded(by, s, now) }
	// It comes first, since it keeps new sessions from starting.
	if err := c.EndSessions(ctx, ids, now, ended); err != nil {
		return err
	}
	if err := c.DeactivateMembers(ctx, ids, now); err != nil {
		return err
	}
	for i := range persons {
		persons[i].DeactivatedAt, persons[i].UpdatedAt = now, now
	}
	events, err := review.events(by, audit.UserDeactivated, persons, now)
	if err != nil {
		return err
	}
	return c.Record(ctx, events)
}

// Reactivate makes deactivated users of the account active again, with their store memberships. A user who had not
// accepted the membership before is pending again.
func Reactivate(ctx context.Context, c Change, by *auth.Principal, persons []Person, now time.Time) error {
	if len(persons) == 0 {
		return nil
	}
	if err := c.ReactivateMembers(ctx, idsOf(persons), now); err != nil {
		return err
	}
	events := make([]audit.Event, len(persons))
	for i := range persons {
		persons[i].DeactivatedAt, persons[i].UpdatedAt = time.Time{}, now
		events[i] = PersonEvent(by, audit.UserReactivated, persons[i], now)
	}
	return c.Record(ctx, events)
}

// errDeactivated is the error for what a deactivated user cannot get.
func errDeactivated() *fault.Error {
	return fault.Errorf(fault.Conflict, "This user is deactivated in the account. Reactivate the user first.")
}

func idsOf(persons []Person) []uuid.UUID {
	ids := make([]uuid.UUID, len(persons))
	for i, p := range persons {
		ids[i] = p.ID
	}
	return ids
}
