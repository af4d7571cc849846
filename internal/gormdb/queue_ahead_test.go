package gormdb_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// claimsAhead claims as a server does that has many free places.
func claimsAhead(t testing.TB, db *gormdb.DB, p deliver.Places) []deliver.Job {
	t.Helper()
	p.Run = deliver.MaxRun
	jobs, err := db.Queue().Claim(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

// provenHook adds a webhook whose last attempt succeeded, with due deliveries.
func provenHook(t testing.TB, db *gormdb.DB, w dbtest.World, due int) webhook.Webhook {
	t.Helper()
	hook := addHook(t, db, w)
	enqueue(t, db, hook, "before")
	now := outcome(webhook.Delivered)
	now.Attempt.At = time.Now()
	finish(t, db, now, claims(t, db, 1)...)
	for i := range due {
		enqueue(t, db, hook, fmt.Sprint(i))
	}
	return hook
}

// A server claims deliveries of a webhook ahead if the last attempt succeeded and no other server has leases of it.
// Those ahead take no place, but there must be one in the account.
func TestClaimsAhead(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db, other := dbtest.Open(t, url), dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		fresh := addHook(t, db, w)
		for i := range 10 {
			enqueue(t, db, fresh, fmt.Sprint(i))
		}
		first := claimsAhead(t, db, places(5))
		check.Equal(t, len(first), deliver.MaxInFlight, "claims of a webhook without an attempt")
		check.Equal(t, len(claimsAhead(t, db, places(5))), 0, "claims ahead of a webhook without an attempt")
		done := outcome(webhook.Dead)
		done.Attempt.At = time.Now()
		finish(t, db, done, first...)
		changeHook(t, db, fresh, state(webhook.Paused))

		hook := provenHook(t, db, w, 20)
		full := places(5)
		full.PerAccount = deliver.MaxInFlight
		few := claimsAhead(t, db, full)
		check.Equal(t, len(few), deliver.MaxInFlight, "claims for an account without more places")
		check.Equal(t, len(claims(t, other, 5)), 0, "claims of another server while all in flight are leased")
		finish(t, db, outcome(webhook.Delivered), few[:1]...)
		shared := claimsAhead(t, other, places(5))
		check.Equal(t, len(shared), 1, "claims of another server after one in flight ended")
		check.Equal(t, len(claimsAhead(t, db, places(5))), 0, "claims ahead while another server has a lease")
		finish(t, other, outcome(webhook.Delivered), shared...)
		run := claimsAhead(t, db, places(2))
		check.Equal(t, len(run), 15, "claims ahead")
		check.Equal(t, len(claimsAhead(t, other, places(5))), 0, "claims of another server during a run")
		finish(t, db, outcome(webhook.Delivered), append(few[1:], run[:5]...)...)
		if err := db.Queue().Release(t.Context(), run[5:]); err != nil {
			t.Fatal(err)
		}
		check.Equal(t, len(recheck(t, db, run[5:]...)), 0, "released deliveries that may begin")
		taken := claimsAhead(t, other, places(5))
		check.Equal(t, len(taken), 10, "claims of another server after the release")
		check.Equal(t, taken[0].Attempts, 0, "attempts of a delivery that was released")
		check.Equal(t, len(recheck(t, other, taken...)), 10, "checked deliveries")
		changeHook(t, db, hook, state(webhook.Paused))
		check.Equal(t, len(recheck(t, other, taken...)), 0, "checked deliveries of a paused webhook")
	})
}

// Claimed deliveries of types that the webhook no longer selects may not begin, also those that became pending later.
func TestRecheckOfOtherTypes(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		r := newReplayWorld(t, url)
		r.replays(t, 4, func(*webhook.Replay) {})
		jobs := claims(t, r.db, 4)
		check.Equal(t, len(recheck(t, r.db, jobs...)), 4, "deliveries that may begin before the change")
		changeHook(t, r.db, r.hook, types("user.*"))
		check.Equal(t, len(recheck(t, r.db, jobs...)), 0, "deliveries that may begin afterwards")
		const late = "UPDATE deliveries SET state = 'PENDING'"
		dbtest.Exec(t, url, late, late)
		check.Equal(t, len(recheck(t, r.db, jobs...)), 0, "deliveries that became pending later and may begin")
	})
}
