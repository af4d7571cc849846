package cli_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/dbtest"
)

// expandSchema and contractSchema make the schema a newer one: one that works
// with this program, and then one that does not.
const (
	expandSchema   = "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)"
	contractSchema = "UPDATE schema_support SET oldest_program = 999"
)

func expectRefusal(t *testing.T, env map[string]string, status int, want string, args ...string) {
	t.Helper()
	out, errs, code := attempt(t, env, args...)
	if code != status || out != "" || !strings.Contains(errs, want) {
		t.Errorf("latchkey %s: exit status %d, %s%s", strings.Join(args, " "), code, out, errs)
	}
}

// PostgreSQL is migrated by the operator's own command and by nothing else.
func TestPostgresSchema(t *testing.T) {
	env := environment(t, dbtest.PostgresDSN(t))
	commands := [][]string{
		{"serve", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"}, {"session", "create", "--email", "a@b.example"},
		{"apply", "-f", "../seed/demo.yaml"}, {"token", "list", "--account", acmeID},
	}
	for _, c := range commands {
		expectRefusal(t, env, 4, `Run "latchkey migrate".`, c...)
	}
	expectRefusal(t, env, 4, `Run "latchkey migrate".`, "migrate", "--status")
	for range 2 {
		run(t, env, "migrate")
	}
	run(t, env, "migrate", "--status")
	run(t, env, "apply", "-f", "../seed/demo.yaml")

	db, err := pgx.Connect(t.Context(), env["LATCHKEY_DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(context.Background()) }()
	if _, err := db.Exec(t.Context(), expandSchema); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{{"migrate"}, {"migrate", "--status"}, {"apply", "-f", "../seed/demo.yaml"}, {"token", "list", "--account", acmeID}} {
		run(t, env, c...)
	}
	if _, err := db.Exec(t.Context(), contractSchema); err != nil {
		t.Fatal(err)
	}
	for _, c := range append(commands, []string{"migrate"}) {
		expectRefusal(t, env, 4, "Run the newer Latchkey.", c...)
	}
}

func TestPostgresNeedsKeys(t *testing.T) {
	env := map[string]string{"LATCHKEY_DATABASE_URL": dbtest.PostgresURL(t)}
	expectRefusal(t, env, 2, "--key-file (LATCHKEY_KEY_FILE): must be given with PostgreSQL", "session", "create", "--email", "a@b.example")
	run(t, env, "apply", "-f", "../seed/demo.yaml")
}

// SQLite needs nothing: the first command makes the database and its keys.
func TestSQLiteFirstStart(t *testing.T) {
	dir := t.TempDir()
	file, key := filepath.Join(dir, "data.db"), filepath.Join(dir, "data.key")
	env := map[string]string{"LATCHKEY_DATABASE_URL": "sqlite:" + file}
	run(t, env, "apply", "-f", "../seed/demo.yaml")
	info, err := os.Stat(key)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key file: %v, %v", info, err)
	}
	run(t, env, "session", "create", "--email", "owner@acme.example")

	// Without its keys the database is of no use, and nobody pretends it is.
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	expectRefusal(t, env, 2, "Without it no token works", "session", "create", "--email", "owner@acme.example")
	if _, err := os.Stat(key); err == nil {
		t.Error("new keys were made for an old database")
	}
	env["LATCHKEY_KEY_FILE"] = key + ".away"
	run(t, env, "session", "create", "--email", "owner@acme.example")

	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(expandSchema); err != nil {
		t.Fatal(err)
	}
	run(t, env, "session", "create", "--email", "owner@acme.example")
	if _, err := db.Exec(contractSchema); err != nil {
		t.Fatal(err)
	}
	expectRefusal(t, env, 4, "Run the newer Latchkey.", "session", "create", "--email", "owner@acme.example")
}

func TestTakenPort(t *testing.T) {
	s := serve(t, environment(t, dbtest.SQLiteURL(t)))
	env := environment(t, dbtest.SQLiteURL(t))
	taken := strings.TrimPrefix(s.public, "http://")
	expectRefusal(t, env, 1, "--addr: listen tcp "+taken, "serve", "--addr", taken, "--admin-addr", "127.0.0.1:0")
	expectRefusal(t, env, 1, "--admin-addr: listen tcp "+taken, "serve", "--admin-addr", taken, "--addr", "127.0.0.1:0")
}
