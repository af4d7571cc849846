package gormdb_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// deliveriesTo returns all deliveries to a webhook that f selects.
func deliveriesTo(t testing.TB, db *gormdb.DB, hook webhook.Webhook, f webhook.DeliveryFilter) []webhook.Delivery {
	t.Helper()
	pages, err := db.Webhooks().Deliveries(t.Context(), hook.AccountID, []uuid.UUID{hook.ID}, f, all, true)
	if err != nil {
		t.Fatal(err)
	}
	list := nodes(pages[hook.ID])
	counts, err := db.Webhooks().CountDeliveries(t.Context(), hook.AccountID, []uuid.UUID{hook.ID}, f)
	if check.Equal(t, counts[hook.ID], int64(len(list)), "the count of deliveries"); err != nil {
		t.Fatal(err)
	}
	byState := map[webhook.DeliveryState]int64{}
	for _, d := range list {
		byState[d.State]++
	}
	states, err := db.Webhooks().CountStates(t.Context(), hook.AccountID, hook.ID, f)
	if check.Equal(t, states, byState, "the counts by state"); err != nil {
		t.Fatal(err)
	}
	return list
}

func deliveredEvents(list []webhook.Delivery) []uuid.UUID {
	ids := make([]uuid.UUID, len(list))
	for i, d := range list {
		ids[i] = d.Event.ID
	}
	return ids
}

func TestDeliveriesAreListed(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		hook, other := addHook(t, db, w), addHook(t, db, w)
		var ids []uuid.UUID
		for i := range 5 {
			ids = append(ids, enqueue(t, db, hook, fmt.Sprint(i)))
		}
		alone := enqueue(t, db, other, "a")
		jobs := claims(t, db, 100)
		for _, j := range jobs {
			switch j.Event.ID {
			case ids[0]:
				finish(t, db, outcome(webhook.Pending), j)
			case ids[1]:
				finish(t, db, outcome(webhook.Delivered), j)
			case ids[2]:
				finish(t, db, outcome(webhook.Dead), j)
			}
		}
		list := deliveriesTo(t, db, hook, webhook.DeliveryFilter{})
		check.Equal(t, deliveredEvents(list), newestFirst(ids), "events")
		delivered := list[3]
		delivered.Event = audit.Event{}
		same(t, "the delivered one", delivered, webhook.Delivery{WebhookID: hook.ID, State: webhook.Delivered,
			Attempts: []webhook.Attempt{{Number: 1, At: noon, Status: 200, Duration: 20 * time.Millisecond,
				ResponseHead: "ok"}}})
		if d := list[4]; d.State != webhook.Pending || d.NextAttemptAt.IsZero() || len(d.Attempts) != 1 ||
			d.Attempts[0].Error == "" {
			t.Errorf("the pending one: got %+v, want its next attempt and one attempt with an error", d)
		}
		for name, tc := range map[string]struct {
			filter webhook.DeliveryFilter
			want   []uuid.UUID
		}{
			"states": {webhook.DeliveryFilter{States: []webhook.DeliveryState{webhook.Delivered, webhook.Dead}},
				ids[1:3]},
			"a type":        {webhook.DeliveryFilter{Types: []string{"webhook.test"}}, ids},
			"another type":  {webhook.DeliveryFilter{Types: []string{"user.added"}}, nil},
			"an event":      {webhook.DeliveryFilter{EventID: &ids[3]}, ids[3:4]},
			"the zero UUID": {webhook.DeliveryFilter{EventID: &uuid.Nil}, nil},
			"before a time": {webhook.DeliveryFilter{Before: noon}, nil},
			"around a time": {webhook.DeliveryFilter{After: later(-1000), Before: later(1000)}, ids},
		} {
			got := deliveredEvents(deliveriesTo(t, db, hook, tc.filter))
			check.Equal(t, got, newestFirst(tc.want), "deliveries by %s", name)
		}
		pages, err := db.Webhooks().Deliveries(t.Context(), w.Account.ID, []uuid.UUID{hook.ID, other.ID},
			webhook.DeliveryFilter{}, paging.Window{Size: 2}, true)
		if err != nil {
			t.Fatal(err)
		}
		check.Equal(t, deliveredEvents(nodes(pages[hook.ID])), []uuid.UUID{ids[4], ids[3]}, "a page of each: the first")
		check.Equal(t, deliveredEvents(nodes(pages[other.ID])), []uuid.UUID{alone}, "a page of each: the second")
		deleteHook(t, db, hook)
		check.Equal(t, len(deliveriesTo(t, db, hook, webhook.DeliveryFilter{})), 0, "deliveries of a deleted webhook")
	})
}

