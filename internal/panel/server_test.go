package panel_test

// How to test pages without a browser. The whole program serves a database,
// and a visitor asks for pages and sends forms as a browser would:
//
//	eachServer(t, func(t *testing.T, s *server) {
//		owner := s.signedIn(s.OwnerEmail)
//		page := owner.open("/accounts")                      // follows redirects
//		page = owner.submit(page, "Sign out")                // the form with that button
//		page = owner.post("/accounts", "account", s.Account) // any form, follows no redirect
//		page.wants(http.StatusSeeOther, "")
//	})
//
// The server has the demo's data (internal/manifest/demo/demo.yaml). apply adds to it, and known gives a user a
// password and returns it. Tests that need a browser are described in browser_test.go.

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/cli"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// server is the whole program, serving a database.
type server struct {
	t *testing.T
	// URL is the base URL, without a trailing slash.
	URL string
	// Account is the demo's first account, Acme Retail. Its owner has the email address, the password and a
	// session.
	Account      string `json:"accountId"`
	OwnerEmail   string
	Password     string
	SessionToken string
	// SetupURL is where the first account is created on a server without the demo.
	SetupURL string

	// database is its URL.
	database  string
	settings  map[string]string
	log       dbtest.Log
	passwords map[string]string
	visitors  int
}

// eachServer runs test on a separate server for each database. settings are environment variables, as NAME=value.
func eachServer(t *testing.T, test func(t *testing.T, s *server), settings ...string) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) { test(t, serve(t, url, settings...)) })
}

// inBrowser runs test, which drives a browser, on a server with SQLite only: what a browser does with a page does not
// depend on the database. The tests that post the same forms without a browser run on each database.
func inBrowser(t *testing.T, test func(t *testing.T, s *server), settings ...string) {
	t.Helper()
	test(t, serve(t, dbtest.SQLiteURL(t), settings...))
}

// serve runs the program with a migrated database until the test ends. It fails the test if the log contains a
// secret.
func serve(t *testing.T, database string, settings ...string) *server {
	t.Helper()
	s := start(t, database, []string{"serve", "--demo", "--output", "json"}, settings)
	s.passwords[s.OwnerEmail] = s.Password
	return s
}

// start runs the program with arguments that make it print JSON.
func start(t *testing.T, database string, args, settings []string) *server {
	t.Helper()
	s := &server{t: t, database: database, passwords: map[string]string{}, settings: map[string]string{
		"LATCHKEY_DATABASE_URL": database, "LATCHKEY_KEY_FILE": filepath.Join(t.TempDir(), "test.key"),
		"LATCHKEY_ADDR": "127.0.0.1:0", "LATCHKEY_ADMIN_ADDR": "127.0.0.1:0", "LATCHKEY_LOG_LEVEL": "debug",
		"LATCHKEY_TRUSTED_PROXIES": "127.0.0.1/32", "LATCHKEY_CACHE_AGE": remembered.String(),
		"LATCHKEY_SHUTDOWN_DELAY": "0s",  // no load balancer has to notice
		"GOGC":                    "set", // by TestMain, for all servers of the process
	}}
	for _, each := range settings {
		name, value, _ := strings.Cut(each, "=")
		s.settings[name] = value
	}
	if _, err := os.Stat(s.settings["LATCHKEY_KEY_FILE"]); err != nil {
		s.run("", "key", "create", s.settings["LATCHKEY_KEY_FILE"])
	}
	ctx, stop := context.WithCancel(context.Background())
	stdout, output := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Main(ctx, args, s.setting, &bytes.Buffer{}, output, &s.log)
		_ = output.Close()
	}()
	t.Cleanup(func() {
		stop()
		select {
		case code := <-ended:
			check.Equal(t, code, 0, "exit status: %s", s.log.String())
		case <-time.After(time.Minute):
			t.Error("the program still runs after 1m, want it stopped")
		}
		for line := range strings.Lines(s.log.String()) {
			if t.Failed() && strings.Contains(line, "ERROR") {
				t.Log(line)
			}
		}
		dbtest.NoSecrets(t, "the log", []byte(s.log.String()))
		for email, password := range s.passwords {
			if strings.Contains(s.log.String(), password) {
				t.Errorf("the log: got the password of %s, want it absent", email)
			}
		}
	})
	if err := json.NewDecoder(stdout).Decode(s); err != nil {
		t.Fatalf("%v: %s", err, s.log.String())
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }() // returns when the program exits
	return s
}

