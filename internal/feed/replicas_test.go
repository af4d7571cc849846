package feed_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/feed"
	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// join runs a feed with a replica name until the test ends or leave is called.
func join(t *testing.T, db *gormdb.DB, name string, subscriber feed.Subscriber) (f *feed.Feed, leave func()) {
	t.Helper()
	if subscriber.Changed == nil {
		subscriber = discarding
	}
	self := access.Replica{Name: name, URL: "http://" + name + ".example"}
	f = feed.New(db.FeedSource(), self, subscriber, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.Run(ctx)
	}()
	leave = func() {
		cancel()
		<-ended
	}
	t.Cleanup(leave)
	within(t, 5*time.Second, "current", f.IsCurrent)
	return f, leave
}

// confirm returns the replicas that have acknowledged and those that have not.
func confirm(t *testing.T, f *feed.Feed) (yes, no []string, took time.Duration) {
	t.Helper()
	started := time.Now()
	receipt, err := f.Confirm(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range receipt.Replicas {
		switch {
		case r.At.IsZero():
			no = append(no, r.Replica)
		case r.At.Before(started) || r.At.After(time.Now()):
			t.Errorf("%s acknowledged at %s, want a time since %s", r.Replica, r.At, started)
		default:
			yes = append(yes, r.Replica)
		}
	}
	return yes, no, receipt.Elapsed
}

// A replica acknowledges only what it has received, with any number of concurrent questions.
func TestConfirm(t *testing.T) {
	url := dbtest.PostgresURL(t)
	here, there := dbtest.Open(t, url), dbtest.Open(t, url)
	w := dbtest.Seed{}.Make(t, here)
	var changes recorder
	var forgets atomic.Int32 // a Forget covers every account
	a, _ := join(t, here, "a", feed.Subscriber{})
	_, leave := join(t, there, "b", feed.Subscriber{Changed: changes.changed, Forget: func() { forgets.Add(1) }})
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 5 {
				account, before := uuid.New(), forgets.Load() // recorded only in the table, without a notification
				execute(t, url, "INSERT INTO changes (account_id) VALUES ($1)", account)
				yes, _, _ := confirm(t, a)
				check.Equal(t, yes, []string{"a", "b"}, "acknowledged by")
				if !changes.has(account) && forgets.Load() == before {
					t.Error("b acknowledged a change that it has not received, want it received")
				}
			}
		})
	}
	clients.Wait()
	made, _ := issue(t, here, w)
	revoke(t, here, made)
	if yes, no, took := confirm(t, a); len(yes) != 2 || len(no) > 0 || took >= lease {
		t.Errorf("acknowledged by %q, not by %q, within %s, want both, within %s", yes, no, took, lease)
	}
	list, err := a.Replicas(t.Context())
	if err != nil || !slices.Equal(list, []access.Replica{{Name: "a", URL: "http://a.example"},
		{Name: "b", URL: "http://b.example"}}) {
		t.Errorf("replicas: got %+v, %v, want a and b with their URLs", list, err)
	}
	leave()
	if yes, no, took := confirm(t, a); !slices.Equal(yes, []string{"a"}) || len(no) > 0 || took >= lease {
		t.Errorf("once b has left: acknowledged by %q, not by %q, within %s, want only a, within %s",
			yes, no, took, lease)
	}
}

