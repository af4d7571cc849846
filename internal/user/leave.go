package user

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
)

// Leave removes users from the account and every store in it, and ends their
// sessions there. They must pass CheckRemoval. review may be nil.
func Leave(ctx context.Context, c Change, by *auth.Principal, persons []Person, now time.Time, review Review) error {
	if len(persons) == 0 {
		return nil
	}
	hashes, err := placeHashes(ctx, c, persons)
	if err != nil {
		return err
	}
	var ids, places []uuid.UUID
	var events []audit.Event
	for _, p := range persons {
		ids = append(ids, p.ID)
		for _, place := range p.Places {
			places = append(places, place.ID)
			m := StoreMember{Place: place, User: p.User} // an owner cannot leave
			events = append(events, StoreMemberEvent(by, audit.StoreUserRemoved, m, hashes[place.StoreID], now))
		}
	}
	ended := func(s Session) audit.Event { return SessionEnded(by, s, now) }
	// It comes first, since it keeps new sessions from starting.
	if err := c.EndSessions(ctx, ids, now, ended); err != nil {
		return err
	}
	if err := c.RemovePlaces(ctx, places); err != nil {
		return err
	}
	if err := c.RemoveMembers(ctx, ids); err != nil {
		return err
	}
	left, err := review.events(by, audit.UserRemoved, persons, now)
	if err != nil {
		return err
	}
	return c.Record(ctx, append(events, left...))
}

// placeHashes returns the hashes of the stores that the users are members of.
func placeHashes(ctx context.Context, c Change, persons []Person) (map[uuid.UUID]string, error) {
	hashes := map[uuid.UUID]string{}
	var refs []account.StoreRef
	for _, p := range persons {
		for _, place := range p.Places {
			if _, known := hashes[place.StoreID]; !known {
				hashes[place.StoreID] = ""
				refs = append(refs, account.StoreRef{ID: place.StoreID})
			}
		}
	}
	stores, err := c.Stores(ctx, refs)
	for _, st := range stores {
		hashes[st.ID] = st.Hash
	}
	return hashes, err
}