// setting looks up an environment variable.
func (s *server) setting(name string) (string, bool) {
	value, set := s.settings[name]
	return value, set
}

// run runs a command that must succeed, and returns its output.
func (s *server) run(stdin string, args ...string) string {
	s.t.Helper()
	var stdout, stderr strings.Builder
	if code := cli.Main(s.t.Context(), args, s.setting, strings.NewReader(stdin), &stdout, &stderr); code != 0 {
		s.t.Fatalf("latchkey %s: got exit status %d, want 0: %s", strings.Join(args, " "), code, &stderr)
	}
	return strings.TrimSpace(stdout.String())
}

// apply applies a manifest.
func (s *server) apply(manifest string) {
	s.t.Helper()
	s.run(manifest, "apply", "-f", "-")
}

// known sets a user's password, if they have none yet, and returns it.
func (s *server) known(email string) string {
	s.t.Helper()
	if text, known := s.passwords[email]; known {
		return text
	}
	service, err := signin.NewService(signin.Config{Repository: dbtest.Open(s.t, s.database).SignIn(),
		Random: rand.Reader, Now: time.Now})
	if err != nil {
		s.t.Fatal(err)
	}
	text, by := "a pass phrase of "+email, auth.OperatorPrincipal()
	if err := service.SetPassword(s.t.Context(), &by, email, secret.NewPassword(text)); err != nil {
		s.t.Fatalf("give %s a password: %v", email, err)
	}
	s.passwords[email] = text
	return text
}

// contents returns all rows of the database, without the tables that servers keep about themselves and without the
// last use of sessions.
func (s *server) contents() []string {
	s.t.Helper()
	var kept []string
	for row := range strings.SplitSeq(dbtest.Dump(s.t, s.database), "\n") {
		if dbtest.OfServers(row) {
			continue
		}
		switch table, _, _ := strings.Cut(row, " "); table {
		case "changes":
			continue
		case "sessions": // the last columns are the time of the last use and the first session of the browser
			for range 2 {
				row = row[:strings.LastIndexAny(row, "|,")]
			}
		}
		kept = append(kept, row)
	}
	return kept
}

// unchanged fails the test if rows were added or removed.
func (s *server) unchanged(before []string) {
	s.t.Helper()
	after := s.contents()
	for _, row := range after {
		if !slices.Contains(before, row) {
			s.t.Errorf("got the new row %s, want none", row)
		}
	}
	if len(after) < len(before) {
		s.t.Errorf("rows: got %d, want %d as before", len(after), len(before))
	}
}

// remembered is how long the servers under test cache a session at most.
const remembered = time.Second

// age moves the authentication time of all sessions into the past. It returns when the server's cache has expired.
func (s *server) age(by time.Duration) {
	s.t.Helper()
	dbtest.Exec(s.t, s.database,
		fmt.Sprintf("UPDATE sessions SET authenticated_at = authenticated_at - %d", by.Microseconds()),
		fmt.Sprintf("UPDATE sessions SET authenticated_at = authenticated_at - interval '%d microseconds'",
			by.Microseconds()))
	time.Sleep(remembered + 50*time.Millisecond)
}

// expireLinks lets all links expire that the server has sent or shown.
func (s *server) expireLinks() {
	s.t.Helper()
	const expire = "UPDATE links SET expires_at = created_at"
	dbtest.Exec(s.t, s.database, expire, expire)
}

// machine returns a new client address on each call, so that the rate limits by address do not connect what
// separate visitors do.
func (s *server) machine() string {
	s.visitors++
	return fmt.Sprintf("198.51.%d.%d", 100+s.visitors/250, 1+s.visitors%250)
}