// A delivery behind an earlier one of its subject has no time of its next attempt until that one is delivered or dead.
func TestNextAttemptBehindAnEarlierDelivery(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		hook := addHook(t, db, dbtest.Seed{}.Make(t, db))
		enqueue(t, db, hook, "a")
		enqueue(t, db, hook, "a")
		next := func() (earlier, later bool) {
			list := deliveriesTo(t, db, hook, webhook.DeliveryFilter{})
			return !list[1].NextAttemptAt.IsZero(), !list[0].NextAttemptAt.IsZero()
		}
		jobs := claims(t, db, 10)
		check.Equal(t, len(jobs), 1, "claimed deliveries of one subject")
		first, second := next()
		check.Equal(t, [2]bool{first, second}, [2]bool{true, false}, "whether both have a next attempt")
		finish(t, db, outcome(webhook.Dead), jobs...)
		first, second = next()
		check.Equal(t, [2]bool{first, second}, [2]bool{false, true}, "whether both have one after the first is dead")
	})
}

func TestHistory(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		hook := addHook(t, db, w)
		for i, s := range []webhook.DeliveryState{webhook.Delivered, webhook.Dead, webhook.Delivered} {
			enqueue(t, db, hook, fmt.Sprint(i))
			o := outcome(s)
			o.Attempt.At = later(time.Duration(i) * time.Hour)
			finish(t, db, o, claims(t, db, 1)...)
		}
		hour := noon.Truncate(time.Hour)
		got, err := db.Webhooks().History(t.Context(), w.Account.ID, hook.ID, later(-time.Hour), later(time.Hour+1000))
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the history", got, []webhook.HourCount{{Hour: hour.Add(-time.Hour)}, {Hour: hour, Delivered: 1},
			{Hour: hour.Add(time.Hour), Failed: 1}})
	})
}

// replayWorld is a webhook for API tokens, and an account with events of them and others.
type replayWorld struct {
	db   *gormdb.DB
	hook webhook.Webhook
	// tokens are events of API tokens, one an hour from noon on, the first two without a delivery.
	tokens []uuid.UUID
	user   uuid.UUID
}

