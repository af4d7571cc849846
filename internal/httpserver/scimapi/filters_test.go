package scimapi_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/directory"
	"latchkey/internal/gormdb"
	"latchkey/internal/membership"
	"latchkey/internal/scim"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

// attributes are the attributes that filters compare, with values that differ in case, accents, order and length from
// those of the directory in filled.
var (
	userAttributes = map[string][]string{
		"id": nil, // those of the users, added by the test
		"userName": {
			"ann@a.example",
			"ANN@A.EXAMPLE",
			"ann",
			".example",
			"zoë@b.example",
			"z",
			"x\\u0000y",
			"\\u0000",
			"@",
		},
		"emails.value":    {"Ann@a.example", "b.example"},
		"emails":          {"Ann@a.example", "zz"},
		"externalId":      {"A-1", "a-1", "A", "-", "ÄÖ", "ä", "zz\\u0000", "%", "_"},
		"name.givenName":  {"ann", "ANN", "Zoë", "zoe\\u0308", "o", "Ö"},
		"name.familyName": {"ames", "ſmith", "SMITH", "straße"},
		"name.formatted":  {"ann ames", "Ann", " "},
		"displayName":     {"ann ames", "bob@a.example", "zoë straße"},
		"active":          {"true", "FALSE"},
		"meta.created": {
			"2026-01-02T03:04:05.678901Z",
			"2026-03-01T12:00:00Z",
			"2026-03-01T13:00:00+01:00",
			"1900-01-01T00:00:00Z",
			"9999-12-31T23:59:59Z",
		},
		"meta.lastModified": {"2026-01-02T03:04:05.678901Z", "2026-03-01T12:00:00Z", "0001-06-01T00:00:00Z"},
		"meta.resourceType": {"User", "Group"},
		"emails.type":       {"work", "home"},
	}
	groupAttributes = map[string][]string{
		"id":                nil,
		"displayName":       {"store 0", "STORE 1", "Store", "Ω", "ω shop", "zz"},
		"externalId":        {"g-1", "G-1", "g"},
		"members":           nil,
		"members.value":     nil,
		"members.type":      {"User"},
		"meta.created":      {"2026-01-02T03:04:05.678901Z", "2027-01-01T00:00:00Z"},
		"meta.lastModified": {"2026-01-02T03:04:05.678901Z"},
	}
	filterOperators = []string{"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr"}
)

// For every attribute, operator and value, both databases select what the evaluation in memory selects, and count it.
func TestFiltersSelectTheSameEverywhere(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := filled(t, db)
		repo := gormdb.Directory(db)
		users, err := repo.Users(t.Context(), w.Account.ID, directory.Query{Count: 200, Details: true})
		check.Equal(t, err, nil, "read all users")
		groups, err := repo.Groups(t.Context(), w.Account.ID, directory.Query{Count: 200})
		check.Equal(t, err, nil, "read all groups")
		check.Equal(t, repo.AddMembers(t.Context(), w.Account.ID, groups.Items), nil, "read their members")
		userIDs, groupIDs := []string{strings.ToUpper(w.Owner.ID.String()), "0", "~"}, []string{"0"}
		for _, u := range users.Items {
			userIDs = append(userIDs, u.ID.String())
		}
		for _, g := range groups.Items {
			groupIDs = append(groupIDs, g.ID.String())
		}
		n := 0
		for _, filter := range filters(userAttributes, map[string][]string{"id": userIDs}) {
			n += compare(
				t,
				scim.Users,
				filter,
				users.Items,
				func(where scim.Condition, skip, count int) ([]uuid.UUID, int64, error) {
					page, err := repo.Users(
						t.Context(),
						w.Account.ID,
						directory.Query{Where: where, Skip: skip, Count: count},
					)
					return idsOf(page.Items, func(u scim.User) uuid.UUID { return u.ID }), page.Total, err
				},
				func(u scim.User) (uuid.UUID, scim.Values) { return u.ID, u.Values() },
			)
		}
		for _, filter := range filters(groupAttributes, map[string][]string{"id": groupIDs, "members": userIDs,
			"members.value": userIDs}) {
			n += compare(
				t,
				scim.Groups,
				filter,
				groups.Items,
				func(where scim.Condition, skip, count int) ([]uuid.UUID, int64, error) {
					page, err := repo.Groups(
						t.Context(),
						w.Account.ID,
						directory.Query{Where: where, Skip: skip, Count: count},
					)
					return idsOf(page.Items, func(g scim.Group) uuid.UUID { return g.ID }), page.Total, err
				},
				func(g scim.Group) (uuid.UUID, scim.Values) { return g.ID, g.Values() },
			)
		}
		if n < 2000 {
			t.Errorf("compared %d filters, want more than 2,000", n)
		}
	})
}

