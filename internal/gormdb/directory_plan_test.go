package gormdb_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/directory"
	"latchkey/internal/gormdb"
	"latchkey/internal/scim"
	dbtest "latchkey/internal/test/db"
)

// directoryLookUps are the look-ups of identity providers that must use an index.
func directoryLookUps(r directory.Repository, accountID uuid.UUID) []planned {
	equal := func(f scim.Field, value string) directory.Query {
		return directory.Query{Where: scim.Comparison{Field: f, Op: scim.Equal, Value: value}, Count: 200}
	}
	users := func(q directory.Query) func(context.Context) error {
		return func(ctx context.Context) error { _, err := r.Users(ctx, accountID, q); return err }
	}
	groups := func(q directory.Query) func(context.Context) error {
		return func(ctx context.Context) error { _, err := r.Groups(ctx, accountID, q); return err }
	}
	id := uuid.MustParse("01900000-0000-7000-8000-0000000009c4")
	all := scim.And{scim.Comparison{Field: scim.ID, Op: scim.Equal, Value: id.String()},
		scim.AnyMember{Condition: scim.Comparison{Field: scim.MemberID, Op: scim.Equal, Value: id.String()}}}
	return []planned{
		{
			"userName",
			users(equal(scim.UserName, "a@b.example")),
			[]any{accountID, "a@b.example"},
			"account_users_address",
		},
		{"externalId", users(equal(scim.ExternalID, "x")), []any{accountID, "x"}, "account_users_external"},
		{"id", users(equal(scim.ID, id.String())), []any{accountID, id}, "account_users_"},
		{"userName and a name", users(directory.Query{Where: scim.And{
			scim.Comparison{Field: scim.UserName, Op: scim.Equal, Value: "a@b.example"},
			scim.Comparison{Field: scim.GivenName, Op: scim.Present}}, Count: 200}),
			[]any{accountID, "a@b.example"}, "account_users_address"},
		{"a page", users(directory.Query{Count: 100}), []any{accountID}, "account_users_pkey"},
		{"a group's externalId", groups(equal(scim.ExternalID, "x")), []any{accountID, "x"}, ""},
		{"a group's id", groups(equal(scim.ID, id.String())), []any{accountID, id}, ""},
		{"whether a user is in a group", groups(directory.Query{Where: all, Count: 200}),
			[]any{accountID, id, id}, "store_users_"},
	}
}

// planned is a look-up, and the index that PostgreSQL uses for it. Without one, the table has few rows there.
type planned struct {
	name  string
	run   func(context.Context) error
	args  []any
	index string
}

// Looking a user or a group up by what identifies it uses an index, so that it takes the same time in every account.
func TestDirectoryPlans(t *testing.T) {
	t.Run("postgres", func(t *testing.T) {
		url := dbtest.PostgresURL(t)
		var last string
		db := dbtest.OpenWith(t, gormdb.Config{URL: url, OnStatement: func(sql string) { last = sql }})
		w := dbtest.Seed{}.Make(t, db)
		crowd(t, db, url, w, 5_000)
		conn := connect(t, url)
		for _, l := range directoryLookUps(gormdb.Directory(db), w.Account.ID) {
			if err := l.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			plan := explain(t, conn, last, l.args...)
			if !strings.Contains(plan, l.index) || strings.Contains(plan, "Seq Scan on account_users") ||
				strings.Contains(plan, "Seq Scan on users") {
				t.Errorf("%s: got the plan\n%s\nwant it to use %s and to scan no table of users", l.name, plan, l.index)
			}
		}
	})
	t.Run("sqlite", func(t *testing.T) {
		url := dbtest.SQLiteURL(t)
		var last string
		db := dbtest.OpenWith(t, gormdb.Config{URL: url, OnStatement: func(sql string) { last = sql }})
		w := dbtest.Seed{}.Make(t, db)
		connection := raw(t, url)
		for _, l := range directoryLookUps(gormdb.Directory(db), w.Account.ID) {
			if err := l.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			plan := queryPlan(t, connection, last, make([]any, len(l.args)))
			if strings.Contains(plan, "SCAN") {
				t.Errorf("%s: got the plan %s, want no scan", l.name, plan)
			}
			if len(l.index) > len("account_users_") && l.index != "account_users_pkey" &&
				!strings.Contains(plan, l.index) {
				t.Errorf("%s: got the plan %s, want it to use %s", l.name, plan, l.index)
			}
		}
	})
}
