package scimapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// members returns the ids of a group's members, sorted.
func (d *directories) members(t *testing.T, group string) []string {
	t.Helper()
	a := d.send(t, "GET", "/Groups/"+group, "")
	wantStatus(t, a, 200, "read the group")
	list, _ := a.at("members").([]any)
	var ids []string
	for _, m := range list {
		ids = append(ids, at(m, "value").(string))
	}
	slices.Sort(ids)
	return ids
}

// addUsers adds users to the account, and returns their ids, sorted.
func (d *directories) addUsers(t *testing.T, n int) []string {
	t.Helper()
	ids := make([]string, n)
	err := d.DB.Users().Change(t.Context(), auth.NoActor("a test"), d.home.Account.ID, func(c user.Change) error {
		created, members := make([]user.NewUser, n), make([]user.Membership, n)
		for i := range n {
			id := uuid.Must(uuid.NewV7())
			ids[i] = id.String()
			u := user.User{
				ID:        id,
				Email:     fmt.Sprintf("member%d@corp.example", i),
				Locale:    "en",
				CreatedAt: d.Clock.Now(),
				UpdatedAt: d.Clock.Now(),
			}
			created[i] = user.NewUser{User: u}
			members[i] = user.Person{User: u, JoinedAt: d.Clock.Now()}.Membership()
		}
		if err := c.CreateUsers(t.Context(), created); err != nil {
			return err
		}
		return c.SaveMembers(t.Context(), members)
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ids)
	return ids
}

// inGroup is an operation on the members.
func inGroup(op string, ids ...string) string {
	var values []string
	for _, id := range ids {
		values = append(values, `{"value": "`+id+`"}`)
	}
	return `{"Operations": [{"op": "` + op + `", "path": "members", "value": [` + strings.Join(values, ", ") + `]}]}`
}

// 20 changes of one group at the same time all have their effect.
func TestParallelPatchesLoseNoMember(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		const clients = 20
		group := d.home.Stores[1].ID.String()
		before := d.members(t, group)
		ids := d.addUsers(t, 2*clients)
		wantStatus(t, d.send(t, "PATCH", "/Groups/"+group, inGroup("add", ids[clients:]...)), 204, "add the first")
		failed := make(chan error, clients)
		for i := range clients {
			go func() {
				// Each adds one member, and removes another.
				a, err := d.try(
					"PATCH",
					"/Groups/"+group,
					`{"Operations": [{"op": "Add", "path": "members", "value": [{"value": "`+
						ids[i]+`"}]}, {"op": "Remove", "path": "members[value eq \"`+ids[clients+i]+`\"]"}]}`,
				)
				if err == nil && a.StatusCode != 204 {
					err = fmt.Errorf("status %d: %s", a.StatusCode, a.text)
				}
				failed <- err
			}()
		}
		for range clients {
			if err := <-failed; err != nil {
				t.Errorf("a change: got %v, want success", err)
			}
		}
		want := slices.Concat(before, ids[:clients])
		slices.Sort(want)
		check.Equal(t, d.members(t, group), want, "members")
	})
}

// Replacing members adds and removes what differs. The others keep their permissions.
func TestReplacingMembers(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		group, kept := d.home.Stores[0], d.home.Users[2].ID.String()
		path := "/Groups/" + group.ID.String()
		roles := d.send(t, "GET", "/Users/"+kept, "").at("roles")
		ids := d.addUsers(t, 1500)
		d.Clock.Advance(time.Hour)
		began := time.Now()
		wantStatus(
			t,
			d.send(t, "PATCH", path+"?excludedAttributes=members", inGroup("replace", append(ids, kept)...)),
			200,
			"replace the members",
		)
		t.Logf("replacing by %d members took %v", len(ids)+1, time.Since(began))
		want := append(slices.Clone(ids), kept)
		slices.Sort(want)
		check.Equal(t, d.members(t, group.ID.String()), want, "members")
		check.Equal(t, d.send(t, "GET", "/Users/"+kept, "").at("roles"), roles, "roles of a member who stays")
		check.Equal(
			t,
			d.send(t, "GET", "/Users/"+ids[0], "").at("meta.lastModified"),
			any("2026-03-01T13:00:00.000000Z"),
			"the last change of a new member",
		)
		version := d.send(t, "GET", path+"?attributes=id", "").Header.Get("ETag")
		wantStatus(
			t,
			d.send(t, "PATCH", path, inGroup("replace", want...), "If-Match: "+version),
			204,
			"replace by the same",
		)
		check.Equal(t, d.send(t, "GET", path+"?attributes=id", "").Header.Get("ETag"), version, "the version")
		wantStatus(t, d.send(t, "PATCH", path, inGroup("remove", ids[0], ids[1])), 204, "remove two")
		check.Equal(t, len(d.members(t, group.ID.String())), len(want)-2, "members after two were removed")
	})
}

