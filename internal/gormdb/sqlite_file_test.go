package gormdb_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/feed"
	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// overwrite writes n bytes of garbage into a file, starting at from, or up to its end if n is 0. The descriptor stays
// open until the test ends: closing it would release the locks of this process.
func overwrite(t *testing.T, path string, from, n int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		n = info.Size() - from
	}
	if _, err := file.WriteAt(bytes.Repeat([]byte("garbage!"), int(n)/8+1)[:n], from); err != nil {
		t.Fatal(err)
	}
}

// rewrite replaces the content of a file, as cp does. The descriptor stays open for the same reason.
func rewrite(t *testing.T, path string, content []byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR|os.O_TRUNC, 0)
	must(t, err)
	t.Cleanup(func() { _ = file.Close() })
	_, err = file.Write(content)
	must(t, err)
}

// brokenFiles are ways in which the file of a running server stops being its database.
var brokenFiles = []struct {
	name, problem string
	do            func(t *testing.T, path string)
}{
	{"deleted", "was deleted", func(t *testing.T, path string) { must(t, os.Remove(path)) }},
	{"emptied", "was emptied", func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) }},
	{"replaced", "was replaced", func(t *testing.T, path string) {
		other, _ := strings.CutPrefix(dbtest.SQLiteURL(t), "sqlite:")
		copied := filepath.Join(filepath.Dir(path), "other.db")
		content, err := os.ReadFile(other)
		must(t, err)
		must(t, os.WriteFile(copied, content, 0o600))
		must(t, os.Rename(copied, path))
	}},
	{"overwritten", "was overwritten", func(t *testing.T, path string) { overwrite(t, path, 0, 0) }},
	{"overwritten with a backup", "was overwritten", func(t *testing.T, path string) {
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		t.Cleanup(func() { _ = file.Close() })
		content, err := io.ReadAll(file)
		must(t, err)
		rewrite(t, path, content)
	}},
	{"cut short", "", func(t *testing.T, path string) { must(t, os.Truncate(path, 8192)) }},
	{"with an empty WAL", "has a -wal file that was",
		func(t *testing.T, path string) { must(t, os.Truncate(path+"-wal", 0)) }},
	{"with a WAL cut short", "has a -wal file that was",
		func(t *testing.T, path string) { must(t, os.Truncate(path+"-wal", 5000)) }},
	{"with an overwritten WAL", "has a -wal file that was",
		func(t *testing.T, path string) { overwrite(t, path+"-wal", 0, 4096) }},
	{"without its WAL", "lost its file -wal", func(t *testing.T, path string) { must(t, os.Remove(path+"-wal")) }},
	{"with another WAL", "got another file -wal", func(t *testing.T, path string) {
		must(t, os.WriteFile(path+"-new", nil, 0o600))
		must(t, os.Rename(path+"-new", path+"-wal"))
	}},
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A server whose database file is deleted or replaced refuses writes within a second and logs the reason once.
func TestTheFileOfARunningServer(t *testing.T) {
	for _, c := range brokenFiles {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := sqliteOfItsOwn(t)
			path := strings.TrimPrefix(url, "sqlite:")
			var log dbtest.Log
			db, err := gormdb.Open(t.Context(), gormdb.Config{URL: url, Log: slog.New(slog.NewTextHandler(&log, nil))})
			must(t, err)
			defer func() { _ = db.Close() }() // the file may not exist any more
			w := dbtest.Seed{}.Make(t, db)
			running, stop := context.WithCancel(t.Context())
			var feeds sync.WaitGroup
			f := feed.New(db.FeedSource(), access.Replica{Name: "one"}, feed.Subscriber{Forget: func() {}},
				slog.New(slog.DiscardHandler))
			feeds.Go(func() { f.Run(running) })
			defer feeds.Wait()
			defer stop()
			must(t, db.Ping(t.Context()))
			must(t, db.CheckWriting(t.Context()))

			c.do(t, path)
			began := time.Now()
			// At full speed, SQLite would soon restart the WAL.
			pace := time.NewTicker(10 * time.Millisecond)
			defer pace.Stop()
			for err = nil; err == nil && time.Since(began) < 5*time.Second; <-pace.C {
				err = issueUntil(t, db, w, 1)
			}
			if !errors.Is(err, fault.ErrUnavailable) || fault.KindOf(err) != fault.Internal {
				t.Errorf("a write: got error %v, want %v of kind %s", err, fault.ErrUnavailable, fault.Internal)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it was noticed after %v, want a second at most", took)
			}
			if err := db.CheckWriting(t.Context()); !errors.Is(err, fault.ErrUnavailable) {
				t.Errorf("readiness to write: got error %v, want %v", err, fault.ErrUnavailable)
			}
			err = db.Ping(t.Context())
			if f := fault.Flatten(err); len(f) != 1 || !errors.Is(err, fault.ErrUnavailable) ||
				!strings.Contains(f[0].Message, path+" "+c.problem) {
				t.Errorf("readiness is %v, want that the file %s", err, c.problem)
			}
			check.Equal(t, strings.Count(log.String(), "is not in order"), 1, "%s", log.String())
		})
	}
}

