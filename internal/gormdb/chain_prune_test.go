package gormdb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/chain"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
	"latchkey/internal/webhook"
)

// pruneBefore removes the account's events from before a time, and returns how many.
func pruneBefore(t *testing.T, db *gormdb.DB, accountID uuid.UUID, before time.Time) (removed int64) {
	t.Helper()
	p := chain.NewPruner(gormdb.Chain(db), keyring, clock.System)
	for range 50 {
		n, more, err := p.Prune(t.Context(), accountID, before)
		must(t, err)
		if removed += n; !more {
			return removed
		}
	}
	t.Fatal("there is always more to remove")
	return 0
}

func countOf(t *testing.T, db *gormdb.DB, from string) (n int64) {
	t.Helper()
	must(t, gormdb.Gorm(db).Raw("SELECT count(*) FROM "+from).Scan(&n).Error)
	return n
}

// at changes when an event happened.
func at(when time.Time) func(*token.Draft) { return func(d *token.Draft) { d.Token.CreatedAt = when } }

// insertAt issues a token whose event happened at a time.
func insertAt(t *testing.T, db *gormdb.DB, w dbtest.World, when time.Time) token.Token {
	t.Helper()
	d, _ := draft(w, uuid.Nil, at(when))
	d.Event.At, d.MaxLive = when, 10_000
	must(t, db.Tokens().Insert(t.Context(), byTest, d))
	return d.Token
}

// Old events are removed up to the first that is not old, and those of other accounts stay.
func TestOldEventsArePruned(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w, other := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		const old = 450 // more than two batches
		for range old {
			insertAt(t, db, w, noon)
		}
		for range 3 {
			insertAt(t, db, w, later(time.Hour))
			insertAt(t, db, other, later(time.Hour))
		}
		sealAll(t, db)
		signAll(t, db)
		before := countOf(t, db, "audit_events")
		repo := gormdb.Chain(db)
		with, err := repo.WithOld(t.Context(), later(time.Minute), uuid.Nil, 10)
		must(t, err)
		check.Equal(t, fmt.Sprint(with), fmt.Sprint([]uuid.UUID{w.Account.ID}), "the accounts with old events")
		check.Equal(t, pruneBefore(t, db, w.Account.ID, later(time.Minute)), int64(old), "the number of removed events")
		check.Equal(t, before-countOf(t, db, "audit_events"), int64(old), "the number of events that are gone")
		checkChains(t, db)
		with, err = repo.WithOld(t.Context(), later(time.Minute), uuid.Nil, 10)
		must(t, err)
		check.Equal(t, len(with), 0, "the number of accounts with old events")
		check.Equal(t, pruneBefore(t, db, w.Account.ID, later(2*time.Hour)), int64(2),
			"the last event of a chain stays; removed")
		checkChains(t, db)
		insertAt(t, db, w, later(3*time.Hour))
		sealAll(t, db)
		signAll(t, db)
		checkChains(t, db)
	})
}

// A row that is changed, removed or added at the edge of what was removed is found, and so is a changed checkpoint.
func TestTamperingWithPrunedChainIsFound(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		for i := range 10 {
			insertAt(t, db, w, later(time.Duration(i)*time.Minute))
		}
		sealAll(t, db)
		var save, restore string
		for _, table := range append([]string{"audit_checkpoints"}, "audit_events", "audit_chain") {
			save += "CREATE TABLE saved_" + table + " AS SELECT * FROM " + table + ";"
			restore += "DELETE FROM " + table + "; INSERT INTO " + table + " SELECT * FROM kept_" + table + ";"
		}
		dbtest.Exec(t, url, save, save)
		check.Equal(t, pruneBefore(t, db, w.Account.ID, later(5*time.Minute)), int64(5), "the number of removed events")
		var keep string
		for _, table := range []string{"audit_checkpoints", "audit_events", "audit_chain"} {
			keep += "CREATE TABLE kept_" + table + " AS SELECT * FROM " + table + ";"
		}
		dbtest.Exec(t, url, keep, keep)
		checkChains(t, db)
		const first = "(SELECT event_id FROM audit_chain WHERE number = (SELECT min(number) FROM audit_chain))"
		for _, tc := range []struct {
			name, sql string
			want      chain.Kind
		}{
			{"the first event and its link are removed", `DELETE FROM audit_events WHERE id = ` + first + `;
				DELETE FROM audit_chain WHERE number = (SELECT min(number) FROM audit_chain)`, chain.Missing},
			{"the first event is removed", "DELETE FROM audit_events WHERE id = " + first, chain.Missing},
			{"the first event is changed", "UPDATE audit_events SET ip = '192.0.2.1' WHERE id = " + first,
				chain.Changed},
			{"the checkpoint is removed", "DELETE FROM audit_checkpoints WHERE pruned", chain.Missing},
			{"the checkpoint and events after it are removed", `DELETE FROM audit_events WHERE id = ` + first + `;
				DELETE FROM audit_chain WHERE number = (SELECT min(number) FROM audit_chain);
				UPDATE audit_checkpoints SET number = number + 1 WHERE pruned`, chain.Missing},
			{"an event is added that was removed",
				"INSERT INTO audit_events SELECT * FROM saved_audit_events WHERE id NOT IN (SELECT id FROM audit_events)",
				chain.Added},
			{"an event is added with its link", `INSERT INTO audit_events SELECT * FROM saved_audit_events
					WHERE id NOT IN (SELECT id FROM audit_events);
				INSERT INTO audit_chain SELECT * FROM saved_audit_chain WHERE number <= 5`, chain.Added},
		} {
			t.Run(tc.name, func(t *testing.T) {
				dbtest.Exec(t, url, tc.sql+"; DELETE FROM audit_unsealed", tc.sql)
				found, _ := verify(t, db, keyring)
				kinds := ""
				for _, f := range found {
					kinds += " " + string(f.Kind)
				}
				check.Equal(t, strings.Contains(kinds, string(tc.want)), true, "the findings%s have %s", kinds, tc.want)
				dbtest.Exec(t, url, restore+"DELETE FROM audit_unsealed", restore)
				checkChains(t, db)
			})
		}
	})
}

