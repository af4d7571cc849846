package gormdb_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/gormdb"
	"latchkey/internal/paging"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// With any filter, walking the list by small pages returns every matching user in order, from either end, and the
// count agrees. Names are compared like addresses, regardless of the database's case rules.
func TestUsersFiltered(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Users: 12, Stores: 2, MembersPerStore: 7}.Make(t, db)
		other := dbtest.Seed{Users: 3, MembersPerStore: 3}.Make(t, db)
		users := w.Users[1:]
		users[3].FirstName, users[3].LastName = "ÄNNE", "Σίσυφος"
		members := make([]user.Membership, len(users))
		for i, u := range users {
			members[i] = membershipOf(u)
			members[i].ExternalID, members[i].UpdatedAt = fmt.Sprint("e", i), later(time.Duration(i)*time.Second)
			members[i].ProvisionedBy = uuid.UUID{15: byte(i)}
			users[i].ExternalID, users[i].UpdatedAt = members[i].ExternalID, members[i].UpdatedAt
			users[i].ProvisionedBy = members[i].ProvisionedBy
		}
		pending := newcomers(1)[0]
		joins := membershipOf(pending.User)
		pending.UpdatedAt = joins.UpdatedAt
		change(t, db, w, func(c user.Change) error {
			err := errors.Join(c.SaveMembers(t.Context(), members),
				c.CreateUsers(t.Context(), []user.NewUser{pending}),
				c.SaveMembers(t.Context(), []user.Membership{joins}))
			for _, i := range []int{2, 11} {
				at := later(time.Duration(i) * time.Second)
				users[i].DeactivatedAt = at
				err = errors.Join(err, c.DeactivateMembers(t.Context(), []uuid.UUID{users[i].ID}, at))
			}
			return err
		})
		pending.Pending = true
		for _, tc := range []struct {
			name string
			f    user.Filter
			want []user.User
		}{
			{"addresses", user.Filter{Emails: []string{users[1].Email, strings.ToUpper(users[8].Email),
				other.Owner.Email}}, []user.User{users[1], users[8]}},
			{"no address", user.Filter{Emails: []string{}}, nil},
			{"external ids", user.Filter{ExternalIDs: []string{"e2", "e11", "E3"}}, []user.User{users[2], users[11]}},
			{"no external id", user.Filter{ExternalIDs: []string{}}, nil},
			{"a store", user.Filter{StoreID: w.Stores[1].ID}, users[:7]},
			{"another's store", user.Filter{StoreID: other.Stores[0].ID}, nil},
			{"without stores", user.Filter{WithoutStores: true}, slices.Concat([]user.User{w.Owner}, users[7:],
				[]user.User{pending.User})},
			{"what changed", user.Filter{UpdatedAfter: later(4 * time.Second)}, users[5:]},
			{"what changed of a store's", user.Filter{StoreID: w.Stores[0].ID, UpdatedAfter: later(4 * time.Second)},
				users[5:7]},
			{"a name in another case", user.Filter{Search: "änne σΊ"}, []user.User{users[3]}},
			{"a part that all have", user.Filter{Search: "rst USER"}, slices.Concat(users[:3], users[4:])},
			{"a part that no user has", user.Filter{Search: "%"}, nil},
			{"pending", user.Filter{Standing: user.StandingPending}, []user.User{pending.User}},
			{"deactivated", user.Filter{Standing: user.StandingDeactivated}, []user.User{users[2], users[11]}},
			{"active, of a store's", user.Filter{Standing: user.StandingActive, StoreID: w.Stores[0].ID},
				slices.Concat(users[:2], users[3:7])},
			{"deactivated, of a store's", user.Filter{Standing: user.StandingDeactivated, StoreID: w.Stores[0].ID},
				users[2:3]},
			{"all of it", user.Filter{
				StoreID: w.Stores[0].ID, Emails: []string{users[5].Email, users[6].Email, users[9].Email},
				ExternalIDs:  []string{"e5", "e6"},
				UpdatedAfter: later(5 * time.Second), Search: "user",
			}, users[6:7]},
		} {
			t.Run(tc.name, func(t *testing.T) {
				want := newestFirst(tc.want)
				for _, size := range []int{1, 3, 50} {
					same(t, "forward", walkUsers(t, db, w, tc.f, paging.Window{Size: size}), want)
					same(t, "backward", walkUsers(t, db, w, tc.f, paging.Window{Size: size, Backward: true}), want)
				}
				if n, err := db.Users().CountUsers(t.Context(), w.Account.ID, tc.f); err != nil ||
					n != int64(len(want)) {
					t.Errorf("CountUsers() = %d, %v, want %d", n, err, len(want))
				}
				keys, err := db.Users().SortKeys(t.Context(), w.Account.ID, tc.f, 100)
				if err != nil || len(keys) != len(want) || slices.ContainsFunc(keys, func(k user.SortKey) bool {
					return !slices.ContainsFunc(want, func(u user.User) bool { return u.ID == k.ID })
				}) {
					t.Errorf("SortKeys() = %+v, %v, want those of %d users", keys, err, len(want))
				}
				if most, err := db.Users().SortKeys(t.Context(), w.Account.ID, tc.f, 1); err != nil ||
					len(most) != min(1, len(want)) {
					t.Errorf("SortKeys() of at most 1 = %+v, %v", most, err)
				}
			})
		}
	})
}

