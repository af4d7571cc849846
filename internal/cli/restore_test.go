package cli_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// restored is the JSON output of restore.
type restored struct {
	Schema          int64      `json:"schemaVersion"`
	Migrate         bool       `json:"migrate"`
	CommittedBefore *time.Time `json:"committedBefore"`
	RestoredAt      time.Time  `json:"restoredAt"`
	Accounts        int        `json:"accounts"`
	RevokeSince     time.Time  `json:"revokeSince"`
	OtherKeys       int64      `json:"accessTokensUnderOtherKeys"`
}

func restore(t *testing.T, env map[string]string, args ...string) restored {
	t.Helper()
	var result restored
	out := run(t, env, append([]string{"restore", "--output", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		t.Fatal(err)
	}
	return result
}

// damage are statements that change a database before its backup.
var damage = map[string]string{
	"newer": "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)",
	"older": "DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)",
}

// A backup is restored only whole, by a program that knows its schema, with its key file, into an empty database that
// no server uses.
func TestRestoreRefuses(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		run(t, env, "apply", "-f", "../manifest/demo/demo.yaml")
		run(t, env, "token", "create", "--account", acmeID, "--name", "HR sync", "--scope", "account_users_read")
		dir := t.TempDir()
		file := filepath.Join(dir, "whole")
		made := backup(t, env, "--to", file)
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"text": "not a backup", "short": string(content[:len(content)/2])} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		empty := dbtest.EmptyLike(t, url)
		target := withDatabase(env, empty)
		refuses := func(env map[string]string, status int, want, from string) {
			t.Helper()
			expectRefusal(t, env, status, want, "restore", "--from", filepath.Join(dir, from))
		}
		refuses(env, 4, "and try again.", "whole")
		refuses(withDatabase(environment(t, url), empty), 4, "The key file does not belong to this backup", "whole")
		target["LATCHKEY_KEY_FILE"] = filepath.Join(dir, "missing.key")
		refuses(target, 2, "missing.key", "whole")
		target = withDatabase(env, empty)
		refuses(target, 2, "--from: The file "+dir+"/missing cannot be read", "missing")
		refuses(target, 2, "is not a backup", "text")
		if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
			t.Fatal(err)
		}
		refuses(target, 2, "it is not a regular file", "pipe") // without waiting for what writes to it
		if out, said, code := attempt(t, target, "restore", "--from", filepath.Join(dir, "short")); code == 0 {
			t.Errorf("half of a backup: got exit status 0, %s%s, want another", out, said)
		}
		dbtest.Exec(t, url, damage["newer"], damage["newer"])
		backup(t, env, "--to", filepath.Join(dir, "newer"))
		refuses(target, 4, "Restore it with the program that made it, or a later one.", "newer")
		heldOpen(t, empty, func() { refuses(target, 4, "Stop ", "whole") })

		// Nothing of these attempts is left.
		result := restore(t, target, "--from", file)
		check.Equal(t, result.Accounts, 2, "accounts")
		check.Equal(t, result.Migrate, false, "the schema is older")
		check.Equal(t, result.OtherKeys, 0, "access tokens under other keys")
		check.Equal(t, result.CommittedBefore.Equal(made.CommittedBefore), true,
			"the time of the backup is that of the file")
		if listed := run(t, target, "token", "list", "--account", acmeID); !strings.Contains(listed,
			"HR sync  ACTIVE") {
			t.Errorf("tokens: got %s, want HR sync", listed)
		}
		if path, is := strings.CutPrefix(empty, "sqlite:"); is {
			for _, name := range filesIn(t, filepath.Dir(path)) {
				if strings.HasPrefix(name, ".restoring") {
					t.Errorf("the directory: got %s, want nothing that was left", name)
				}
			}
			return
		}
		refuses(withDatabase(env, dbtest.EmptyLike(t, "sqlite:")), 2, "is one of a PostgreSQL database", "whole")
	})
}