// Events that do not verify are not removed.
func TestBrokenChainIsNotPruned(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		for range 6 {
			insertAt(t, db, w, noon)
		}
		sealAll(t, db)
		const change = "UPDATE audit_events SET ip = '192.0.2.1' WHERE id = (SELECT event_id FROM audit_chain WHERE number = 3)"
		dbtest.Exec(t, url, change, change)
		p := chain.NewPruner(gormdb.Chain(db), keyring, clock.System)
		removed, _, err := p.Prune(t.Context(), w.Account.ID, later(time.Minute))
		mustBe(t, err, fault.Conflict)
		check.Equal(t, removed, int64(2), "the number of removed events")
		wantKinds(t, db, chain.Changed)
		const forge = "UPDATE audit_heads SET mark_key = 'other'"
		dbtest.Exec(t, url, forge, forge)
		_, err = gormdb.Chain(db).Prune(t.Context(), keyring, w.Account.ID, 4, time.Now())
		mustBe(t, err, fault.Conflict)
	})
}

// An event stays while it has a delivery, and until a stream has sent it.
func TestNeededEventsAreNotPruned(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		hook := addHook(t, db, w, types("webhook.*"))
		for range 4 {
			insertAt(t, db, w, noon)
		}
		sealAll(t, db)
		replay := func() {
			t.Helper()
			again := webhook.Replay{AccountID: w.Account.ID, WebhookID: hook.ID, Limit: 10, Since: later(-time.Hour)}
			_, err := db.Webhooks().Replay(t.Context(), aTest, again,
				func(int) audit.Event { return hookEvent(hook, "webhook.replayed") })
			must(t, err)
		}
		dbtest.Exec(t, url, "DELETE FROM deliveries", "DELETE FROM deliveries")
		replay()
		check.Equal(t, countOf(t, db, "deliveries") > 0, true, "events are scheduled")
		check.Equal(t, pruneBefore(t, db, w.Account.ID, later(time.Minute)), int64(0),
			"removed while the first has a delivery")
		dbtest.Exec(t, url, "DELETE FROM deliveries", "DELETE FROM deliveries")
		streams, holder := gormdb.AuditStreams(db, keyring), uuid.New()
		_, err := streams.Lease(t.Context(), "file:/log", holder, time.Minute)
		must(t, err)
		_, err = streams.Save(t.Context(), "file:/log", holder, 2)
		must(t, err)
		sealAll(t, db)
		check.Equal(t, pruneBefore(t, db, w.Account.ID, later(time.Minute)), int64(2),
			"removed while a stream is at the second")
		dbtest.Exec(t, url, "UPDATE audit_streams SET until_at = until_at - 8 * 24 * 3600 * 1000000",
			"UPDATE audit_streams SET until_at = until_at - interval '8 days'")
		check.Equal(t, pruneBefore(t, db, w.Account.ID, later(time.Minute)), countOf(t, db, "audit_chain")+2,
			"removed after the stream was away for 8 days; 1 stays")
		checkChains(t, db)
	})
}

