package feed_test

import (
	"context"
	"log/slog"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"latchkey/internal/access"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/feed"
	"latchkey/internal/gormdb"
	"latchkey/internal/manifest"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// listening is a feed that runs until its test ends, and what it reported.
type listening struct {
	*feed.Feed
	recorder
	forgets atomic.Int32
}

func listen(t testing.TB, db *gormdb.DB) *listening {
	t.Helper()
	return listenTo(t, db.FeedSource())
}

func listenTo(t testing.TB, source feed.Source) *listening {
	t.Helper()
	l := &listening{}
	l.Feed = feed.New(source, access.Replica{Name: t.Name()},
		feed.Subscriber{Changed: l.changed, Forget: func() { l.forgets.Add(1) }},
		slog.New(slog.DiscardHandler))
	if l.IsCurrent() {
		t.Error("IsCurrent() of a feed that does not run = true, want false")
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
		if l.IsCurrent() {
			t.Error("IsCurrent() of a feed that has ended = true, want false")
		}
	})
	return l
}

// hears reports whether a change of the account or the API token was reported, by id or by a Forget beyond forgets.
func (l *listening) hears(concerned uuid.UUID, forgets int32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.reported, concerned) || l.forgets.Load() > forgets
}

func TestFeedHearsOtherReplicas(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dbtest.EachURL(t, func(t *testing.T, url string) {
		here, there := dbtest.Open(t, url), dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, here)
		a, _ := issue(t, here, w)
		b, _ := issue(t, here, w)
		c, _ := issue(t, here, w)
		session := startSession(t, here, w)
		l := listen(t, here)
		within(t, 5*time.Second, "current", l.IsCurrent)
		check.Equal(t, l.forgets.Load(), 1, "Forget was called")
		for _, tc := range []struct {
			name      string
			concerned uuid.UUID
			work      func() error
		}{
			{"revoke one", a.ID, func() error { revoke(t, there, a); return nil }},
			{"revoke several", w.Account.ID, func() error { revoke(t, there, a, c); return nil }},
			{"narrow or rotate", w.Account.ID, func() error {
				return there.Tokens().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, b.ID,
					func(got token.Token, _ []token.AccessToken) (token.Change, error) {
						return token.Change{Token: &got, Event: event(got, audit.APITokenUpdated)}, nil
					})
			}},
			{"end a session", w.Account.ID, func() error {
				selection := user.SessionSelection{IDs: []uuid.UUID{session.ID}}
				_, err := there.Users().EndSessions(t.Context(), auth.NoActor("a test"), selection, noon,
					func(s user.Session) audit.Event {
						return sessionEvent(s, audit.SessionEnded)
					})
				return err
			}},
			{"a manifest", w.Account.ID, func() error {
				return there.Manifest().Atomically(t.Context(),
					func(r manifest.Repository) error { return r.SaveStore(t.Context(), w.Stores[0]) })
			}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				forgets := l.forgets.Load()
				l.take()
				if err := tc.work(); err != nil {
					t.Fatal(err)
				}
				within(t, lease, "the change", func() bool { return l.hears(tc.concerned, forgets) })
				if !l.IsCurrent() {
					t.Error("IsCurrent() after the change = false, want true")
				}
			})
		}
	})
}

// Without changes the feed reports nothing, and the cache stays valid.
func TestFeedTellsNothingElse(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		here, there := dbtest.Open(t, url), dbtest.Open(t, url)
		earlier, err := gormdb.Open(t.Context(), gormdb.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		w := dbtest.Seed{}.Make(t, earlier)
		made, _ := issue(t, earlier, w)
		if err := earlier.Close(); err != nil { // waits until the seed has been reported
			t.Fatal(err)
		}
		l := listen(t, here)
		within(t, 5*time.Second, "current", l.IsCurrent)
		if ended, err := there.Tokens().Revoke(t.Context(), auth.NoActor("a test"),
			revocation(made, made.ID, uuid.New())); err != nil || len(ended.Unknown) != 1 {
			t.Fatalf("Revoke() = %+v, %v, want 1 unknown token", ended, err)
		}
		if _, err := there.Tokens().Token(t.Context(), w.Account.ID, made.ID); err != nil {
			t.Fatal(err)
		}
		issue(t, here, w) // removes no permission
		use := access.Use{AccountID: made.AccountID, TokenID: made.ID, At: noon, IP: netip.MustParseAddr("203.0.113.9")}
		if err := here.Uses().SaveUses(t.Context(), []access.Use{use}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(700 * time.Millisecond) // longer than any interval of the feed
		if reported := l.take(); !l.IsCurrent() || l.forgets.Load() != 1 || len(reported) > 0 {
			t.Errorf("current %v, Forget called %d times, reported %v, want current, one call and nothing reported",
				l.IsCurrent(), l.forgets.Load(), reported)
		}
	})
}

