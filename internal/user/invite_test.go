package user_test

import (
	"slices"
	"testing"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/user"
)

// clerk returns a session of the first of the three users, with these permissions
// in the second store.
func (s fixture) clerk(t *testing.T, may ...string) *auth.Principal {
	t.Helper()
	if _, err := s.users.SetStorePermissions(t.Context(), s.owner, s.ref(1), s.person(0).ID, may); err != nil {
		t.Fatal(err)
	}
	return s.session(s.person(0),
		auth.Principal{Places: []auth.Place{{StoreID: s.Stores[1].ID, May: auth.ParsePermissions(may)}}})
}

func newcomer(email string) user.Details {
	return user.Details{Email: email, FirstName: "New", LastName: "Comer", Locale: "en"}
}

// Invite adds a new or existing user to several stores.
func TestAdmit(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		guest := dbtest.Seed{Users: 1}.Make(t, s.db).Users[1]
		sales := user.SalesStaff.Permissions()
		grants := []user.StoreGrant{{Store: s.ref(0), Permissions: sales}, {Store: s.ref(1)}}
		for _, d := range []user.Details{newcomer("new@" + s.Account.ID.String() + ".example"), {Email: guest.Email}} {
			invited, err := s.users.Invite(t.Context(), s.owner, user.Invitation{Details: d, Stores: grants})
			if err != nil {
				t.Fatal(err)
			}
			known := s.known(t, invited.ID)
			first, ok := known.Place(s.Stores[0].ID)
			second, too := known.Place(s.Stores[1].ID)
			if !known.Member || !ok || !too || !slices.Equal(first.Permissions, sales) || len(second.Permissions) > 0 ||
				first.Status != user.Active {
				t.Errorf("%s: got %+v, want an active member of both stores with the permissions %q and none",
					d.Email, known, sales)
			}
		}
		if known := s.known(t, guest.ID); known.Member {
			t.Errorf("the user has the ID of another account's user: got %+v, want no member", known)
		}
		_, err := s.users.Invite(t.Context(), s.owner,
			user.Invitation{Details: newcomer("alone@" + s.Account.ID.String() + ".example")})
		if err != nil {
			t.Errorf("without stores: %v", err)
		}
	})
}

// A user with Add_User in a store can add users to that store only, and can only
// grant their own permissions.
func TestAdmitByClerk(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		adds := s.clerk(t, "Add_User", "Add_Orders")
		one := newcomer("one@" + s.Account.ID.String() + ".example")
		if _, err := s.users.Invite(t.Context(), adds,
			user.Invitation{Details: one, Stores: []user.StoreGrant{{Store: s.ref(1)}}}); err != nil {
			t.Errorf("into the store: %v", err)
		}
		two := newcomer("two@" + s.Account.ID.String() + ".example")
		_, err := s.users.Invite(t.Context(), adds,
			user.Invitation{Details: two, Stores: []user.StoreGrant{{s.ref(1), []string{"Add_Orders"}}}})
		failing(t, err, fault.Forbidden, "stores.0.permissions")
		both := s.clerk(t, "Add_User", "Edit_Users", "Add_Orders")
		if _, err := s.users.Invite(t.Context(), both,
			user.Invitation{Details: two, Stores: []user.StoreGrant{{s.ref(1), []string{"Add_Orders"}}}}); err != nil {
			t.Errorf("with their own permissions: %v", err)
		}
	})
}

// A rejected invitation changes nothing.
func TestAdmitRefuses(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		s := newFixture(t, world.New(t, url, world.Options{At: time.Now()}))
		clerk := s.clerk(t, "Add_User", "Edit_Users", "Add_Orders")
		good := newcomer("good@" + s.Account.ID.String() + ".example")
		before := dbtest.Dump(t, url)
		grant := func(store int, names ...string) user.StoreGrant {
			return user.StoreGrant{Store: s.ref(store), Permissions: names}
		}
		for _, c := range []struct {
			name    string
			by      *auth.Principal
			details user.Details
			grants  []user.StoreGrant
			kind    fault.Kind
			fields  []string
		}{
			{"by a user without permissions", s.session(s.person(1), auth.Principal{}), good,
				[]user.StoreGrant{grant(1)},
				fault.Forbidden, []string{""}},
			{"by a clerk, without stores", clerk, good, nil, fault.Invalid, []string{"stores"}},
			{"by a clerk, into another store", clerk, good, []user.StoreGrant{grant(1), grant(0)}, fault.NotFound,
				[]string{"stores.1.storeId"}},
			{"by a clerk, with a permission they lack", clerk, good, []user.StoreGrant{grant(1, "Add_Brands")},
				fault.Forbidden, []string{"stores.0.permissions"}},
			{"no address", s.owner, newcomer("good"), nil, fault.Invalid, []string{"email"}},
			{"wrong names", s.owner, user.Details{Email: good.Email, FirstName: " ", LastName: " ", Locale: "?"}, nil,
				fault.Invalid, []string{"firstName", "lastName", "locale"}},
			{"no permission", s.owner, good, []user.StoreGrant{grant(0), grant(1, "Fly")}, fault.Invalid,
				[]string{"stores.1.permissions"}},
			{"an existing member", s.owner, user.Details{Email: s.person(1).Email}, []user.StoreGrant{grant(0),
				grant(1)},
				fault.Conflict, []string{"stores.0.storeId", "stores.1.storeId"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				_, err := s.users.Invite(t.Context(), c.by, user.Invitation{Details: c.details, Stores: c.grants})
				failing(t, err, c.kind, c.fields...)
			})
		}
		check.Equal(t, dbtest.Dump(t, url), before, "the database after a rejected invitation")
	})
}

