package gormdb_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"gorm.io/gorm/schema"

	"latchkey/internal/chain"
	"latchkey/internal/clock"
	"latchkey/internal/gormdb"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
)

// begin begins the chains, at an early time since tests store accounts and events of any time.
func begin(t testing.TB, db *gormdb.DB) {
	t.Helper()
	totals := chain.NewTotals(keyring, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), 0)
	if err := gormdb.StoreTotals(t.Context(), db, totals); err != nil {
		t.Fatal(err)
	}
}

// sealAll begins the chains if they have not begun, and seals all events that are stored, in batches of a few. On
// PostgreSQL an event is sealed once every transaction that began before its own has ended, also those of other
// databases of the cluster, which tests share.
func sealAll(t *testing.T, db *gormdb.DB) {
	t.Helper()
	sealAllWith(t, db, keyring)
}

func sealAllWith(t *testing.T, db *gormdb.DB, keys *secret.Keyring) {
	t.Helper()
	repo := gormdb.Chain(db)
	if state, err := repo.State(t.Context()); err != nil || !state.Totals.Signed(keys) {
		must(t, err)
		begin(t, db)
	}
	for range 3000 {
		if _, err := repo.Seal(t.Context(), keys, chain.Totals{}, clock.Timestamp(time.Now()), 7); err != nil {
			t.Fatal(err)
		}
		state, err := repo.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if state.Pending.IsZero() && !state.Backlog {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("events are not sealed in time")
}

func signAll(t *testing.T, db *gormdb.DB) []chain.Checkpoint {
	t.Helper()
	now := clock.Timestamp(time.Now())
	signed, err := gormdb.Chain(db).Checkpoint(t.Context(), keyring, now, now, 100)
	must(t, err)
	return signed
}

// verify returns what is wrong with the chains of all accounts.
func verify(t *testing.T, db *gormdb.DB, with *secret.Keyring) (list []chain.Finding, result chain.Verified) {
	t.Helper()
	v := chain.NewVerifier(gormdb.Chain(db), with, func(f chain.Finding) { list = append(list, f) })
	result, err := v.Verify(t.Context(), uuid.Nil, time.Now())
	must(t, err)
	check.Equal(t, result.Findings, int64(len(list)), "the number of findings")
	return list, result
}

// checkChains fails the test if a chain is not in order, or does not have all events of its account.
func checkChains(t *testing.T, db *gormdb.DB) {
	t.Helper()
	checkChainsWith(t, db, keyring)
}

func checkChainsWith(t *testing.T, db *gormdb.DB, keys *secret.Keyring) {
	t.Helper()
	list, result := verify(t, db, keys)
	if len(list) > 0 {
		t.Errorf("findings: got %+v, want none", list)
	}
	var events, links int64
	must(t, gormdb.Gorm(db).Raw("SELECT count(*) FROM audit_events").Scan(&events).Error)
	must(t, gormdb.Gorm(db).Raw("SELECT count(*) FROM audit_chain").Scan(&links).Error)
	check.Equal(t, links, events, "the number of links")
	check.Equal(t, result.Events, events, "the number of verified events")
}

// While transactions commit in another order than they began, several servers seal at once, sign checkpoints and
// replace the key. Each event is sealed once, and a verification meanwhile finds nothing.
func TestEventsAreSealedOnce(t *testing.T) {
	const writers, rounds = 32, 6
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		begin(t, db)
		w, other := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		shared, _ := issue(t, db, w, uuid.Nil)
		var writing, sealing errgroup.Group
		done, cancel := context.WithCancel(t.Context())
		var during atomic.Int64
		both, next := replacedKeys(t)
		for range 2 {
			repo := gormdb.Chain(dbtest.Open(t, url))
			sealing.Go(func() error {
				for n := 0; done.Err() == nil; n++ {
					keys, now := keyring, clock.Timestamp(time.Now())
					if during.Load() > 20 { // from then on both servers have the new key
						keys = both
					}
					sealed, err := repo.Seal(t.Context(), keys, chain.Totals{}, now, 5)
					if err == nil && n%3 == 0 {
						_, err = repo.Checkpoint(t.Context(), both, now, now, 2)
					}
					if err == nil && keys == both {
						_, err = repo.Renew(t.Context(), both, 3)
					}
					if err != nil && keys == both { // without the new key a server may refuse what it signed
						return err
					}
					during.Add(int64(sealed.Events))
				}
				return nil
			})
		}
		sealing.Go(func() error {
			for done.Err() == nil {
				var found error
				v := chain.NewVerifier(gormdb.Chain(db), both, func(f chain.Finding) {
					if f.Kind != chain.Late { // the events of tests have old times
						found = fmt.Errorf("found %+v", f)
					}
				})
				if _, err := v.Verify(t.Context(), uuid.Nil, time.Now()); err != nil || found != nil {
					return errors.Join(err, found)
				}
			}
			return nil
		})
		for range writers {
			writing.Go(func() error {
				for round := range rounds {
					open := time.Duration(mathrand.Int64N(int64(5 * time.Millisecond)))
					if round%2 == 0 {
						if err := update(t.Context(), db, shared, open); err != nil {
							return err
						}
						continue
					}
					d, _ := draft(other, other.Stores[0].ID)
					d.MaxLive = 1_000
					if err := db.Tokens().Insert(t.Context(), byTest, d); err != nil {
						return err
					}
				}
				return nil
			})
		}
		err := writing.Wait()
		cancel()
		must(t, errors.Join(err, sealing.Wait()))
		sealAllWith(t, db, both)
		for n := 1; n > 0; {
			n, err = gormdb.Chain(db).Renew(t.Context(), both, 3)
			must(t, err)
		}
		checkChainsWith(t, db, next)
		if during.Load() == 0 {
			t.Error("got no event that was sealed while others were written, want some")
		}
	})
}

