package gormdb_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// enqueue records an event about the subject that is delivered to the webhook only.
func enqueue(t testing.TB, db *gormdb.DB, hook webhook.Webhook, subject string) uuid.UUID {
	t.Helper()
	e := hookEvent(hook, "webhook.test")
	e.Target.Key = subject
	if err := db.Webhooks().Test(t.Context(), aTest, hook.AccountID, hook.ID, e); err != nil {
		t.Fatal(err)
	}
	return e.ID
}

// due makes all deliveries due, and ends all leases.
func due(t testing.TB, url string) {
	t.Helper()
	dbtest.Exec(t, url, "UPDATE deliveries SET next_at = 1; UPDATE webhook_leases SET until_at = 1",
		"UPDATE deliveries SET next_at = to_timestamp(1); UPDATE webhook_leases SET until_at = to_timestamp(1)")
}

// places are free for any webhooks.
func places(most int) deliver.Places {
	return deliver.Places{Most: most, Unproven: most, PerAccount: most, Held: map[uuid.UUID]int{}}
}

func claims(t testing.TB, db *gormdb.DB, most int) []deliver.Job {
	t.Helper()
	jobs, err := serverOf(db).claim(t.Context(), places(most))
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

func eventsOf(jobs []deliver.Job) []uuid.UUID {
	ids := make([]uuid.UUID, len(jobs))
	for i, j := range jobs {
		ids[i] = j.Event.ID
	}
	return ids
}

// outcome of an attempt; a pending one is due again at once.
func outcome(s webhook.DeliveryState) deliver.Outcome {
	o := deliver.Outcome{State: s, Health: true,
		Attempt: webhook.Attempt{At: noon, Status: 200, Duration: 20 * time.Millisecond, ResponseHead: "ok"}}
	if s != webhook.Delivered {
		o.Attempt.Status, o.Attempt.Error = 500, "the receiver answered 500"
	}
	o.NextAt = o.Attempt.At.Add(o.Attempt.Duration)
	return o
}

func finish(t testing.TB, db *gormdb.DB, o deliver.Outcome, jobs ...deliver.Job) []bool {
	t.Helper()
	done := make([]deliver.Finished, len(jobs))
	for i, j := range jobs {
		done[i] = deliver.Finished{Job: j, Outcome: o, Disabled: hookEvent(j.Webhook, "webhook.disabled")}
	}
	recorded, err := serverOf(db).finish(t.Context(), done)
	if err != nil {
		t.Fatal(err)
	}
	return recorded
}

func TestClaim(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		hook := addHook(t, db, w)
		if jobs := claims(t, db, 10); len(jobs) != 0 {
			t.Fatalf("claims of an empty queue: got %v, want none", eventsOf(jobs))
		}
		first := enqueue(t, db, hook, "a")
		second := enqueue(t, db, hook, "a")
		third := enqueue(t, db, hook, "b")
		before := time.Now()
		jobs := claims(t, db, 10)
		check.Equal(t, eventsOf(jobs), []uuid.UUID{first, third}, "claimed events: the first of each subject")
		j := jobs[0]
		same(t, "the job's webhook", j.Webhook, hook)
		check.Equal(t, j.Event.Target.Key, "a", "the subject of the job's event")
		until := j.Lease.Until.Sub(before)
		if j.Lease.Token == uuid.Nil || until < deliver.LeaseTime || until > deliver.LeaseTime+time.Second {
			t.Errorf("the claim: got token %v and a lease of %v, want a token and %v", j.Lease.Token, until,
				deliver.LeaseTime)
		}
		check.Equal(t, len(claims(t, db, 10)), 0, "claims of deliveries that are held, or of those behind them")
		check.Equal(t, len(claims(t, dbtest.Open(t, url), 10)), 0, "claims of another server")
		check.Equal(t, finish(t, db, outcome(webhook.Pending), jobs...), []bool{true, true}, "recorded")
		again := claims(t, db, 10)
		check.Equal(t, eventsOf(again), []uuid.UUID{first, third}, "claimed again, still before the second event")
		check.Equal(t, again[0].Attempts, 1, "attempts so far")
		finish(t, db, outcome(webhook.Delivered), again...)
		check.Equal(t, eventsOf(claims(t, db, 10)), []uuid.UUID{second}, "claimed after the first was delivered")
	})
}