// A change of a group is made as a whole or not at all.
func TestGroupChangesAreAtomic(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		group := d.home.Stores[1].ID.String()
		before := d.members(t, group)
		ids := d.addUsers(t, 1)
		body := `{"Operations": [{"op": "add", "path": "externalId", "value": "changed"},
			{"op": "add", "path": "members", "value": [{"value": "` + ids[0] + `"}, {"value": "` + d.away.Users[1].ID.String() + `"}]}]}`
		a := d.send(t, "PATCH", "/Groups/"+group, body)
		wantStatus(t, a, 400, "a member of another account")
		if detail := fmt.Sprint(a.at("detail")); !strings.Contains(detail, d.away.Users[1].ID.String()) {
			t.Errorf("detail: got %q, want the id", detail)
		}
		check.Equal(t, d.members(t, group), before, "members")
		check.Equal(t, d.send(t, "GET", "/Groups/"+group, "").at("externalId"), nil, "externalId")
	})
}

// A store's owner stays in the group, and everything else is done.
func TestOwnerStaysInTheGroup(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		group := d.home.Stores[0]
		path, owner := "/Groups/"+group.ID.String(), d.home.StoreOwner.ID.String()
		err := d.DB.Users().Change(t.Context(), auth.NoActor("a test"), d.home.Account.ID, func(c user.Change) error {
			return c.SavePlaces(
				t.Context(),
				map[uuid.UUID][]user.Place{d.home.StoreOwner.ID: {
					{
						ID:          uuid.Must(uuid.NewV7()),
						StoreID:     group.ID,
						Status:      user.Active,
						Permissions: user.Permissions(),
						UpdatedAt:   d.Clock.Now(),
					},
				}},
			)
		})
		check.Equal(t, err, nil, "put the owner into the store")
		wantStatus(
			t,
			d.send(t, "PATCH", path, inGroup("replace", d.home.Users[3].ID.String())),
			204,
			"replace the members",
		)
		check.Equal(t, d.members(t, group.ID.String()), []string{owner, d.home.Users[3].ID.String()}, "members")
		wantStatus(t, d.send(t, "PUT", path, `{"members": []}`), 200, "empty the group")
		check.Equal(t, d.members(t, group.ID.String()), []string{owner}, "members")
		check.Equal(
			t,
			d.send(t, "GET", "/Users/"+owner, "").at("roles.0.value"),
			any("STORE_OWNER"),
			"the owner's role",
		)
	})
}

// Neither a member nor a group costs a statement of its own in a list.
func TestStatementsOfLists(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		d.addUsers(t, 50)
		for path, want := range map[string]int{
			"/Users":                                3, // the number of users, the users, their roles
			"/Groups":                               4, // two numbers, the groups, the members
			"/Users/" + d.home.Users[2].ID.String(): 2,
			"/Users?filter=userName%20eq%20%22member1@corp.example%22":        2,
			"/Users?filter=userName%20eq%20%22nobody@corp.example%22":         1,
			"/Groups/" + d.home.Stores[0].ID.String():                         3,
			"/Groups?excludedAttributes=members&filter=displayName%20pr":      2, // the number of groups for the rate limit
			"/Users?attributes=userName&filter=name.givenName%20eq%20%22x%22": 2, // the number of users for the rate limit
		} {
			d.send(t, "GET", path, "") // fills the credential cache
			d.statements.Take()
			wantStatus(t, d.send(t, "GET", path, ""), 200, path)
			if got := d.statements.Take(); len(got) != want {
				t.Errorf("%s: got %d statements, want %d: %s", path, len(got), want, strings.Join(got, "\n"))
			}
		}
	})
}