// A server that is stopped while it seals leaves nothing half-done, and another one continues.
func TestSealerIsStopped(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		begin(t, db)
		w := dbtest.Seed{}.Make(t, db)
		repo := gormdb.Chain(db)
		for range 40 {
			issue(t, db, w, uuid.Nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(mathrand.Int64N(int64(3*time.Millisecond))))
			_, _ = repo.Seal(ctx, keyring, chain.Totals{}, clock.Timestamp(time.Now()), 5) // usually it is stopped
			cancel()
		}
		sealAll(t, db)
		checkChains(t, db)
	})
}

// Events from before the migration are sealed, and later ones of programs that do not know of chains.
func TestEventsOfOlderProgramsAreSealed(t *testing.T) {
	eachEmpty(t, func(t *testing.T, url string) {
		migrateTo(t, url, 49)
		accountID := uuid.NewString()
		insert := func(n int) {
			at := "now()"
			if strings.HasPrefix(url, "sqlite:") {
				at = "unixepoch() * 1000000"
			}
			for i := range n {
				execute(t, url, fmt.Sprintf(`INSERT INTO audit_events (account_id, id, at, actor_kind, actor_name, action,
					target_kind, target_key, target_name, ip, request_id, details) VALUES ('%s', '%s', %s, 'OPERATOR',
					'operator', 'session.started', 'session', '%d', '', '', '', '[]')`, accountID, uuid.New(), at, i))
			}
		}
		insert(20)
		db := dbtest.Open(t, url)
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		insert(3)
		sealAll(t, db)
		checkChains(t, db)
	})
}

// A database that was restored into another cluster has transactions with other numbers. Its events are sealed once.
func TestEventsAreSealedAfterRestoring(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		for range 10 {
			issue(t, db, w, uuid.Nil)
		}
		sealAll(t, db)
		issue(t, db, w, uuid.Nil) // not sealed
		dbtest.Exec(t, url, "", `UPDATE log_era SET cluster = 'another';
			UPDATE audit_events SET xid = (xid::text::bigint + 1000000)::text::xid8;
			UPDATE audit_totals SET xid = (xid::text::bigint + 1000000)::text::xid8`)
		must(t, db.AgreeOnEra(t.Context()))
		issue(t, db, w, uuid.Nil)
		sealAll(t, db)
		checkChains(t, db)
	})
}

