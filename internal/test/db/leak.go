package dbtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"latchkey/internal/test/leak"
)

// NoSecrets fails t for each real secret in text. what names the text. The secret itself is not printed.
func NoSecrets(t testing.TB, what string, text []byte) {
	t.Helper()
	for _, finding := range leak.Find(text) {
		t.Errorf("a secret leaked into %s: %v, want none", what, finding)
	}
}

// guardSQLite searches the files of a database for secrets when t ends.
func guardSQLite(t testing.TB, path string) {
	t.Cleanup(func() {
		for _, file := range []string{path, path + "-wal", path + "-shm", path + "-journal"} {
			content, err := os.ReadFile(file)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("dbtest: search for secrets: %v", err)
			}
			NoSecrets(t, "the file "+file, content)
		}
	})
}

// searchPostgres searches every row of a database for secrets.
func searchPostgres(ctx context.Context, t testing.TB, dsn string) {
	text, err := dump(ctx, dsn)
	if err != nil {
		t.Errorf("dbtest: search for secrets: %v", err)
	}
	NoSecrets(t, fmt.Sprintf("a table of the test's database, dumped as %d bytes", len(text)), []byte(text))
}
