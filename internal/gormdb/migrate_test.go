package gormdb_test

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	dbtest "latchkey/internal/test/db"
)

// eachEmpty runs test with the URL of a database without a schema.
func eachEmpty(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "empty.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, dbtest.PostgresDSN(t)) })
}

func TestMigrate(t *testing.T) {
	eachEmpty(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		schema, err := db.Schema(t.Context())
		if err != nil || schema.Have != 0 || schema.Want < 1 || fault.KindOf(schema.Check()) != fault.Conflict {
			t.Fatalf("Schema() of an empty database = %+v, %v, want version 0 and kind %s", schema, err, fault.Conflict)
		}
		files, err := gormdb.Migrations(db.Dialect())
		if err != nil {
			t.Fatal(err)
		}
		all, err := fs.Glob(files, "*.sql")
		if err != nil {
			t.Fatal(err)
		}
		if applied, err := db.Migrate(t.Context()); err != nil || !slices.Equal(applied, all) {
			t.Fatalf("applied %q, %v; want %q", applied, err, all)
		}
		if now, err := db.Schema(t.Context()); err != nil || now.Have != schema.Want || now.Check() != nil {
			t.Fatalf("Schema() of a migrated database = %+v, %v, want version %d", now, err, schema.Want)
		}
		if applied, err := db.Migrate(t.Context()); err != nil || len(applied) > 0 {
			t.Errorf("Migrate() again = %q, %v, want none", applied, err)
		}
	})
}

func TestMigrateAtOnce(t *testing.T) {
	eachEmpty(t, func(t *testing.T, url string) {
		const replicas = 5
		applied := make([][]string, replicas)
		var group errgroup.Group
		for i := range replicas {
			db := dbtest.Open(t, url)
			group.Go(func() (err error) {
				applied[i], err = db.Migrate(t.Context())
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		if all := slices.Concat(applied...); len(slices.Compact(slices.Sorted(slices.Values(all)))) != len(all) {
			t.Errorf("applied %q, want no file twice", applied)
		}
	})
}

// A migration that another process applied in the meantime fails, even if its statements can run twice.
func TestVersionsAreRecordedOnce(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		if err := db.RecordVersion(t.Context(), 999); err != nil {
			t.Fatal(err)
		}
		if err := db.RecordVersion(t.Context(), 999); err == nil {
			t.Error("record a version again: got no error, want one")
		}
		if got, err := db.Schema(t.Context()); err != nil || got.Have != 999 {
			t.Errorf("Schema() = %+v, %v, want version 999", got, err)
		}
	})
}

// A newer schema is refused only if it declares that it does not work with this program.
func TestSchemaOfANewerProgram(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		own, err := db.Schema(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		execute(t, url, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)")
		for _, tc := range []struct {
			oldest int64
			want   fault.Kind
		}{{own.Want - 1, ""}, {own.Want, ""}, {own.Want + 1, fault.Conflict}} {
			execute(t, url, fmt.Sprintf("UPDATE schema_support SET oldest_program = %d", tc.oldest))
			got, err := db.Schema(t.Context())
			if err != nil || got != (gormdb.Schema{Have: 999, Want: own.Want, OldestProgram: tc.oldest}) ||
				fault.KindOf(got.Check()) != tc.want {
				t.Errorf("%+v, %v, %v; want %q", got, err, got.Check(), tc.want)
			}
		}
		if applied, err := db.Migrate(t.Context()); err != nil || len(applied) > 0 {
			t.Errorf("Migrate() = %q, %v, want none", applied, err)
		}
	})
}

// The databases must have the same tables, columns and null constraints.
func TestDialectsHaveTheSameTables(t *testing.T) {
	lite := columns(t, dbtest.SQLiteURL(t), `SELECT m.name || '.' || c.name, c."notnull" = 0
		FROM sqlite_master AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
	pg := columns(t, dbtest.PostgresURL(t), `SELECT table_name || '.' || column_name, is_nullable = 'YES'
		FROM information_schema.columns WHERE table_schema = 'public'`)
	if len(lite) < 50 || !maps.Equal(lite, pg) {
		for name, nullable := range lite {
			if other, there := pg[name]; !there || other != nullable {
				t.Errorf("%s: nullable %v in SQLite; there %v, nullable %v in PostgreSQL; want the same",
					name, nullable, there, other)
			}
		}
		for name := range pg {
			if _, there := lite[name]; !there {
				t.Errorf("%s is only in PostgreSQL, want it in both databases", name)
			}
		}
	}
}

// columns reads the names of all columns, except those of goose and those that only one database needs, and whether
// they are nullable.
func columns(t *testing.T, url, query string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	db := raw(t, url)
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		var nullable bool
		if err := rows.Scan(&name, &nullable); err != nil {
			t.Fatal(err)
		}
		table, _, _ := strings.Cut(name, ".")
		// Those of the feed, of replicas and of the log's eras, which SQLite does not need, and the queue of the events
		// to seal, which PostgreSQL does not need.
		own := []string{"changes", "heartbeats", "registry", "log_era", "audit_unsealed"}
		if !strings.HasPrefix(table, "goose_") && !slices.Contains(own, table) &&
			!strings.HasPrefix(table, "replica") {
			found[name] = nullable
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// raw opens a database without gormdb.
func raw(t testing.TB, url string) *sql.DB {
	t.Helper()
	driver, source := "pgx", url
	if path, is := strings.CutPrefix(url, "sqlite:"); is {
		driver, source = "sqlite", path
		if !strings.Contains(path, "?") {
			source += "?_pragma=busy_timeout(10000)"
		}
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(t testing.TB, url, statement string, args ...any) {
	t.Helper()
	if _, err := raw(t, url).ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// connect opens a connection to PostgreSQL without gormdb.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func TestMigrationsOfNoDialect(t *testing.T) {
	if files, err := gormdb.Migrations("sqlite"); err != nil || files == nil {
		t.Errorf("Migrations(sqlite) = %v, %v, want files", files, err)
	}
}
