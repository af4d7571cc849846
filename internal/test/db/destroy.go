package dbtest

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"
)

// Destroy deletes a database with everything in it. Afterwards the file of an SQLite database is missing, and a
// PostgreSQL database is new and empty. Connections to it end.
func Destroy(t testing.TB, dsn string) {
	t.Helper()
	if path, is := strings.CutPrefix(dsn, "sqlite:"); is {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("dbtest: delete a database: %v", err)
			}
		}
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), createTimeout)
	defer cancel()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	s, name := postgresServer(t), strings.TrimPrefix(u.Path, "/")
	if err := errors.Join(s.dropDatabase(ctx, name), s.createDatabase(ctx, name, "template1")); err != nil {
		t.Fatalf("dbtest: delete a database: %v", err)
	}
}

// EmptyLike returns the URL of a database of the same kind that is missing or, on PostgreSQL, empty.
func EmptyLike(t testing.TB, dsn string) string {
	t.Helper()
	if strings.HasPrefix(dsn, "sqlite:") {
		path := t.TempDir() + "/empty.db"
		guardSQLite(t, path)
		return "sqlite:" + path
	}
	return PostgresDSN(t)
}
