package gormdb_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/gormdb"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

func TestLogFilter(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w, other := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		anna, ben := uuid.New(), uuid.New()
		record := func(w dbtest.World, minutes int, userID uuid.UUID, action audit.Action) uuid.UUID {
			e := userEvent(w, userID, action)
			e.At = later(time.Duration(minutes) * time.Minute)
			if err := db.Manifest().Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			return e.ID
		}
		dbtest.AwaitLog(t, db, w.Account.ID)
		start := follower{log: db.Log(), account: w.Account.ID}
		if err := start.read(t.Context(), paging.MaxSize); err != nil {
			t.Fatal(err)
		}
		accepted := record(w, 0, anna, audit.UserAccepted)
		added := record(w, 1, ben, audit.UserAdded)
		record(other, 1, ben, audit.UserAdded)
		invited := record(w, 2, ben, audit.UserInvited)
		changed := record(w, 3, ben, audit.UserUpdated)
		removed := record(w, 4, ben, audit.UserRemoved)
		dbtest.AwaitLog(t, db, w.Account.ID)
		user := func(id uuid.UUID, types ...audit.Type) audit.LogFilter {
			return audit.LogFilter{SubjectKind: audit.TargetUser, SubjectKey: id.String(), Types: types}
		}
		for _, tc := range []struct {
			name   string
			filter audit.LogFilter
			want   []uuid.UUID
		}{
			{"all", audit.LogFilter{}, []uuid.UUID{accepted, added, changed, removed}},
			{"a type of two actions", audit.LogFilter{Types: []audit.Type{"user.updated"}},
				[]uuid.UUID{accepted, changed}},
			{"types", audit.LogFilter{Types: []audit.Type{"user.removed", "user.updated"}},
				[]uuid.UUID{accepted, changed, removed}},
			{"an unknown type", audit.LogFilter{Types: []audit.Type{"user.invited"}}, nil},
			{"a subject", user(ben), []uuid.UUID{added, changed, removed}},
			{"a subject and a type", user(ben, "user.added"), []uuid.UUID{added}},
			{"another kind of subject",
				audit.LogFilter{SubjectKind: audit.TargetStore, SubjectKey: ben.String()}, nil},
			{"after, exclusive", audit.LogFilter{After: later(time.Minute)}, []uuid.UUID{changed, removed}},
			{"before, exclusive", audit.LogFilter{Before: later(3 * time.Minute)}, []uuid.UUID{accepted, added}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				w, err := paging.Request{First: new(paging.MaxSize), After: start.cursor}.LogWindow(paging.MaxSize)
				if err != nil {
					t.Fatal(err)
				}
				page, err := db.Log().Log(t.Context(), start.account, tc.filter, w)
				if err != nil {
					t.Fatal(err)
				}
				var got []uuid.UUID
				for _, e := range nodes(page) {
					got = append(got, e.ID)
				}
				check.Equal(t, got, tc.want, "events")
			})
		}
		found, err := db.Log().EventsByID(t.Context(), w.Account.ID, []uuid.UUID{changed, invited, uuid.New()})
		if err != nil || len(found) != 1 || found[changed].Sequence != 2 {
			t.Errorf("events by id: got %v, %v; want the change with the sequence 2", found, err)
		}
	})
}

// Pages of any size and in both directions are the same list.
func TestLogPages(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		for range 3 { // several events of one transaction, too
			var list []audit.Event
			for range 4 {
				list = append(list, userEvent(w, uuid.New(), audit.UserAdded),
					userEvent(w, w.Owner.ID, audit.UserUpdated))
			}
			if err := gormdb.Record(t.Context(), db, byTest, list); err != nil {
				t.Fatal(err)
			}
		}
		dbtest.AwaitLog(t, db, w.Account.ID)
		whole, err := db.Log().Log(t.Context(), w.Account.ID, audit.LogFilter{}, audit.LogWindow{Size: paging.MaxSize})
		if err != nil {
			t.Fatal(err)
		}
		want := idsOfEvents(nodes(whole))
		if len(want) < 24 || whole.HasNext || whole.HasPrevious {
			t.Fatalf("the whole list: got %d events, next %v, previous %v; want 24 or more and no other page",
				len(want), whole.HasNext, whole.HasPrevious)
		}
		for size := 1; size < 8; size++ {
			f := follower{log: db.Log(), account: w.Account.ID}
			if err := f.read(t.Context(), size); err != nil {
				t.Fatal(err)
			}
			check.Equal(t, idsOfEvents(f.seen), want, "forward in pages of %d", size)

			var backward []uuid.UUID
			r := paging.Request{Last: &size}
			for more := true; more; {
				window, err := r.LogWindow(paging.MaxSize)
				if err != nil {
					t.Fatal(err)
				}
				page, err := db.Log().Log(t.Context(), w.Account.ID, audit.LogFilter{}, window)
				if err != nil || len(page.Items) == 0 {
					t.Fatalf("a page before the beginning: got %v, %v; want events", page, err)
				}
				backward = append(idsOfEvents(nodes(page)), backward...)
				r.Before, more = new(page.Items[0].Cursor()), page.HasPrevious
			}
			if !slices.Equal(backward, want) {
				t.Errorf("backward in pages of %d: got %v, want %v", size, backward, want)
			}
		}
	})
}

