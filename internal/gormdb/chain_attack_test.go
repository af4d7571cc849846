package gormdb_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/chain"
	"latchkey/internal/clock"
	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// attack is what an attacker with the database's password does, while servers run: they seal after each step.
type attack struct {
	name string
	// steps are statements for SQLite. A, B and X are replaced by accounts, of which X does not exist.
	steps []string
	// postgres are those for PostgreSQL, if they are others.
	postgres []string
	// silent says that servers do not find it themselves, but audit verify does.
	silent bool
}

const (
	// rewriteA changes the history of A.
	rewriteA = "UPDATE audit_events SET actor_name = 'Ivan' WHERE account_id = 'A'; DELETE FROM audit_events WHERE (account_id, id) IN (SELECT account_id, event_id FROM audit_chain WHERE account_id = 'A' AND number = 2);"
	forget   = "DELETE FROM audit_chain; DELETE FROM audit_heads; DELETE FROM audit_checkpoints; DELETE FROM audit_totals; INSERT INTO audit_totals (id) VALUES (1);"
	requeue  = "DELETE FROM audit_unsealed; INSERT INTO audit_unsealed (account_id, event_id) SELECT account_id, id FROM audit_events ORDER BY at, account_id, id;"
	dropA    = "DELETE FROM audit_chain WHERE account_id = 'A'; DELETE FROM audit_heads WHERE account_id = 'A'; DELETE FROM audit_checkpoints WHERE account_id = 'A';"
	// zeroTotals makes the totals those of a database without events.
	zeroTotals = "UPDATE audit_totals SET events = 0, restarts = 0, mark = MARK, mark_key = '';"
	// cutTail restores the state of A before its last event, with totals that counted as many events then.
	cutTail = `DELETE FROM audit_events WHERE account_id = 'A' AND id IN (SELECT event_id FROM audit_chain WHERE account_id = 'A' AND number > (SELECT number FROM spy_heads));
		DELETE FROM audit_chain WHERE account_id = 'A' AND number > (SELECT number FROM spy_heads);
		DELETE FROM audit_checkpoints WHERE account_id = 'A' AND number > (SELECT number FROM spy_heads);
		DELETE FROM audit_heads WHERE account_id = 'A'; INSERT INTO audit_heads SELECT * FROM spy_heads;`
	fittingTotals = `DELETE FROM audit_totals; INSERT INTO audit_totals SELECT * FROM spy_totals WHERE events = (SELECT sum(number) FROM audit_heads)
		ORDER BY version DESC LIMIT 1;`
	copyEvent = `INSERT INTO audit_events (account_id, id, at, actor_kind, actor_id, actor_name, action, target_kind, target_key, target_name, ip,
		request_id, details, version, sequence, data, era, position, xid) SELECT 'X', '0192a3b4-0000-7000-8000-000000000001', at, actor_kind,
		actor_id, 'evil', action, target_kind, target_key, target_name, ip, request_id, details, version, 0, data, era, position, XID
		FROM audit_events WHERE account_id = 'A' ORDER BY id LIMIT 1;`
)

// invent adds as many events of an account that does not exist as B has.
const invent = `INSERT INTO audit_events (account_id, id, at, actor_kind, actor_name, action, target_kind, target_key, target_name, ip, request_id, details)
	SELECT 'X', id, at, actor_kind, actor_name, action, target_kind, target_key, target_name, ip, request_id, details FROM audit_events WHERE account_id = 'B';`

