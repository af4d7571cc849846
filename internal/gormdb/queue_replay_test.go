package gormdb_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/webhook"
)

// waits returns how many writes have waited for their turn, which is always 0 on PostgreSQL.
func waits(db *gormdb.DB) (n int64) {
	for _, p := range gormdb.Pools(db) {
		if p.Name == "writes" {
			n = p.Waits
		}
	}
	return n
}

// A claim does not wait for the replays to a webhook, on PostgreSQL for the row that they lock, on SQLite for their
// turns, also if it has to postpone and to end deliveries of that webhook.
func TestClaimsDoNotWaitForReplays(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		r := newReplayWorld(t, url)
		r.replays(t, 4, func(*webhook.Replay) {})
		changeHook(t, r.db, r.hook, types("user.*"))
		// One became pending late, of a type that is no longer selected.
		late := "UPDATE deliveries SET state = 'PENDING' WHERE event_id = '" + r.tokens[0].String() + "'"
		dbtest.Exec(t, url, late, late)
		first := enqueue(t, r.db, r.hook, "a")
		enqueue(t, r.db, r.hook, "a")
		others := addHook(t, r.db, dbtest.Seed{}.Make(t, r.db))
		other := enqueue(t, r.db, others, "b")

		onPostgres := strings.HasPrefix(url, "postgres")
		replays := 12
		if onPostgres {
			replays = 2
		}
		locked, goOn := make(chan struct{}), make(chan struct{})
		release, reached := sync.OnceFunc(func() { close(goOn) }), sync.OnceFunc(func() { close(locked) })
		db := dbtest.OpenWith(t, gormdb.Config{URL: url, OnStatement: func(sql string) {
			if strings.Contains(sql, "ON CONFLICT (account_id, webhook_id, event_id)") {
				reached()
				<-goOn
			}
		}})
		var group sync.WaitGroup
		defer group.Wait()
		defer release()
		var ended atomic.Int64
		for range replays {
			group.Go(func() {
				defer ended.Add(1)
				if n, err := (replayWorld{db: db, hook: r.hook}).replay(t, ids(r.user)); n != 1 || err != nil {
					t.Errorf("a replay: got %d, %v, want 1", n, err)
				}
			})
		}
		<-locked
		if !onPostgres {
			within(t, 10*time.Second, "the replays wait", func() bool { return waits(db) >= int64(replays-1) })
			group.Go(func() {
				defer release()
				within(t, 10*time.Second, "the claim waits", func() bool { return waits(db) >= int64(replays) })
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		jobs, err := serverOf(db).claim(ctx, places(20))
		if waiting := replays - int(ended.Load()); err != nil || waiting == 0 {
			t.Fatalf("a claim during replays: got %v while %d replays waited, want no error and some", err, waiting)
		}
		got := eventsOf(jobs)
		check.Equal(t, slices.Contains(got, other), true, "whether the other account's event was claimed")
		check.Equal(t, slices.Contains(got, first), true, "whether the first event of the subject was claimed")
	})
}
