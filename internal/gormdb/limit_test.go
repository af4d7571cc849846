package gormdb_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
)

// The limit holds when several handles issue at once. Each handle has its own pool, like another replica or, on
// SQLite, another process.
func TestLimitHoldsAmongReplicas(t *testing.T) {
	const replicas, attempts = 3, 120
	dbtest.EachURL(t, func(t *testing.T, url string) {
		handles := make([]*gormdb.DB, replicas)
		for i := range handles {
			handles[i] = dbtest.Open(t, url)
		}
		w := dbtest.Seed{Stores: 2}.Make(t, handles[0])
		for _, tc := range []struct {
			name  string
			store uuid.UUID
			want  string
		}{
			{"store", w.Stores[0].ID,
				"This store has 50 live API tokens, the most it may have. Revoke one that is not used."},
			{"account", uuid.Nil,
				"This account has 50 live API tokens, the most it may have. Revoke one that is not used."},
		} {
			t.Run(tc.name, func(t *testing.T) {
				var kept, refused atomic.Int32
				var group errgroup.Group
				for i := range attempts {
					d, _ := draft(w, tc.store)
					group.Go(func() error {
						err := handles[i%replicas].Tokens().Insert(t.Context(), auth.NoActor("a test"), d)
						switch {
						case err == nil:
							kept.Add(1)
						case fault.KindOf(err) == fault.LimitReached && err.Error() == tc.want:
							refused.Add(1)
						default:
							return err
						}
						return nil
					})
				}
				if err := group.Wait(); err != nil {
					t.Fatal(err)
				}
				if kept.Load() != 50 || refused.Load() != 70 {
					t.Errorf("%d were issued and %d refused, want 50 and 70", kept.Load(), refused.Load())
				}
				check.Equal(t, countLive(t, handles[1], w, tc.store), 50, "countLive(t, handles[1], w, tc.store)")
			})
		}
		check.Equal(t, countLive(t, handles[0], w, w.Stores[1].ID), 0, "the other store")
	})
}

func countLive(t *testing.T, db *gormdb.DB, w dbtest.World, storeID uuid.UUID) int64 {
	t.Helper()
	q := token.Query{Filter: token.Filter{Statuses: []token.Status{token.Active}}, Now: noon}
	if storeID == uuid.Nil {
		n, err := db.Tokens().CountAccountTokens(t.Context(), w.Account.ID, q)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	counts, err := db.Tokens().CountStoreTokens(t.Context(), w.Account.ID, []uuid.UUID{storeID}, q)
	if err != nil {
		t.Fatal(err)
	}
	return counts[storeID]
}

func TestLimitCountsLiveTokensOnly(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Stores: 2}.Make(t, db)
		for _, tc := range []struct {
			name  string
			store uuid.UUID
		}{{"store", w.Stores[0].ID}, {"account", uuid.Nil}} {
			t.Run(tc.name, func(t *testing.T) {
				limit := func(d *token.Draft) { d.MaxLive = 2 }
				ending := func(d *token.Draft) { d.Token.ExpiresAt = later(time.Minute) }
				atEnd := func(d *token.Draft) { d.Token.CreatedAt = later(time.Minute) }
				first, _ := issue(t, db, w, tc.store, limit, ending)
				second, _ := issue(t, db, w, tc.store, limit)
				refused := func(what string, edits ...func(*token.Draft)) {
					d, _ := draft(w, tc.store, append(edits, limit)...)
					if err := db.Tokens().Insert(t.Context(), auth.NoActor("a test"),
						d); fault.KindOf(err) != fault.LimitReached {
						t.Errorf("%s: %v, want the limit", what, err)
					}
				}
				refused("two live", func(d *token.Draft) { d.Token.CreatedAt = later(time.Minute - time.Microsecond) })
				third, _ := issue(t, db, w, tc.store, limit, atEnd) // the first has expired by then
				refused("two live again", atEnd)
				revoke(t, db, second)
				issue(t, db, w, tc.store, limit, atEnd)
				refused("two live once more", atEnd)
				revoke(t, db, first, third)
				issue(t, db, w, tc.store, limit, atEnd)
				issue(t, db, w, w.Stores[1].ID, limit, atEnd) // another owner has its own limit
			})
		}
	})
}
