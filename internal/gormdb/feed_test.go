package gormdb_test

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"latchkey/internal/access"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/dbtest"
	"latchkey/internal/gormdb"
	"latchkey/internal/manifest"
	"latchkey/internal/token"
)

// lease is how long the feed may hear nothing before it says so.
const lease = 2 * time.Second

// listening is a feed that runs until its test ends, and what it told.
type listening struct {
	*gormdb.Feed
	recorder
	forgets atomic.Int32
}

func listen(t testing.TB, db *gormdb.DB) *listening {
	t.Helper()
	l := &listening{}
	l.Feed = db.NewFeed(access.Replica{Name: t.Name()}, gormdb.Ears{Changed: l.changed, Forget: func() { l.forgets.Add(1) }}, slog.New(slog.DiscardHandler))
	if l.Hearing() {
		t.Error("a feed that does not run hears")
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if l.Hearing() {
			t.Error("a feed that has ended hears")
		}
	})
	return l
}

// hears reports whether a change was told of the account or the API token that
// it concerns, by name or among all.
func (l *listening) hears(concerned uuid.UUID, forgets int32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.told, concerned) || l.forgets.Load() > forgets
}

// within waits until done.
func within(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

func TestFeedHearsOtherReplicas(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dbtest.EachURL(t, func(t *testing.T, url string) {
		here, there := dbtest.Open(t, url), dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, here)
		a, _ := issue(t, here, w, uuid.Nil)
		b, _ := issue(t, here, w, uuid.Nil)
		c, _ := issue(t, here, w, uuid.Nil)
		l := listen(t, here)
		within(t, 5*time.Second, "hearing", l.Hearing)
		if l.forgets.Load() != 1 {
			t.Errorf("it forgot %d times before it heard, want once", l.forgets.Load())
		}
		for _, tc := range []struct {
			name      string
			concerned uuid.UUID
			work      func() error
		}{
			{"revoke one", a.ID, func() error { revoke(t, there, a); return nil }},
			{"revoke several", w.Account.ID, func() error { revoke(t, there, a, c); return nil }},
			{"narrow or rotate", w.Account.ID, func() error {
				return there.Tokens().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, b.ID, func(got token.Token, _ []token.AccessToken) (token.Change, error) {
					return token.Change{Token: &got, Event: event(got, audit.APITokenUpdated)}, nil
				})
			}},
			{"a manifest", w.Account.ID, func() error {
				return there.Manifest().Atomically(t.Context(), func(r manifest.Repository) error { return r.SaveStore(t.Context(), w.Stores[0]) })
			}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				forgets := l.forgets.Load()
				l.take()
				if err := tc.work(); err != nil {
					t.Fatal(err)
				}
				within(t, lease, "the change", func() bool { return l.hears(tc.concerned, forgets) })
				if !l.Hearing() {
					t.Error("it does not hear any more")
				}
			})
		}
	})
}

// What nobody did is not told, and memory stays good while nothing happens.
func TestFeedTellsNothingElse(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		here, there := dbtest.Open(t, url), dbtest.Open(t, url)
		earlier, err := gormdb.Open(t.Context(), gormdb.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		w := dbtest.Seed{}.Make(t, earlier)
		made, _ := issue(t, earlier, w, uuid.Nil)
		if err := earlier.Close(); err != nil { // which waits until it has told of the seed
			t.Fatal(err)
		}
		l := listen(t, here)
		within(t, 5*time.Second, "hearing", l.Hearing)
		if ended, err := there.Tokens().Revoke(t.Context(), auth.NoActor("a test"), ending([]uuid.UUID{made.ID, uuid.New()}, made)); err != nil || len(ended.Unknown) != 1 {
			t.Fatal(ended, err)
		}
		if _, err := there.Tokens().Token(t.Context(), w.Account.ID, made.ID); err != nil {
			t.Fatal(err)
		}
		issue(t, here, w, uuid.Nil) // takes no right away
		keepUse(t, here, made, later(time.Minute))
		time.Sleep(700 * time.Millisecond) // longer than any interval of the feed
		if told := l.take(); !l.Hearing() || l.forgets.Load() != 1 || len(told) > 0 {
			t.Errorf("hearing %v, forgot %d times, told of %v", l.Hearing(), l.forgets.Load(), told)
		}
	})
}

