package membership_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

// editGroup changes the first store, which has an owner of its own, as a group.
func (w *tenant) editGroup(t *testing.T, by *auth.Principal, e membership.GroupEdit) error {
	t.Helper()
	return w.Memberships.EditGroup(t.Context(), by, w.Stores[0].ID, e, nil)
}

// inGroup returns the user's role in the first store, or "out".
func (w *tenant) inGroup(t *testing.T, id uuid.UUID) string {
	t.Helper()
	place, is := w.member(t, id).Place(w.Stores[0].ID)
	switch {
	case !is:
		return "out"
	case len(place.Permissions) == 0:
		return "in, without a role"
	}
	return "in, " + string(user.RoleOf(place.Permissions, false))
}

// The changes of a group about one user.
var groupEdits = map[string]func(id uuid.UUID) membership.GroupEdit{
	"add":    func(id uuid.UUID) membership.GroupEdit { return membership.GroupEdit{Add: []uuid.UUID{id}} },
	"remove": func(id uuid.UUID) membership.GroupEdit { return membership.GroupEdit{Remove: []uuid.UUID{id}} },
	"replace": func(id uuid.UUID) membership.GroupEdit {
		return membership.GroupEdit{RemoveAll: true, Add: []uuid.UUID{id}}
	},
}

// Tokens change a group, by the rights that they have and the state of the user. New members get the default role,
// others keep theirs, and the owner of the store stays.
func TestEditGroup(t *testing.T) {
	const outside, fresh, staff = "out", "in, SALES_MANAGER", "in, SALES_STAFF"
	all, writing := scope.AccountUsersDelete, scope.AccountUsersRead
	eachTenant(t, func(t *testing.T, w *tenant) {
		resident := w.World.Users[2].ID
		w.setGroup(t, nil, user.SalesStaff) // so that all join with a role
		for _, tc := range []struct {
			edit, right string
			// ifOut and ifIn are the states afterwards of a user who was not in the store, and of one who was. An empty
			// text is a refusal.
			ifOut, ifIn string
			// others says that the other member stays.
			others bool
		}{
			{"add", all, fresh, staff, true}, {"add", writing, fresh, staff, true},
			{"remove", all, outside, outside, true}, {"remove", writing, outside, "", true},
			{"replace", all, fresh, staff, false}, {"replace", writing, "", "", false},
		} {
			for _, state := range []string{"active", "pending", "deactivated"} {
				for _, in := range []bool{false, true} {
					u := w.inState(t, state)
					before := []uuid.UUID{resident}
					if in {
						before = append(before, u.ID)
					}
					w.setGroup(t, before, user.SalesStaff)
					w.setGroup(t, before, user.SalesManager)
					what := fmt.Sprintf("%s with the scope %q, %s, member %t", tc.edit, tc.right, state, in)
					err := w.editGroup(t, w.holding(scope.AccountUsersWrite, tc.right), groupEdits[tc.edit](u.ID))
					want := map[bool]string{false: tc.ifOut, true: tc.ifIn}[in]
					if want == "" {
						check.Equal(t, fault.KindOf(err), fault.Forbidden, "%s: %v", what, err)
						want = map[bool]string{false: outside, true: staff}[in]
					} else {
						check.Equal(t, err, nil, "%s", what)
					}
					check.Equal(t, w.inGroup(t, u.ID), want, "%s: the user", what)
					stays := err != nil || tc.others
					check.Equal(t, w.inGroup(t, resident), map[bool]string{true: staff, false: outside}[stays],
						"%s: another member", what)
				}
			}
		}
		for name, edit := range groupEdits {
			check.Equal(t, w.editGroup(t, w.robot, edit(w.StoreOwner.ID)), nil, "%s the owner", name)
			check.Equal(t, w.inGroup(t, w.StoreOwner.ID), "out", "%s: the owner, who needs no membership", name)
		}
	})
}

// setGroup makes the users the members of the group, and sets its default role. They get that if they are new.
func (w *tenant) setGroup(t *testing.T, members []uuid.UUID, role user.Role) {
	t.Helper()
	err := w.editGroup(t, w.robot, membership.GroupEdit{DefaultRole: &role})
	check.Equal(t, err, nil, "set the default role %q", role)
	err = w.editGroup(t, w.robot, membership.GroupEdit{RemoveAll: true, Add: members})
	check.Equal(t, err, nil, "set the members")
}

