package membership

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// write applies the plan in a fixed number of statements and records its
// events. It returns the tokens that each removed user knows.
func (p *provisioning) write(ctx context.Context, c Change) (map[uuid.UUID][]token.Token, error) {
	// Removed users free their external IDs, so they go first.
	known, _, err := depart(ctx, c, p.by, p.leaving, removing, handlingBy(p.account, ""), p.now)
	if err != nil {
		return nil, err
	}
	w := p.writes()
	if err := c.CreateUsers(ctx, w.created); err != nil {
		return nil, err
	}
	if err := c.SaveMembers(ctx, w.members); err != nil {
		return nil, err
	}
	if err := c.SavePlaces(ctx, w.places); err != nil {
		return nil, err
	}
	return known, c.Record(ctx, w.events)
}

// writes are the sets to write for all items.
type writes struct {
	created []user.NewUser
	members []user.Membership
	places  map[uuid.UUID][]user.Place
	events  []audit.Event
}

// writes collects the sets to write and updates the outcomes.
func (p *provisioning) writes() writes {
	w := writes{places: map[uuid.UUID][]user.Place{}}
	for i, d := range p.decisions {
		if d.action == Unchanged || d.action == Failed {
			if before, ok := p.before(i, d); ok {
				p.outcomes[i].Person = p.outcomes[before].Person
			}
			continue
		}
		after, places := d.withIDs(p.now)
		if d.action == Created {
			w.created = append(w.created, user.NewUser{User: after.User})
		}
		w.members = append(w.members, after.Membership())
		w.places[after.ID] = places
		w.events = append(w.events, p.events(d, after, places)...)
		p.outcomes[i].Person = &after
	}
	return w
}

// withIDs returns the user, and the changed store memberships, with their new
// IDs and times.
func (d decision) withIDs(now time.Time) (user.Person, []user.Place) {
	after := d.after
	if d.action == Created {
		after.ID, after.CreatedAt = uuid.Must(uuid.NewV7()), now
	}
	if !d.before.Member {
		after.JoinedAt = now
	}
	after.UpdatedAt = now
	places := make([]user.Place, len(d.places))
	for i, place := range d.places {
		if place.ID == uuid.Nil {
			place.ID = uuid.Must(uuid.NewV7())
		}
		place.UpdatedAt = now
		places[i], after.Places = place, withPlace(after.Places, place)
	}
	return after, places
}

// events returns the events of an applied item: one for the user, and one for
// each new or changed store membership.
func (p *provisioning) events(d decision, after user.Person, places []user.Place) []audit.Event {
	var events []audit.Event
	note := func(action audit.Action, details ...audit.Detail) {
		events = append(events, user.PersonEvent(p.by, action, after, p.now, details...))
	}
	known := details(d.changes)
	if d.action == Created {
		note(audit.UserCreated, known...)
		known = nil
	}
	if !d.before.Member {
		note(audit.UserAdded)
	}
	if len(known) > 0 {
		note(audit.UserUpdated, known...)
	}
	for _, place := range places {
		action, extra := audit.StoreUserUpdated,
			[]audit.Detail{{Name: "permissions", Value: strings.Join(place.Permissions, " ")}}
		if _, ok := d.before.Place(place.StoreID); !ok {
			action = audit.StoreUserAdded
			if len(place.Permissions) == 0 {
				extra = nil
			}
		}
		m := user.StoreMember{Place: place, User: after.User} // an owner's membership does not change
		events = append(events, user.StoreMemberEvent(p.by, action, m, p.hashes[place.StoreID], p.now, extra...))
	}
	return events
}

// details returns the changes to the user's own fields, each with its new
// value.
func details(changes []FieldChange) []audit.Detail {
	var list []audit.Detail
	for _, c := range changes {
		if strings.HasPrefix(c.Field, "stores") {
			continue
		}
		d := audit.Detail{Name: c.Field}
		if c.After != nil {
			d.Value = *c.After
		}
		list = append(list, d)
	}
	return list
}