func TestFeedConnectsAgain(t *testing.T) {
	url := dbtest.PostgresURL(t)
	db := dbtest.Open(t, url+"&pool_max_conn_idle_time=1m") // which the feed's connection must ignore
	l := listen(t, db)
	within(t, 5*time.Second, "current", l.IsCurrent)
	conn := connect(t, url)
	for round := range int32(2) {
		var ended int
		err := conn.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'latchkey feed'`).Scan(&ended)
		if err != nil || ended != 1 {
			t.Fatalf("connections of the feed: got %d, %v, want 1", ended, err)
		}
		within(t, time.Second, "the interruption", func() bool { return l.Interruptions() > uint64(round) })
		within(t, 5*time.Second, "everything is forgotten", func() bool { return l.forgets.Load() == round+2 })
		within(t, 5*time.Second, "current", l.IsCurrent)
	}
}

// A change whose notification was lost, because the process that committed it died, is read from the table. So is a
// change that is committed late, by a transaction older than others that have ended.
func TestFeedReadsWhatWasNotNotified(t *testing.T) {
	url := dbtest.PostgresURL(t)
	db := dbtest.Open(t, url)
	late, early := uuid.New(), uuid.New()
	l := listen(t, db)
	within(t, 5*time.Second, "current", l.IsCurrent)
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
	time.Sleep(1200 * time.Millisecond) // long enough for another read of the table
	if reported := l.take(); len(reported) != 1 {
		t.Errorf("reported %v, want the change once", reported)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	within(t, lease, "the late change", func() bool { return l.hears(late, 1) })
	if reported := l.take(); len(reported) != 1 || !l.IsCurrent() {
		t.Errorf("reported %v, want only the late change", reported)
	}
}

// A connection on which nothing arrives any more, although it is not closed, is not trusted after the lease.
func TestFeedOverASilentConnection(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) }) // after all other clean-ups
	url := dbtest.PostgresURL(t)
	p := dbtest.StartProxy(t, url)
	here, there := dbtest.Open(t, p.URL), dbtest.Open(t, url)
	w := dbtest.Seed{}.Make(t, there)
	made, _ := issue(t, there, w)
	l := listen(t, here)
	within(t, 5*time.Second, "current", l.IsCurrent)
	l.take()

	p.Freeze()
	revoke(t, there, made)
	revoked := time.Now()
	within(t, lease+200*time.Millisecond, "not current", func() bool { return !l.IsCurrent() })
	t.Logf("refused to hear %s after the revocation", time.Since(revoked).Round(time.Millisecond))
	if l.hears(made.ID, 1) {
		t.Fatal("the feed is current over a frozen connection, want it not to")
	}
	p.Thaw()
	within(t, 10*time.Second, "current again", func() bool { return l.IsCurrent() })
	if !l.hears(made.ID, 1) {
		t.Error("the feed is current again, but missed a change; want it reported")
	}
}

// After the feed's connection is cut, its last proof remains valid for the rest of the lease and no longer.
func TestProofOutlivesTheConnection(t *testing.T) {
	url := dbtest.PostgresURL(t)
	for i := range 8 {
		delay := time.Duration(i) * 80 * time.Millisecond
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			db, p := apart(t, url)
			l := listen(t, db)
			within(t, 30*time.Second, "current", l.IsCurrent)
			time.Sleep(delay)
			cut := time.Now()
			p.Close()
			within(t, lease, "the interruption", func() bool { return l.Interruptions() > 0 })
			current := l.IsCurrent() // read first: it ends by itself
			age, known := l.ProofAge()
			if !known || !current && age < lease {
				t.Errorf("a proof of the age of %s (known: %t) is invalid, want it valid for %s", age, known, lease)
			}
			within(t, lease+100*time.Millisecond-time.Since(cut), "not current", func() bool { return !l.IsCurrent() })
		})
	}
}

// The feed reports what is wrong with its address, without the password.
func TestObstacle(t *testing.T) {
	url := dbtest.PostgresURL(t)
	elsewhere := dbtest.PostgresURL(t)
	nowhere := dbtest.StartProxy(t, url)
	nowhere.Close()
	for _, tc := range []struct{ name, feed, want string }{
		{"no server", nowhere.URL, "connection refused"},
		{"another database", elsewhere, "another database"},
		{"a database that there is not", strings.Replace(url, path.Base(strings.Split(url, "?")[0]), "nowhere", 1),
			"does not exist (SQLSTATE 3D000)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			db, err := gormdb.Open(t.Context(), gormdb.Config{URL: url, FeedURL: tc.feed})
			if err != nil {
				t.Fatal(err)
			}
			f := newFeed(db, t.Name(), discarding)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				f.Run(ctx)
			}()
			within(t, 5*time.Second, "the reason", func() bool { return strings.Contains(f.Check().Error(), tc.want) })
			if text := f.Check().Error(); strings.Contains(text, "postgres://") {
				t.Errorf("the message: got %q, want it without a URL", text)
			}
			cancel()
			<-ended
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
