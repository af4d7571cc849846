package gormdb_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/secret"
	dbtest "latchkey/internal/test/db"
)

// lookUp looks up a credential that does not exist.
func lookUp(ctx context.Context, db *gormdb.DB) error {
	_, err := db.Access().Credential(ctx, secret.UserSession, []secret.KeyedDigest{{}})
	return err
}

// A database that cannot be reached is distinguished from a broken one, however the connection ended, and works again
// when it is back.
func TestUnavailable(t *testing.T) {
	cluster, url := dbtest.OwnCluster(t, dbtest.Options{})
	p := dbtest.StartProxy(t, url)
	db, err := gormdb.Open(t.Context(), gormdb.Config{URL: p.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	works := func(when string) {
		t.Helper()
		if err := lookUp(t.Context(), db); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: got error %v, want kind %s", when, err, fault.NotFound)
		}
	}
	works("at first")

	p.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	err = lookUp(ctx, db)
	cancel()
	p.Thaw()
	if !errors.Is(err, fault.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer in time: got error %v, want %v and %v", err, fault.ErrUnavailable, context.DeadlineExceeded)
	}
	works("after a pause")

	p.Freeze()
	began, waiting := time.Now(), make(chan error, 20)
	for range cap(waiting) {
		go func() { waiting <- lookUp(t.Context(), db) }()
	}
	if _, err := db.Access().Store(t.Context(), "acme1us"); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a store of a database that hangs: got error %v, want %v", err, fault.ErrUnavailable)
	}
	for range cap(waiting) {
		if err := <-waiting; !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("a database that hangs: got error %v, want %v", err, fault.ErrUnavailable)
		}
	}
	p.Thaw()
	if took := time.Since(began); took > 7*time.Second {
		t.Errorf("a database that hangs is waited for %s, want 7 seconds at most", took)
	}
	works("after it hung")

	if err := cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is no connection left to lose
		if err := lookUp(t.Context(), db); !errors.Is(err, fault.ErrUnavailable) ||
			fault.KindOf(err) != fault.Internal {
			t.Errorf("stopped: got error %v, want %v of kind %s", err, fault.ErrUnavailable, fault.Internal)
		}
	}
	if err := cluster.Restart(); err != nil {
		t.Fatal(err)
	}
	works("restarted")

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := lookUp(gone, db); !errors.Is(err, context.Canceled) || errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("after the caller gave up: got error %v, want %v, and not %v",
			err, context.Canceled, fault.ErrUnavailable)
	}
}

// Any other error of the database is not fault.ErrUnavailable.
func TestBrokenIsNotUnavailable(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db, err := gormdb.Open(t.Context(), gormdb.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		execute(t, url, "DROP TABLE sessions")
		if err := lookUp(t.Context(), db); err == nil || fault.KindOf(err) != fault.Internal ||
			errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("got error %v, want kind %s, and not %v", err, fault.Internal, fault.ErrUnavailable)
		}
	})
}