// tampering is a change by an attacker with the database's password, and the finding that it must have.
type tampering struct {
	name             string
	sqlite, postgres string
	want             chain.Kind
}

// victim is the condition of an event in the middle of a chain.
const victim = "(account_id, id) = (SELECT account_id, event_id FROM audit_chain ORDER BY account_id DESC LIMIT 1 OFFSET 6)"

// tampers returns a change of each column of an event, and further ones.
func tampers(t *testing.T) []tampering {
	t.Helper()
	text := func(column string) string { return column + " || 'x'" }
	const someID = "'0192a3b4-0000-7000-8000-000000000001'"
	values := map[string]string{"account_id": someID, "id": someID, "actor_id": someID,
		"actor_kind": text("actor_kind"), "actor_name": text("actor_name"), "action": text("action"),
		"target_kind": text("target_kind"), "target_key": text("target_key"), "target_name": text("target_name"),
		"ip": text("ip"), "request_id": text("request_id"), "data": text("data"),
		"details": `'[{"name": "scopes", "value": "none"}]'`, "version": "version + 1", "sequence": "sequence + 1000",
		"era": "era + 1"}
	list := []tampering{
		{name: "at", sqlite: "UPDATE audit_events SET at = at + 1 WHERE " + victim,
			postgres: "UPDATE audit_events SET at = at + interval '1 microsecond' WHERE " + victim, want: chain.Changed},
		{name: "position", sqlite: "UPDATE audit_events SET position = position + 1000 WHERE " + victim,
			postgres: "UPDATE audit_events SET position = '1' WHERE " + victim, want: chain.Changed},
		{name: "details of another form", sqlite: `UPDATE audit_events SET details = '{}' WHERE ` + victim,
			postgres: `UPDATE audit_events SET details = '{}' WHERE ` + victim, want: chain.Changed},
	}
	for column, value := range values {
		want := chain.Changed
		if column == "account_id" || column == "id" {
			want = chain.Missing
		}
		statement := "UPDATE audit_events SET " + column + " = " + value + " WHERE " + victim
		list = append(list, tampering{column, statement, statement, want})
	}
	for _, model := range gormdb.Models {
		parsed, err := schema.Parse(model, &sync.Map{}, schema.NamingStrategy{IdentifierMaxLength: 64})
		must(t, err)
		for _, f := range parsed.Fields {
			covered := slices.ContainsFunc(list, func(c tampering) bool { return c.name == f.DBName })
			if parsed.Table == "audit_events" && f.DBName != "xid" && !covered {
				t.Errorf("no change of the column %s is tested", f.DBName)
			}
		}
	}
	return list
}

// inChain is the account with the longest chain.
const inChain = "account_id = (SELECT account_id FROM audit_heads ORDER BY number DESC LIMIT 1)"

