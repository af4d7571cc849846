package cli_test

import (
	"net/http"
	"strings"
	"testing"

	dbtest "latchkey/internal/test/db"
)

// While the database is migrated to the next version, servers of this version
// keep working, and ones that start afterwards work too, as after a rollback,
// until the schema becomes incompatible.
func TestServersOutliveAnUpgrade(t *testing.T) {
	keepRace(t)
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		before, session := demo(t, env, "--replica-name", "before")
		before.shows(t, "/readyz", `{"ready":true`)
		if err := dbtest.MakeAhead(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		if out, errs, code := attempt(t, env, "migrate", "--status"); code != 0 ||
			!strings.Contains(errs, "and works with it") {
			t.Errorf("migrate --status: got exit status %d, %s%s, want 0 and that the server works with the schema",
				code, out, errs)
		}
		after := serve(t, env, "--replica-name", "after")
		for _, s := range []*server{before, after} {
			s.shows(t, "/readyz", `{"ready":true`)
			var made issued
			s.must(t, session, issue("After the migration", `scopes: ["account_read"]`), &made)
			token := made.APIToken.CreateAPIToken
			if answer, err := s.ask(token.Credentials.AccessToken, viewerScopes); err != nil ||
				answer.status != http.StatusOK {
				t.Errorf("the token: got %d, %v, want 200", answer.status, err)
			}
			s.must(t, session, revoke(token.APIToken.ID), &struct{}{})
		}
		dbtest.Exec(t, url, contractSchema, contractSchema)
		for _, s := range []*server{before, after} {
			s.shows(t, "/readyz", `{"name":"schema","ok":false,"reason":"The database's schema is at version`)
		}
		expectRefusal(t, env, 4, "Run the newer Latchkey.", "migrate", "--status")
		expectRefusal(t, env, 4, "Run the newer Latchkey.", "serve", "--addr", "127.0.0.1:0", "--admin-addr",
			"127.0.0.1:0")
	})
}
