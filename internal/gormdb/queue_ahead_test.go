package gormdb_test

import (
	"fmt"
	"testing"

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
	jobs, err := serverOf(db).claim(t.Context(), p)
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
	finish(t, db, outcome(webhook.Delivered), claims(t, db, 1)...)
	for i := range due {
		enqueue(t, db, hook, fmt.Sprint(i))
	}
	return hook
}

// A server claims deliveries of a webhook ahead if the last attempt succeeded. Those ahead take no place, but there
// must be one in the account. No other server claims any before the lease is released.
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
		finish(t, db, outcome(webhook.Dead), first...)
		changeHook(t, db, fresh, state(webhook.Paused))

		hook := provenHook(t, db, w, 20)
		full := places(5)
		full.PerAccount = deliver.MaxInFlight
		few := claimsAhead(t, db, full)
		check.Equal(t, len(few), deliver.MaxInFlight, "claims for an account without more places")
		finish(t, db, outcome(webhook.Delivered), few[:1]...)
		check.Equal(t, len(claimsAhead(t, other, places(5))), 0, "claims of another server while three are in flight")
		run := claimsAhead(t, db, places(2))
		check.Equal(t, len(run), 16, "claims ahead")
		check.Equal(t, len(claimsAhead(t, other, places(5))), 0, "claims of another server during a run")
		finish(t, db, outcome(webhook.Delivered), append(few[1:], run[:6]...)...)
		serverOf(db).giveBack(t, run[6:])
		check.Equal(t, len(recheck(t, db, run[6:]...)), 0, "released deliveries that may begin")
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
