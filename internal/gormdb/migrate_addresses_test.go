package gormdb_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/directory"
	"latchkey/internal/gormdb"
	"latchkey/internal/scim"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// A membership has the address of its record in users, in the same letters: after the migration that adds it, and
// also if a program of an older version adds members, as those of version 15 and of version 46 do, and changes
// addresses.
func TestMigrateAddressesOfMembers(t *testing.T) {
	eachEmpty(t, func(t *testing.T, url string) {
		migrateTo(t, url, 46)
		s := makeShared(t, url)
		crowded := crowdOf(t, url, s.accounts[1], 4_100) // several slices
		if _, err := dbtest.Open(t, url).Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		added := uuid.NewString()
		now := "1772625600123456"
		if !strings.HasPrefix(url, "sqlite:") {
			now = "now()"
		}
		addresses := func() string {
			t.Helper()
			var list []string
			rows, err := raw(t, url).QueryContext(t.Context(), `SELECT m.email FROM account_users AS m
				JOIN users AS u ON u.id = m.user_id AND u.email = m.email WHERE m.email NOT LIKE 'Crowd%' ORDER BY m.email`)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			for rows.Next() {
				var address string
				if err := rows.Scan(&address); err != nil {
					t.Fatal(err)
				}
				list = append(list, address)
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			return strings.Join(list, " ")
		}
		check.Equal(t, crowded(), 4_100, "members of the crowd with their addresses")
		const owners = "owner@acme.example owner@acme.example"
		check.Equal(t, addresses(), "Ann@Agency.example Ann@Agency.example "+owners, "after the migration")
		for _, statement := range []string{
			"INSERT INTO users (id, email, email_folded, first_name, last_name, locale, created_at) VALUES ('" + added +
				"', 'Bo@Agency.example', '" + added + "', '', '', 'en', " + now + ")",
			"INSERT INTO account_users (account_id, user_id, email_folded, created_at, updated_at) VALUES ('" +
				s.accounts[0].String() + "', '" + added + "', 'bo@agency.example', " + now + ", " + now + ")",
			"UPDATE users SET email = 'ANN@agency.example' WHERE id = '" + s.person.String() + "'",
			"UPDATE users SET first_name = 'Anna' WHERE id = '" + s.person.String() + "'",
		} {
			execute(t, url, statement)
		}
		check.Equal(t, addresses(), "ANN@agency.example ANN@agency.example Bo@Agency.example "+owners,
			"after writes of an older program")

		found, err := gormdb.Directory(dbtest.Open(t, url)).Users(t.Context(), s.accounts[0], directory.Query{
			Where: scim.Comparison{Field: scim.UserName, Op: scim.Equal, Value: "ann@agency.example"}, Count: 1})
		if err != nil || len(found.Items) != 1 || found.Items[0].UserName != "ANN@agency.example" {
			t.Errorf("the user at ann@agency.example: got %+v, %v, want ANN@agency.example", found, err)
		}
	})
}

// crowdOf adds n members to an account, as a program before migration 47 does, and returns a function that counts those
// whose membership has their address.
func crowdOf(t *testing.T, url string, account uuid.UUID, n int) (counted func() int) {
	t.Helper()
	key, now, series := "('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid", "now()",
		fmt.Sprintf("SELECT n FROM generate_series(1, %d) AS n", n)
	if strings.HasPrefix(url, "sqlite:") {
		key, now, series = "printf('01900000-0000-7000-8000-%012x', n)", "1772625600123456",
			fmt.Sprintf("WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d) SELECT n FROM s", n)
	}
	execute(t, url, `INSERT INTO users (id, email, email_folded, first_name, last_name, locale, created_at)
		SELECT `+key+`, 'Crowd' || n || '@acme.example', 'crowd' || n || '@acme.example', '', '', 'en', `+now+
		" FROM ("+series+") AS numbers")
	execute(t, url, "INSERT INTO account_users (account_id, user_id, created_at, updated_at) SELECT '"+account.String()+
		"', "+key+", "+now+", "+now+" FROM ("+series+") AS numbers")
	return func() (found int) {
		t.Helper()
		if err := raw(t, url).QueryRowContext(t.Context(), `SELECT count(*) FROM account_users AS m
			JOIN users AS u ON u.id = m.user_id AND u.email = m.email WHERE m.email LIKE 'Crowd%'`).Scan(&found); err != nil {
			t.Fatal(err)
		}
		return found
	}
}
