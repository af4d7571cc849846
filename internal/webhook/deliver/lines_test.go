package deliver_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/test/check"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// ahead is how many deliveries are claimed in these tests beyond those in flight.
const ahead = 60

// newRun returns a queue with due deliveries of one webhook, all of which a claim gets.
func newRun(t *testing.T, url string) (*fixture, *memory, webhook.Webhook) {
	t.Helper()
	f, m := newFixture(t), newMemory()
	m.ahead = ahead
	w := f.webhook(t, url)
	m.add(t, w)
	for i := range deliver.MaxInFlight + ahead {
		m.emit(t, event(fmt.Sprint(i), 1))
	}
	return f, m, w
}

// Deliveries that are claimed ahead are sent without another claim, MaxInFlight at a time.
func TestRuns(t *testing.T) {
	var now, most atomic.Int64
	r := startReceiver(t, func(http.ResponseWriter, *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(time.Millisecond)
		now.Add(-1)
	})
	f, m, w := newRun(t, r.URL)
	run(t, deliver.DispatcherConfig{Queue: m, Send: f.sender(t, 0, r).Send})
	until(t, "all are delivered", func() bool { return allIn(m.list(t, w.ID), webhook.Delivered) })
	check.Equal(t, len(r.received()), deliver.MaxInFlight+ahead, "requests")
	check.Equal(t, most.Load(), deliver.MaxInFlight, "requests in flight")
	m.mu.Lock()
	defer m.mu.Unlock()
	check.Equal(t, m.again, 0, "deliveries that were claimed again")
}

// After a failure a claim decides what is sent next: the deliveries that wait are given back.
func TestFailureEndsARun(t *testing.T) {
	var failed atomic.Bool
	r := startReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		if failed.CompareAndSwap(false, true) {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	f, m, w := newRun(t, r.URL)
	run(t, deliver.DispatcherConfig{Queue: m, Send: f.sender(t, 0, r).Send})
	until(t, "the others are delivered", func() bool {
		delivered := 0
		for _, d := range m.list(t, w.ID) {
			if d.State == webhook.Delivered {
				delivered++
			}
		}
		return delivered == deliver.MaxInFlight+ahead-1
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.again == 0 {
		t.Error("deliveries that were claimed again: got none, want those that waited when an attempt failed")
	}
}

// Jobs that wait for longer than Fresh are checked again: nothing more is sent to a webhook that was paused.
func TestRunsEnd(t *testing.T) {
	r := startReceiver(t, func(http.ResponseWriter, *http.Request) { time.Sleep(30 * time.Millisecond) })
	f, m, w := newRun(t, r.URL)
	run(t, deliver.DispatcherConfig{Queue: m, Send: f.sender(t, 0, r).Send})
	r.wait(t, 1)
	m.mu.Lock()
	m.webhooks[w.ID].State = webhook.Paused
	m.mu.Unlock()
	time.Sleep(deliver.Fresh + deliver.Fresh/2)
	sent := len(r.received())
	time.Sleep(500 * time.Millisecond)
	check.Equal(t, len(r.received()), sent, "requests after the webhook was paused")
	check.Equal(t, m.leased(w.ID), false, "the webhook is leased")
}

// Attempts of a webhook that begin at about the same time share a check.
func TestAttemptsShareChecks(t *testing.T) {
	r := startReceiver(t, func(http.ResponseWriter, *http.Request) { time.Sleep(150 * time.Millisecond) })
	f, m, w := newRun(t, r.URL)
	run(t, deliver.DispatcherConfig{Queue: m, Send: f.sender(t, 0, r).Send})
	until(t, "all are delivered", func() bool { return allIn(m.list(t, w.ID), webhook.Delivered) })
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.checks == 0 || m.checks > ahead/2 {
		t.Errorf("checks before %d attempts, %d at a time: got %d, want about %d", ahead, deliver.MaxInFlight, m.checks,
			ahead/deliver.MaxInFlight)
	}
}

// A server that stops gives back what waits, and releases the lease with the last outcome, so that others send the rest
// at once.
func TestStopReleases(t *testing.T) {
	r := startReceiver(t, func(http.ResponseWriter, *http.Request) { time.Sleep(300 * time.Millisecond) })
	f, m, w := newRun(t, r.URL)
	_, stop := run(t, deliver.DispatcherConfig{Queue: m, Send: f.sender(t, 0, r).Send, Grace: 5 * time.Second})
	r.wait(t, deliver.MaxInFlight)
	stop()
	byState := map[webhook.DeliveryState]int{}
	for _, d := range m.list(t, w.ID) {
		byState[d.State]++
	}
	check.Equal(t, byState, map[webhook.DeliveryState]int{webhook.Delivered: deliver.MaxInFlight,
		webhook.Pending: ahead}, "deliveries by state")
	check.Equal(t, m.leased(w.ID), false, "the webhook is leased")
}

// claimAtStop is a queue whose first claim of deliveries is answered when goOn is closed.
type claimAtStop struct {
	*memory

	claimed, goOn chan struct{}
}

// Claim returns the error of a context that ends before the answer; the claim is made all the same.
func (q claimAtStop) Claim(ctx context.Context, p deliver.Places,
	holds map[uuid.UUID]deliver.Holding) ([]deliver.Claimed, error) {
	claimed, err := q.memory.Claim(ctx, p, holds)
	if len(claimed) == 0 {
		return claimed, err
	}
	close(q.claimed)
	select {
	case <-q.goOn:
		return claimed, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// What a claim in progress finds is released when the server stops.
func TestStopReleasesAClaimInProgress(t *testing.T) {
	r := startReceiver(t, func(http.ResponseWriter, *http.Request) {})
	f, m := newFixture(t), newMemory()
	w := f.webhook(t, r.URL)
	m.add(t, w)
	q := claimAtStop{m, make(chan struct{}), make(chan struct{})}
	_, stop := run(t, deliver.DispatcherConfig{Queue: q, Send: f.sender(t, 0, r).Send, Grace: time.Second})
	m.emit(t, event("a", 1))
	<-q.claimed
	time.AfterFunc(100*time.Millisecond, func() { close(q.goOn) })
	stop()
	check.Equal(t, m.released, 1, "released leases")
	check.Equal(t, m.leased(w.ID), false, "the webhook is leased")
	check.Equal(t, len(r.received()), 0, "requests")
}

// While places are scarce, webhooks take turns: a webhook does not keep its places for a run.
func TestRunsWhilePlacesAreScarce(t *testing.T) {
	r := startReceiver(t, func(http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Millisecond) })
	f, m, w := newRun(t, r.URL)
	run(t, deliver.DispatcherConfig{Queue: m, Send: f.sender(t, 0, r).Send, InFlight: deliver.MaxInFlight})
	until(t, "all are delivered", func() bool { return allIn(m.list(t, w.ID), webhook.Delivered) })
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.again == 0 {
		t.Error("deliveries that were claimed again: got none, want those that waited while all places were taken")
	}
}
