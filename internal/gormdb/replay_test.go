package gormdb_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/webhook"
)

// A delivery of another type can become pending after the types of its webhook were changed: its transaction read the
// types before. It is not sent but ends, and what waits behind it is due.
func TestLateDeliveriesOfOtherTypes(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		r := newReplayWorld(t, url)
		r.replays(t, 4, func(*webhook.Replay) {})
		narrow := func(types ...string) {
			t.Helper()
			err := r.db.Webhooks().Change(t.Context(), aTest, r.hook.AccountID, r.hook.ID,
				func(w webhook.Webhook) (webhook.Webhook, []audit.Event, error) {
					w.Types = types
					return w, nil, nil
				})
			if err != nil {
				t.Fatal(err)
			}
		}
		narrow("user.*")
		const late = "UPDATE deliveries SET state = 'PENDING'"
		dbtest.Exec(t, url, late, late)
		test := enqueue(t, r.db, r.hook, r.hook.ID.String())
		var sent []uuid.UUID
		for range 3 {
			sent = append(sent, eventsOf(claims(t, r.db, 3))...)
		}
		check.Equal(t, sent, []uuid.UUID{test}, "claims")
		dead := deliveriesTo(t, r.db, r.hook, webhook.DeliveryFilter{States: []webhook.DeliveryState{webhook.Dead}})
		check.Equal(t, deliveredEvents(dead), newestFirst(r.tokens), "dead deliveries")
		check.Equal(t, len(serverOf(r.db).holds()[r.hook.ID].Events), 1, "held deliveries: that of the test")
	})
}

// Of a delivery the newest attempts are kept, and their numbers go on.
func TestAttemptsAreLimited(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		hook := addHook(t, db, dbtest.Seed{}.Make(t, db))
		enqueue(t, db, hook, "a")
		const more = 3
		for range webhook.MaxAttempts + more {
			due(t, url)
			jobs := claims(t, db, 1)
			check.Equal(t, len(jobs), 1, "claims")
			finish(t, db, outcome(webhook.Pending), jobs...)
		}
		attempts := deliveriesTo(t, db, hook, webhook.DeliveryFilter{})[0].Attempts
		check.Equal(t, len(attempts), webhook.MaxAttempts, "attempts")
		check.Equal(t, attempts[0].Number, more+1, "the first number")
		check.Equal(t, len(texts(t, url, "SELECT number FROM attempts")), webhook.MaxAttempts, "stored attempts")
		page, err := db.Webhooks().Deliveries(t.Context(), hook.AccountID, []uuid.UUID{hook.ID},
			webhook.DeliveryFilter{}, all, false)
		if err != nil {
			t.Fatal(err)
		}
		check.Equal(t, len(page[hook.ID].Items[0].Node.Attempts), 0, "attempts of a page without them")
	})
}

// A replay schedules only events of the types that the actor may read, and no events for a disabled webhook.
func TestReplayOfReadableTypes(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		r := newReplayWorld(t, url)
		r.replays(t, 0, func(r *webhook.Replay) { r.Readable = []audit.Type{"user.added"} })
		r.replays(t, 4, func(r *webhook.Replay) { r.Readable = []audit.Type{"user.added", "api_token.created"} })
		n, err := r.replay(t, func(q *webhook.Replay) {
			q.EventIDs, q.Readable = r.tokens[:1], []audit.Type{"user.added"}
		})
		if fault.KindOf(err) != fault.NotFound || n != 0 {
			t.Errorf("replay a named event of another type: got %d, %v, want kind %s", n, err, fault.NotFound)
		}
		changeHook(t, r.db, r.hook, state(webhook.Disabled))
		n, err = r.replay(t, ids(r.tokens[0]))
		if fault.KindOf(err) != fault.Conflict || n != 0 {
			t.Errorf("replay to a disabled webhook: got %d, %v, want kind %s", n, err, fault.Conflict)
		}
	})
}

// A replay of many deliveries takes several transactions, between which other accounts write. Its event is stored with
// the first one, with the number of all.
func TestReplayInSlices(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		ctx, cancel := context.WithCancel(t.Context())
		slices, stopAt := 0, 0
		db := dbtest.OpenWith(t, gormdb.Config{URL: url, OnStatement: func(sql string) {
			if strings.Contains(sql, "ON CONFLICT (account_id, webhook_id, event_id)") {
				if slices++; slices == stopAt {
					cancel()
				}
			}
		}})
		hook := addHook(t, db, dbtest.Seed{}.Make(t, db))
		const many = 1200
		fillQueue(t, url, hook, many, many)
		var planned []int
		replay := func(ctx context.Context) (int, error) {
			slices, planned = 0, nil
			return db.Webhooks().Replay(ctx, aTest, webhook.Replay{AccountID: hook.AccountID, WebhookID: hook.ID,
				Limit: many}, func(n int) audit.Event {
				planned = append(planned, n)
				return hookEvent(hook, "webhook.updated")
			})
		}
		n, err := replay(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		check.Equal(t, n, many, "scheduled deliveries")
		check.Equal(t, slices, 12, "slices")
		check.Equal(t, planned, []int{many}, "the number in the only event")
		stopAt = 2
		n, err = replay(ctx)
		if check.Equal(t, n, 100, "scheduled deliveries of a replay that failed in its second slice"); err == nil {
			t.Error("a replay that was interrupted succeeded, want its error")
		}
		events, err := db.Audit().CountEvents(t.Context(), hook.AccountID,
			audit.Filter{Actions: []audit.Action{"webhook.updated"}})
		if check.Equal(t, events, 2, "stored events of replays"); err != nil {
			t.Fatal(err)
		}
	})
}

// One replay of a time range is scheduled at a time in an account, also on several servers: another one is refused
// at once. Named events and other accounts do not wait. The lease of a server that crashed ends.
func TestOneReplayOfAnAccountAtATime(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		r := newReplayWorld(t, url)
		everything := func(*webhook.Replay) {}
		lease := func(sqlite, postgres string) {
			t.Helper()
			dbtest.Exec(t, url, "DELETE FROM replay_leases; INSERT INTO replay_leases SELECT id, '"+uuid.NewString()+"', "+sqlite+
				" FROM accounts", "DELETE FROM replay_leases; INSERT INTO replay_leases SELECT id, '"+uuid.NewString()+"', "+
				postgres+" FROM accounts")
		}
		lease("9e15", "now() + interval '1 minute'")
		n, err := r.replay(t, everything)
		if fault.KindOf(err) != fault.Conflict || n != 0 {
			t.Errorf("a replay beside another: got %d, %v, want kind %s", n, err, fault.Conflict)
		}
		r.replays(t, 1, ids(r.tokens[0]))
		lease("0", "now() - interval '1 second'")
		r.replays(t, len(r.tokens), everything)
		r.replays(t, len(r.tokens), everything)

		other := dbtest.Open(t, url)
		answered := make(chan error, 8)
		for i := range cap(answered) {
			server := []*gormdb.DB{r.db, other}[i%2]
			go func() {
				_, err := replayWorld{db: server, hook: r.hook}.replay(t, everything)
				answered <- err
			}()
		}
		scheduled := 0
		for range cap(answered) {
			err := <-answered
			if err == nil {
				scheduled++
			} else if fault.KindOf(err) != fault.Conflict {
				t.Errorf("a replay beside others: got %v, want kind %s", err, fault.Conflict)
			}
		}
		if scheduled == 0 {
			t.Error("replays at once: all were refused, want one scheduled at least")
		}
	})
}
