package deliver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/clock"
	"latchkey/internal/test/check"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// logged is a log that tests read.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// run starts a dispatcher and returns it with a function that stops it, which the end of the test calls too.
func run(t testing.TB, c deliver.DispatcherConfig) (d *deliver.Dispatcher, stop func()) {
	t.Helper()
	if c.InFlight == 0 {
		c.InFlight = 256
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Grace == 0 {
		c.Grace = 5 * time.Second
	}
	c.Now, c.Disabled = time.Now, disabledEvent
	d = deliver.NewDispatcher(c)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return d, stop
}

func disabledEvent(w webhook.Webhook, reason string) audit.Event {
	return audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: w.AccountID, At: clock.Timestamp(time.Now()),
		Actor: audit.Actor{Kind: audit.ActorOperator, Name: "operator"}, Action: audit.WebhookDisabled,
		Target:  audit.Target{Kind: audit.TargetWebhook, Key: w.ID.String(), Name: w.URL},
		Details: []audit.Detail{{Name: "reason", Value: reason}}, Version: 1,
	}
}

// event returns the nth event of a subject.
func event(subject string, n int) audit.Event {
	e := revoked()
	e.ID, e.At = uuid.Must(uuid.NewV7()), time.Now().UTC()
	e.Target.Key, e.Sequence, e.Data = subject, int64(n), json.RawMessage(fmt.Sprintf(`{"id":%q}`, subject))
	return e
}

// prompt is the longest time that something short may take on a busy machine. It is
// shorter than an attempt without an answer.
const prompt = 5 * time.Second

// A commit is attempted at once: well below 100 ms after it.
func TestFirstAttemptIsPrompt(t *testing.T) {
	f, m := newFixture(t), newMemory()
	r := startReceiver(t, nil)
	m.add(t, f.webhook(t, r.URL))
	d, _ := run(t, deliver.DispatcherConfig{Queue: m, Send: f.sender(t, 0, r).Send})
	m.emit(t, event("warm", 1))
	r.wait(t, 1)
	var all []time.Duration
	for i := range 20 {
		time.Sleep(20 * time.Millisecond)
		began := time.Now()
		m.emit(t, event(fmt.Sprint(i), 1))
		d.Wake()
		got := r.wait(t, i+2)
		all = append(all, got[i+1].at.Sub(began))
	}
	slices.Sort(all)
	if all[10] > 100*time.Millisecond { // other programs may delay some
		t.Errorf("first attempts came %s after their commits, half of them at least, want at most 100ms", all[10])
	}
}

// Deliveries that another server recorded are found without a wake-up.
func TestPolling(t *testing.T) {
	f, m := newFixture(t), newMemory()
	r := startReceiver(t, nil)
	m.add(t, f.webhook(t, r.URL))
	run(t, deliver.DispatcherConfig{Queue: m, Send: f.sender(t, 0, r).Send})
	time.Sleep(100 * time.Millisecond)
	began := time.Now()
	m.emit(t, event("a", 1))
	if took := r.wait(t, 1)[0].at.Sub(began); took > prompt {
		t.Errorf("the attempt came after %s, want at most %s", took, prompt)
	}
}

