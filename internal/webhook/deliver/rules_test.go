package deliver_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/test/check"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// sequences returns the sequences that a receiver got for each subject, in order.
func sequences(t *testing.T, got []received) map[string][]int64 {
	t.Helper()
	found := map[string][]int64{}
	for _, r := range got {
		b := parse(t, r.body)
		found[b.Data.ID] = append(found[b.Data.ID], b.Sequence)
	}
	return found
}

// Rule 2: an event is not attempted before the earlier one of its subject is delivered, and other subjects do not wait.
func TestOrderOfASubject(t *testing.T) {
	eachFleet(t, func(t *testing.T, of fleet) {
		f := newFixture(t)
		var down atomic.Bool
		down.Store(true)
		var first atomic.Pointer[string]
		r := startReceiver(t, func(w http.ResponseWriter, req *http.Request) {
			id := req.Header.Get("webhook-id")
			if down.Load() && (first.CompareAndSwap(nil, &id) || *first.Load() == id) {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		w := f.webhook(t, r.URL)
		of.add(t, w)
		for range 3 {
			of.change(t, 0)
		}
		run(t, deliver.DispatcherConfig{Queue: of.queue(t), Send: f.sender(t, 0, r).Send})
		r.wait(t, 1)
		for subject := 1; subject < subjects; subject++ {
			of.change(t, subject)
		}
		r.wait(t, subjects)
		time.Sleep(300 * time.Millisecond)
		byState := map[webhook.DeliveryState]int{}
		for _, d := range of.list(t, w.ID) {
			byState[d.State]++
		}
		check.Equal(t, byState, map[webhook.DeliveryState]int{webhook.Pending: 3, webhook.Delivered: subjects - 1},
			"deliveries by state")
		check.Equal(t, len(r.received()), subjects, "requests before the retry")
		down.Store(false)
		until(t, "all are delivered", func() bool { of.hurry(t); return allIn(of.list(t, w.ID), webhook.Delivered) })
		for subject, got := range sequences(t, r.received()) {
			if !slices.IsSorted(got) {
				t.Errorf("the sequences of %s: got %v, want them in order", subject, got)
			}
		}
	})
}

// Rule 5: 410 disables the webhook with an event, and what is pending is dead.
func TestGone(t *testing.T) {
	eachFleet(t, func(t *testing.T, of fleet) {
		f := newFixture(t)
		r := startReceiver(t, status(http.StatusGone))
		w := f.webhook(t, r.URL)
		of.add(t, w)
		of.change(t, 0)
		of.change(t, 0)
		run(t, deliver.DispatcherConfig{Queue: of.queue(t), Send: f.sender(t, 0, r).Send})
		until(t, "the webhook is disabled", func() bool { return of.get(t, w.ID).State == webhook.Disabled })
		check.Equal(t, of.get(t, w.ID).StateReason, deliver.ReasonGone, "the reason")
		check.Equal(t, allIn(of.list(t, w.ID), webhook.Dead), true, "all deliveries are dead")
		check.Equal(t, slices.Contains(of.actions(t, w.ID), audit.WebhookDisabled), true, "the event")
		of.hurry(t)
		time.Sleep(700 * time.Millisecond)
		check.Equal(t, len(r.received()), 1, "requests")
	})
}

// Rule 5: each attempt is recorded, and after the last one the delivery is dead.
func TestDead(t *testing.T) {
	eachFleet(t, func(t *testing.T, of fleet) {
		f := newFixture(t)
		r := startReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprint(w, "not \x00today")
		})
		w := f.webhook(t, r.URL)
		of.add(t, w)
		of.change(t, 0)
		server, _ := run(t, deliver.DispatcherConfig{Queue: of.queue(t), Send: f.sender(t, 0, r).Send})
		until(t, "the delivery is dead", func() bool {
			of.hurry(t)
			server.Wake()
			return allIn(of.list(t, w.ID), webhook.Dead)
		})
		d := of.list(t, w.ID)[0]
		check.Equal(t, len(d.Attempts), deliver.MaxAttempts, "attempts")
		for i, a := range d.Attempts {
			check.Equal(t, a.Number, i+1, "the number of attempt %d", i+1)
			check.Equal(t, a.Status, http.StatusServiceUnavailable, "its status")
			check.Equal(t, a.Error, "status 503: Service Unavailable", "its error")
			check.Equal(t, a.ResponseHead, "not \uFFFDtoday", "its answer")
		}
		check.Equal(t, len(r.received()), deliver.MaxAttempts, "requests")
		ids := map[string]bool{}
		for _, got := range r.received() {
			ids[got.header.Get("webhook-id")] = true
		}
		check.Equal(t, len(ids), 1, "webhook-ids of one delivery")
	})
}

// Rule 6: at most four attempts are in flight for one webhook over all servers, and one after five failures in a row.
func TestFairness(t *testing.T) {
	eachFleet(t, func(t *testing.T, of fleet) {
		f := newFixture(t)
		var now, most atomic.Int64
		r := startReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(50 * time.Millisecond)
			now.Add(-1)
			w.WriteHeader(http.StatusInternalServerError)
		})
		w := f.webhook(t, r.URL)
		of.add(t, w)
		for subject := range subjects {
			of.change(t, subject)
		}
		s := f.sender(t, 0, r)
		for range 3 {
			run(t, deliver.DispatcherConfig{Queue: of.queue(t), Send: s.Send})
		}
		r.wait(t, subjects)
		if n := most.Load(); n < 2 || n > deliver.MaxInFlight {
			t.Errorf("attempts in flight: got %d, want at most %d and more than one", n, deliver.MaxInFlight)
		}
		until(t, "all attempts are recorded", func() bool { return recorded(of.list(t, w.ID)) == subjects })
		most.Store(0)
		of.hurry(t)
		r.wait(t, 2*subjects)
		check.Equal(t, most.Load(), 1, "attempts in flight after %d failures", subjects)
	})
}

