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

// After a webhook is deleted, paused or disabled, no attempt begins. After it gets another URL, secret or types, only
// ones that go by those begin. The outcome of one that began before is recorded.
func TestNoAttemptBeginsAfterwards(t *testing.T) {
	for name, stop := range map[string]func(testing.TB, *gormdb.DB, webhook.Webhook){
		"deleted": deleteHook,
		"paused": func(t testing.TB, db *gormdb.DB, h webhook.Webhook) {
			changeHook(t, db, h, state(webhook.Paused))
		},
		"disabled": func(t testing.TB, db *gormdb.DB, h webhook.Webhook) {
			changeHook(t, db, h, state(webhook.Disabled))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.EachURL(t, func(t *testing.T, url string) {
				db := dbtest.Open(t, url)
				waitsForAttempts(t, url, db, stop, func(j deliver.Job) { begins(t, db, j, false) })
				due(t, url)
				check.Equal(t, len(claims(t, db, 10)), 0, "claims afterwards")
			})
		})
	}
	for name, tc := range map[string]struct {
		edit func(*webhook.Webhook)
		seen func(webhook.Webhook) string
		want string
	}{
		"moved": {func(h *webhook.Webhook) { h.URL = "https://moved.example" },
			func(h webhook.Webhook) string { return h.URL }, "https://moved.example"},
		"rotated": {func(h *webhook.Webhook) { h.Secret.Hint = "whsec_…next" },
			func(h webhook.Webhook) string { return h.Secret.Hint }, "whsec_…next"},
		// Test events, as here, are sent to webhooks of any types. TestDeliveriesOfOtherTypes has the other ones.
		"narrowed": {types("user.*"), func(h webhook.Webhook) string { return h.Types[0] }, "user.*"},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.EachURL(t, func(t *testing.T, url string) {
				db := dbtest.Open(t, url)
				change := func(t testing.TB, db *gormdb.DB, h webhook.Webhook) { changeHook(t, db, h, tc.edit) }
				waitsForAttempts(t, url, db, change, func(j deliver.Job) {
					check.Equal(t, tc.seen(recheck(t, db, j)[0].Webhook), tc.want, "what the next attempt goes by")
				})
			})
		})
	}
}

// waitsForAttempts fails the test unless a change of a webhook, made through another server, returns after the attempts
// in flight. next checks a delivery whose attempt has not begun when the change is made.
func waitsForAttempts(t *testing.T, url string, db *gormdb.DB, change func(testing.TB, *gormdb.DB, webhook.Webhook),
	next func(deliver.Job)) {
	t.Helper()
	other := dbtest.Open(t, url)
	hook := addHook(t, db, dbtest.Seed{}.Make(t, db))
	for _, subject := range []string{"a", "b", "a"} {
		enqueue(t, db, hook, subject)
	}
	jobs := claims(t, db, 10)
	check.Equal(t, len(jobs), 2, "claims")
	begins(t, db, jobs[0], true)
	changed := make(chan struct{})
	go func() {
		defer close(changed)
		change(t, other, hook)
	}()
	select {
	case <-changed:
		t.Error("it did not wait for the attempt in flight, want it to wait")
	case <-time.After(500 * time.Millisecond):
	}
	next(jobs[1])
	check.Equal(t, finish(t, db, outcome(webhook.Delivered), jobs...), []bool{true, true}, "recorded")
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Error("it still waits 10s after the attempts ended, want it to stop")
	}
}

func TestNextDueAndAny(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		some := func(want bool) {
			t.Helper()
			got, err := db.Queue().Any(t.Context())
			if check.Equal(t, got, want, "there are webhooks"); err != nil {
				t.Fatal(err)
			}
		}
		next := func(from, to time.Duration) {
			t.Helper()
			at, err := db.Queue().NextDue(t.Context())
			if in := time.Until(at); err != nil || at.IsZero() || in < from || in > to {
				t.Errorf("the next delivery is due at %v, in %v (%v); want %v to %v", at, in, err, from, to)
			}
		}
		none := func() {
			t.Helper()
			if at, err := db.Queue().NextDue(t.Context()); err != nil || !at.IsZero() {
				t.Errorf("the next delivery is due at %v, %v; want none", at, err)
			}
		}
		some(false)
		none()
		hook := addHook(t, db, w)
		some(true)
		none()
		for i := range deliver.MaxInFlight {
			enqueue(t, db, hook, fmt.Sprint(i))
		}
		next(-time.Second, 10*time.Millisecond)
		stats, err := db.Queue().Stats(t.Context())
		if err != nil || time.Since(stats.OldestDue) > time.Minute || stats.Webhooks[webhook.Enabled] != 1 {
			t.Errorf("Stats() = %+v, %v, want the oldest due within a minute and 1 webhook enabled", stats, err)
		}
		jobs := claims(t, db, 10)
		next(deliver.LeaseTime-2*time.Second, deliver.LeaseTime+time.Second)
		enqueue(t, db, hook, "waits for a free place")
		next(deliver.LeaseTime-2*time.Second, deliver.LeaseTime+time.Second)
		finish(t, db, outcome(webhook.Delivered), jobs...)
		next(-time.Second, 10*time.Millisecond)
		changeHook(t, db, hook, state(webhook.Paused))
		none()
		stats, err = db.Queue().Stats(t.Context())
		if err != nil || !stats.OldestDue.IsZero() || stats.Webhooks[webhook.Paused] != 1 {
			t.Errorf("Stats() of a paused webhook = %+v, %v, want none due and 1 webhook paused", stats, err)
		}
	})
}