// A lease that ended is claimed by another server. The outcome of the first one no longer counts.
func TestExpiredLeases(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db, other := dbtest.Open(t, url), dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		hook := addHook(t, db, w)
		id := enqueue(t, db, hook, "a")
		old := claims(t, db, 1)
		due(t, url)
		taken := claims(t, other, 1)
		check.Equal(t, eventsOf(taken), []uuid.UUID{id}, "claimed by another server")
		check.Equal(t, finish(t, db, outcome(webhook.Delivered), old...), []bool{false}, "the first one's outcome")
		begins(t, db, old[0], false)
		begins(t, other, taken[0], true)
		check.Equal(t, finish(t, other, outcome(webhook.Dead), taken...), []bool{true}, "the second one's outcome")
		check.Equal(t, texts(t, url, "SELECT state FROM deliveries"), []string{"DEAD"}, "the state")
		check.Equal(t, len(texts(t, url, "SELECT number FROM attempts")), 1, "attempts")
	})
}

func begins(t testing.TB, db *gormdb.DB, j deliver.Job, want bool) {
	t.Helper()
	check.Equal(t, len(recheck(t, db, j)) == 1, want, "an attempt may begin")
}

func recheck(t testing.TB, db *gormdb.DB, jobs ...deliver.Job) []deliver.Job {
	t.Helper()
	var all []deliver.Job
	for _, j := range jobs {
		j, may, err := db.Queue().Recheck(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		if may {
			all = append(all, j)
		}
	}
	return all
}

// At most four attempts are in flight for one webhook, and one after five failures in a row, whatever its number of
// deliveries. A success ends that.
func TestAttemptsInFlight(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		hook := addHook(t, db, w)
		for i := range 20 {
			enqueue(t, db, hook, fmt.Sprint(i))
		}
		jobs := claims(t, db, 100)
		check.Equal(t, len(jobs), deliver.MaxInFlight, "in flight")
		finish(t, db, outcome(webhook.Dead), jobs[0])
		check.Equal(t, len(claims(t, db, 100)), 1, "claims after one ended")
		finish(t, db, outcome(webhook.Dead), jobs[1:]...)
		jobs = claims(t, db, 100)
		check.Equal(t, len(jobs), 3, "after four failures")
		finish(t, db, outcome(webhook.Dead), jobs...)
		check.Equal(t, len(claims(t, db, 100)), 0, "after seven failures, with one in flight")
	})
}

func TestProbes(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		hook := addHook(t, db, w)
		for i := range 20 {
			enqueue(t, db, hook, fmt.Sprint(i))
		}
		for n := 0; n < deliver.ProbeAfter; {
			jobs := claims(t, db, 1)
			finish(t, db, outcome(webhook.Dead), jobs...)
			n += len(jobs)
		}
		probe := claims(t, db, 100)
		check.Equal(t, len(probe), 1, "probes")
		check.Equal(t, len(claims(t, db, 100)), 0, "more probes")
		ignored := outcome(webhook.Delivered)
		ignored.Health = false
		finish(t, db, ignored, probe...)
		probe = claims(t, db, 100)
		check.Equal(t, len(probe), 1, "probes after a success that does not count")
		finish(t, db, outcome(webhook.Delivered), probe...)
		check.Equal(t, len(claims(t, db, 100)), deliver.MaxInFlight, "claims after a success")
		got, err := db.Webhooks().Webhook(t.Context(), w.Account.ID, hook.ID)
		if err != nil || !got.FailingSince.IsZero() {
			t.Errorf("failing since, after a success: got %v, %v, want the zero time", got.FailingSince, err)
		}
	})
}

// A batch of outcomes counts the failures since the last success in it.
func TestHealthOfABatch(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		hook := addHook(t, db, w)
		for i := range 4 {
			enqueue(t, db, hook, fmt.Sprint(i))
		}
		jobs := claims(t, db, 4)
		done := make([]deliver.Finished, len(jobs))
		for i, s := range []webhook.DeliveryState{webhook.Dead, webhook.Pending, webhook.Delivered, webhook.Dead} {
			o := outcome(s)
			o.Attempt.At = later(time.Duration(i) * time.Second)
			o.NextAt = o.Attempt.At.Add(time.Hour)
			done[len(jobs)-1-i] = deliver.Finished{Job: jobs[i], Outcome: o} // out of order
		}
		recorded, err := serverOf(db).finish(t.Context(), done)
		if err != nil {
			t.Fatal(err)
		}
		check.Equal(t, recorded, []bool{true, true, true, true}, "recorded")
		check.Equal(t, texts(t, url, "SELECT failures FROM webhooks"), []string{"1"}, "failures in a row")
		got, err := db.Webhooks().Webhook(t.Context(), w.Account.ID, hook.ID)
		if same(t, "failing since", got.FailingSince, later(3*time.Second)); err != nil {
			t.Fatal(err)
		}
		next, err := db.Queue().NextDue(t.Context())
		if in := time.Until(next); err != nil || in < 59*time.Minute || in > 61*time.Minute {
			t.Errorf("the next one is due in %v, %v; want an hour", in, err)
		}
	})
}