// Wake-ups cost nothing while there are no webhooks, and not more than a claim for each spacing otherwise.
func TestWakeUpsAreCheap(t *testing.T) {
	f, m := newFixture(t), newMemory()
	d, _ := run(t, deliver.DispatcherConfig{Queue: m, Send: f.sender(t, 0).Send})
	wake := func(during time.Duration) int {
		m.mu.Lock()
		m.calls = 0
		m.mu.Unlock()
		for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(100 * time.Microsecond) {
			d.Wake()
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.calls
	}
	time.Sleep(50 * time.Millisecond)
	check.Equal(t, wake(300*time.Millisecond), 0, "claims without webhooks")
	m.add(t, f.webhook(t, "https://example.com"))
	time.Sleep(600 * time.Millisecond)
	if n := wake(300 * time.Millisecond); n == 0 || n > 60 {
		t.Errorf("claims within 300ms: got %d, want about 30", n)
	}
}

// While the database cannot be reached nothing is lost, one line is logged, and claims go on after it.
func TestOutage(t *testing.T) {
	f, m := newFixture(t), newMemory()
	r := startReceiver(t, nil)
	w := f.webhook(t, r.URL)
	m.add(t, w)
	log := &logged{}
	d, _ := run(t, deliver.DispatcherConfig{Queue: m, Send: f.sender(t, 0, r).Send,
		Log: slog.New(slog.NewTextHandler(log, nil))})
	m.emit(t, event("a", 1))
	r.wait(t, 1)
	m.failWith(errors.New("connection refused"))
	m.emit(t, event("a", 2))
	d.Wake()
	time.Sleep(1200 * time.Millisecond)
	check.Equal(t, log.count("cannot be claimed"), 1, "lines about the outage")
	m.failWith(nil)
	r.wait(t, 2)
	until(t, "both are delivered", func() bool { return allIn(m.list(t, w.ID), webhook.Delivered) })
	check.Equal(t, log.count("can be claimed again"), 1, "lines about its end")
}

func allIn(list []webhook.Delivery, state webhook.DeliveryState) bool {
	for _, d := range list {
		if d.State != state {
			return false
		}
	}
	return len(list) > 0
}

// An outcome that cannot be recorded at first is recorded later, without another request.
func TestOutageWhileSending(t *testing.T) {
	f, m := newFixture(t), newMemory()
	arrived, answer := make(chan struct{}), make(chan struct{})
	r := startReceiver(t, func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-answer })
	w := f.webhook(t, r.URL)
	m.add(t, w)
	run(t, deliver.DispatcherConfig{Queue: m, Send: f.sender(t, 0, r).Send})
	m.emit(t, event("a", 1))
	<-arrived
	m.failWith(errors.New("connection refused"))
	close(answer)
	time.Sleep(300 * time.Millisecond)
	m.failWith(nil)
	until(t, "the outcome is recorded", func() bool { return allIn(m.list(t, w.ID), webhook.Delivered) })
	check.Equal(t, len(r.received()), 1, "requests")
}

// A panic costs one attempt.
func TestPanics(t *testing.T) {
	f, m := newFixture(t), newMemory()
	r := startReceiver(t, nil)
	w := f.webhook(t, r.URL)
	m.add(t, w)
	s := f.sender(t, 0, r)
	log := &logged{}
	run(t, deliver.DispatcherConfig{Queue: m, Log: slog.New(slog.NewTextHandler(log, nil)),
		Send: func(ctx context.Context, j deliver.Job) (deliver.Outcome, error) {
			if j.Event.Target.Key == "bad" {
				panic("a mistake")
			}
			return s.Send(ctx, j)
		}})
	m.emit(t, event("bad", 1))
	m.emit(t, event("good", 1))
	r.wait(t, 1)
	until(t, "the attempt is recorded", func() bool { return len(m.list(t, w.ID)[0].Attempts) == 1 })
	bad := m.list(t, w.ID)[0]
	check.Equal(t, bad.State, webhook.Pending, "the state after a panic")
	check.Equal(t, bad.Attempts[0].Error, "the server failed", "the error")
	check.Equal(t, m.get(t, w.ID).FailingSince.IsZero(), true, "the webhook is healthy")
	check.Equal(t, log.count("a mistake") > 0, true, "the panic is logged")
}

// Rule 3: at a stop the attempts in flight are finished and recorded, and no new ones begin.
func TestStop(t *testing.T) {
	f, m := newFixture(t), newMemory()
	arrived, answer := make(chan struct{}, 10), make(chan struct{})
	r := startReceiver(t, func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-answer })
	w := f.webhook(t, r.URL)
	m.add(t, w)
	_, stop := run(t, deliver.DispatcherConfig{Queue: m, Send: f.sender(t, 0, r).Send, Grace: 10 * time.Second})
	m.emit(t, event("a", 1))
	m.emit(t, event("a", 2))
	<-arrived
	time.AfterFunc(200*time.Millisecond, func() { close(answer) })
	stop()
	list := m.list(t, w.ID)
	check.Equal(t, list[0].State, webhook.Delivered, "the delivery in flight")
	check.Equal(t, list[1].State, webhook.Pending, "the next one")
	check.Equal(t, len(r.received()), 1, "requests")
}