func newReplayWorld(t *testing.T, url string) replayWorld {
	db := dbtest.Open(t, url)
	w := dbtest.Seed{}.Make(t, db)
	// The events before the webhook have no deliveries.
	record := func(action audit.Action, at time.Time) uuid.UUID {
		made, _ := draft(w, uuid.Nil)
		e := event(made.Token, action)
		e.At = at
		made.Event = e
		if err := db.Tokens().Insert(t.Context(), aTest, made); err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	r := replayWorld{db: db}
	r.user = record(audit.UserAdded, noon)
	for i := range 4 {
		r.tokens = append(r.tokens, record(audit.APITokenCreated, later(time.Duration(i)*time.Hour)))
	}
	r.hook = addHook(t, db, w, types("api_token.*"))
	return r
}

func (r replayWorld) replay(t *testing.T, edit func(*webhook.Replay)) (int, error) {
	t.Helper()
	q := webhook.Replay{AccountID: r.hook.AccountID, WebhookID: r.hook.ID, Limit: 100}
	edit(&q)
	return r.db.Webhooks().Replay(t.Context(), aTest, q, func(n int) audit.Event {
		e := hookEvent(r.hook, "webhook.updated")
		e.Details = []audit.Detail{{Name: "scheduled", Value: fmt.Sprint(n)}}
		return e
	})
}

func (r replayWorld) replays(t *testing.T, want int, edit func(*webhook.Replay)) {
	t.Helper()
	n, err := r.replay(t, edit)
	if check.Equal(t, n, want, "scheduled deliveries"); err != nil {
		t.Fatal(err)
	}
}

func ids(list ...uuid.UUID) func(*webhook.Replay) {
	return func(r *webhook.Replay) { r.EventIDs = list }
}

func TestReplay(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		r := newReplayWorld(t, url)
		everything := func(*webhook.Replay) {}
		inStates := func(s ...webhook.DeliveryState) func(*webhook.Replay) {
			return func(r *webhook.Replay) { r.States = s }
		}
		r.replays(t, 0, inStates(webhook.Pending, webhook.Delivered, webhook.Dead))
		r.replays(t, 1, ids(r.tokens[0], r.tokens[0]))
		for name, id := range map[string]uuid.UUID{"unknown": uuid.New(), "of another type": r.user} {
			if n, err := r.replay(t, ids(r.tokens[1], id)); fault.KindOf(err) != fault.NotFound || n != 0 {
				t.Errorf("an event that is %s: got %d, %v, want none and kind %s", name, n, err, fault.NotFound)
			}
		}
		r.replays(t, 2, func(r *webhook.Replay) { r.Since, r.Until = later(time.Hour), later(3*time.Hour) })
		r.replays(t, 2, func(r *webhook.Replay) { r.Since, r.Limit = later(time.Hour), 2 })
		list := deliveriesTo(t, r.db, r.hook, webhook.DeliveryFilter{})
		check.Equal(t, deliveredEvents(list), newestFirst(r.tokens), "all of them are pending now")
		r.replays(t, 4, everything)

		jobs := claims(t, r.db, 10)
		finish(t, r.db, outcome(webhook.Dead), jobs[:2]...)
		finish(t, r.db, outcome(webhook.Delivered), jobs[2:]...)
		r.replays(t, 2, inStates(webhook.Dead))
		again := claims(t, r.db, 10)
		check.Equal(t, len(again), 2, "claims of dead deliveries that are replayed")
		for _, j := range again {
			check.Equal(t, j.Attempts, 0, "attempts of a replayed delivery")
			if !slices.Contains(eventsOf(jobs[:2]), j.Event.ID) {
				t.Errorf("%v was replayed, want only those that were dead: %v", j.Event.ID, eventsOf(jobs[:2]))
			}
		}
		finish(t, r.db, outcome(webhook.Delivered), again...)
		one := deliveriesTo(t, r.db, r.hook, webhook.DeliveryFilter{EventID: &again[0].Event.ID})[0]
		if len(one.Attempts) != 2 || one.Attempts[0].Number != 1 || one.Attempts[1].Number != 2 ||
			one.State != webhook.Delivered {
			t.Errorf("the replayed delivery: got %+v, want it delivered in its attempts 1 and 2", one)
		}
		events, err := r.db.Audit().CountEvents(t.Context(), r.hook.AccountID,
			audit.Filter{Actions: []audit.Action{"webhook.updated"}})
		if check.Equal(t, events, 5, "events of replays"); err != nil {
			t.Fatal(err)
		}
	})
}

// A delivery that is replayed while its attempt is in flight is not attempted twice at a time.
func TestReplayOfAnAttemptInFlight(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		r := newReplayWorld(t, url)
		r.replays(t, 1, ids(r.tokens[0]))
		jobs := claims(t, r.db, 10)
		r.replays(t, 1, ids(r.tokens[0]))
		check.Equal(t, len(claims(t, r.db, 10)), 0, "claims of a delivery in flight")
		check.Equal(t, finish(t, r.db, outcome(webhook.Delivered), jobs...), []bool{true}, "recorded")
		r.replays(t, 1, ids(r.tokens[0]))
		check.Equal(t, eventsOf(claims(t, r.db, 10)), r.tokens[:1], "claims after another replay")
	})
}