// removals returns changes of which events exist, and changes of the chain itself.
func removals() []tampering {
	const event = "DELETE FROM audit_events WHERE (account_id, id) IN (SELECT account_id, event_id FROM audit_chain WHERE " + inChain + " AND number %s); "
	const link = "DELETE FROM audit_chain WHERE " + inChain + " AND number %s; "
	const last = "= (SELECT max(number) FROM audit_chain WHERE " + inChain + ")"
	both := func(which string) string { return fmt.Sprintf(event+link, which, which) }
	same := func(name string, want chain.Kind, statement string) tampering {
		return tampering{name, statement, statement, want}
	}
	const columns = "account_id, id, at, actor_kind, actor_id, actor_name, action, target_kind, target_key, target_name, ip, request_id, details, version, sequence, data, era, position"
	insert := "INSERT INTO audit_events (" + columns + ", xid) SELECT " +
		strings.NewReplacer(" id,", " '0192a3b4-0000-7000-8000-000000000001',", "sequence", "0").Replace(columns)
	return []tampering{
		same("the first event", chain.Missing, fmt.Sprintf(event, "= 1")),
		same("the first event and its link", chain.Missing, both("= 1")),
		same("an event in the middle", chain.Missing, fmt.Sprintf(event, "= 4")),
		same("an event in the middle and its link", chain.Missing, both("= 4")),
		same("a link", chain.Added, fmt.Sprintf(link, "= 4")),
		same("the last event", chain.Missing, fmt.Sprintf(event, last)),
		same("the last event and its link", chain.Missing, both(last)),
		same("all but three", chain.Missing, both("> 3")),
		same("all but three, and the head set back", chain.Forged, both("> 3")+
			"UPDATE audit_heads SET number = 3 WHERE "+inChain),
		same("the head", chain.Cut, "DELETE FROM audit_heads WHERE "+inChain),
		same("the whole chain", chain.Missing, strings.ReplaceAll(`DELETE FROM audit_events WHERE IN; DELETE FROM audit_chain WHERE IN;
			DELETE FROM audit_checkpoints WHERE IN; DELETE FROM audit_heads WHERE IN`, "IN", inChain)),
		same("the totals", chain.Forged, "UPDATE audit_totals SET events = events - 1"),
		same("the hash of a link", chain.Changed, "UPDATE audit_chain SET hash = (SELECT hash FROM audit_heads LIMIT 1) WHERE "+
			inChain+" AND number = 5"),
		same("the hash of the head", chain.Forged, "UPDATE audit_heads SET hash = (SELECT hash FROM audit_chain ORDER BY number LIMIT 1) WHERE "+inChain),
		same("the hash of a checkpoint", chain.Forged, "UPDATE audit_checkpoints SET hash = (SELECT hash FROM audit_chain ORDER BY number LIMIT 1)"),
		same("the time of a checkpoint", chain.Forged, "UPDATE audit_checkpoints SET at = (SELECT min(at) FROM audit_events)"),
		same("the signature of a checkpoint", chain.Forged, "UPDATE audit_checkpoints SET signature = (SELECT mark FROM audit_heads LIMIT 1)"),
		same("what a checkpoint says of pruning", chain.Forged, "UPDATE audit_checkpoints SET pruned = true"),
		{name: "two events swapped", want: chain.Changed, sqlite: swap, postgres: swap},
		{name: "an event that claims to be old", want: chain.Added,
			sqlite:   insert + ", NULL FROM audit_events WHERE " + victim + "; DELETE FROM audit_unsealed",
			postgres: insert + ", NULL FROM audit_events WHERE " + victim},
		{name: "an event with an old transaction", want: chain.Added,
			sqlite:   insert + ", 3 FROM audit_events WHERE " + victim + "; DELETE FROM audit_unsealed",
			postgres: insert + ", '3' FROM audit_events WHERE " + victim},
		{name: "an event with a future transaction", want: chain.Added,
			sqlite:   insert + ", 3 FROM audit_events WHERE " + victim + "; DELETE FROM audit_unsealed",
			postgres: insert + ", '9000000000000' FROM audit_events WHERE " + victim},
	}
}

// swap swaps the names that two events have for their targets.
const swap = `UPDATE audit_events SET target_name = CASE WHEN id = (SELECT event_id FROM audit_chain WHERE ` + inChain + ` AND number = 4)
		THEN (SELECT target_name FROM audit_events WHERE id = (SELECT event_id FROM audit_chain WHERE ` + inChain + ` AND number = 7))
		ELSE (SELECT target_name FROM audit_events WHERE id = (SELECT event_id FROM audit_chain WHERE ` + inChain + ` AND number = 4)) END
	WHERE id IN (SELECT event_id FROM audit_chain WHERE ` + inChain + ` AND number IN (4, 7))`

