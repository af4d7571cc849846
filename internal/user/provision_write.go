package user

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
)

// Write carries out what was planned, by writes of sets, each person's with
// its event.
func (p *Provisioning) Write(ctx context.Context, c Change) error {
	// Whoever leaves leaves an external id that others may have then.
	if err := Leave(ctx, c, p.by, p.Leaving, p.now); err != nil {
		return err
	}
	w := p.writes()
	return inOrder(
		func() error { return c.CreateUsers(ctx, w.created) },
		func() error { return c.SaveMembers(ctx, w.members) },
		func() error { return c.SavePlaces(ctx, w.places) },
		func() error { return c.Record(ctx, w.events) },
	)
}

// inOrder takes steps until one fails.
func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// writes are what the items come to, by the sets that are written.
type writes struct {
	created []NewUser
	members []Membership
	places  map[uuid.UUID][]Place
	events  []audit.Event
}

// writes gathers what is to be written, and lets the outcomes show it.
func (p *Provisioning) writes() writes {
	w := writes{places: map[uuid.UUID][]Place{}}
	for i, d := range p.decisions {
		if d.action == Unchanged || d.action == Failed {
			if before, ok := p.before(i, d); ok {
				p.Outcomes[i].Person = p.Outcomes[before].Person
			}
			continue
		}
		after, places := d.settled(p.now)
		if d.action == Created {
			w.created = append(w.created, NewUser{User: after.User})
		}
		w.members = append(w.members, after.membership())
		w.places[after.ID] = places
		w.events = append(w.events, p.tell(d, after, places)...)
		p.Outcomes[i].Person = &after
	}
	return w
}

// settled returns the person with the ids and times that are kept, and those
// of their places that are.
func (d decision) settled(now time.Time) (Person, []Place) {
	after := d.after
	if d.action == Created {
		after.ID, after.CreatedAt = uuid.Must(uuid.NewV7()), now
	}
	if !d.before.Member {
		after.JoinedAt = now
	}
	after.UpdatedAt = now
	places := make([]Place, len(d.places))
	for i, place := range d.places {
		if place.ID == uuid.Nil {
			place.ID = uuid.Must(uuid.NewV7())
		}
		place.UpdatedAt = now
		places[i], after.Places = place, withPlace(after.Places, place)
	}
	return after, places
}

// tell is what the log says of an item that is done: one event for the person,
// and one for each place of theirs that is new or changed.
func (p *Provisioning) tell(d decision, after Person, places []Place) []audit.Event {
	var events []audit.Event
	note := func(action audit.Action, details ...audit.Detail) {
		events = append(events, Event(p.by, action, after.Target(), p.now, details...))
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
		action, told := audit.UserUpdated, []audit.Detail{{Name: "permissions", Value: strings.Join(place.Permissions, " ")}}
		if _, there := d.before.Place(place.StoreID); !there {
			action = audit.UserAdded
			if len(place.Permissions) == 0 {
				told = nil
			}
		}
		note(action, append(told, audit.Detail{Name: "storeHash", Value: p.hashes[place.StoreID]})...)
	}
	return events
}

// details are the person's own changes, each as the new value.
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

// Leave takes people who may leave (CheckRemoval) out of every store of the
// account and out of the account, and ends their sessions there.
func Leave(ctx context.Context, c Change, by *auth.Principal, people []Person, now time.Time) error {
	if len(people) == 0 {
		return nil
	}
	hashes, err := placeHashes(ctx, c, people)
	if err != nil {
		return err
	}
	var places []uuid.UUID
	var events []audit.Event
	for _, p := range people {
		for _, place := range p.Places {
			places = append(places, place.ID)
			in := audit.Detail{Name: "storeHash", Value: hashes[place.StoreID]}
			events = append(events, Event(by, audit.UserRemoved, p.Target(), now, in))
		}
		events = append(events, Event(by, audit.UserRemoved, p.Target(), now))
	}
	ids := idsOf(people)
	ended := func(s Session) audit.Event { return SessionEnded(by, s, now) }
	return inOrder(
		func() error { return c.RemovePlaces(ctx, places) },
		func() error { return c.EndSessions(ctx, ids, now, ended) },
		func() error { return c.RemoveMembers(ctx, ids) },
		func() error { return c.Record(ctx, events) },
	)
}

// placeHashes returns the hashes of the stores that people have places in.
func placeHashes(ctx context.Context, c Change, people []Person) (map[uuid.UUID]string, error) {
	hashes := map[uuid.UUID]string{}
	var refs []account.StoreRef
	for _, p := range people {
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
