package feed_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/fault"
	"latchkey/internal/feed"
	dbtest "latchkey/internal/test/db"
)

// Only one server runs with a name. A server that restarts after a crash replaces its former row as soon as that is
// known to be safe.
func TestJoin(t *testing.T) {
	url := dbtest.PostgresURL(t)
	db := dbtest.Open(t, url)
	again := func() (*feed.Feed, time.Duration, error) {
		started := time.Now()
		f := newFeed(dbtest.Open(t, url), "a", discarding)
		err := f.Join(t.Context())
		return f, time.Since(started), err
	}
	_, leave := join(t, db, "a", feed.Subscriber{})
	_, took, err := again()
	mustBe(t, err, fault.Conflict)
	if took > lease || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("joining under a used name: got error %v after %s, want it to contain the name, within %s",
			err, took, lease)
	}
	leave()
	first, took, err := again()
	if err != nil || took > lease {
		t.Fatalf("joining after a clean stop: %v after %s, want success within %s", err, took, lease)
	}
	if _, took, err := again(); err != nil || took < 2*lease || took > 3*lease {
		t.Errorf("joining after a silent replica: %v after %s, want success after %s to %s",
			err, took, 2*lease, 3*lease)
	}
	// The replica that was considered ended continues.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		first.Run(ctx)
	}()
	within(t, lease, "the namesake", func() bool { return first.Namesakes() == 1 })
	cancel()
	<-ended
}

// A server that restarts on the machine on which its process was killed replaces its row immediately.
func TestJoinAfterAKill(t *testing.T) {
	url := dbtest.PostgresURL(t)
	r := startReplica(t, url)
	within(t, 20*time.Second, "current", func() bool { current, _ := r.ask(t, 1); return current })
	r.signal(t, syscall.SIGKILL)
	_ = r.cmd.Wait()
	f := newFeed(dbtest.Open(t, url), "paused", discarding)
	started := time.Now()
	if err := f.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took > lease {
		t.Errorf("joining took %s, want %s at most", took, lease)
	}
}

// A process with the instance file of the previous one replaces it immediately, even from another machine. A process
// without it, or with another one, waits.
func TestJoinWithAnInstance(t *testing.T) {
	url := dbtest.PostgresURL(t)
	for _, tc := range []struct {
		name, before, after string
		waits               bool
	}{
		{"the same", "x", "x", false},
		{"another", "x", "y", true},
		{"none any more", "x", "", true},
		{"none before", "", "x", true},
		{"none", "", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			join := func(instance string) time.Duration {
				f := newFeed(dbtest.Open(t, url), tc.name, discarding)
				f.UseInstance(instance)
				started := time.Now()
				if err := f.Join(t.Context()); err != nil {
					t.Fatal(err)
				}
				return time.Since(started)
			}
			join(tc.before) // does not run, as if it was killed
			execute(t, url, "UPDATE replicas SET process = 'another-boot pid:[1] 1 1' WHERE name = $1", tc.name)
			if took := join(tc.after); tc.waits != (took >= 2*lease) || !tc.waits && took > lease {
				t.Errorf("joining took %s, want it to wait for %s: %t", took, 2*lease, tc.waits)
			}
			reader := newFeed(dbtest.Open(t, url), "reader", discarding)
			if list, err := reader.Replicas(t.Context()); err != nil ||
				len(slices.DeleteFunc(list, func(r access.Replica) bool { return r.Name != tc.name })) != 1 {
				t.Errorf("replicas: got %v, %v, want one with the name %s", list, err, tc.name)
			}
		})
	}
}

// A replica whose row does not change for four seconds, by the monotonic clock of the watching replica, has ended,
// regardless of the database's clock.
func TestJoinWhenTheClockWentBack(t *testing.T) {
	url := dbtest.PostgresURL(t)
	execute(t, url, "INSERT INTO replicas (id, name, url, seen_at) VALUES ($1, 'a', '', now() + interval '1 hour')",
		uuid.New())
	f := newFeed(dbtest.Open(t, url), "a", discarding)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	started := time.Now()
	if err := f.Join(ctx); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took < 2*lease || took > 3*lease {
		t.Errorf("joining took %s, want %s to %s", took, 2*lease, 3*lease)
	}
}

// Of several servers that start at the same time with one name, one runs.
func TestJoinAtOnce(t *testing.T) {
	url := dbtest.PostgresURL(t)
	var starting sync.WaitGroup
	var running, refused atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	for range 4 {
		db := dbtest.Open(t, url)
		starting.Go(func() {
			f := newFeed(db, "a", discarding)
			if err := f.Join(ctx); err != nil {
				if fault.KindOf(err) != fault.Conflict {
					t.Errorf("a replica that comes second: got error %v, want kind %s", err, fault.Conflict)
				}
				if refused.Add(1) == 3 {
					cancel()
				}
				return
			}
			running.Add(1)
			f.Run(ctx)
		})
	}
	starting.Wait()
	cancel()
	if running.Load() != 1 || refused.Load() != 3 {
		t.Errorf("replicas: %d are running, %d were refused, want 1 and 3", running.Load(), refused.Load())
	}
}

// A server that hangs while it joins does not prevent others from receiving changes.
func TestJoinThatHangs(t *testing.T) {
	url := dbtest.PostgresURL(t)
	a, _ := join(t, dbtest.Open(t, url), "a", feed.Subscriber{})
	former := uuid.New()
	execute(t, url, "INSERT INTO replicas (id, name, url, seen_at) VALUES ($1, 'b', '', now() - interval '10 seconds')",
		former)
	tx, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The row that b will delete.
	if _, err := tx.Exec(t.Context(), "SELECT FROM replicas WHERE id = $1 FOR UPDATE", former); err != nil {
		t.Fatal(err)
	}
	b := newFeed(dbtest.Open(t, url), "b", discarding)
	joined := make(chan error, 1)
	go func() { joined <- b.Join(t.Context()) }()
	for end := time.Now().Add(2 * lease); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if !a.IsCurrent() {
			t.Fatalf("a is not current, want it to: %v", a.Check())
		}
	}
	select {
	case err := <-joined:
		t.Fatalf("joining returned %v, want it to hang", err)
	default:
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-joined; err != nil {
		t.Error(err)
	}
}
