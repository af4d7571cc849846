package gormdb_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/internal/gormdb"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// exercise runs every operation of the queue, reads deliveries of the webhook, and replays those of a webhook, which
// may be another one.
func exercise(t *testing.T, db *gormdb.DB, hook, replayed webhook.Webhook) {
	t.Helper()
	jobs := claims(t, db, 3)
	finish(t, db, outcome(webhook.Delivered), jobs[:1]...)
	finish(t, db, outcome(webhook.Pending), jobs[1:]...)
	begins(t, db, jobs[0], false)
	releaseErr := db.Queue().Release(t.Context(), []deliver.Lease{jobs[0].Lease})
	_, dueErr := db.Queue().NextDue(t.Context())
	_, statsErr := db.Queue().Stats(t.Context())
	_, pruneErr := db.Queue().Prune(t.Context(), noon, 10)
	_, replayErr := db.Webhooks().Replay(t.Context(), aTest, webhook.Replay{AccountID: replayed.AccountID,
		WebhookID: replayed.ID, Since: noon, Until: later(time.Hour), Limit: 10}, noReplayEvent(replayed))
	_, listErr := db.Webhooks().Deliveries(t.Context(), hook.AccountID, []uuid.UUID{hook.ID},
		webhook.DeliveryFilter{}, all, true)
	_, historyErr := db.Webhooks().History(t.Context(), hook.AccountID, hook.ID, noon, later(time.Hour))
	for _, err := range []error{releaseErr, dueErr, statsErr, pruneErr, replayErr, listErr, historyErr} {
		if err != nil {
			t.Fatal(err)
		}
	}
	enqueue(t, db, hook, "another")
}

// With many deliveries, no statement reads the whole table, even if it is planned for an empty one.
func TestQueuePlans(t *testing.T) {
	url := dbtest.PostgresURL(t)
	db := dbtest.Open(t, url)
	hook := addHook(t, db, dbtest.Seed{}.Make(t, db))
	// The statistics are those of one delivery, as before autovacuum runs.
	enqueue(t, db, hook, "first")
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), "ANALYZE"); err != nil {
		t.Fatal(err)
	}
	fillQueue(t, url, hook, 20_000, 100)
	// A replay of a time range reads the events of its account, which have few of the table's rows as a rule.
	few := addHook(t, db, dbtest.Seed{}.Make(t, db))
	fillQueue(t, url, few, 20, 10)
	// The counts of a connection are complete when it is closed.
	scans := func() (text string, n int64) {
		t.Helper()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		awaitClosed(t, conn)
		const read = `SELECT string_agg(relname || ' ' || seq_tup_read, ', '), sum(seq_tup_read)::bigint FROM pg_stat_user_tables
			WHERE relname IN ('deliveries', 'audit_events', 'attempts')`
		if err := conn.QueryRow(t.Context(), read).Scan(&text, &n); err != nil {
			t.Fatal(err)
		}
		return text, n
	}
	textBefore, before := scans()
	db = dbtest.Open(t, url)
	exercise(t, db, hook, few)
	if textAfter, after := scans(); after-before > 10_000 {
		t.Errorf("rows read by sequential scans: got %d, want 10000 at most: before %s; after %s",
			after-before, textBefore, textAfter)
	}
}

// awaitClosed waits until the database has no other connection.
func awaitClosed(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	others := -1
	for range 300 {
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`).Scan(&others)
		if err != nil {
			t.Fatal(err)
		}
		if others == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("other connections to the database: got %d, want none", others)
}

// Claims stay fast with 100,000 due deliveries of one webhook, a part of them behind others of their subject.
func TestClaimsFromALongQueue(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		hook := addHook(t, db, dbtest.Seed{}.Make(t, db))
		fillQueue(t, url, hook, 100_000, 50_000)
		begun, n := time.Now(), 0
		for range 50 {
			jobs := claims(t, db, 100)
			n += len(jobs)
			finish(t, db, outcome(webhook.Delivered), jobs...)
		}
		if each := time.Since(begun) / 50; each > 50*time.Millisecond || n != 200 {
			t.Errorf("claims: got %d deliveries and %v for each claim and its outcomes, want 200 and 50 ms at most",
				n, each)
		}
	})
}

// scanned matches scans of the tables that grow, whose aliases are letters.
var scanned = regexp.MustCompile(`SCAN (deliveries|audit_events|attempts|[defbnc])\b.*`)

func TestQueueSQLitePlans(t *testing.T) {
	url := dbtest.SQLiteURL(t)
	var statements []string
	db := dbtest.OpenWith(t, gormdb.Config{URL: url,
		OnStatement: func(sql string) { statements = append(statements, sql) }})
	hook := addHook(t, db, dbtest.Seed{}.Make(t, db))
	for _, subject := range []string{"a", "a", "b", "c"} {
		enqueue(t, db, hook, subject)
	}
	statements = nil
	exercise(t, db, hook, hook)
	connection, anything := raw(t, url), make([]any, 100)
	for _, statement := range statements {
		if strings.HasPrefix(statement, "WITH RECURSIVE account") {
			continue // its scan reads one row, in the order of the primary key
		}
		plan := queryPlan(t, connection, statement, anything)
		if strings.Contains(statement, "walk") && strings.Contains(plan, "deliveries_created") {
			t.Errorf("%s\nreads all pending deliveries, want an index for each webhook: %s", statement, plan)
		}
		for _, walk := range scanned.FindAllString(plan, -1) {
			if !strings.Contains(walk, "USING") { // in the order of an index, up to a limit
				t.Errorf("%s\nscans a table, want none scanned: %s", statement, plan)
			}
		}
	}
}