// A filter by role selects the members with exactly its permissions in the store, or in any.
func TestUsersByRole(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Users: 4, Stores: 2, MembersPerStore: 4, StoreOwner: true}.Make(t, db)
		here, there := w.Stores[0].ID, w.Stores[1].ID
		places := map[uuid.UUID][]user.Place{}
		for i, permissions := range [][]string{
			user.StoreAdministrator.Permissions(), user.SalesStaff.Permissions(), {"Add_Orders"}, nil,
		} {
			in := w.Members[here][i]
			in.Permissions = permissions
			places[in.User.ID] = []user.Place{in.Place}
		}
		places[w.StoreOwner.ID] = []user.Place{{ID: uuid.Must(uuid.NewV7()), StoreID: here, Status: user.Active,
			Permissions: user.SalesStaff.Permissions(), UpdatedAt: noon}}
		change(t, db, w, func(c user.Change) error { return c.SavePlaces(t.Context(), places) })
		members := make([]user.User, len(w.Members[here]))
		for i, m := range w.Members[here] {
			members[i] = m.User
		}
		for _, tc := range []struct {
			role user.Role
			in   uuid.UUID
			want []user.User
		}{
			{user.StoreOwner, here, []user.User{w.StoreOwner}},
			{user.StoreOwner, there, nil},
			{user.StoreAdministrator, here, members[:1]},
			{user.SalesStaff, uuid.Nil, members[1:2]},
			{user.SalesStaff, there, nil},
			{user.SalesManager, here, nil},
			{user.Custom, here, members[2:3]},
			{user.Custom, uuid.Nil, members},
		} {
			f := user.Filter{Role: tc.role, StoreID: tc.in}
			found := walkUsers(t, db, w, f, paging.Window{Size: 50})
			same(t, fmt.Sprint(tc.role, " in ", tc.in), found, newestFirst(tc.want))
			if n, err := db.Users().CountUsers(t.Context(), w.Account.ID, f); err != nil || n != int64(len(tc.want)) {
				t.Errorf("CountUsers(%+v) = %d, %v, want %d", f, n, err, len(tc.want))
			}
		}
	})
}

// A user that a token created, added, gave permissions or reactivated is granted by that token. A user that it only
// deactivated or renamed is not.
func TestUsersGrantedBy(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Users: 10}.Make(t, db)
		by, _ := issue(t, db, w, uuid.Nil)
		in := audit.Detail{Name: "storeHash", Value: "abc"}
		permissions := []audit.Detail{{Name: "permissions", Value: ""}, in}
		status := func(s user.Status) []audit.Detail { return []audit.Detail{{Name: "status", Value: string(s)}, in} }
		var events []audit.Event
		for i, e := range []struct {
			action  audit.Action
			details []audit.Detail
		}{
			{audit.UserCreated, nil}, {audit.StoreUserAdded, []audit.Detail{in}},
			{audit.StoreUserUpdated, permissions}, {audit.StoreUserUpdated, status(user.Active)},
			// As earlier versions recorded changes of store memberships.
			{audit.UserAdded, []audit.Detail{in}}, {audit.UserUpdated, permissions},
			{audit.UserUpdated, status(user.Active)},
			// These grant nothing.
			{audit.StoreUserUpdated, status(user.Inactive)}, {audit.StoreUserRemoved, []audit.Detail{in}},
			{audit.UserUpdated, []audit.Detail{{Name: "firstName", Value: "Ann"}}},
		} {
			target := w.Users[i+1].Target()
			if e.action.Thing() == "store_user" {
				target = user.StoreMember{User: w.Users[i+1]}.Target("abc")
			}
			events = append(events, audit.Event{
				ID: uuid.Must(uuid.NewV7()), AccountID: w.Account.ID, At: noon,
				Actor:  audit.Actor{Kind: audit.ActorAPIToken, ID: by.ID, Name: by.Name},
				Action: e.action, Target: target, Details: e.details,
			})
		}
		change(t, db, w, func(c user.Change) error { return c.Record(t.Context(), events) })
		rotating, _ := issue(t, db, w, uuid.Nil)
		other, _ := issue(t, db, w, uuid.Nil)
		rotate(t, db, by, rotating, false)
		rotate(t, db, by, other, true) // the access token that the first one received is revoked
		first, _ := issue(t, db, w, uuid.Nil)
		rotate(t, db, rotating, first, true) // it received an access token of the one that rotated
		for _, of := range []token.Token{rotating, other, first} {
			same(t, "granted through a rotation",
				walkUsers(t, db, w, user.Filter{GrantedBy: []uuid.UUID{of.ID}}, paging.Window{Size: 10}),
				newestFirst(w.Users[1:8]))
		}
		got := walkUsers(t, db, w, user.Filter{GrantedBy: []uuid.UUID{by.ID}}, paging.Window{Size: 10})
		same(t, "granted", got, newestFirst(w.Users[1:8]))
	})
}

