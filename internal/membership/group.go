package membership

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/user"
)

// Group is a store as identity providers see it.
type Group struct {
	account.Store

	// ExternalID is the identity provider's ID of the group, unique in the account, or
	// empty.
	ExternalID string
	// DefaultRole is the role of users who are added to the store as members of the
	// group. Empty gives them no permissions.
	DefaultRole user.Role
	// Revision is a number that changes with the store's members.
	Revision int64
}

// GroupEdit is what an identity provider asks to change of a group. Nil fields are left
// unchanged.
type GroupEdit struct {
	// ExternalID and DefaultRole are empty to remove the value.
	ExternalID  *string
	DefaultRole *user.Role

	// Afterwards, the users with a membership in the store are those in Add, and those
	// before without Remove or, with RemoveAll, without all. No user is in both lists.
	// The owner of the store stays.
	RemoveAll   bool
	Add, Remove []uuid.UUID
}

// MaxMembersChanged is the most store memberships that one GroupEdit may add and remove.
const MaxMembersChanged = 5000

// EditGroup changes a store of the principal's account as a group. All of it is done, or
// nothing. Users who are in the store already keep their permissions, and users to remove
// who are not in it are ignored. It returns fault.Forbidden if the principal may not
// change all users or, to remove any from the store, may not remove users;
// fault.NotFound for a store that is not in the account; fault.Invalid on "externalId",
// "defaultRole" or "members"; fault.ComplexityLimit if more than MaxMembersChanged
// memberships change; fault.Conflict for an external ID that another store has; and the
// error of the precondition.
func (s *Service) EditGroup(ctx context.Context, by *auth.Principal, storeID uuid.UUID, e GroupEdit,
	may func(Group) error) error {
	if err := mayInBulk(by, scope.AccountUsersWrite); err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	return s.repo.ChangeSlice(ctx, by.Actor(), by.AccountID, func(c Change) error {
		before, err := c.Group(ctx, storeID)
		if err != nil {
			return err
		}
		if may != nil {
			if err := may(before); err != nil {
				return err
			}
		}
		w := grouping{c, by, s.now.Timestamp(), e.apply(before)}
		if w.group != before {
			if err := w.saveGroup(ctx, before); err != nil {
				return err
			}
		}
		return w.setMembers(ctx, e)
	})
}

func (e GroupEdit) check() error {
	var faults fault.List
	if e.ExternalID != nil {
		faults = (user.Update{ExternalID: e.ExternalID}).CheckFields()
	}
	if r := e.DefaultRole; r != nil && *r != "" && (r.Permissions() == nil ||
		slices.ContainsFunc(r.Permissions(), user.HighRisk)) {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"This role cannot be the default role of a group.").On("defaultRole"))
	}
	return faults.Err()
}

func (e GroupEdit) apply(g Group) Group {
	if e.ExternalID != nil {
		g.ExternalID = *e.ExternalID
	}
	if e.DefaultRole != nil {
		g.DefaultRole = *e.DefaultRole
	}
	return g
}

// grouping is one change of a group.
type grouping struct {
	Change

	by  *auth.Principal
	now time.Time
	// group has the new external ID and default role.
	group Group
}

func (w grouping) saveGroup(ctx context.Context, before Group) error {
	var details []audit.Detail
	if w.group.ExternalID != before.ExternalID {
		details = append(details, audit.Detail{Name: "externalId", Value: w.group.ExternalID})
	}
	if w.group.DefaultRole != before.DefaultRole {
		details = append(details, audit.Detail{Name: "defaultRole", Value: string(w.group.DefaultRole)})
	}
	if err := w.SaveGroup(ctx, w.group); err != nil {
		return err
	}
	target := audit.Target{Kind: audit.TargetStore, Key: w.group.ID.String(), Name: w.group.Name}
	event := user.Event(w.by, audit.StoreUpdated, target, w.now, details...)
	event.Data = w.group.Data()
	return w.Record(ctx, []audit.Event{event})
}

