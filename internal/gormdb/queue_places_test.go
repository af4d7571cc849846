package gormdb_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// A claim leaves places to webhooks whose last attempt succeeded, and to other accounts than those that hold theirs,
// however many webhooks without a place are due before them.
func TestClaimForPlaces(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		first, second := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		enqueueMany := func(hook webhook.Webhook) {
			for i := range 4 {
				enqueue(t, db, hook, fmt.Sprint(i))
			}
		}
		worked := addHook(t, db, second)
		enqueue(t, db, worked, "before")
		now := outcome(webhook.Delivered)
		now.Attempt.At = time.Now()
		finish(t, db, now, claims(t, db, 1)...)
		failed := addHook(t, db, second)
		enqueue(t, db, failed, "before")
		bad := outcome(webhook.Dead)
		bad.Attempt.At = time.Now()
		finish(t, db, bad, claims(t, db, 1)...)
		for range 5 {
			enqueueMany(addHook(t, db, first))
		}
		enqueueMany(failed)
		enqueueMany(worked)
		claim := func(p deliver.Places) (of map[uuid.UUID]int) {
			t.Helper()
			jobs, err := newServer(db).claim(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			of = map[uuid.UUID]int{}
			for _, j := range jobs {
				of[j.Webhook.AccountID]++
				check.Equal(t, j.Proven, j.Webhook.ID == worked.ID, "whether a webhook is proven")
			}
			due(t, url)
			return of
		}
		a, b := first.Account.ID, second.Account.ID
		check.Equal(t, claim(deliver.Places{Most: 10, Unproven: 3, PerAccount: 10, Held: map[uuid.UUID]int{}}),
			map[uuid.UUID]int{a: 3, b: 4}, "claims with three places for webhooks that are not proven")
		check.Equal(t, claim(deliver.Places{Most: 10, Unproven: 0, PerAccount: 10, Held: map[uuid.UUID]int{}}),
			map[uuid.UUID]int{b: 4}, "claims without places for them")
		check.Equal(t, claim(deliver.Places{Most: 100, Unproven: 100, PerAccount: 6, Held: map[uuid.UUID]int{a: 1}}),
			map[uuid.UUID]int{a: 5, b: 6}, "claims with six places for each account, of which one is held")
		held := map[uuid.UUID]int{a: 6, b: 7}
		check.Equal(t, claim(deliver.Places{Most: 100, Unproven: 100, PerAccount: 6, Held: held}), map[uuid.UUID]int{},
			"claims for accounts that hold all of theirs")
		check.Equal(t, claim(deliver.Places{Most: 3, Unproven: 3, PerAccount: 1, Held: map[uuid.UUID]int{}}),
			map[uuid.UUID]int{a: 1, b: 1}, "claims of three places, one for each account")
	})
}
