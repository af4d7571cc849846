package cli_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// shows waits until a page of the admin listener contains the text.
func (s *server) shows(t *testing.T, path, text string) {
	t.Helper()
	body := s.adminPage(t, path)
	for deadline := time.Now().Add(15 * time.Second); !strings.Contains(body, text); body = s.adminPage(t, path) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: got %s within 15s, want it to contain %s", path, body, text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// adminPage returns the response of the admin listener.
func (s *server) adminPage(t *testing.T, path string) string {
	t.Helper()
	res, err := http.Get(s.admin + path)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// The server works behind a pgbouncer in transaction mode. With a direct
// address for the feed, the feed works. Without it the server reports what is
// missing and does not use its caches.
func TestServeBehindPgbouncer(t *testing.T) {
	keepRace(t)
	direct := dbtest.PostgresDSN(t)
	env := environment(t, dbtest.PgbouncerURL(t, direct))
	run(t, env, "migrate")
	for name, tc := range map[string]struct {
		feed                string
		ready, says, metric string
	}{
		"direct address for the feed": {direct, `{"ready":true`, "", "\nlatchkey_feed_hearing 1\n"},
		"no direct address": {"", `{"ready":false`, "Behind a pooler such as pgbouncer",
			"\nlatchkey_feed_hearing 0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			env["LATCHKEY_FEED_DATABASE_URL"] = tc.feed
			s, session := demo(t, env)
			s.shows(t, "/readyz", tc.ready)
			s.shows(t, "/readyz", tc.says)
			s.shows(t, "/metrics", tc.metric)
			for range 5 {
				var made issued
				s.must(t, session, issue("Pooled", `scopes: ["account_read"]`), &made)
				token := made.APIToken.CreateAPIToken
				for range 3 {
					if answer, err := s.ask(token.Credentials.AccessToken, "{ viewer { scopes } }"); err != nil ||
						answer.status != http.StatusOK {
						t.Fatalf("a new token: got %d, %v, want 200", answer.status, err)
					}
				}
				s.must(t, session, revoke(token.APIToken.ID), &struct{}{})
				if answer, err := s.ask(token.Credentials.AccessToken, "{ viewer { scopes } }"); err != nil ||
					answer.status != http.StatusUnauthorized {
					t.Fatalf("a revoked token: got %d, %v, want 401", answer.status, err)
				}
			}
			check.Equal(t, s.stop(t), 0, "exit status")
		})
	}
}