func recorded(list []webhook.Delivery) int {
	n := 0
	for _, d := range list {
		n += len(d.Attempts)
	}
	return n
}

// Rule 6: twelve webhooks that hang, with four attempts each, leave another one within a second.
func TestHangingWebhooks(t *testing.T) {
	eachFleet(t, func(t *testing.T, of fleet) {
		f := newFixture(t)
		hanging := hang(t)
		r := startReceiver(t, func(w http.ResponseWriter, req *http.Request) {
			if strings.HasPrefix(req.URL.Path, "/hang") {
				hanging(w, req)
			}
		})
		for i := range 12 {
			of.add(t, f.webhook(t, fmt.Sprint(r.URL, "/hang/", i)))
		}
		d, _ := run(t, deliver.DispatcherConfig{Queue: of.queue(t), Send: f.sender(t, 0, r).Send,
			Grace: time.Millisecond})
		for subject := range subjects {
			of.change(t, subject)
		}
		r.wait(t, 12*deliver.MaxInFlight)
		of.add(t, f.webhook(t, r.URL+"/healthy"))
		time.Sleep(20 * time.Millisecond)
		began := time.Now()
		of.change(t, 0)
		d.Wake()
		until(t, "the healthy receiver gets its event", func() bool {
			return slices.ContainsFunc(r.received(), func(got received) bool { return got.path == "/healthy" })
		})
		if took := time.Since(began); took > prompt {
			t.Errorf("the event of a healthy receiver came after %s, want within %s", took, prompt)
		}
		counts := map[string]int{}
		for _, got := range r.received() {
			counts[got.path]++
		}
		for path, n := range counts {
			if n > deliver.MaxInFlight {
				t.Errorf("attempts in flight at %s: got %d, want at most %d", path, n, deliver.MaxInFlight)
			}
		}
	})
}