func attacks() []attack {
	both := func(name string, steps ...string) attack { return attack{name: name, steps: steps} }
	silent := func(name string, steps ...string) attack { return attack{name: name, steps: steps, silent: true} }
	removeX := strings.ReplaceAll(dropA, "'A'", "'X'") + "DELETE FROM audit_events WHERE account_id = 'X';"
	return []attack{
		{name: "forget the chains", steps: []string{rewriteA + forget + requeue},
			postgres: []string{rewriteA + forget}},
		{
			name: "forget the chains and the schema's version",
			steps: []string{
				rewriteA + forget + requeue +
					"DELETE FROM goose_db_version WHERE version_id = 53",
			},
			postgres: []string{
				rewriteA + forget + "DELETE FROM goose_db_version WHERE version_id = 53",
			},
		},
		{
			name: "use the server to sign totals",
			steps: []string{
				zeroTotals + invent,
				removeX + rewriteA + dropA + requeue,
			},
			postgres: []string{
				zeroTotals + invent,
				removeX + rewriteA + dropA +
					"UPDATE audit_events SET xid = pg_current_xact_id() WHERE account_id = 'A'",
			},
		},
		{
			name: "seal A again under new totals", silent: true,
			steps: []string{
				rewriteA + dropA + requeue,
			},
			postgres: []string{
				rewriteA + dropA +
					"UPDATE audit_events SET xid = pg_current_xact_id() WHERE account_id = 'A'",
			},
		},
		silent("cut the tail of A", cutTail+fittingTotals),
		silent("cut the tail of A, and keep the totals", cutTail),
		both("remove the totals",
			"DELETE FROM audit_totals;"),
		{
			name: "remove the totals, and add an event",
			steps: []string{
				"DELETE FROM audit_totals;" + copyEvent + "DELETE FROM audit_unsealed",
			},
			postgres: []string{
				"DELETE FROM audit_totals;" + copyEvent,
			},
		},
		both("remove the totals and all of A",
			"DELETE FROM audit_totals;"+dropA+"DELETE FROM audit_events WHERE account_id = 'A'"),
		both("remove all of A", dropA+"DELETE FROM audit_events WHERE account_id = 'A'"),
		both("zero the totals", zeroTotals),
		both("an older row of totals",
			"DELETE FROM audit_totals; INSERT INTO audit_totals SELECT * FROM spy_totals ORDER BY version LIMIT 1"),
		both("change the restarts",
			"UPDATE audit_totals SET restarts = 1"),
		both("change the sum",
			"UPDATE audit_totals SET head_sum = mark"),
		both("set a signed number forward",
			"UPDATE audit_heads SET signed_number = 999999 WHERE account_id = 'A'"),
		both("set a signed number back",
			"UPDATE audit_heads SET signed_number = 0 WHERE account_id = 'A'"),
		{
			name: "set a signed time forward",
			steps: []string{
				"UPDATE audit_heads SET signed_at = 32503680000000000",
			},
			postgres: []string{
				"UPDATE audit_heads SET signed_at = '3000-01-01'",
			},
		},
		both("change the key of a head",
			"UPDATE audit_heads SET mark_key = '000000000000' WHERE account_id = 'A'"),
		{
			name: "change the time of a head",
			steps: []string{
				"UPDATE audit_heads SET sealed_at = sealed_at + 1",
			},
			postgres: []string{
				"UPDATE audit_heads SET sealed_at = sealed_at + interval '1s'",
			},
		},
		both("remove a head",
			"DELETE FROM audit_heads WHERE account_id = 'A'"),
		both("remove all heads",
			"DELETE FROM audit_heads"),
		both("exchange two heads",
			"UPDATE audit_heads SET account_id = 'Y' WHERE account_id = 'A'; UPDATE audit_heads SET account_id = 'A' WHERE account_id = 'B'; UPDATE audit_heads SET account_id = 'B' WHERE account_id = 'Y'"),
		silent("set a stream forward",
			"UPDATE audit_streams SET place = place + 1"),
		silent("set a stream far forward",
			"UPDATE audit_streams SET place = place + 1000"),
		silent("change all places",
			"UPDATE audit_chain SET place = 1"),
		silent("change one place",
			"UPDATE audit_chain SET place = place + 1 WHERE account_id = 'A' AND number = 3"),
		silent("remove all checkpoints",
			"DELETE FROM audit_checkpoints"),
		silent("remove the first checkpoint",
			"DELETE FROM audit_checkpoints WHERE account_id = 'A' AND number = (SELECT min(number) FROM audit_checkpoints WHERE account_id = 'A')"),
		silent("remove the last checkpoint",
			"DELETE FROM audit_checkpoints WHERE account_id = 'A' AND number = (SELECT max(number) FROM audit_checkpoints WHERE account_id = 'A')"),
		both("change the keys of checkpoints",
			"UPDATE audit_checkpoints SET signature_key = '000000000000'"),
		{
			name: "an event of no account, with an old transaction", silent: true,
			steps: []string{
				copyEvent + "DELETE FROM audit_unsealed",
			},
			postgres: []string{
				copyEvent,
			},
		},
		{
			name: "an event of the zero account", silent: true,
			steps: []string{
				strings.ReplaceAll(copyEvent, "'X'", "'"+uuid.Nil.String()+"'") + "DELETE FROM audit_unsealed",
			},
			postgres: []string{
				strings.ReplaceAll(copyEvent, "'X'", "'"+uuid.Nil.String()+"'"),
			},
		},
		silent("an event and a link of no account", copyEvent+
			"INSERT INTO audit_chain SELECT account_id, 1, id, (SELECT hash FROM audit_heads LIMIT 1), 1 FROM audit_events WHERE account_id = 'X'; "+
			emptyQueue),
		{name: "never seal", steps: []string{"DELETE FROM audit_totals"},
			postgres: []string{"UPDATE audit_totals SET xid = '99999999999'"}},
	}
}