// Checkpoints of any kind, by this process or another, and concurrent commits are not taken for damage.
func TestCheckpointsAreInOrder(t *testing.T) {
	url := dbtest.SQLiteURL(t)
	db, other := dbtest.Open(t, url), dbtest.Open(t, url)
	w := dbtest.Seed{Stores: 1}.Make(t, db)
	var writers sync.WaitGroup
	for i, each := range []*gormdb.DB{db, other} {
		writers.Go(func() {
			for n := range 15 {
				if err := issueUntil(t, each, w, 5); err != nil {
					t.Error(err)
				}
				mode := []string{"PASSIVE", "FULL", "RESTART", "TRUNCATE"}[(n+i)%4]
				if err := gormdb.OnSQLiteWriter(each, "PRAGMA wal_checkpoint("+mode+")"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	looks := 0
	for running := true; running; looks++ {
		select {
		case <-done:
			running = false
		default:
		}
		if err := errors.Join(db.Ping(t.Context()), other.Ping(t.Context())); err != nil {
			t.Fatalf("check %d: %v", looks, err)
		}
	}
	t.Logf("%d checks", looks)
}

// sqliteOfItsOwn is the URL of a database that is not searched for secrets at the end, when it may be none.
func sqliteOfItsOwn(t *testing.T) string {
	t.Helper()
	url := "sqlite:" + filepath.Join(t.TempDir(), "latchkey.db")
	db, err := gormdb.Open(t.Context(), gormdb.Config{URL: url})
	must(t, err)
	_, err = db.Migrate(t.Context())
	must(t, errors.Join(err, db.Close()))
	return url
}

// A file that is restored is in order again.
func TestAFileThatComesBack(t *testing.T) {
	url := sqliteOfItsOwn(t)
	path := strings.TrimPrefix(url, "sqlite:")
	db := dbtest.Open(t, url)
	must(t, db.Ping(t.Context()))
	must(t, os.Rename(path, path+".away"))
	if err := db.Ping(t.Context()); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("while missing: got error %v, want %v", err, fault.ErrUnavailable)
	}
	if err := db.CheckWriting(t.Context()); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("while missing, writing: got error %v, want %v", err, fault.ErrUnavailable)
	}
	must(t, os.Rename(path+".away", path))
	must(t, db.Ping(t.Context()))
	must(t, db.CheckWriting(t.Context()))
}

// Damage found by a statement is recorded, because the next statement may not find it.
func TestDamageIsRemembered(t *testing.T) {
	url := sqliteOfItsOwn(t)
	db, err := gormdb.Open(t.Context(), gormdb.Config{URL: url})
	must(t, err)
	defer func() { _ = db.Close() }()
	must(t, gormdb.OnSQLiteWriter(db, "PRAGMA wal_checkpoint(TRUNCATE)"))
	must(t, db.CheckWriting(t.Context()))
	must(t, gormdb.OnSQLiteWriter(db, "PRAGMA wal_checkpoint(TRUNCATE)"))
	overwrite(t, strings.TrimPrefix(url, "sqlite:"), 4096, 0)
	for range 3 {
		if err = errors.Join(err, db.CheckWriting(t.Context()), lookUp(t.Context(), db)); errors.Is(err,
			fault.ErrUnavailable) {
			break
		}
	}
	if !errors.Is(err, fault.ErrUnavailable) {
		t.Fatalf("reading damaged pages: got error %v, want %v", err, fault.ErrUnavailable)
	}
	if err := db.Ping(t.Context()); !errors.Is(err, fault.ErrUnavailable) ||
		!strings.Contains(err.Error(), "is damaged") {
		t.Errorf("readiness: got error %v, want %v that says that the file is damaged", err, fault.ErrUnavailable)
	}
}

// A damaged database is refused when it is opened.
func TestOpenRefusesDamage(t *testing.T) {
	for _, from := range []int64{0, 100, 4096} {
		url := sqliteOfItsOwn(t)
		overwrite(t, strings.TrimPrefix(url, "sqlite:"), from, 0)
		_, err := gormdb.Open(t.Context(), gormdb.Config{URL: url})
		if f := fault.Flatten(err); len(f) != 1 || f[0].Kind != fault.Invalid || f[0].Field != "database" {
			t.Errorf("damaged from %d on: got error %v, want kind %s on database", from, err, fault.Invalid)
		}
	}
}

// A full disk, a read-only database and one that another process has locked are unavailable, for the write and for
// readiness.
func TestSQLiteThatTakesNoWrites(t *testing.T) {
	for _, c := range []struct{ name, statement, mended string }{
		{"a full disk", "PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000"}, // no fewer than there are
		{"read-only", "PRAGMA query_only = on", "PRAGMA query_only = off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := dbtest.Open(t, dbtest.SQLiteURL(t))
			w := dbtest.Seed{}.Make(t, db)
			must(t, db.CheckWriting(t.Context()))
			must(t, gormdb.OnSQLiteWriter(db, c.statement))
			err := issueUntil(t, db, w, 2000)
			if !errors.Is(err, fault.ErrUnavailable) || fault.KindOf(err) != fault.Internal {
				t.Errorf("a write: got error %v, want %v of kind %s", err, fault.ErrUnavailable, fault.Internal)
			}
			if err := db.Ping(t.Context()); (err != nil) != (c.name == "a full disk") {
				t.Errorf("readiness of the database just after the write: got error %v, want one only for a full disk",
					err)
			}
			if err := db.CheckWriting(t.Context()); !errors.Is(err, fault.ErrUnavailable) {
				t.Errorf("readiness: got error %v, want %v", err, fault.ErrUnavailable)
			}
			must(t, gormdb.OnSQLiteWriter(db, c.mended))
			if err := issueUntil(t, db, w, 1); err != nil {
				t.Errorf("a write afterwards: %v", err)
			}
		})
	}
	t.Run("locked", func(t *testing.T) {
		url := dbtest.SQLiteURL(t)
		db, other := dbtest.Open(t, url), dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		must(t, gormdb.OnSQLiteWriter(db, "PRAGMA busy_timeout = 50"))
		must(t, gormdb.OnSQLiteWriter(other, "BEGIN IMMEDIATE"))
		if err := issueUntil(t, db, w, 1); !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("after busy_timeout: got error %v, want %v", err, fault.ErrUnavailable)
		}
		must(t, gormdb.OnSQLiteWriter(db, "PRAGMA busy_timeout = 5000"))
		limited, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		d, _ := draft(w, w.Stores[0].ID)
		began := time.Now()
		if err := db.Tokens().Insert(limited, auth.NoActor("a test"), d); !errors.Is(err, fault.ErrUnavailable) ||
			time.Since(began) > 4*time.Second {
			t.Errorf("at the end of its context: got error %v after %v, want %v within 4 seconds",
				err, time.Since(began), fault.ErrUnavailable)
		}
		must(t, gormdb.OnSQLiteWriter(other, "ROLLBACK"))
		if err := issueUntil(t, db, w, 1); err != nil {
			t.Errorf("unlocked: %v", err)
		}
	})
}

// issueUntil issues up to most tokens and stops at the first error.
func issueUntil(t *testing.T, db *gormdb.DB, w dbtest.World, most int) error {
	t.Helper()
	for range most {
		d, _ := draft(w, w.Stores[0].ID)
		d.MaxLive = 1_000_000
		if err := db.Tokens().Insert(t.Context(), auth.NoActor("a test"), d); err != nil {
			return err
		}
	}
	return nil
}