// A webhook with many due deliveries gets no more places than others, and hides none.
func TestClaimsAreFair(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		crowded := addHook(t, db, w)
		fillQueue(t, url, crowded, 20_000, 20_000)
		var others []webhook.Webhook
		for range 5 {
			hook := addHook(t, db, w)
			enqueue(t, db, hook, "a")
			enqueue(t, db, hook, "b")
			others = append(others, hook)
		}
		begun := time.Now()
		jobs := claims(t, db, 6)
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("a claim took %v, want 5s at most", took)
		}
		places := map[uuid.UUID]int{}
		for _, j := range jobs {
			places[j.Webhook.ID]++
		}
		for _, hook := range append(others, crowded) {
			check.Equal(t, places[hook.ID], 1, "places of a webhook")
		}
	})
}

// fillQueue records events with pending deliveries to a webhook, in turn about some subjects.
func fillQueue(t testing.TB, url string, hook webhook.Webhook, n, subjects int) {
	t.Helper()
	const columns = `(account_id, id, at, actor_kind, actor_name, action, target_kind, target_key, target_name, ip, request_id, details)`
	unique := hook.ID.String()
	id := "'01900000-" + unique[24:28] + "-7" + unique[28:31] + "-8000-' || "
	account, key := hook.AccountID.String(), hook.ID.String()
	dbtest.Exec(t, url, fmt.Sprintf(`
		CREATE TEMP TABLE numbers AS WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < %d) SELECT n, %sprintf('%%012x', n) AS id FROM r;
		INSERT INTO audit_events %s SELECT '%s', id, 1, 'OPERATOR', 'operator', 'webhook.test', 'webhook', 's' || (n %% %d), '', '', '', '[]' FROM numbers;
		INSERT INTO deliveries (account_id, webhook_id, event_id, subject, sequence, next_at)
			SELECT '%s', '%s', id, 's' || (n %% %d), n, 1000 FROM numbers;`, n, id, columns, account, subjects, account, key, subjects),
		fmt.Sprintf(`
		CREATE TEMP TABLE numbers AS SELECT n, (%slpad(to_hex(n), 12, '0'))::uuid AS id FROM generate_series(1, %d) AS n;
		INSERT INTO audit_events %s SELECT '%s', id, now(), 'OPERATOR', 'operator', 'webhook.test', 'webhook', 's' || (n %% %d), '', '', '', '[]' FROM numbers;
		INSERT INTO deliveries (account_id, webhook_id, event_id, subject, sequence, next_at)
			SELECT '%s', '%s', id, 's' || (n %% %d), n, to_timestamp(1) FROM numbers;`, id, n, columns, account, subjects, account, key, subjects))
}

// Deliveries behind others of their subject are postponed and do not delay other subjects. They are due as soon as the
// one before them is delivered.
func TestDeliveriesBehindOthers(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		hook := addHook(t, db, w)
		fillQueue(t, url, hook, 2500, 1)
		free := enqueue(t, db, hook, "free")
		jobs := claims(t, db, 10)
		var head deliver.Job
		for range 3 { // one call looks at a part of the postponed ones only
			jobs = append(jobs, claims(t, db, 10)...)
		}
		check.Equal(t, len(jobs), 2, "claims: the first of the subject, and the other subject")
		for _, j := range jobs {
			if j.Event.ID != free {
				head = j
			}
		}
		check.Equal(t, len(claims(t, db, 10)), 0, "claims while the first one is in flight")
		for n := range 3 {
			finish(t, db, outcome(webhook.Delivered), head)
			jobs := claims(t, db, 10)
			if len(jobs) != 1 || jobs[0].Event.Target.Key != head.Event.Target.Key {
				t.Fatalf("%v were claimed after delivery %d, want the next of the subject", eventsOf(jobs), n)
			}
			head = jobs[0]
		}
	})
}

