package dbtest_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/secret"
	dbtest "latchkey/internal/test/db"
)

// spy is a testing.TB that records failures instead of failing, and runs its cleanups on request.
type spy struct {
	testing.TB

	failures []string
	cleanups []func()
}

func (s *spy) Errorf(format string, args ...any) {
	s.failures = append(s.failures, fmt.Sprintf(format, args...))
}
func (s *spy) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *spy) end() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}

// A test fails if its database contains a secret, in any form.
func TestDatabasesAreSearchedForSecrets(t *testing.T) {
	const insert = `INSERT INTO users (id, email, email_folded, first_name, last_name, locale, created_at)
		VALUES ('0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01', '%s', 'x', 'x', 'x', 'en', %s);`
	for _, engine := range []struct {
		name, now, bytes string
		url              func(testing.TB) string
	}{
		{"sqlite", "0", "BLOB", dbtest.SQLiteURL},
		{"postgres", "now()", "bytea", dbtest.PostgresURL},
	} {
		for _, tc := range []struct {
			name, statements string
			leaks            bool
		}{
			{"nothing", "", false},
			{"a hint", fmt.Sprintf(insert, "lka_…7Qz9", engine.now), false},
			{"a secret in a text", fmt.Sprintf(insert, "my token is %s, keep it", engine.now), true},
			{"a secret in a new table", "CREATE TABLE notes (note text); INSERT INTO notes VALUES ('%s')", true},
			{"a secret as bytes",
				"CREATE TABLE notes (note " + engine.bytes + "); INSERT INTO notes VALUES (CAST('%s' AS " +
					engine.bytes + "))", true},
		} {
			t.Run(engine.name+"/"+tc.name, func(t *testing.T) {
				s := &spy{TB: t}
				value, err := secret.Generate(rand.Reader, secret.StoreAccessToken)
				if err != nil {
					t.Fatal(err)
				}
				url := engine.url(s)
				statements := strings.ReplaceAll(tc.statements, "%s", value.Reveal())
				dbtest.Exec(s, url, statements, statements)
				s.end()
				if leaked := len(s.failures) > 0; leaked != tc.leaks {
					t.Errorf("failures: got %q, want a leak reported: %t", s.failures, tc.leaks)
				}
				if text := strings.Join(s.failures, " "); strings.Contains(text, value.Reveal()) || tc.leaks &&
					!strings.Contains(text, value.Hint()) {
					t.Errorf("failures: got %s, want the hint of the secret: %t, and never the secret", text, tc.leaks)
				}
			})
		}
	}
}

func TestDump(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		empty := dbtest.Dump(t, url)
		world := dbtest.Seed{Users: 2}.Make(t, dbtest.Open(t, url))
		full := dbtest.Dump(t, url)
		if full == empty || full != dbtest.Dump(t, url) || !strings.Contains(full, "account_users ") ||
			!strings.Contains(full, world.Account.Name) {
			t.Errorf("Dump: got %s, want the same text twice, with the users and the account %s", full,
				world.Account.Name)
		}
	})
}