// What is refused changes nothing.
func TestEditGroupRefuses(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		foreign := dbtest.Seed{Users: 1}.Make(t, w.DB)
		member, home, id := w.World.Users[2], w.Stores[0].ID, "7"
		check.Equal(t, w.Memberships.EditGroup(t.Context(), w.robot, w.Stores[1].ID, membership.GroupEdit{
			ExternalID: &id}, nil), nil, "give a group an external ID")
		session := w.as(member)
		session.AccountOwner = false
		session.Scopes = scope.NewSet(scope.AccountUsersWrite, scope.AccountUsersDelete)
		many := make([]uuid.UUID, membership.MaxMembersChanged+1)
		for i := range many {
			many[i] = uuid.New()
		}
		stale := func(membership.Group) error { return fault.Errorf(fault.Conflict, "Stale.").On("version") }
		adding := groupEdits["add"](w.inState(t, "active").ID)
		before := dbtest.Dump(t, w.URL)
		for _, tc := range []struct {
			name  string
			by    *auth.Principal
			store uuid.UUID
			e     membership.GroupEdit
			may   func(membership.Group) error
			kind  fault.Kind
			field string
		}{
			{"a session of a user", session, home, adding, nil, fault.Forbidden, ""},
			{"a token that may only read", w.holding(scope.AccountUsersRead), home, adding, nil, fault.Forbidden, ""},
			{"a token that may only remove", w.holding(scope.AccountUsersDelete), home, groupEdits["remove"](member.ID),
				nil, fault.Forbidden, ""},
			{"a store of another account", w.robot, foreign.Stores[0].ID, adding, nil, fault.NotFound, ""},
			{"no store", w.robot, uuid.New(), adding, nil, fault.NotFound, ""},
			{"a user of another account", w.robot, home, groupEdits["add"](foreign.Users[1].ID), nil, fault.Invalid,
				"members"},
			{"too many members", w.robot, home, membership.GroupEdit{Add: many}, nil, fault.ComplexityLimit, "members"},
			{"the external ID of another group", w.robot, home, membership.GroupEdit{ExternalID: &id, Add: adding.Add},
				nil, fault.Conflict, "externalId"},
			{"an unknown role", w.robot, home, membership.GroupEdit{DefaultRole: new(user.Role("SOME"))}, nil,
				fault.Invalid, "defaultRole"},
			{"the role of the owner", w.robot, home, membership.GroupEdit{DefaultRole: new(user.StoreOwner)}, nil,
				fault.Invalid, "defaultRole"},
			{"the precondition", w.robot, home, adding, stale, fault.Conflict, "version"},
		} {
			err := w.Memberships.EditGroup(t.Context(), tc.by, tc.store, tc.e, tc.may)
			if f := fault.Flatten(err); len(f) != 1 || f[0].Kind != tc.kind || f[0].Field != tc.field {
				t.Errorf("%s: got %v, want %s on %q", tc.name, err, tc.kind, tc.field)
			}
		}
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after refused requests")
		for what, e := range map[string]membership.GroupEdit{"remove users who are not there": {Remove: many[:3]},
			"add a member who is there": groupEdits["add"](member.ID), "no change": {},
			"the same role": {DefaultRole: new(user.Role(""))}} {
			check.Equal(t, w.editGroup(t, w.robot, e), nil, "%s", what)
		}
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after requests that change nothing")
	})
}

// A change of a group writes an event for what the store has, and one for each member who joins or leaves.
func TestEventsOfGroups(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		u := w.inState(t, "active")
		role := user.SalesStaff
		check.Equal(t, w.editGroup(t, w.robot, membership.GroupEdit{ExternalID: new("7"), DefaultRole: &role,
			Add: []uuid.UUID{u.ID}}), nil, "add a member with a role")
		check.Equal(t, w.lastOf(t, audit.StoreUpdated).Details, []audit.Detail{{Name: "externalId", Value: "7"},
			{Name: "defaultRole", Value: string(role)}}, "of the store")
		joined := w.lastOf(t, audit.StoreUserAdded)
		check.Equal(t, joined.Target.Name, u.Email, "who joined")
		check.Equal(t, joined.Actor.ID, w.robot.ID, "who added them")
		check.Equal(t, w.editGroup(t, w.robot, groupEdits["remove"](u.ID)), nil, "remove the member")
		check.Equal(t, w.lastOf(t, audit.StoreUserRemoved).Target.Name, u.Email, "who left")
	})
}