// chained are the tables that tests of tampering change.
var chained = []string{"audit_events", "audit_chain", "audit_heads", "audit_checkpoints", "audit_totals"}

// Every change of sealed events is found.
func TestTamperingIsFound(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{Stores: 2, Users: 2, MembersPerStore: 1}.Make(t, db)
		for i := range 12 {
			issue(t, db, w, w.Stores[i%2].ID, withName(fmt.Sprintf("Token %d", i)))
		}
		sealAll(t, db)
		check.Equal(t, len(signAll(t, db)), 1, "the number of checkpoints")
		issue(t, db, w, uuid.Nil)
		sealAll(t, db)
		checkChains(t, db)
		var save, restore string
		for _, table := range chained {
			save += "CREATE TABLE saved_" + table + " AS SELECT * FROM " + table + ";"
			restore += "DELETE FROM " + table + "; INSERT INTO " + table + " SELECT * FROM saved_" + table + ";"
		}
		dbtest.Exec(t, url, save, save)
		for _, tc := range append(tampers(t), removals()...) {
			t.Run(tc.name, func(t *testing.T) {
				dbtest.Exec(t, url, tc.sqlite, tc.postgres)
				found, _ := verify(t, db, keyring)
				if !slices.ContainsFunc(found, func(f chain.Finding) bool { return f.Kind == tc.want }) {
					t.Errorf("findings: got %+v, want one that says %s", found, tc.want)
				}
				dbtest.Exec(t, url, restore+"DELETE FROM audit_unsealed", restore)
				checkChains(t, db)
			})
		}
	})
}

func withName(name string) func(*token.Draft) { return func(d *token.Draft) { d.Token.Name = name } }

// A chain that is rewritten with right hashes, which needs no key, does not agree with its signed head, and the server
// does not sign it when it seals further events.
func TestRewrittenChainIsNotSigned(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		for range 5 {
			issue(t, db, w, uuid.Nil)
		}
		sealAll(t, db)
		const rewrite = `UPDATE audit_events SET target_name = 'Another' WHERE ` + inChain
		dbtest.Exec(t, url, rewrite, rewrite)
		repo := gormdb.Chain(db)
		links, err := repo.Links(t.Context(), w.Account.ID, 0, 100)
		must(t, err)
		head := chain.Head{AccountID: w.Account.ID}
		var statements string
		for _, l := range links {
			statements += fmt.Sprintf("UPDATE audit_chain SET hash = BYTES%s' WHERE account_id = '%s' AND number = %d;",
				head.Append(*l.Event).Hash, w.Account.ID, l.Number)
		}
		statements += fmt.Sprintf("UPDATE audit_heads SET hash = BYTES%s' WHERE account_id = '%s'", head.Hash, w.Account.ID)
		dbtest.Exec(t, url, strings.ReplaceAll(statements, "BYTES", "x'"),
			strings.ReplaceAll(statements, "BYTES", `'\x`))
		wantKinds(t, db, chain.Forged)
		issue(t, db, w, uuid.Nil)
		for range 2000 { // until the event can be sealed
			if _, err = repo.Seal(t.Context(), keyring, chain.Totals{}, clock.Timestamp(time.Now()), 7); err != nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		check.Equal(t, chain.IsBroken(err), true, "sealing is refused: %v", err)
		now := clock.Timestamp(time.Now())
		_, err = repo.Checkpoint(t.Context(), keyring, now, now, 100)
		check.Equal(t, chain.IsBroken(err), true, "a checkpoint is refused: %v", err)
		wantKinds(t, db, chain.Forged, chain.Late)
	})
}

// wantKinds fails the test unless verifying finds these kinds.
func wantKinds(t *testing.T, db *gormdb.DB, want ...chain.Kind) {
	t.Helper()
	found, _ := verify(t, db, keyring)
	var got []chain.Kind
	for _, f := range found {
		if !slices.Contains(got, f.Kind) {
			got = append(got, f.Kind)
		}
	}
	check.Equal(t, fmt.Sprint(got), fmt.Sprint(want), "the kinds of findings: %+v", found)
}