func walkUsers(t *testing.T, db *gormdb.DB, w dbtest.World, f user.Filter, window paging.Window) []user.User {
	t.Helper()
	var all []user.User
	for range 50 {
		p, err := db.Users().Users(t.Context(), w.Account.ID, f, window)
		if err != nil {
			t.Fatal(err)
		}
		if window.Backward {
			all = append(nodes(p), all...)
		} else {
			all = append(all, nodes(p)...)
		}
		switch {
		case window.Backward && p.HasPrevious:
			window.Before = &p.Items[0].Key
		case !window.Backward && p.HasNext:
			window.After = &p.Items[len(p.Items)-1].Key
		default:
			return all
		}
	}
	t.Fatal("the list does not end, want it to")
	return nil
}

func TestUserPlaces(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Users: 3, Stores: 3, StoreOwner: true, MembersPerStore: 2}.Make(t, db)
		dbtest.Seed{Users: 1, MembersPerStore: 1}.Make(t, db)
		ids := []uuid.UUID{w.Users[2].ID, w.Users[4].ID, w.Owner.ID}
		owned := w.Members[w.Stores[0].ID][0]
		change(t, db, w, func(c user.Change) error {
			return errors.Join(c.SetOwner(t.Context(), w.Stores[0].ID, w.Users[2].ID),
				c.SaveMembers(t.Context(), []user.Membership{{UserID: w.Users[2].ID, ExternalID: "e", JoinedAt: noon,
					UpdatedAt: later(time.Second)}}))
		})
		w.Stores[0].OwnerID = w.Users[2].ID
		for _, tc := range []struct {
			name string
			only []uuid.UUID
			want []int // the stores, newest first
		}{
			{"all", nil, []int{2, 1, 0}},
			{"in some stores", []uuid.UUID{w.Stores[0].ID, w.Stores[1].ID}, []int{1, 0}},
			{"in none", []uuid.UUID{}, []int{}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				pages, err := db.Users().UserPlaces(t.Context(), w.Account.ID, ids, tc.only, all)
				if err != nil {
					t.Fatal(err)
				}
				want := []user.StorePlace{}
				for _, i := range tc.want {
					want = append(want, user.StorePlace{Place: w.Members[w.Stores[i].ID][0].Place, UserID: ids[0],
						Store: w.Stores[i]})
				}
				same(t, "places", append([]user.StorePlace{}, nodes(pages[ids[0]])...), want)
				counts, err := db.Users().CountUserPlaces(t.Context(), w.Account.ID, ids, tc.only)
				if err != nil || counts[ids[0]] != int64(len(want)) || counts[ids[1]] != 0 {
					t.Errorf("CountUserPlaces() = %v, %v, want %d and 0", counts, err, len(want))
				}
			})
		}
		pages, err := db.Users().StoreUsers(t.Context(), w.Account.ID, []uuid.UUID{w.Stores[0].ID}, all)
		if err != nil {
			t.Fatal(err)
		}
		members := nodes(pages[w.Stores[0].ID])
		if len(members) != 2 || members[1].ID != owned.ID || members[1].Role() != user.StoreOwner ||
			members[0].Role() != user.Custom {
			t.Errorf("members: got %+v, want 2, the last the owner %s", members, owned.ID)
		}
	})
}