// filters returns filters with every attribute, operator and value, each also with not, and pairs of them.
func filters(attributes, more map[string][]string) []string {
	var all []string
	for name, values := range attributes {
		for _, op := range filterOperators {
			if op == "pr" {
				all = append(all, name+" pr")
				continue
			}
			for _, value := range append(slices.Clone(values), more[name]...) {
				all = append(all, name+" "+op+` "`+value+`"`)
			}
			all = append(all, name+" "+op+` ""`, name+" "+op+" null")
		}
	}
	slices.Sort(all)
	for i, f := range slices.Clone(all) {
		other := all[(i*7919+13)%len(all)]
		all = append(
			all,
			"not ("+f+")",
			f+" and not ("+other+")",
			"("+f+" or "+other+") and id pr",
			"not ("+f+" and "+other+")",
		)
	}
	return all
}

// compare compares the resources that a repository selects with those that the evaluation in memory does, and pages
// through them. It returns 1, or 0 for a filter that is refused.
func compare[T any](
	t *testing.T,
	of *scim.ResourceType,
	filter string,
	all []T,
	read func(where scim.Condition, skip, count int) ([]uuid.UUID, int64, error),
	values func(T) (uuid.UUID, scim.Values),
) int {
	t.Helper()
	where, err := scim.ParseFilter(of, filter)
	if err != nil {
		return 0
	}
	var want []uuid.UUID
	for _, item := range all {
		if id, of := values(item); where.Matches(of) {
			want = append(want, id)
		}
	}
	got, total, err := read(where, 0, 200)
	if err != nil || !slices.Equal(got, want) || total != int64(len(want)) {
		t.Errorf("%s: got %v of %d, %v, want %v", filter, got, total, err, want)
	}
	if len(want) > 1 {
		got, total, err = read(where, 1, 1)
		if err != nil || !slices.Equal(got, want[1:2]) || total != int64(len(want)) {
			t.Errorf("%s, the second one: got %v of %d, %v, want %v", filter, got, total, err, want[1:2])
		}
	}
	return 1
}

func idsOf[T any](items []T, id func(T) uuid.UUID) []uuid.UUID {
	var ids []uuid.UUID
	for _, item := range items {
		ids = append(ids, id(item))
	}
	return ids
}

// filled makes an account whose users and groups have all kinds of values, and another one with the same values.
func filled(t *testing.T, db *gormdb.DB) dbtest.World {
	t.Helper()
	seed := dbtest.Seed{Stores: 3, StoreOwner: true, Users: 3, MembersPerStore: 2}
	w, other := seed.Make(t, db), seed.Make(t, db)
	for _, in := range []dbtest.World{w, other} {
		fillUsers(t, db, in)
	}
	return w
}

func fillUsers(t *testing.T, db *gormdb.DB, in dbtest.World) {
	t.Helper()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	err := db.Users().Change(t.Context(), auth.NoActor("a test"), in.Account.ID, func(c user.Change) error {
		var created []user.NewUser
		var members []user.Membership
		for i, u := range []user.Membership{
			{Email: "Ann@a.example", FirstName: "Ann", LastName: "Ames", ExternalID: "A-1"},
			{Email: "bob@a.example", ExternalID: "a-1"},
			{Email: "zoë@b.example", FirstName: "Zoë", LastName: "Straße", ExternalID: "ÄÖ%_"},
			{Email: "x@ſ.example", FirstName: "Öx", LastName: "Smith", ExternalID: "zz"},
			{Email: "last@a.example", LastName: "Only"},
		} {
			u.UserID, u.Locale = uuid.Must(uuid.NewV7()), "en"
			u.JoinedAt, u.UpdatedAt = at.Add(time.Duration(i)*time.Microsecond), at.Add(time.Duration(i)*time.Hour)
			members = append(members, u)
			created = append(
				created,
				user.NewUser{User: user.User{ID: u.UserID, Email: u.Email, Locale: "en", CreatedAt: at}},
			)
		}
		if err := c.CreateUsers(t.Context(), created); err != nil {
			return err
		}
		if err := c.SaveMembers(t.Context(), members); err != nil {
			return err
		}
		return c.DeactivateMembers(t.Context(), []uuid.UUID{members[1].UserID, members[2].UserID}, at)
	})
	check.Equal(t, err, nil, "fill the directory")
	err = db.Memberships().Change(t.Context(), auth.NoActor("a test"), in.Account.ID, func(c membership.Change) error {
		for i, id := range []string{"g-1", "G-1"} {
			g, err := c.Group(t.Context(), in.Stores[i].ID)
			if err != nil {
				return err
			}
			g.ExternalID = id
			if err := c.SaveGroup(t.Context(), g); err != nil {
				return err
			}
		}
		return nil
	})
	check.Equal(t, err, nil, "give groups external IDs")
}

// The values of a filter are arguments, never text of a statement.
func TestFiltersAreNoSQL(t *testing.T) {
	each(t, func(t *testing.T, d *directories) {
		d.statements.Take()
		const value = `x' OR '1'='1`
		a := d.send(
			t,
			"GET",
			"/Users?filter="+url.QueryEscape(fmt.Sprintf("userName co %q or externalId eq %q", value, value)),
			"",
		)
		wantStatus(t, a, 200, "search")
		check.Equal(t, a.at("totalResults"), any(0.0), "users found")
		for _, sql := range d.statements.Take() {
			if strings.Contains(sql, "'1'='1") {
				t.Errorf("statement: got %s, want it without the value", sql)
			}
		}
	})
}