const emptyQueue = "DELETE FROM audit_unsealed"

// saved are the tables that attacks change.
var saved = append([]string{"audit_streams"}, chained...)

// Servers sign nothing that they have not verified, so an attack is found after they have sealed events again, too.
func TestAttacksAreFound(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		a, b := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		isSQLite := db.Dialect() == "sqlite"
		step := func(of dbtest.World) {
			t.Helper()
			issue(t, db, of, uuid.Nil)
			sealAll(t, db)
		}
		for range 3 {
			step(a)
			step(b)
		}
		signAll(t, db)
		_, err := gormdb.AuditStreams(db, keyring).Lease(t.Context(), "target", uuid.New(), time.Hour)
		must(t, err)
		spy := "CREATE TABLE spy_heads AS SELECT * FROM audit_heads WHERE account_id = '" + a.Account.ID.String() +
			"'; CREATE TABLE spy_totals AS SELECT * FROM audit_totals"
		dbtest.Exec(t, url, spy, spy)
		for _, of := range []dbtest.World{a, b, b, a, b} {
			step(of)
			const again = "INSERT INTO spy_totals SELECT * FROM audit_totals"
			dbtest.Exec(t, url, again, again)
		}
		signAll(t, db)
		checkChains(t, db)
		save, restore := "", ""
		for _, table := range saved {
			save += "CREATE TABLE saved_" + table + " AS SELECT * FROM " + table + ";"
			restore += "DELETE FROM " + table + "; INSERT INTO " + table + " SELECT * FROM saved_" + table + ";"
		}
		dbtest.Exec(t, url, save, save)
		names := strings.NewReplacer("'A'", "'"+a.Account.ID.String()+"'", "'B'", "'"+b.Account.ID.String()+"'",
			"'X'", "'deadbeef-0000-4000-8000-000000000001'", "'Y'", "'deadbeef-0000-4000-8000-000000000002'",
			"XID", map[bool]string{true: "3", false: "'3'"}[isSQLite],
			"MARK", map[bool]string{true: "x''", false: "''"}[isSQLite])
		for _, tc := range attacks() {
			t.Run(tc.name, func(t *testing.T) {
				steps := tc.steps
				if tc.postgres != nil && !isSQLite {
					steps = tc.postgres
				}
				running, started := newSealer(db), newSealer(db)
				serveOnce(t, db, running)
				for _, s := range steps {
					s = names.Replace(s)
					if !isSQLite {
						s = strings.ReplaceAll(s, emptyQueue, "")
					}
					dbtest.Exec(t, url, s, s)
					serveOnce(t, db, running)
					serveOnce(t, db, started)
				}
				if found, _ := verify(t, db, keyring); len(found) == 0 {
					t.Error("got no finding, want one")
				}
				if !tc.silent {
					check.Equal(t, started.Broken(), true, "a server that starts finds it")
					check.Equal(t, started.Failing().IsZero(), false, "it says since when it cannot seal")
				}
				const version = `INSERT INTO goose_db_version (version_id, is_applied) SELECT 53, true
					WHERE NOT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = 53);`
				dbtest.Exec(t, url, restore+version+emptyQueue, restore+version)
				checkChains(t, db)
			})
		}
	})
}