// Rule 7: failing for 24 hours is reported once, with an event and a mail; failing for five days disables the webhook.
// A success in between starts again.
func TestFailing(t *testing.T) {
	eachFleet(t, func(t *testing.T, of fleet) {
		f := newFixture(t)
		var code atomic.Int64
		code.Store(500)
		r := startReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(code.Load())) })
		w := f.webhook(t, r.URL)
		of.add(t, w)
		q, mail := of.queue(t), &mailed{}
		run(t, deliver.DispatcherConfig{Queue: q, Send: f.sender(t, 0, r).Send})
		health := deliver.NewHealth(deliver.HealthConfig{Queue: q, Notifier: mail, Failing: failingEvent,
			Disabled: disabledEvent, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		checked := func() {
			t.Helper()
			check.Equal(t, health.Check(t.Context()), nil, "the error of a check")
		}
		counted := func(a audit.Action) (n int) {
			for _, each := range of.actions(t, w.ID) {
				if each == a {
					n++
				}
			}
			return n
		}
		fails := func() {
			of.change(t, 0)
			until(t, "the webhook fails", func() bool { return !of.get(t, w.ID).FailingSince.IsZero() })
		}
		fails()
		of.failingFor(t, w.ID, 23)
		checked()
		check.Equal(t, counted(audit.WebhookFailing), 0, "events after 23 hours")
		of.failingFor(t, w.ID, 25)
		checked()
		checked()
		check.Equal(t, counted(audit.WebhookFailing), 1, "events after 25 hours")
		check.Equal(t, len(mail.to), 1, "mails after 25 hours")
		code.Store(204)
		until(t, "the webhook works", func() bool { of.hurry(t); return of.get(t, w.ID).FailingSince.IsZero() })
		code.Store(500)
		fails()
		of.failingFor(t, w.ID, 25)
		checked()
		check.Equal(t, counted(audit.WebhookFailing), 2, "events of the second time")
		of.failingFor(t, w.ID, 121)
		checked()
		got := of.get(t, w.ID)
		check.Equal(t, got.State, webhook.Disabled, "the state after five days")
		check.Equal(t, got.StateReason, deliver.ReasonFailed, "the reason")
		check.Equal(t, counted(audit.WebhookDisabled), 1, "events")
		check.Equal(t, len(mail.to), 2, "mails")
	})
}

// Rule 1: what happens while no server sends is delivered when one starts, in order.
func TestNothingIsLost(t *testing.T) {
	eachFleet(t, func(t *testing.T, of fleet) {
		f := newFixture(t)
		r := startReceiver(t, nil)
		w := f.webhook(t, r.URL)
		of.add(t, w)
		for i := range 40 {
			of.change(t, i%subjects)
		}
		run(t, deliver.DispatcherConfig{Queue: of.queue(t), Send: f.sender(t, 0, r).Send})
		got := r.wait(t, 40)
		until(t, "all are delivered", func() bool { return allIn(of.list(t, w.ID), webhook.Delivered) })
		check.Equal(t, len(r.received()), 40, "requests")
		for subject, list := range sequences(t, got) {
			if !slices.IsSorted(list) {
				t.Errorf("the sequences of %s: got %v, want them in order", subject, list)
			}
		}
		for _, each := range got {
			verify(t, each, f.secrets[w.ID])
		}
	})
}

// Two servers send the events of one webhook, while more are recorded: each one once, those of a subject in order, and
// at most four at a time over both.
func TestTwoServersAndOneWebhook(t *testing.T) {
	eachFleet(t, func(t *testing.T, of fleet) {
		f := newFixture(t)
		var now, most atomic.Int64
		r := startReceiver(t, func(http.ResponseWriter, *http.Request) {
			n := now.Add(1)
			for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
			}
			time.Sleep(2 * time.Millisecond)
			now.Add(-1)
		})
		w := f.webhook(t, r.URL)
		of.add(t, w)
		s := f.sender(t, 0, r)
		var servers []*deliver.Dispatcher
		for range 2 {
			server, _ := run(t, deliver.DispatcherConfig{Queue: of.queue(t), Send: s.Send})
			servers = append(servers, server)
		}
		const events = 150
		for i := range events {
			of.change(t, i%subjects)
			servers[i/10%2].Wake()
		}
		got := r.wait(t, events)
		until(t, "all are delivered", func() bool { return allIn(of.list(t, w.ID), webhook.Delivered) })
		check.Equal(t, len(r.received()), events, "requests")
		for subject, list := range sequences(t, got) {
			if !slices.IsSorted(list) {
				t.Errorf("the sequences of %s: got %v, want them in order", subject, list)
			}
		}
		if most.Load() > deliver.MaxInFlight {
			t.Errorf("requests in flight: got %d, want at most %d", most.Load(), deliver.MaxInFlight)
		}
	})
}
