package feed_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/internal/feed"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

const insertChange = "INSERT INTO changes (account_id) VALUES ($1)"

// begin begins a transaction and assigns it a number by writing.
func begin(t *testing.T, url string, concerned uuid.UUID) pgx.Tx {
	t.Helper()
	tx, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), insertChange, concerned); err != nil {
		t.Fatal(err)
	}
	return tx
}

// rowsRead returns how many rows of changes were read, and how often the table was scanned.
func rowsRead(t *testing.T, conn *pgx.Conn) (rows, scans int64) {
	t.Helper()
	const counted = "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0), seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'changes'"
	if err := conn.QueryRow(t.Context(), counted).Scan(&rows, &scans); err != nil {
		t.Fatal(err)
	}
	return rows, scans
}

// A feed reads no row twice, even while an older transaction is still running, and it receives the change of that
// transaction, too.
func TestFeedBehindALongTransaction(t *testing.T) {
	url := dbtest.PostgresURL(t)
	l := listen(t, dbtest.Open(t, url))
	within(t, 5*time.Second, "current", l.IsCurrent)
	late, last := uuid.New(), uuid.New()
	tx := begin(t, url, late)
	execute(t, url, "INSERT INTO changes (account_id) SELECT gen_random_uuid() FROM generate_series(1, 20000)")
	execute(t, url, insertChange, last)
	within(t, lease, "the rows", func() bool { return l.hears(last, 1) })
	observer := connect(t, url)
	var before, scans int64
	within(t, 10*time.Second, "the first reading is counted", func() bool {
		before, scans = rowsRead(t, observer)
		return before >= 20000
	})
	within(t, 10*time.Second, "further readings", func() bool {
		_, now := rowsRead(t, observer)
		return now >= scans+4
	})
	if after, _ := rowsRead(t, observer); after > before+20000 { // the first may be counted late, once
		t.Errorf("rows read although none was new: got %d, want 20000 at most", after-before)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	within(t, lease, "the late change", func() bool { return l.hears(late, 1) })
}

// Rows are deleted when their transactions ended long enough ago, regardless of their dates, and as fast as new rows
// come. Rows of a transaction that is running or has just ended remain.
func TestChangesArePruned(t *testing.T) {
	url := dbtest.PostgresURL(t)
	source := feed.KeepChanges(dbtest.Open(t, url).FeedSource(), 300*time.Millisecond)
	execute(t, url,
		"INSERT INTO changes (account_id, at) SELECT gen_random_uuid(), now() + interval '1 hour' FROM generate_series(1, 12000)")
	late := uuid.New()
	tx := begin(t, url, late)
	if _, err := tx.Exec(t.Context(), "UPDATE changes SET at = now() - interval '1 hour' WHERE account_id = $1",
		late); err != nil {
		t.Fatal(err)
	}
	l := listenTo(t, source)
	within(t, 5*time.Second, "current", l.IsCurrent)
	observer := connect(t, url)
	count := func(where string, args ...any) (n int) {
		t.Helper()
		if err := observer.QueryRow(t.Context(), "SELECT count(*) FROM changes WHERE "+where,
			args...).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	within(t, 10*time.Second, "the old rows are gone",
		func() bool { return count("at > now() + interval '30 minutes'") == 0 })
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	check.Equal(t, count("account_id = $1", late), 1, "the row of a running transaction was deleted")
	within(t, lease, "the late change", func() bool { return l.hears(late, 1) })
	within(t, 10*time.Second, "its row is gone, too", func() bool { return count("account_id = $1", late) == 0 })
}

// Pruning reads no more rows than it deletes.
func TestPruningScansNoTable(t *testing.T) {
	url := dbtest.PostgresURL(t)
	source := feed.KeepChanges(dbtest.Open(t, url).FeedSource(), 100*time.Millisecond)
	tx := begin(t, url, uuid.New()) // keeps later rows from being deleted
	execute(t, url, "INSERT INTO changes (account_id) SELECT gen_random_uuid() FROM generate_series(1, 20000)")
	observer := connect(t, url)
	l := listenTo(t, source)
	within(t, 5*time.Second, "current", l.IsCurrent)
	within(t, 15*time.Second, "pruning is counted", func() bool {
		_, scans := rowsRead(t, observer)
		return scans >= 20
	})
	if rows, _ := rowsRead(t, observer); rows > 2000 {
		t.Errorf("rows read to delete none: got %d, want 2000 at most", rows)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Either clock detects a pause.
func TestStale(t *testing.T) {
	const brief, long = 2 * time.Second, 2 * time.Minute
	for _, tc := range []struct {
		name            string
		monotonic, wall time.Duration
		want            bool
	}{
		{"neither", brief, brief, false},
		{"stopped while the clock went back", long, -brief, true},
		{"asleep", brief, long, true},
		{"the clock went back", brief, -long, true},
	} {
		check.Equal(t, feed.Stale(tc.monotonic, tc.wall), tc.want, "Stale(): %s", tc.name)
	}
}

// The first change is notified immediately, those after it are notified together, and the last one is not lost.
func TestNotificationsAreCoalesced(t *testing.T) {
	url := dbtest.PostgresURL(t)
	db := dbtest.Open(t, url)
	w := dbtest.Seed{}.Make(t, db)
	made, _ := issue(t, db, w)
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), "LISTEN latchkey_changes"); err != nil {
		t.Fatal(err)
	}
	heard := func(limit time.Duration) bool {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return false
		}
		check.Equal(t, n.Payload, "", "the payload")
		return true
	}
	for heard(10 * feed.NotifySpacing) { // until the notifications of the seed have arrived
	}
	revoke(t, db, made)
	if !heard(2 * time.Second) {
		t.Fatal("no notification arrived, want one within 2 seconds")
	}
	began, n := time.Now(), 0
	for range 100 {
		revoke(t, db, made)
	}
	took := time.Since(began)
	for heard(10 * feed.NotifySpacing) {
		n++
	}
	if most := int(took/feed.NotifySpacing) + 2; n < 1 || n > most {
		t.Errorf("%d notifications of 100 changes in %s, want 1 to %d", n, took, most)
	}
}