// The numbers of a subject and of the log go on after events were removed, and a reader that missed some is told.
func TestLogGoesOnAfterPruning(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		one := insertAt(t, db, w, noon)
		for range 4 {
			must(t, update(t.Context(), db, one, 0))
		}
		dbtest.AwaitLog(t, db, w.Account.ID)
		early := follower{log: db.Log(), account: w.Account.ID}
		must(t, early.read(t.Context(), 1))
		first, current := paging.Request{First: new(1)}, early.cursor
		window, err := first.LogWindow(paging.MaxSize)
		must(t, err)
		page, err := db.Log().Log(t.Context(), w.Account.ID, audit.LogFilter{}, window)
		must(t, err)
		stale := page.Items[0].Position
		insertAt(t, db, w, later(time.Hour))
		sealAll(t, db)
		check.Equal(t, pruneBefore(t, db, w.Account.ID, later(time.Minute)), int64(5), "the number of removed events")

		must(t, update(t.Context(), db, one, 0))
		many := []audit.Event{event(one, audit.APITokenUpdated), event(one, audit.APITokenUpdated)}
		change(t, db, w, func(c user.Change) error { return c.Record(t.Context(), many) })
		revoke(t, db, one)
		dbtest.AwaitLog(t, db, w.Account.ID)
		early.seen, early.cursor = nil, current
		must(t, early.read(t.Context(), 2))
		var sequences []int64
		for _, e := range early.seen {
			if e.Target.Key == one.ID.String() {
				sequences = append(sequences, e.Sequence)
			}
		}
		check.Equal(t, fmt.Sprint(sequences), "[6 7 8 9]", "the numbers of the events of a subject whose earlier ones were removed")
		check.Equal(t, len(early.seen), 5, "the number of events that a reader gets who was at the end")
		_, err = db.Log().Log(t.Context(), w.Account.ID, audit.LogFilter{}, audit.LogWindow{After: &stale, Size: 10})
		mustBe(t, err, fault.Invalid)
		if removed := paging.ErrRemoved(); !errors.As(err, &removed) || removed.Field != "after" {
			t.Errorf("the error is %v, want one of the field after", err)
		}
		sealAll(t, db)
		checkChains(t, db)
	})
}

// The users to whom an API token gave rights are known after the events were removed.
func TestGrantedUsersAreKnownAfterPruning(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Users: 3}.Make(t, db)
		by, _ := issue(t, db, w, uuid.Nil)
		for _, e := range []audit.Event{
			userEvent(w, w.Users[1].ID, audit.UserCreated), userEvent(w, w.Users[2].ID, audit.UserRemoved),
			userEvent(w, w.Users[1].ID, audit.UserAdded),
		} {
			e.Actor = audit.Actor{Kind: audit.ActorAPIToken, ID: by.ID, Name: by.Name}
			must(t, db.Manifest().Record(t.Context(), e))
		}
		insertAt(t, db, w, later(time.Hour))
		sealAll(t, db)
		granted := func() string {
			t.Helper()
			return fmt.Sprint(walkUsers(t, db, w, user.Filter{GrantedBy: []uuid.UUID{by.ID}}, paging.Window{Size: 10}))
		}
		want := granted()
		check.Equal(t, strings.Contains(want, w.Users[1].Email), true, "the user is among %s", want)
		check.Equal(t, pruneBefore(t, db, w.Account.ID, later(time.Minute)), int64(4), "the number of removed events")
		check.Equal(t, granted(), want, "the users after")
	})
}

// The statement that events were removed is signed again with a new key.
func TestPrunedChainWithNewKey(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		for range 3 {
			insertAt(t, db, w, noon)
		}
		sealAll(t, db)
		check.Equal(t, pruneBefore(t, db, w.Account.ID, later(time.Minute)) > 0, true, "events were removed")
		both, next := replacedKeys(t)
		now := clock.Timestamp(time.Now())
		_, err := gormdb.Chain(db).Checkpoint(t.Context(), both, now, now.Add(-time.Hour), 100)
		must(t, err)
		_, err = gormdb.Chain(db).Seal(t.Context(), both, chain.Totals{}, now, 10)
		must(t, err)
		for n := 1; n > 0; {
			n, err = gormdb.Chain(db).Renew(t.Context(), both, 100)
			must(t, err)
		}
		found, _ := verify(t, db, next)
		check.Equal(t, len(found), 0, "findings with the new key: %+v", found)
	})
}

// pruned is a reader of chains whose events are removed before each time it reads links.
type pruned struct {
	chain.Repository

	prune func()
}

func (p pruned) Links(ctx context.Context, accountID uuid.UUID, after int64, limit int) ([]chain.Stored, error) {
	p.prune()
	return p.Repository.Links(ctx, accountID, after, limit)
}

// A chain verifies while its old events are being removed.
func TestVerifyWhilePruning(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		const events = 1200 // more than two pages
		for range events {
			insertAt(t, db, w, noon)
		}
		sealAll(t, db)
		signAll(t, db)
		repo, through := gormdb.Chain(db), int64(0)
		reader := pruned{repo, func() {
			through += 300
			_, err := repo.Prune(t.Context(), keyring, w.Account.ID, through, clock.Timestamp(time.Now()))
			must(t, err)
		}}
		var found []chain.Finding
		v := chain.NewVerifier(reader, keyring, func(f chain.Finding) { found = append(found, f) })
		result, err := v.Verify(t.Context(), uuid.Nil, time.Now())
		must(t, err)
		check.Equal(t, len(found), 0, "findings: %+v", found)
		check.Equal(t, result.Events > 0 && result.Events < events && through > 300, true,
			"verified %d events, removed up to %d", result.Events, through)
	})
}