// A replayed event is attempted before later ones of its subject that are pending.
func TestReplayKeepsTheOrder(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		hook := addHook(t, db, w)
		first := enqueue(t, db, hook, "a")
		finish(t, db, outcome(webhook.Delivered), claims(t, db, 1)...)
		enqueue(t, db, hook, "a")
		_, err := db.Webhooks().Replay(t.Context(), aTest, webhook.Replay{AccountID: w.Account.ID, WebhookID: hook.ID,
			EventIDs: []uuid.UUID{first}, Limit: 1}, noReplayEvent(hook))
		if err != nil {
			t.Fatal(err)
		}
		check.Equal(t, eventsOf(claims(t, db, 10)), []uuid.UUID{first}, "claims")
	})
}

// Disabling a webhook makes its pending deliveries dead. An attempt in flight still counts if it was a success.
func TestDisabledDeliveries(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		hook := addHook(t, db, w)
		for i := range 3 {
			enqueue(t, db, hook, fmt.Sprint(i))
		}
		jobs := claims(t, db, 2)
		changeHook(t, db, hook, state(webhook.Disabled))
		count := func(s webhook.DeliveryState) int {
			return len(deliveriesTo(t, db, hook, webhook.DeliveryFilter{States: []webhook.DeliveryState{s}}))
		}
		check.Equal(t, count(webhook.Dead), 3, "dead deliveries")
		finish(t, db, outcome(webhook.Delivered), jobs[0])
		finish(t, db, outcome(webhook.Pending), jobs[1])
		check.Equal(t, count(webhook.Delivered), 1, "delivered ones")
		check.Equal(t, count(webhook.Pending), 0, "pending ones")
		changeHook(t, db, hook, state(webhook.Enabled))
		check.Equal(t, len(claims(t, db, 10)), 0, "claims after it was enabled again")
	})
}

func TestFailingWebhooks(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		hook := addHook(t, db, w)
		addHook(t, db, w)
		enqueue(t, db, hook, "a")
		finish(t, db, outcome(webhook.Dead), claims(t, db, 1)...)
		failing := func(before time.Time) []deliver.Failing {
			t.Helper()
			list, err := db.Queue().Failing(t.Context(), before)
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		check.Equal(t, len(failing(noon)), 0, "webhooks that had been failing before it began")
		list := failing(later(time.Hour))
		if len(list) != 1 || list[0].Reported || list[0].Webhook.ID != hook.ID {
			t.Fatalf("failing: got %+v, want only webhook %s, not reported", list, hook.ID)
		}
		f := list[0].Webhook
		does := func(want bool, what string, run func() (bool, error)) {
			t.Helper()
			got, err := run()
			if check.Equal(t, got, want, "%s", what); err != nil {
				t.Fatal(err)
			}
		}
		report := func() (bool, error) {
			return db.Queue().ReportFailing(t.Context(), f, hookEvent(hook, "webhook.failing"))
		}
		does(true, "reported", report)
		does(false, "reported again", report)
		check.Equal(t, failing(later(time.Hour))[0].Reported, true, "it is reported")
		disable := func() (bool, error) {
			return db.Queue().Disable(t.Context(), f, "It failed for 5 days.", hookEvent(hook, "webhook.disabled"))
		}
		works := f
		works.FailingSince = later(time.Minute)
		does(false, "disabled since another time", func() (bool, error) {
			return db.Queue().Disable(t.Context(), works, "no", hookEvent(hook, "webhook.disabled"))
		})
		does(true, "disabled", disable)
		does(false, "disabled again", disable)
		got, err := db.Webhooks().Webhook(t.Context(), w.Account.ID, hook.ID)
		if err != nil || got.State != webhook.Disabled || got.StateReason != "It failed for 5 days." {
			t.Errorf("Webhook() = %+v, %v, want it disabled with the reason of 5 days", got, err)
		}
		check.Equal(t, len(failing(later(time.Hour))), 0, "failing webhooks that are not disabled")
		changeHook(t, db, hook, state(webhook.Enabled))
		check.Equal(t, len(failing(later(time.Hour))), 0, "failing webhooks after it was enabled")
		events, err := db.Audit().CountEvents(t.Context(), w.Account.ID,
			audit.Filter{Actions: []audit.Action{"webhook.failing", "webhook.disabled"}})
		if check.Equal(t, events, 2, "events"); err != nil {
			t.Fatal(err)
		}
	})
}