// heldOpen calls work while a server that was not stopped is connected to the database, or has files beside it.
func heldOpen(t *testing.T, url string, work func()) {
	t.Helper()
	if path, is := strings.CutPrefix(url, "sqlite:"); is {
		if err := os.WriteFile(path+"-wal", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		work()
		if err := os.Remove(path + "-wal"); err != nil {
			t.Fatal(err)
		}
		return
	}
	db, err := gormdb.Open(t.Context(), gormdb.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	work()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// A backup of an older version is restored unchanged, and the command says to migrate.
func TestRestoreOfAnOlderSchema(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		run(t, env, "apply", "-f", "../manifest/demo/demo.yaml")
		dbtest.Exec(t, url, damage["older"], damage["older"])
		file := filepath.Join(t.TempDir(), "older")
		made := backup(t, env, "--to", file)
		_, said, code := attempt(t, withDatabase(env, dbtest.EmptyLike(t, url)), "restore", "--from", file)
		if code != 0 || !strings.Contains(said, `the schema is older than this program: run "latchkey migrate"`) {
			t.Errorf("got exit status %d, %s, want 0 and what to do about the schema %d", code, said, made.Schema)
		}
	})
}

// A drill: a backup beside writes, a revocation after it, the loss of the database, a restore. All that was committed
// before the backup is there. The token that was revoked works again, until the operator revokes what may have been.
// A reader of the events misses none, and a server that ran all the time trusts nothing from before.
func TestRestoreDrill(t *testing.T) {
	useWithoutRace(t)
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		first, session := demo(t, env)
		second, cut, mend := secondServer(t, env, url)
		kept, revoked := newToken(t, first, session, "Kept"), newToken(t, first, session, "Revoked")
		file := filepath.Join(t.TempDir(), "drill.backup")
		stop := issuing(t, first, session)
		made := backup(t, env, "--to", file)
		beside := stop()

		late := newToken(t, first, session, "Late")
		var none struct{}
		first.must(t, session, revoke(revoked.id), &none)
		expectStatus(t, first, revoked, http.StatusUnauthorized)
		awaitStatus(t, second, late, http.StatusOK)
		_, said, _ := attempt(t, env, "event", "list", "--account", acmeID)
		cursor := regexp.MustCompile(`--after (\S+)`).FindStringSubmatch(said)[1]

		first.stop(t)
		cut()
		dbtest.Destroy(t, url)
		result := restore(t, env, "--from", file)
		check.Equal(t, result.Accounts, 2, "accounts")
		first = serve(t, env)
		expectStatus(t, first, kept, http.StatusOK)
		expectStatus(t, first, revoked, http.StatusOK) // the danger
		expectStatus(t, first, late, http.StatusUnauthorized)
		listed := run(t, env, "token", "list", "--account", acmeID)
		for _, name := range beside {
			if !strings.Contains(listed, name+" ") {
				t.Errorf("%s was issued before the backup: got no such token, want it", name)
			}
		}
		mend()
		refusal := http.StatusUnauthorized
		if strings.HasPrefix(url, "sqlite:") {
			refusal = http.StatusServiceUnavailable // its file is not the database any more
		}
		awaitStatus(t, second, late, refusal)
		for range 20 {
			expectStatus(t, second, late, refusal)
		}

		out := run(t, env, "token", "revoke", "--all-active-since", result.RestoredAt.Format(time.RFC3339Nano),
			"--sessions",
			"--output", "json")
		var counts struct{ APITokens, Sessions int }
		if err := json.Unmarshal([]byte(out), &counts); err != nil || counts.APITokens < 2+len(beside) ||
			counts.Sessions != 1 {
			t.Errorf("revoked %s, %v, want at least %d tokens and the owner's session", out, err, 2+len(beside))
		}
		awaitStatus(t, first, revoked, http.StatusUnauthorized)
		awaitStatus(t, first, kept, http.StatusUnauthorized)
		awaitStatus(t, first, issuedToken{access: session}, http.StatusUnauthorized)
		again := strings.TrimSpace(run(t, env, "session", "create", "--email", "owner@acme.example"))
		var log struct {
			Account struct {
				AuditEvents struct {
					Nodes []struct {
						Action  string
						Actor   struct{ Kind string }
						Details []struct{ Name, Value string }
					}
				}
			}
		}
		first.must(t, again,
			`{ account { auditEvents(filter: {actions: ["account.restored"]}) { nodes { action actor { kind } details { name value } } } } }`, &log)
		if nodes := log.Account.AuditEvents.Nodes; len(nodes) != 1 || nodes[0].Actor.Kind != "OPERATOR" ||
			len(nodes[0].Details) != 1 ||
			nodes[0].Details[0].Value != made.CommittedBefore.Format(time.RFC3339) {
			t.Errorf("the audit log: got %+v, want one restore by the operator with the time %s", nodes,
				made.CommittedBefore)
		}
		awaitEvents(t, env, cursor, `"type":"account.restored"`, revoked.id+`.*"revokedAt":"`)
	})
}

