package gormdb_test

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// A server whose lease another one took records nothing, and neither releases nor extends that lease, even after it has
// taken it back.
func TestLeaseThatAnotherServerTook(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db, other := dbtest.Open(t, url), dbtest.Open(t, url)
		hook := addHook(t, db, dbtest.Seed{}.Make(t, db))
		for i := range 3 {
			enqueue(t, db, hook, fmt.Sprint(i))
		}
		old := claims(t, db, 1)
		due(t, url)
		taken := claims(t, other, 1)
		late := old[0]
		late.Lease.Until = time.Now()
		begins(t, db, late, false)
		if err := db.Queue().Release(t.Context(), []deliver.Lease{old[0].Lease}); err != nil {
			t.Fatal(err)
		}
		check.Equal(t, len(claims(t, db, 3)), 0, "claims after the release of a lease that is another server's")
		serverOf(other).giveBack(t, taken)
		again := claims(t, db, 3)
		check.Equal(t, len(again), 2, "claims after that server has released it")
		ok := outcome(webhook.Delivered)
		check.Equal(t, finish(t, db, ok, old...), []bool{false}, "the outcome of the lost lease is recorded")
		check.Equal(t, finish(t, db, ok, again...), []bool{true, true}, "those of the new one are recorded")
		check.Equal(t, len(texts(t, url, "SELECT number FROM attempts")), 2, "attempts")
	})
}

// An outcome is recorded once, however often the server sends it, for example since the answer was lost.
func TestOutcomesAreRecordedOnce(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		hook := addHook(t, db, dbtest.Seed{}.Make(t, db))
		enqueue(t, db, hook, "a")
		jobs := claims(t, db, 1)
		check.Equal(t, finish(t, db, outcome(webhook.Pending), jobs...), []bool{true}, "recorded")
		check.Equal(t, finish(t, db, outcome(webhook.Pending), jobs...), []bool{false}, "recorded again")
		check.Equal(t, len(texts(t, url, "SELECT number FROM attempts")), 1, "attempts")
		check.Equal(t, claims(t, db, 1)[0].Attempts, 1, "attempts so far")
	})
}

// A check extends a lease that ends soon.
func TestRecheckExtendsALease(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		hook := addHook(t, db, dbtest.Seed{}.Make(t, db))
		enqueue(t, db, hook, "a")
		jobs := claims(t, db, 1)
		const soon = "UPDATE webhook_leases SET until_at = "
		dbtest.Exec(t, url, soon+"CAST((unixepoch('subsec') + 21) * 1000000 AS INTEGER)",
			soon+"clock_timestamp() + interval '21 s'")
		jobs[0].Lease.Until = time.Now().Add(21 * time.Second)
		checked := recheck(t, db, jobs...)
		if left := time.Until(checked[0].Lease.Until); left < deliver.LeaseTime-5*time.Second {
			t.Errorf("the lease lasts for %v after the check, want about %v", left, deliver.LeaseTime)
		}
		next, err := db.Queue().NextDue(t.Context())
		if left := time.Until(next); err != nil || left < deliver.LeaseTime-5*time.Second {
			t.Errorf("the lease in the database lasts for %v (%v), want about %v", left, err, deliver.LeaseTime)
		}
	})
}

// What a server has claimed of a webhook that was disabled may not begin, also after the webhook was enabled again: the
// deliveries are dead.
func TestRecheckOfEndedDeliveries(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		hook := addHook(t, db, dbtest.Seed{}.Make(t, db))
		enqueue(t, db, hook, "a")
		jobs := claims(t, db, 1)
		changeHook(t, db, hook, state(webhook.Disabled))
		changeHook(t, db, hook, state(webhook.Enabled))
		begins(t, db, jobs[0], false)
	})
}

// A claim that is concurrent with the release of the webhook's last outcome loses nothing: either its lease holds, or
// another server can claim.
func TestClaimDuringARelease(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db, other := dbtest.Open(t, url), dbtest.Open(t, url)
		hook := addHook(t, db, dbtest.Seed{}.Make(t, db))
		s, q := serverOf(db), db.Queue()
		for n := range 60 {
			enqueue(t, db, hook, fmt.Sprint(n))
			last := claims(t, db, 1)
			check.Equal(t, len(last), 1, "claims of the only delivery")
			holds := s.holds()
			enqueue(t, db, hook, fmt.Sprint(n, " next"))
			var group errgroup.Group
			var claimed []deliver.Claimed
			group.Go(func() (err error) {
				time.Sleep(time.Duration(n%6) * 200 * time.Microsecond)
				claimed, err = q.Claim(t.Context(), places(4), holds)
				return err
			})
			group.Go(func() error {
				_, err := s.finish(t.Context(), []deliver.Finished{{Job: last[0], Outcome: outcome(webhook.Delivered)}})
				return err
			})
			if err := group.Wait(); err != nil {
				t.Fatal(err)
			}
			var jobs []deliver.Job
			for _, c := range claimed {
				jobs = append(jobs, c.Jobs...)
			}
			check.Equal(t, len(jobs), 1, "claims during the release")
			check.Equal(t, len(recheck(t, db, jobs...)), 1, "claimed deliveries that may begin")
			check.Equal(t, len(claims(t, other, 4)), 0, "claims of another server")
			check.Equal(t, finish(t, db, outcome(webhook.Delivered), jobs...), []bool{true}, "recorded")
			if err := q.Release(t.Context(), []deliver.Lease{claimed[0].Lease}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