func newSealer(db *gormdb.DB) *chain.Sealer {
	return chain.NewSealer(gormdb.Chain(db), keyring, time.Now, slog.New(slog.DiscardHandler), func(int) {})
}

// serveOnce does what a server does: it begins the chains of an empty database, verifies heads, and seals all events.
func serveOnce(t *testing.T, db *gormdb.DB, s *chain.Sealer) {
	t.Helper()
	repo := gormdb.Chain(db)
	_, begun, err := repo.Begin(t.Context(), keyring, clock.Timestamp(time.Now()), false)
	if begun || err != nil && !chain.IsBroken(err) {
		t.Fatalf("Begin() = %t, %v, want false", begun, err)
	}
	for range 2000 {
		s.Step(t.Context())
		state, err := repo.State(t.Context())
		must(t, err)
		if s.Broken() || state.Pending.IsZero() && !state.Backlog {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("events are not sealed in time")
}

// Only an operator begins chains in a database that has events. That is a finding, unless the time is known.
func TestBegin(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		repo, at := gormdb.Chain(db), clock.Timestamp(time.Now()).Add(-time.Minute)
		for _, want := range []bool{true, false} {
			totals, begun, err := repo.Begin(t.Context(), keyring, at, false)
			must(t, err)
			check.Equal(t, begun, want, "the chains begin")
			check.Equal(t, totals.Restarts, 0, "restarts")
		}
		wantKinds(t, db)
		server := newSealer(db)
		serveOnce(t, db, server)
		w := dbtest.Seed{}.Make(t, db)
		const now = "UPDATE accounts SET created_at = (SELECT begun_at FROM audit_totals); " +
			"UPDATE audit_events SET at = (SELECT begun_at FROM audit_totals)"
		dbtest.Exec(t, url, now, now)
		issue(t, db, w, uuid.Nil)
		dbtest.Exec(t, url, now, now)
		sealAll(t, db)
		_, err := gormdb.AuditStreams(db, keyring).Lease(t.Context(), "target", uuid.New(), time.Hour)
		must(t, err)
		serveOnce(t, db, server)

		totals, begun, err := repo.Begin(t.Context(), keyring, at.Add(time.Second), true)
		must(t, err)
		check.Equal(t, fmt.Sprint(begun, totals.Restarts, totals.Events), "true 1 0", "begun, restarts and events")
		serveOnce(t, db, server)
		check.Equal(t, server.Broken(), false, "a server that runs accepts it")
		wantKinds(t, db, chain.Restarted)
		v := chain.NewVerifier(repo, keyring, func(f chain.Finding) { t.Errorf("got %+v, want no finding", f) })
		v.ExpectBegun(totals.BegunAt)
		result, err := v.Verify(t.Context(), uuid.Nil, time.Now())
		must(t, err)
		check.Equal(t, result.Begun, totals.BegunAt, "when the chains began")
		leased, err := gormdb.AuditStreams(db, keyring).Lease(t.Context(), "target", uuid.New(), time.Hour)
		must(t, err)
		check.Equal(t, fmt.Sprint(leased), "{true 0 false false}", "the stream begins again")
	})
}

// A database that was emptied and filled again is found, since accounts and events are older than the chains.
func TestEmptiedDatabaseIsFound(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		_, _, err := gormdb.Chain(db).Begin(t.Context(), keyring, clock.Timestamp(time.Now()).Add(time.Hour), false)
		must(t, err)
		w := dbtest.Seed{}.Make(t, db)
		issue(t, db, w, uuid.Nil)
		sealAll(t, db)
		wantKinds(t, db, chain.Restarted)
	})
}