// The time that restore prints selects also what a server created whose clock was ahead.
func TestRestoreAfterAFastClock(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		run(t, env, "apply", "-f", "../manifest/demo/demo.yaml")
		run(t, env, "token", "create", "--account", acmeID, "--name", "Ahead", "--scope", "account_read")
		run(t, env, "session", "create", "--email", "owner@acme.example")
		for _, table := range []string{"api_tokens", "sessions"} {
			dbtest.Exec(t, url, "UPDATE "+table+" SET created_at = created_at + 600000000",
				"UPDATE "+table+" SET created_at = created_at + interval '10 minutes'")
		}
		file := filepath.Join(t.TempDir(), "ahead")
		backup(t, env, "--to", file)
		target := withDatabase(env, dbtest.EmptyLike(t, url))
		since := restore(t, target, "--from", file).RevokeSince
		check.Equal(t, revokedAll(t, target, since, "--sessions"), "1 tokens, 1 sessions", "revoked")
	})
}

// issuedToken is an API token with its access token.
type issuedToken struct{ id, access string }

func newToken(t *testing.T, s *server, session, name string) issuedToken {
	t.Helper()
	var made issued
	s.must(t, session, issue(name, `scopes: ["account_read"]`), &made)
	return issuedToken{made.APIToken.CreateAPIToken.APIToken.ID, made.APIToken.CreateAPIToken.Credentials.AccessToken}
}

// issuing issues tokens until the returned function is called, which returns the names of those that were acknowledged
// before issuing returned.
func issuing(t *testing.T, s *server, session string) (stop func() []string) {
	t.Helper()
	ended, done := make(chan struct{}), make(chan struct{})
	before := []string{"Before 1", "Before 2", "Before 3"}
	for _, name := range before {
		newToken(t, s, session, name)
	}
	go func() {
		defer close(done)
		for range 30 {
			select {
			case <-ended:
				return
			default:
			}
			answer, err := s.ask(session, issue("Beside", `scopes: ["account_read"]`))
			if err != nil || len(answer.Errors) > 0 {
				t.Errorf("issuing beside the backup: got %v, %+v, want no error", err, answer.Errors)
				return
			}
		}
	}()
	return func() []string { close(ended); <-done; return before }
}

// secondServer starts another server on the database, and returns functions that cut it off and let it reach the
// database again.
func secondServer(t *testing.T, env map[string]string, url string) (s *server, cut, mend func()) {
	t.Helper()
	if strings.HasPrefix(url, "sqlite:") {
		return serve(t, env), func() {}, func() {}
	}
	proxy := dbtest.StartProxy(t, url)
	s = serve(t, withDatabase(env, proxy.URL), "--replica-name", "second")
	cut = func() {
		proxy.Redirect(t, "postgres://127.0.0.1:1/nothing")
		proxy.Drop()
	}
	return s, cut, func() { proxy.Redirect(t, url) }
}

func statusOf(s *server, token issuedToken) (int, error) {
	answer, err := s.ask(token.access, "{ viewer { kind } }")
	return answer.status, err
}

func expectStatus(t *testing.T, s *server, token issuedToken, want int) {
	t.Helper()
	if got, err := statusOf(s, token); err != nil || got != want {
		t.Errorf("the token %s: got status %d, %v, want %d", token.id, got, err, want)
	}
}

// awaitStatus waits until a request with the token has the status.
func awaitStatus(t *testing.T, s *server, token issuedToken, want int) {
	t.Helper()
	got := 0
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got, _ = statusOf(s, token); got == want { // an error has the status 0
			return
		}
	}
	t.Fatalf("the token %s: got status %d for a minute, want %d: %s", token.id, got, want, s.logged())
}

// awaitEvents waits until the events after a cursor contain the patterns, in this order.
func awaitEvents(t *testing.T, env map[string]string, cursor string, wants ...string) {
	t.Helper()
	pattern := regexp.MustCompile("(?s)" + strings.Join(wants, ".*"))
	out := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if out = run(t, env, "event", "list", "--account", acmeID, "--after", cursor); pattern.MatchString(out) {
			return
		}
	}
	t.Errorf("events after the cursor: got %s, want %s", out, pattern)
}