// A profile has only what the viewer may see.
func TestProfile(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		clerk, blind := s.clerk(t, "Manage_Users"), s.session(s.person(1), auth.Principal{})
		outsider := dbtest.Seed{Users: 1}.Make(t, s.db).Users[1]
		for _, c := range []struct {
			name   string
			by     *auth.Principal
			of     user.User
			places int
			kind   fault.Kind
		}{
			{"the owner", s.owner, s.person(1), 2, ""},
			{"the owner, a user in no store", s.owner, s.person(2), 0, ""},
			{"a clerk", clerk, s.person(1), 1, ""},
			{"a clerk, a user in none of their stores", clerk, s.person(2), 0, fault.NotFound},
			{"a user of another account", s.owner, outsider, 0, fault.NotFound},
			{"by a user who may see no users", blind, s.person(1), 0, fault.Forbidden},
		} {
			t.Run(c.name, func(t *testing.T) {
				p, err := s.users.Profile(t.Context(), c.by, c.of.ID)
				if fault.KindOf(err) != c.kind || len(p.In) != c.places || len(p.Places) != c.places {
					t.Errorf("Profile(): got %d of %d places, %v, want %d and kind %q",
						len(p.In), len(p.Places), err, c.places, c.kind)
				}
			})
		}
		p, err := s.users.Profile(t.Context(), s.owner, s.person(0).ID)
		if err != nil || p.In[0].Store.Name != "Store 0" || p.In[1].Store.Name != "Store 1" ||
			p.Email != s.person(0).Email {
			t.Errorf("Profile() = %+v, %v, want %s in Store 0 and Store 1", p, err, s.person(0).Email)
		}
	})
}

func TestGrantableIn(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		clerk := s.clerk(t, "Edit_Users", "Add_Orders", "Create_Store_API_Tokens")
		for _, c := range []struct {
			name  string
			by    *auth.Principal
			store int
			want  []string
		}{
			{"the owner", s.owner, 1, user.Permissions()},
			{"an API token", s.program, 1, user.StoreAdministrator.Permissions()},
			{"a clerk: their own except high-risk ones", clerk, 1, []string{"Add_Orders", "Edit_Users"}},
			{"a clerk in another store: their own there", clerk, 0, []string{"Add_Brands", "Add_Orders"}},
		} {
			got, err := s.users.GrantableIn(t.Context(), c.by, s.Stores[c.store].ID)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
			}
		}
		if _, err := s.users.SetStoreStatus(t.Context(), s.owner, s.ref(1), s.person(0).ID, user.Inactive); err != nil {
			t.Fatal(err)
		}
		if got, err := s.users.GrantableIn(t.Context(), clerk, s.Stores[1].ID); err != nil || len(got) > 0 {
			t.Errorf("GrantableIn() of an inactive member = %q, %v, want none", got, err)
		}
	})
}

func TestSessionsOf(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		operator := auth.OperatorPrincipal()
		for range 2 {
			if _, _, err := s.users.StartSession(t.Context(), &operator,
				user.SessionRequest{Email: s.person(0).Email, TTL: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		if found, err := s.users.SessionsOf(t.Context(), s.owner, s.person(0).ID); err != nil || len(found) != 2 {
			t.Errorf("SessionsOf() = %d sessions, %v, want 2", len(found), err)
		}
		if found, err := s.users.SessionsOf(t.Context(), s.owner, s.person(1).ID); err != nil || len(found) != 0 {
			t.Errorf("SessionsOf() another user = %d sessions, %v, want none", len(found), err)
		}
		_, err := s.users.SessionsOf(t.Context(), s.clerk(t, "Delete_Users"), s.person(0).ID)
		failing(t, err, fault.Forbidden, "")
	})
}

func TestMay(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		clerk := s.clerk(t, "Add_User")
		type answers struct{ listAll, changeAnybody, create, add, edit bool }
		for _, c := range []struct {
			name string
			by   *auth.Principal
			want answers
		}{
			{"the owner", s.owner, answers{true, true, true, true, true}},
			{"an API token with account_users_write", s.program, answers{false, true, true, true, true}},
			{"a clerk who may add users", clerk, answers{false, false, true, true, false}},
			{"a user without permissions", s.session(s.person(1), auth.Principal{}), answers{}},
		} {
			store := s.Stores[1].ID
			got := answers{
				user.MayListAll(c.by) == nil, user.MayChangeAll(c.by) == nil, user.MayCreate(c.by) == nil,
				user.MayIn(c.by, store, auth.AddUsers) == nil, user.MayIn(c.by, store, auth.EditUsers) == nil,
			}
			check.Equal(t, got, c.want, "%s", c.name)
		}
	})
}
