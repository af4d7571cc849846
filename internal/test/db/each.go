package dbtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"latchkey/internal/gormdb"
)

// EachURL runs test in subtests named sqlite and postgres, with the URL of a new database that has the whole schema and
// no rows. A test can open the URL several times, as replicas, or pass it to another process.
func EachURL(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLiteURL(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, PostgresURL(t)) })
}

// EachDatabase runs test in subtests named sqlite and postgres, with a new database that is open until the subtest
// ends.
func EachDatabase(t *testing.T, test func(t *testing.T, db *gormdb.DB)) {
	t.Helper()
	EachURL(t, func(t *testing.T, url string) { test(t, Open(t, url)) })
}

// Open opens a database until t ends. Each call opens another replica.
func Open(t testing.TB, url string) *gormdb.DB {
	t.Helper()
	return OpenWith(t, gormdb.Config{URL: url})
}

// OpenWith is Open with settings.
func OpenWith(t testing.TB, c gormdb.Config) *gormdb.DB {
	t.Helper()
	db, err := gormdb.Open(t.Context(), c)
	if err != nil {
		t.Fatalf("dbtest: open the database: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("dbtest: close the database: %v", err)
		}
	})
	return db
}

// SQLiteURL returns the URL of a new SQLite database with the whole schema. Its file is deleted when t ends.
func SQLiteURL(t testing.TB) string {
	t.Helper()
	content, err := emptySQLite()
	if err != nil {
		t.Fatalf("dbtest: make a database: %v", err)
	}
	path := filepath.Join(t.TempDir(), "test.db")
	guardSQLite(t, path)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatalf("dbtest: make a database: %v", err)
	}
	return "sqlite:" + path
}

// emptySQLite returns the file of a database with the whole schema and no rows. It is created once, because migrating
// takes longer than most tests.
var emptySQLite = sync.OnceValues(func() (content []byte, err error) {
	folder, err := os.MkdirTemp("", "latchkey-test-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	path := filepath.Join(folder, "test.db")
	if err := migrate(context.Background(), "sqlite:"+path); err != nil {
		return nil, err
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not the whole database: %w", path, err)
	}
	return os.ReadFile(path)
})

// OwnCluster starts a PostgreSQL cluster that the test may stop, kill and restart, and that ends with the test. It
// returns the cluster and the URL of an empty database in it.
func OwnCluster(t testing.TB, o Options) (cluster *Cluster, url string) {
	t.Helper()
	cluster, err := StartCluster(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	if url, err = cluster.CreateDatabase(t.Context(), "latchkey"); err != nil {
		t.Fatal(err)
	}
	return cluster, url
}

// PostgresURL returns the URL of a new PostgreSQL database with the whole schema, dropped when t ends.
func PostgresURL(t testing.TB) string {
	t.Helper()
	key, err := schemaText("postgres")
	if err != nil {
		t.Fatalf("dbtest: read the migrations: %v", err)
	}
	return PostgresFrom(t, key+os.Getenv(EnvAhead), func(dsn string) error { return migrate(t.Context(), dsn) })
}

func migrate(ctx context.Context, url string) error {
	db, err := gormdb.Open(ctx, gormdb.Config{URL: url})
	if err != nil {
		return err
	}
	_, err = db.Migrate(ctx)
	if err = errors.Join(err, db.Close()); err != nil || os.Getenv(EnvAhead) == "" {
		return err
	}
	return MakeAhead(ctx, url)
}

// schemaText returns the text of a dialect's migrations, which identifies the template database.
func schemaText(dialect string) (string, error) {
	files, err := gormdb.Migrations(dialect)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	err = fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, path)
		text.WriteString(path + "\n" + string(content))
		return err
	})
	return text.String(), err
}