// An older state of a chain, with its head, does not agree with a later checkpoint.
func TestChainIsCut(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		issue(t, db, w, uuid.Nil)
		sealAll(t, db)
		var save, restore string
		for _, table := range []string{"audit_events", "audit_chain", "audit_heads", "audit_totals"} {
			save += "CREATE TABLE saved_" + table + " AS SELECT * FROM " + table + ";"
			restore += "DELETE FROM " + table + "; INSERT INTO " + table + " SELECT * FROM saved_" + table + ";"
		}
		dbtest.Exec(t, url, save, save)
		issue(t, db, w, uuid.Nil)
		sealAll(t, db)
		signAll(t, db)
		dbtest.Exec(t, url, restore+"DELETE FROM audit_unsealed", restore)
		wantKinds(t, db, chain.Cut, chain.Missing)
	})
}

// Old events can be removed if a signed checkpoint says so.
func TestPrunedChain(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		for range 6 {
			issue(t, db, w, uuid.Nil)
		}
		sealAll(t, db)
		_, err := gormdb.Chain(db).Prune(t.Context(), keyring, w.Account.ID, 4, clock.Timestamp(time.Now()))
		must(t, err)
		list, result := verify(t, db, keyring)
		check.Equal(t, len(list), 0, "findings: %+v", list)
		var left int64
		must(t, gormdb.Gorm(db).Raw("SELECT count(*) FROM audit_events").Scan(&left).Error)
		check.Equal(t, result.Events, left, "the number of verified events")
		const unmark = "UPDATE audit_checkpoints SET pruned = false"
		dbtest.Exec(t, url, unmark, unmark)
		wantKinds(t, db, chain.Missing, chain.Forged)
	})
}

// After the server's key was replaced, heads are signed with the new one, and the old one is not needed.
func TestKeyOfChainsIsReplaced(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		issue(t, db, w, uuid.Nil)
		sealAll(t, db)
		signAll(t, db)
		lease, err := gormdb.AuditStreams(db, keyring).Lease(t.Context(), "target", uuid.New(), time.Minute)
		must(t, err)
		check.Equal(t, lease.Ours && lease.New, true, "a stream begins")
		both, next := replacedKeys(t)
		repo := gormdb.Chain(db)
		issue(t, db, w, uuid.Nil)
		_, err = repo.Seal(t.Context(), both, chain.Totals{}, clock.Timestamp(time.Now()), 10)
		must(t, err)
		renewed := 0
		for n := 1; n > 0; renewed += n {
			n, err = repo.Renew(t.Context(), both, 1)
			must(t, err)
		}
		if renewed != 3 {
			t.Errorf("renewed %d signatures, want those of a checkpoint, a stream and the totals", renewed)
		}
		_, err = repo.Seal(t.Context(), next, chain.Totals{}, clock.Timestamp(time.Now()), 10)
		must(t, err)
		found, _ := verify(t, db, both)
		check.Equal(t, len(found), 0, "findings with both keys: %+v", found)
		found, _ = verify(t, db, next)
		check.Equal(t, len(found), 0, "findings with the new key: %+v", found)
	})
}

// replacedKeys returns a keyring with a new key beside that of the tests, and one with only the new key.
func replacedKeys(t *testing.T) (both, next *secret.Keyring) {
	t.Helper()
	dir := t.TempDir()
	next, err := secret.NewKeyring(rand.Reader)
	must(t, err)
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	must(t, errors.Join(next.WriteNew(first), keyring.WriteNew(second)))
	newKey, err := os.ReadFile(first)
	must(t, err)
	oldKey, err := os.ReadFile(second)
	must(t, err)
	_, line, _ := strings.Cut(string(oldKey), "\nkey ")
	must(t, os.WriteFile(first, append(newKey, "key "+line...), 0o600))
	both, err = secret.ReadKeyring(first)
	must(t, err)
	return both, next
}