// An answer 410 disables the webhook, once.
func TestGoneDisables(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		hook := addHook(t, db, w)
		for i := range 3 {
			enqueue(t, db, hook, fmt.Sprint(i))
		}
		gone := outcome(webhook.Dead)
		gone.Gone = true
		jobs := claims(t, db, 2)
		check.Equal(t, finish(t, db, gone, jobs...), []bool{true, true}, "recorded")
		got, err := db.Webhooks().Webhook(t.Context(), w.Account.ID, hook.ID)
		if err != nil || got.State != webhook.Disabled || got.StateReason == "" {
			t.Errorf("Webhook() = %+v, %v, want it disabled with a reason", got, err)
		}
		check.Equal(t, len(deliveriesTo(t, db, hook,
			webhook.DeliveryFilter{States: []webhook.DeliveryState{webhook.Dead}})), 3, "dead deliveries")
		events, err := db.Audit().CountEvents(t.Context(), w.Account.ID,
			audit.Filter{Actions: []audit.Action{"webhook.disabled"}})
		if check.Equal(t, events, 1, "events"); err != nil {
			t.Fatal(err)
		}
	})
}

// Prune deletes what is old, and what a deleted webhook left, in slices.
func TestPrune(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		hook, deleted := addHook(t, db, w), addHook(t, db, w)
		for i := range 3 {
			enqueue(t, db, hook, fmt.Sprint(i))
			enqueue(t, db, deleted, fmt.Sprint(i))
		}
		now := outcome(webhook.Delivered)
		now.Attempt.At = time.Now()
		jobs := claims(t, db, 4)
		finish(t, db, now, jobs[1:]...)
		finish(t, db, outcome(webhook.Delivered), jobs[0]) // at noon, long ago
		prune := func(before time.Time, most int, want int64) {
			t.Helper()
			n, err := db.Queue().Prune(t.Context(), before, most)
			if check.Equal(t, n, want, "pruned rows"); err != nil {
				t.Fatal(err)
			}
		}
		long := time.Now().Add(-time.Hour)
		prune(long, 100, 1)
		check.Equal(t, len(texts(t, url, "SELECT number FROM attempts")), 3, "attempts after the old one was pruned")
		deleteHook(t, db, deleted)
		prune(long, 2, 2)
		prune(long, 100, 1)
		check.Equal(t, len(deliveriesTo(t, db, hook, webhook.DeliveryFilter{})), 3, "deliveries of the other webhook")
		prune(time.Now().Add(time.Hour), 2, 2)
		prune(time.Now().Add(time.Hour), 100, 1)
		check.Equal(t, len(texts(t, url, "SELECT number FROM attempts")), 0, "attempts")
		check.Equal(t, len(texts(t, url, "SELECT state FROM deliveries")), 0, "deliveries")
	})
}

// Pending deliveries of types that a webhook no longer selects become dead, and are not replayed: who may change the
// webhook now may not be allowed to read them. Tests stay.
func TestDeliveriesOfOtherTypes(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		r := newReplayWorld(t, url)
		r.replays(t, 4, func(*webhook.Replay) {})
		test := enqueue(t, r.db, r.hook, r.hook.ID.String())
		err := r.db.Webhooks().Change(t.Context(), aTest, r.hook.AccountID, r.hook.ID,
			func(w webhook.Webhook) (webhook.Webhook, []audit.Event, error) {
				w.Types = []string{"user.*"}
				return w, nil, nil
			})
		if err != nil {
			t.Fatal(err)
		}
		check.Equal(t, eventsOf(claims(t, r.db, 10)), []uuid.UUID{test}, "claims")
		dead := deliveriesTo(t, r.db, r.hook, webhook.DeliveryFilter{States: []webhook.DeliveryState{webhook.Dead}})
		check.Equal(t, deliveredEvents(dead), newestFirst(r.tokens), "dead deliveries")
		if n, err := r.replay(t, ids(r.tokens[0])); fault.KindOf(err) != fault.NotFound || n != 0 {
			t.Errorf("replay an event of a type that is not selected: got %d, %v; want NOT_FOUND", n, err)
		}
	})
}