func TestFeedConnectsAgain(t *testing.T) {
	url := dbtest.PostgresURL(t)
	db := dbtest.Open(t, url+"&pool_max_conn_idle_time=1m") // of which the feed's connection knows nothing
	l := listen(t, db)
	within(t, 5*time.Second, "hearing", l.Hearing)
	conn := connect(t, url)
	for round := range int32(2) {
		var ended int
		err := conn.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'latchkey feed'`).Scan(&ended)
		if err != nil || ended != 1 {
			t.Fatalf("%d connections were the feed's, %v", ended, err)
		}
		within(t, time.Second, "the interruption", func() bool { return l.Interruptions() > uint64(round) })
		within(t, 5*time.Second, "everything is forgotten", func() bool { return l.forgets.Load() == round+2 })
		within(t, 5*time.Second, "hearing", l.Hearing)
	}
}

// What the notification of was lost, because the process that committed died,
// is read from the table; and so is what was committed late by a transaction
// that had begun before others that are over.
func TestFeedReadsWhatWasNotNotified(t *testing.T) {
	url := dbtest.PostgresURL(t)
	db := dbtest.Open(t, url)
	late, early := uuid.New(), uuid.New()
	l := listen(t, db)
	within(t, 5*time.Second, "hearing", l.Hearing)
	const commit = "INSERT INTO changes (account_id) VALUES ($1)"
	tx, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), commit, late); err != nil {
		t.Fatal(err)
	}
	execute(t, url, commit, early)
	within(t, lease, "the change", func() bool { return l.hears(early, 1) })
	time.Sleep(1200 * time.Millisecond) // so that it has read the table again
	if told := l.take(); len(told) != 1 {
		t.Errorf("told of %v, want the one once", told)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	within(t, lease, "the late change", func() bool { return l.hears(late, 1) })
	if told := l.take(); len(told) != 1 || !l.Hearing() {
		t.Errorf("told of %v, want the late one alone", told)
	}
}

// A connection on which nothing arrives any more, though nothing has closed
// it, is worth no trust after the lease.
func TestFeedOverASilentConnection(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) }) // after every other clean-up
	url := dbtest.PostgresURL(t)
	p := dbtest.StartProxy(t, url)
	here, there := dbtest.Open(t, p.URL), dbtest.Open(t, url)
	w := dbtest.Seed{}.Make(t, there)
	made, _ := issue(t, there, w, uuid.Nil)
	l := listen(t, here)
	within(t, 5*time.Second, "hearing", l.Hearing)
	l.take()

	p.Freeze()
	revoke(t, there, made)
	revoked := time.Now()
	within(t, lease+200*time.Millisecond, "not hearing", func() bool { return !l.Hearing() })
	t.Logf("refused to hear %s after the revocation", time.Since(revoked).Round(time.Millisecond))
	if l.hears(made.ID, 1) {
		t.Fatal("it heard over a frozen connection")
	}
	p.Thaw()
	within(t, 10*time.Second, "hearing again", func() bool { return l.Hearing() })
	if !l.hears(made.ID, 1) {
		t.Error("it hears again, but not what happened meanwhile")
	}
}

// Whenever the feed's connection is cut, its last proof is good for the rest of
// the lease, and no longer.
func TestProofOutlivesTheConnection(t *testing.T) {
	url := dbtest.PostgresURL(t)
	for i := range 8 {
		delay := time.Duration(i) * 80 * time.Millisecond
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			db, p := apart(t, url)
			l := listen(t, db)
			within(t, 30*time.Second, "hearing", l.Hearing)
			time.Sleep(delay)
			cut := time.Now()
			p.Close()
			within(t, lease, "the interruption", func() bool { return l.Interruptions() > 0 })
			hearing := l.Hearing() // asked first: it ends by itself
			age, known := l.ProofAge()
			if !known || !hearing && age < lease {
				t.Errorf("a proof is not good any more at the age of %s", age)
			}
			within(t, lease+100*time.Millisecond-time.Since(cut), "not hearing", func() bool { return !l.Hearing() })
		})
	}
}
