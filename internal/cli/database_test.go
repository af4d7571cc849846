package cli_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	dbtest "latchkey/internal/test/db"
)

// expandSchema and contractSchema make the schema newer: the first stays
// compatible with this program, the second does not.
const (
	expandSchema   = "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)"
	contractSchema = "UPDATE schema_support SET oldest_program = 999"
)

func expectRefusal(t *testing.T, env map[string]string, status int, want string, args ...string) {
	t.Helper()
	out, errs, code := attempt(t, env, args...)
	if code != status || out != "" || !strings.Contains(errs, want) {
		t.Errorf("latchkey %s: got exit status %d, %s%s, want %d, no output and %q", strings.Join(args, " "), code, out,
			errs, status, want)
	}
}

// PostgreSQL is migrated only by latchkey migrate.
func TestPostgresSchema(t *testing.T) {
	env := environment(t, dbtest.PostgresDSN(t))
	commands := [][]string{
		{"serve", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"},
		{"session", "create", "--email", "a@b.example"},
		{"apply", "-f", "../manifest/demo/demo.yaml"}, {"token", "list", "--account", acmeID},
	}
	for _, c := range commands {
		expectRefusal(t, env, 4, `Run "latchkey migrate".`, c...)
	}
	expectRefusal(t, env, 4, `Run "latchkey migrate".`, "migrate", "--status")
	for range 2 {
		run(t, env, "migrate")
	}
	run(t, env, "migrate", "--status")
	run(t, env, "apply", "-f", "../manifest/demo/demo.yaml")

	db, err := pgx.Connect(t.Context(), env["LATCHKEY_DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(context.Background()) }()
	if _, err := db.Exec(t.Context(), expandSchema); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{{"migrate"}, {"migrate", "--status"}, {"apply", "-f", "../manifest/demo/demo.yaml"},
		{"token", "list", "--account", acmeID}} {
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
	url := dbtest.PostgresURL(t)
	env := map[string]string{"LATCHKEY_DATABASE_URL": url}
	expectRefusal(t, env, 2, "--key-file (LATCHKEY_KEY_FILE): must be given with PostgreSQL", "session", "create",
		"--email", "a@b.example")
	apply := []string{"apply", "-f", "../manifest/demo/demo.yaml"}
	expectRefusal(t, env, 2, "--key-file (LATCHKEY_KEY_FILE): This database is new", apply...)
	run(t, environment(t, url), apply...)
	run(t, env, apply...)
}

// SQLite needs no setup: the first command creates the database and its keys.
func TestSQLiteFirstStart(t *testing.T) {
	dir := t.TempDir()
	file, key := filepath.Join(dir, "data.db"), filepath.Join(dir, "data.key")
	env := map[string]string{"LATCHKEY_DATABASE_URL": "sqlite:" + file}
	run(t, env, "apply", "-f", "../manifest/demo/demo.yaml")
	info, err := os.Stat(key)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("key file: got %v, %v, want the mode 0600", info, err)
	}
	run(t, env, "session", "create", "--email", "owner@acme.example")

	// Without its keys the database cannot be used, and every command says so.
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	expectRefusal(t, env, 2, "No token works without it", "session", "create", "--email", "owner@acme.example")
	if _, err := os.Stat(key); err == nil {
		t.Error("key file of an existing database: got new keys, want none")
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

func TestOccupiedPort(t *testing.T) {
	s := serve(t, environment(t, dbtest.SQLiteURL(t)))
	env := environment(t, dbtest.SQLiteURL(t))
	occupied := strings.TrimPrefix(s.public, "http://")
	expectRefusal(t, env, 1, "--addr (LATCHKEY_ADDR): listen tcp "+occupied, "serve", "--addr", occupied,
		"--admin-addr", "127.0.0.1:0")
	expectRefusal(t, env, 1, "--admin-addr (LATCHKEY_ADMIN_ADDR): listen tcp "+occupied, "serve",
		"--admin-addr", occupied, "--addr", "127.0.0.1:0")
}