func idsOfEvents(events []audit.Event) []uuid.UUID {
	ids := make([]uuid.UUID, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	return ids
}

// A restore into another cluster begins a new era: a reader that goes on from its cursor receives what comes after.
// SQLite has one era: its positions are in the file.
func TestLogAfterRestore(t *testing.T) {
	for name, damage := range map[string]string{
		"the cluster has run fewer transactions": "UPDATE audit_events SET position = '1000000000000'",
		"the cluster has another identifier":     "UPDATE log_era SET cluster = '1'",
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.EachURL(t, func(t *testing.T, url string) {
				db := dbtest.Open(t, url)
				agree := func() {
					t.Helper()
					if err := db.AgreeOnEra(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				agree()
				w := dbtest.Seed{}.Make(t, db)
				one, _ := issue(t, db, w, uuid.Nil)
				dbtest.Exec(t, url, "SELECT 1", damage)
				agree()
				agree()
				dbtest.AwaitLog(t, db, w.Account.ID)
				f := follower{log: db.Log(), account: w.Account.ID}
				if err := f.read(t.Context(), paging.MaxSize); err != nil {
					t.Fatal(err)
				}
				check.Equal(t, len(f.seen), 1, "events from before the restore")
				era := int64(1)
				if db.Dialect() == "postgres" {
					// The reader read on in the cluster of the backup.
					lost := paging.Position{Era: 1, Commit: 2_000_000_000_000, Sequence: 1, ID: uuid.New()}
					f.cursor, era = new(paging.Item[audit.Event]{Position: lost}.Cursor()), 2
				}
				if err := update(t.Context(), db, one, 0); err != nil {
					t.Fatal(err)
				}
				revoke(t, db, one)
				dbtest.AwaitLog(t, db, w.Account.ID)
				if err := f.read(t.Context(), paging.MaxSize); err != nil {
					t.Fatal(err)
				}
				checkLog(t, f.seen, 3)
				last, err := paging.Request{After: f.cursor}.LogWindow(paging.MaxSize)
				if err != nil {
					t.Fatal(err)
				}
				check.Equal(t, last.After.Era, era, "the era of the last event")
			})
		})
	}
}

// After a restore into another cluster, rows of the feed with numbers that this cluster has not reached are deleted.
// Otherwise every server would read them again and again.
func TestChangesOfAnotherCluster(t *testing.T) {
	url := dbtest.PostgresURL(t)
	db := dbtest.Open(t, url)
	must(t, db.AgreeOnEra(t.Context()))
	w := dbtest.Seed{}.Make(t, db)
	id := w.Account.ID.String()
	dbtest.Exec(t, url, "", "INSERT INTO changes (account_id) VALUES ('"+id+"')")
	dbtest.Exec(t, url, "", "INSERT INTO changes (xid, account_id) VALUES ('1000000000000', '"+id+"')")
	dbtest.Exec(t, url, "", "UPDATE log_era SET cluster = '1'")
	must(t, db.AgreeOnEra(t.Context()))
	var left []string
	must(t, gormdb.Gorm(db).Raw("SELECT (xid = '1000000000000')::text FROM changes WHERE account_id = ?",
		w.Account.ID).Scan(&left).Error)
	if !slices.Contains(left, "false") || slices.Contains(left, "true") {
		t.Errorf("rows of the other cluster: got %v, want only rows of this one", left)
	}
}