// Many servers claim at once. No delivery is leased twice at a time, the order of a subject's events is kept, and no
// webhook has more attempts in flight than it may.
func TestClaimsInRaces(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		handles := []*gormdb.DB{dbtest.Open(t, url), dbtest.Open(t, url), dbtest.Open(t, url)}
		w := dbtest.Seed{}.Make(t, handles[0])
		const events, subjects = 40, 5
		order := map[string][]uuid.UUID{}
		var hooks []webhook.Webhook
		for range 4 {
			hook := addHook(t, handles[0], w)
			for i := range events {
				subject := fmt.Sprint(hook.ID, i%subjects)
				order[subject] = append(order[subject], enqueue(t, handles[0], hook, subject))
			}
			hooks = append(hooks, hook)
		}
		ref := &referee{t: t, leased: map[[2]uuid.UUID]bool{}, inFlight: map[uuid.UUID]int{}, order: order,
			left: len(hooks) * events}
		var group errgroup.Group
		for i := range 8 {
			random := rand.New(rand.NewPCG(uint64(i), 7))
			group.Go(func() error { return ref.work(newServer(handles[i%3]), random) })
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		for subject, left := range ref.order {
			if len(left) > 0 {
				t.Errorf("deliveries of %s left: got %d, want none", subject, len(left))
			}
		}
	})
}

// referee checks claims against the rules.
type referee struct {
	t        *testing.T
	mu       sync.Mutex
	leased   map[[2]uuid.UUID]bool
	inFlight map[uuid.UUID]int
	// order has the events of each subject that are not delivered.
	order map[string][]uuid.UUID
	left  int
}

func (r *referee) work(s *server, random *rand.Rand) error {
	for end := time.Now().Add(time.Minute); ; {
		jobs, err := s.claim(r.t.Context(), places(1+random.IntN(6)))
		if err != nil {
			return err
		}
		for _, j := range jobs {
			r.claimed(j)
		}
		var done []deliver.Finished
		for _, j := range jobs {
			s := webhook.Delivered
			if random.IntN(4) == 0 {
				s = webhook.Pending
			}
			done = append(done, deliver.Finished{Job: j, Outcome: outcome(s)})
		}
		time.Sleep(time.Duration(random.IntN(2000)) * time.Microsecond)
		for _, f := range done {
			r.ends(f)
		}
		recorded, err := s.finish(r.t.Context(), done)
		if err != nil {
			return err
		}
		r.mu.Lock()
		for i := range recorded {
			if !recorded[i] {
				r.t.Errorf("the outcome of %v was refused, want it recorded", done[i].Job.Event.ID)
			}
		}
		left := r.left
		r.mu.Unlock()
		if left == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d deliveries are left", left)
		}
	}
}

func (r *referee) claimed(j deliver.Job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]uuid.UUID{j.Webhook.ID, j.Event.ID}
	if r.leased[key] {
		r.t.Errorf("%v was claimed twice at a time, want one claim", key)
	}
	r.leased[key] = true
	if r.inFlight[j.Webhook.ID]++; r.inFlight[j.Webhook.ID] > deliver.MaxInFlight {
		r.t.Errorf("attempts in flight for one webhook: got %d, want %d at most",
			r.inFlight[j.Webhook.ID], deliver.MaxInFlight)
	}
	if first := r.order[j.Event.Target.Key]; len(first) == 0 || first[0] != j.Event.ID {
		r.t.Errorf("claimed %v, want the first of its subject: %v", j.Event.ID, first)
	}
}

// ends is called before the outcome is recorded, since another server can claim as soon as it is.
func (r *referee) ends(f deliver.Finished) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.leased, [2]uuid.UUID{f.Job.Webhook.ID, f.Job.Event.ID})
	r.inFlight[f.Job.Webhook.ID]--
	if f.Outcome.State == webhook.Delivered && len(r.order[f.Job.Event.Target.Key]) > 0 {
		r.order[f.Job.Event.Target.Key] = r.order[f.Job.Event.Target.Key][1:]
		r.left--
	}
}

// A test of a webhook does not wait for an earlier one that failed.
func TestTestsDoNotWait(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		hook := addHook(t, db, w)
		for range 2 {
			enqueue(t, db, hook, hook.ID.String())
		}
		check.Equal(t, len(claims(t, db, 10)), 2, "tests claimed at once")
	})
}