// setMembers adds and removes members. It reads only which of the users are in the store, not all members, unless all
// are removed.
func (w grouping) setMembers(ctx context.Context, e GroupEdit) error {
	named := append(slices.Clone(e.Add), e.Remove...)
	if e.RemoveAll {
		named = nil
	} else if len(named) == 0 {
		return nil
	}
	ids, err := w.UsersInStore(ctx, w.group.ID, named)
	if err != nil {
		return err
	}
	in := make(map[uuid.UUID]bool, len(ids))
	for _, id := range ids {
		in[id] = true
	}
	joining := slices.DeleteFunc(
		slices.Clone(e.Add),
		func(id uuid.UUID) bool { return in[id] || id == w.group.OwnerID },
	)
	kept := make(map[uuid.UUID]bool, len(e.Add))
	for _, id := range e.Add {
		kept[id] = true
	}
	leaving := slices.DeleteFunc(ids, func(id uuid.UUID) bool { return kept[id] || id == w.group.OwnerID })
	if len(joining)+len(leaving) > MaxMembersChanged {
		return fault.Errorf(fault.ComplexityLimit,
			"A request can add and remove at most %d members of a group. Send the rest in further requests.",
			MaxMembersChanged).On("members")
	}
	if len(leaving) > 0 {
		if err := MayRemove(w.by, false); err != nil {
			return err
		}
	}
	return w.moveMembers(ctx, joining, leaving)
}

// moveMembers adds the users to the store and removes the others.
func (w grouping) moveMembers(ctx context.Context, joining, leaving []uuid.UUID) error {
	if len(joining)+len(leaving) == 0 {
		return nil
	}
	persons, err := w.Members(ctx, append(slices.Clone(joining), leaving...))
	if err != nil {
		return err
	}
	byID := make(map[uuid.UUID]user.Person, len(persons))
	for _, p := range persons {
		byID[p.ID] = p
	}
	permissions := w.group.DefaultRole.Permissions()
	if len(joining) > 0 {
		if err := user.CheckGrant(user.Grantable(w.by, w.group.ID, nil), nil, permissions); err != nil {
			return err
		}
	}
	var m moved
	for _, id := range joining {
		p, ok := byID[id]
		if !ok {
			return fault.Errorf(fault.Invalid, "No user in this account has the id %s.", id).On("members")
		}
		m.join(w, p, permissions)
	}
	for _, id := range leaving {
		if p, ok := byID[id]; ok {
			m.leave(w, p)
		}
	}
	if err := w.SavePlaces(ctx, m.added); err != nil {
		return err
	}
	if err := w.RemovePlaces(ctx, m.removed); err != nil {
		return err
	}
	if err := w.SaveMembers(ctx, m.members); err != nil {
		return err
	}
	return w.Record(ctx, m.events)
}

// moved are the sets to write for users who join or leave a store.
type moved struct {
	added   map[uuid.UUID][]user.Place
	removed []uuid.UUID
	members []user.Membership
	events  []audit.Event
}

func (m *moved) join(w grouping, p user.Person, permissions []string) {
	place := user.Place{ID: uuid.Must(uuid.NewV7()), StoreID: w.group.ID, Status: user.Active, Permissions: permissions,
		UpdatedAt: w.now}
	var details []audit.Detail
	if len(permissions) > 0 {
		details = []audit.Detail{{Name: "permissions", Value: strings.Join(permissions, " ")}}
	}
	if m.added == nil {
		m.added = map[uuid.UUID][]user.Place{}
	}
	m.added[p.ID] = []user.Place{place}
	m.note(w, audit.StoreUserAdded, p, place, details...)
}

func (m *moved) leave(w grouping, p user.Person) {
	if place, ok := p.Place(w.group.ID); ok {
		m.removed = append(m.removed, place.ID)
		m.note(w, audit.StoreUserRemoved, p, place)
	}
}

func (m *moved) note(w grouping, action audit.Action, p user.Person, place user.Place, details ...audit.Detail) {
	p.UpdatedAt = w.now
	m.members = append(m.members, p.Membership())
	member := user.StoreMember{Place: place, User: p.User} // an owner's membership does not change
	m.events = append(m.events, user.StoreMemberEvent(w.by, action, member, w.group.Hash, w.now, details...))
}
