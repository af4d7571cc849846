package gormdb_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, url string }{
		{"nothing", ""},
		{"a bare path", "latchkey.db"},
		{"another database", "mysql://user:hunter2@host/db"},
		{"no path", "sqlite:"},
		{"a database in memory, which readers and writer could not share", "sqlite::memory:"},
		{"a folder that is not there", "sqlite:" + filepath.Join(dir, "none", "a.db")},
		{"a folder", "sqlite:" + dir},
		{"a file of another kind", "sqlite:" + text},
		{"a URL that does not parse", "postgres://user:hunter2@host:port/db"},
		{"a password that needs encoding", "postgres://user:hunter2/%zz@host/db"},
		{"an unknown setting", "postgres://user:hunter2@host/db?sslmode=hunter2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := gormdb.Open(t.Context(), gormdb.Config{URL: tc.url})
			mustBe(t, err, fault.Invalid)
			if f := fault.Flatten(err); len(f) != 1 || f[0].Field != "database" {
				t.Errorf("got %+v, want the field database", f)
			}
			assertSilent(t, err)
		})
	}
}

func TestOpenRefusesTheFeedsAddress(t *testing.T) {
	_, err := gormdb.Open(t.Context(), gormdb.Config{URL: "postgres://host/db",
		FeedURL: "postgres://user:hunter2@host:port/db"})
	mustBe(t, err, fault.Invalid)
	if f := fault.Flatten(err); len(f) != 1 || f[0].Field != "feed-database" {
		t.Errorf("got %+v, want the field feed-database", f)
	}
	assertSilent(t, err)
}

func TestOpenUnreachable(t *testing.T) {
	_, err := gormdb.Open(t.Context(), gormdb.Config{URL: "postgres://user:hunter2@127.0.0.1:1/db"})
	mustBe(t, err, fault.Internal)
	assertSilent(t, err)
}

func TestOpenWantsTwoConnections(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		_, err := gormdb.Open(t.Context(), gormdb.Config{URL: url, MaxConnections: 1})
		mustBe(t, err, fault.Invalid)
	})
}

// assertSilent fails the test if any error in err's chain contains the password.
func assertSilent(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error: got %q, want it without the password", err)
		}
	}
}

func TestSQLitePaths(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("a folder", 0o700); err != nil {
		t.Fatal(err)
	}
	abs, err := filepath.Abs("absolute.db")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"relative.db", "a folder/with spaces.db", "50%.db", "what?.db", "#1.db", "ä:ö.db",
		"./dotted.db", abs} {
		t.Run(path, func(t *testing.T) {
			db := dbtest.Open(t, "sqlite:"+path)
			if _, err := db.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{path, path + "-wal", path + "-shm"} {
				info, err := os.Stat(file)
				if err != nil {
					t.Fatal(err)
				}
				check.Equal(t, info.Mode().Perm(), 0o600, "%s is readable by others: %v", file, info.Mode())
			}
		})
	}
}

func TestPingAndDialect(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		if err := db.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		if _, want, _ := strings.Cut(t.Name(), "/"); db.Dialect() != want {
			t.Errorf("Dialect() = %q, want %q", db.Dialect(), want)
		}
	})
}

func TestClosedDatabaseAnswersErrors(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db, err := gormdb.Open(t.Context(), gormdb.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		mustBe(t, db.Ping(t.Context()), fault.Internal)
		_, err = db.Users().CountUsers(t.Context(), [16]byte{1}, user.Filter{})
		mustBe(t, err, fault.Internal)
	})
}

func TestEndedContextIsRecognised(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		d, _ := draft(w, w.Stores[0].ID)
		_, err := db.Users().Users(ended, w.Account.ID, user.Filter{}, all)
		for what, err := range map[string]error{"read": err,
			"write": db.Tokens().Insert(ended, auth.NoActor("a test"), d), "ping": db.Ping(ended)} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v, want the context's error", what, err)
			}
		}
	})
}

func TestOnStatement(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		var mu sync.Mutex
		var statements []string
		db := dbtest.OpenWith(t, gormdb.Config{URL: url, OnStatement: func(sql string) {
			mu.Lock()
			defer mu.Unlock()
			statements = append(statements, sql)
		}})
		w := dbtest.Seed{}.Make(t, db)
		d, value := draft(w, w.Stores[0].ID)
		reads := map[string]func() error{
			"hand-written": func() error {
				_, err := db.Users().Users(t.Context(), w.Account.ID, user.Filter{},
					all)
				return err
			},
			"gorm": func() error { _, err := db.Users().UsersByID(t.Context(), uuid.New(), nil); return err },
			"digest": func() error {
				_, err := db.Access().Credential(t.Context(), secret.StoreAccessToken, keyring.Candidates(value))
				return err
			},
		}
		if err := db.Tokens().Insert(t.Context(), auth.NoActor("a test"), d); err != nil {
			t.Fatal(err)
		}
		for name, read := range reads {
			statements = nil
			if err := read(); err != nil {
				t.Fatal(err)
			}
			if len(statements) != 1 || !strings.HasPrefix(statements[0], "SELECT") {
				t.Errorf("%s: got %q, want one statement", name, statements)
			}
		}
	})
}