// Confirm waits for a replica that cannot answer until that one must not use its cache any more, and no longer. It
// does so even if the caller's context has ended.
func TestConfirmWithoutAnAnswer(t *testing.T) {
	url := dbtest.PostgresURL(t)
	p := dbtest.StartProxy(t, url)
	a, _ := join(t, dbtest.Open(t, url), "a", feed.Subscriber{})
	b, _ := join(t, dbtest.Open(t, p.URL), "b", feed.Subscriber{})
	p.Freeze()
	defer p.Thaw()
	yes, no, took := confirm(t, a)
	if !slices.Equal(yes, []string{"a"}) || !slices.Equal(no, []string{"b"}) || b.IsCurrent() {
		t.Errorf("acknowledged by %q, not by %q, b is current: %v, want a, but not b, which does not hear",
			yes, no, b.IsCurrent())
	}
	if took < lease || took > 2*lease {
		t.Errorf("Confirm took %s, want %s to %s", took, lease, 2*lease)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if receipt, err := a.Confirm(ctx); err != nil || receipt.Elapsed < lease || receipt.Elapsed > 2*lease {
		t.Errorf("Confirm with an ended context: %v after %s, want success after %s to %s",
			err, receipt.Elapsed, lease, 2*lease)
	}
}

// A replica that ended without unregistering is listed for a minute.
func TestReplicaThatIsGone(t *testing.T) {
	url := dbtest.PostgresURL(t)
	for name, age := range map[string]string{"recent": "50 seconds", "old": "70 seconds"} {
		execute(t, url, "INSERT INTO replicas (id, name, url, seen_at) VALUES ($1, $2, '', now() - $3::interval)",
			uuid.New(), name, age)
	}
	a, _ := join(t, dbtest.Open(t, url), "a", feed.Subscriber{})
	_, no, _ := confirm(t, a)
	check.Equal(t, no, []string{"recent"}, "not acknowledged by")
}

// cutFeed cuts the feed's connection and prevents new ones. The pool keeps its connections.
func cutFeed(t *testing.T, db *gormdb.DB, p *dbtest.Proxy, f *feed.Feed) {
	t.Helper()
	p.Close()
	within(t, 5*time.Second, "not current", func() bool { return !f.IsCurrent() })
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// apart opens a database whose feed goes through its own proxy.
func apart(t *testing.T, url string) (*gormdb.DB, *dbtest.Proxy) {
	t.Helper()
	p := dbtest.StartProxy(t, url)
	db, err := gormdb.Open(t.Context(), gormdb.Config{URL: url, FeedURL: p.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, p
}

// A replica that asks receives the answers even if its own feed is cut. A replica that receives no questions still
// answers, because its cache is empty.
func TestConfirmWithoutAFeed(t *testing.T) {
	url := dbtest.PostgresURL(t)
	here, p := apart(t, url)
	a, _ := join(t, here, "a", feed.Subscriber{})
	b, _ := join(t, dbtest.Open(t, url), "b", feed.Subscriber{})
	cutFeed(t, here, p, a)
	for name, f := range map[string]*feed.Feed{"of which the feed is cut": a, "of which it is not": b} {
		yes, no, took := confirm(t, f)
		if !slices.Equal(yes, []string{"a", "b"}) || len(no) > 0 || took >= lease {
			t.Errorf("asked by replica %s: acknowledged by %q, not by %q, within %s, want both, within %s",
				name, yes, no, took, lease)
		}
	}
	var left int
	if err := connect(t, url).QueryRow(t.Context(), "SELECT count(*) FROM replica_questions").Scan(&left); err != nil ||
		left > 0 {
		t.Errorf("questions left: got %d, %v, want none", left, err)
	}
}

// A replica whose feed never received anything is on the list, clears its cache before it answers, and leaves the
// list.
func TestReplicaThatNeverHears(t *testing.T) {
	url := dbtest.PostgresURL(t)
	deafDB, p := apart(t, url)
	p.Close()
	a, _ := join(t, dbtest.Open(t, url), "a", feed.Subscriber{})
	var forgets atomic.Int32
	deaf := newFeed(deafDB, "deaf", feed.Subscriber{Changed: func(uuid.UUID) {}, Forget: func() { forgets.Add(1) }})
	if err := deaf.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		deaf.Run(ctx)
	}()
	time.Sleep(1500 * time.Millisecond) // longer than a row stays fresh
	yes, no, took := confirm(t, a)
	if !slices.Equal(yes, []string{"a", "deaf"}) || len(no) > 0 || took >= lease || forgets.Load() == 0 ||
		deaf.IsCurrent() {
		t.Errorf("acknowledged by %q, not by %q, within %s, Forget called %d times, want a and deaf, and a call",
			yes, no, took, forgets.Load())
	}
	cancel()
	<-ended
	if list, err := a.Replicas(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("replicas: got %+v, %v, want 1", list, err)
	}
}

// After a crash or failover of the database the list of replicas is empty. A receipt waits until the running ones
// have registered again.
func TestConfirmWithAYoungRegistry(t *testing.T) {
	url := dbtest.PostgresURL(t)
	a, _ := join(t, dbtest.Open(t, url), "a", feed.Subscriber{})
	join(t, dbtest.Open(t, url), "b", feed.Subscriber{})
	// A replica that is too slow to register again within the lease has no valid proof by then and is rightly
	// missing. That does not happen each time.
	complete := 0
	for range 3 {
		execute(t, url, "TRUNCATE replicas, registry") // like a crash
		yes, no, took := confirm(t, a)
		if !slices.Contains(yes, "a") || len(no) > 0 || took < lease {
			t.Errorf("acknowledged by %q, not by %q, within %s, want a, after %s", yes, no, took, lease)
		}
		complete += len(yes) / 2
	}
	if complete == 0 {
		t.Error("no receipt waited for the other replica, want one of 3 at least")
	}
	time.Sleep(2 * lease)
	if yes, _, took := confirm(t, a); len(yes) != 2 || took > lease {
		t.Errorf("with an old registry: acknowledged by %q within %s, want both, within %s", yes, took, lease)
	}
}

// An SQLite file has one server, whose cache is cleared before the question.
func TestConfirmOnSQLite(t *testing.T) {
	a, _ := join(t, dbtest.Open(t, dbtest.SQLiteURL(t)), "a", feed.Subscriber{})
	if yes, no, took := confirm(t, a); !slices.Equal(yes, []string{"a"}) || len(no) > 0 || took >= lease {
		t.Errorf("acknowledged by %q, not by %q, within %s, want only a, within %s", yes, no, took, lease)
	}
}

// A replica answers questions that were asked while its feed connects once it receives changes.
func TestConfirmWhileConnecting(t *testing.T) {
	url := dbtest.PostgresURL(t)
	a, _ := join(t, dbtest.Open(t, url), "a", feed.Subscriber{})
	observer := connect(t, url)
	var ofA int
	const backends = "FROM pg_stat_activity WHERE application_name = 'latchkey feed' AND datname = current_database()"
	if err := observer.QueryRow(t.Context(), "SELECT pid "+backends).Scan(&ofA); err != nil {
		t.Fatal(err)
	}
	b, _ := join(t, dbtest.Open(t, url), "b", feed.Subscriber{})
	for round := range 15 {
		within(t, 10*time.Second, "current", func() bool { return a.IsCurrent() && b.IsCurrent() })
		cut := make(chan error, 1)
		go func() {
			_, err := observer.Exec(t.Context(), "SELECT pg_terminate_backend(pid) "+backends+" AND pid <> $1", ofA)
			cut <- err
		}()
		time.Sleep(time.Duration(round%5) * 400 * time.Microsecond)
		if yes, no, took := confirm(t, a); !slices.Equal(yes, []string{"a", "b"}) {
			t.Errorf("acknowledged by %q, not by %q, within %s, want both", yes, no, took)
		}
		if err := <-cut; err != nil {
			t.Fatal(err)
		}
	}
}