// Rule 3: an attempt that does not end within the grace period is aborted, and its lease stays.
func TestStopAfterGrace(t *testing.T) {
	f, m := newFixture(t), newMemory()
	r := startReceiver(t, hang(t))
	w := f.webhook(t, r.URL)
	m.add(t, w)
	_, stop := run(t, deliver.DispatcherConfig{Queue: m, Send: f.sender(t, 0, r).Send, Grace: 100 * time.Millisecond})
	m.emit(t, event("a", 1))
	r.wait(t, 1)
	began := time.Now()
	stop()
	if took := time.Since(began); took > prompt {
		t.Errorf("stopping took %s, want about 100ms", took)
	}
	d := m.list(t, w.ID)[0]
	check.Equal(t, len(d.Attempts), 0, "attempts")
	check.Equal(t, d.State, webhook.Pending, "the state")
	check.Equal(t, m.leased(w.ID), true, "the webhook is leased")
}

// slowClaim is a queue whose claims are answered late, as after a pause of the process.
type slowClaim struct {
	*memory
	now *atomic.Int64
}

// Claim lets eleven seconds pass.
func (q slowClaim) Claim(ctx context.Context, p deliver.Places,
	holds map[uuid.UUID]deliver.Holding) ([]deliver.Claimed, error) {
	claimed, err := q.memory.Claim(ctx, p, holds)
	q.now.Add(int64(11 * time.Second))
	return claimed, err
}

// An attempt that could outlive its lease does not begin.
func TestLeaseIsLongEnough(t *testing.T) {
	m, f := newMemory(), newFixture(t)
	var later atomic.Int64
	var sent atomic.Int64
	m.add(t, f.webhook(t, "https://example.com"))
	d := deliver.NewDispatcher(deliver.DispatcherConfig{Queue: slowClaim{m, &later}, InFlight: 1,
		Send: func(context.Context, deliver.Job) (deliver.Outcome, error) {
			sent.Add(1)
			return deliver.Outcome{State: webhook.Delivered}, nil
		},
		Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) },
		Log: slog.New(slog.DiscardHandler), Disabled: disabledEvent})
	m.emit(t, event("a", 1))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	d.Run(ctx)
	check.Equal(t, sent.Load(), 0, "attempts with 19 seconds of the lease left")
}

// Rule 6: receivers that hang do not slow others down, and no webhook has more than four attempts in flight.
func TestHangingReceivers(t *testing.T) {
	f, m := newFixture(t), newMemory()
	hanging, healthy := startReceiver(t, hang(t)), startReceiver(t, nil)
	for i := range 12 {
		m.add(t, f.webhook(t, hanging.URL+"/"+fmt.Sprint(i)))
	}
	d, _ := run(t, deliver.DispatcherConfig{Queue: m, Send: f.sender(t, 0, hanging, healthy).Send,
		Grace: time.Millisecond})
	for i := range 10 {
		m.emit(t, event(fmt.Sprint(i), 1))
	}
	d.Wake()
	hanging.wait(t, 12*deliver.MaxInFlight)
	w := f.webhook(t, healthy.URL)
	m.add(t, w)
	began := time.Now()
	m.emit(t, event("other", 1))
	d.Wake()
	if took := healthy.wait(t, 1)[0].at.Sub(began); took > prompt {
		t.Errorf("the event of a healthy receiver came after %s, want within %s", took, prompt)
	}
	counts := map[string]int{}
	for _, got := range hanging.received() {
		counts[got.path]++
	}
	for path, n := range counts {
		check.Equal(t, n, deliver.MaxInFlight, "attempts in flight at %s", path)
	}
}

// Places that are all taken are used again as soon as attempts end.
func TestPlaces(t *testing.T) {
	f, m := newFixture(t), newMemory()
	var now, most atomic.Int64
	r := startReceiver(t, func(http.ResponseWriter, *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(5 * time.Millisecond)
		now.Add(-1)
	})
	for range 4 {
		m.add(t, f.webhook(t, r.URL))
	}
	d, _ := run(t, deliver.DispatcherConfig{Queue: m, Send: f.sender(t, 0, r).Send, InFlight: 3})
	for i := range 50 {
		m.emit(t, event(fmt.Sprint(i%7), i/7+1))
	}
	d.Wake()
	began := time.Now()
	r.wait(t, 200)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("200 attempts with 3 places took %s, want less than 5s", took)
	}
	if most.Load() > 3 {
		t.Errorf("attempts in flight: got %d, want at most 3", most.Load())
	}
}
