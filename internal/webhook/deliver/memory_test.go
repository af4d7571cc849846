package deliver_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// memory is a Queue in memory, for tests in which the queue fails.
type memory struct {
	mu         sync.Mutex
	webhooks   map[uuid.UUID]*memoryWebhook
	deliveries []*memoryDelivery
	events     []audit.Event
	// fail is returned by every method if it is not nil.
	fail error
	// calls counts the calls of Claim.
	calls int
	// released counts the deliveries that were released.
	released int
	// ahead is how many deliveries of a webhook are claimed beyond those that may be in flight.
	ahead int
	// sequences are the last sequences of the subjects of change.
	sequences [subjects]int
}

type memoryWebhook struct {
	webhook.Webhook

	failures int
	reported bool
	// proven reports whether the last attempt succeeded.
	proven bool
}

type memoryDelivery struct {
	webhook.Delivery

	attempts int
	token    uuid.UUID
	until    time.Time
}

func newMemory() *memory { return &memory{webhooks: map[uuid.UUID]*memoryWebhook{}} }

func (m *memory) add(_ testing.TB, w webhook.Webhook) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.webhooks[w.ID] = &memoryWebhook{Webhook: w}
}

func (m *memory) emit(_ testing.TB, e audit.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.webhooks {
		m.deliveries = append(m.deliveries, &memoryDelivery{Delivery: webhook.Delivery{WebhookID: id, Event: e,
			State: webhook.Pending}})
	}
}

func (m *memory) Claim(_ context.Context, p deliver.Places) ([]deliver.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.fail != nil {
		return nil, m.fail
	}
	var jobs []deliver.Job
	now := time.Now()
	p = p.Clone()
	for _, d := range m.deliveries {
		if !m.due(d, now) {
			continue
		}
		w := m.webhooks[d.WebhookID]
		if m.inFlight(w.ID, now) >= deliver.MaxInFlight || p.Take(w.AccountID, w.proven) {
			d.token, d.until = uuid.New(), now.Add(deliver.Lease)
			jobs = append(jobs, deliver.Job{Webhook: w.Webhook, Event: d.Event, Attempts: d.attempts, Token: d.token,
				LeaseUntil: d.until, Checked: now, Proven: w.proven})
		}
	}
	return jobs, nil
}

func (m *memory) due(d *memoryDelivery, now time.Time) bool {
	w := m.webhooks[d.WebhookID]
	if d.State != webhook.Pending || w == nil || w.State != webhook.Enabled || d.NextAttemptAt.After(now) ||
		d.until.After(now) {
		return false
	}
	limit := deliver.MaxInFlight + m.ahead
	if w.failures >= deliver.ProbeAfter {
		limit = 1
	}
	for _, other := range m.deliveries {
		if other.WebhookID != d.WebhookID || other.State != webhook.Pending {
			continue
		}
		if other.Event.Target == d.Event.Target && other.Event.Sequence < d.Event.Sequence {
			return false
		}
	}
	return m.inFlight(w.ID, now) < limit
}

// inFlight counts the leases of a webhook.
func (m *memory) inFlight(id uuid.UUID, now time.Time) (n int) {
	for _, d := range m.deliveries {
		if d.WebhookID == id && d.State == webhook.Pending && d.until.After(now) {
			n++
		}
	}
	return n
}

func (m *memory) Recheck(_ context.Context, jobs []deliver.Job) (may []deliver.Job, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range jobs {
		w := m.webhooks[j.Webhook.ID]
		if m.held(j) != nil && w != nil && w.State == webhook.Enabled {
			j.Webhook, j.Checked = w.Webhook, time.Now()
			may = append(may, j)
		}
	}
	return may, m.fail
}

func (m *memory) Release(_ context.Context, jobs []deliver.Job) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range jobs {
		if d := m.held(j); d != nil {
			d.token, d.until = uuid.Nil, time.Time{}
			m.released++
		}
	}
	return m.fail
}

func (m *memory) held(j deliver.Job) *memoryDelivery {
	for _, d := range m.deliveries {
		if d.token == j.Token && d.until.After(time.Now()) {
			return d
		}
	}
	return nil
}

func (m *memory) Finish(_ context.Context, done []deliver.Finished) ([]bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	recorded := make([]bool, len(done))
	for i, f := range done {
		d, w := m.held(f.Job), m.webhooks[f.Job.Webhook.ID]
		if d == nil || w == nil {
			continue
		}
		recorded[i] = true
		f.Outcome.Attempt.Number = len(d.Attempts) + 1
		d.Attempts = append(d.Attempts, f.Outcome.Attempt)
		d.State, d.NextAttemptAt, d.attempts = f.Outcome.State, f.Outcome.NextAt, d.attempts+1
		d.token, d.until = uuid.Nil, time.Time{}
		w.proven = f.Outcome.Attempt.Error == ""
		m.judge(w, f)
	}
	return recorded, nil
}

func (m *memory) judge(w *memoryWebhook, f deliver.Finished) {
	if f.Outcome.Gone {
		m.disable(w, deliver.ReasonGone, f.Disabled)
		return
	}
	if !f.Outcome.Health {
		return
	}
	if f.Outcome.State == webhook.Delivered {
		w.failures, w.FailingSince, w.reported = 0, time.Time{}, false
		return
	}
	w.failures++
	if w.FailingSince.IsZero() {
		w.FailingSince = f.Outcome.Attempt.At
	}
}

func (m *memory) disable(w *memoryWebhook, reason string, e audit.Event) {
	w.State, w.StateReason = webhook.Disabled, reason
	m.events = append(m.events, e)
	for _, d := range m.deliveries {
		if d.WebhookID == w.ID && d.State == webhook.Pending {
			d.State = webhook.Dead
		}
	}
}

func (m *memory) NextDue(context.Context) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var next time.Time
	for _, d := range m.deliveries {
		if d.State == webhook.Pending && (next.IsZero() || d.NextAttemptAt.Before(next)) {
			next = d.NextAttemptAt
		}
	}
	return next, m.fail
}

func (m *memory) Any(context.Context) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.webhooks) > 0, m.fail
}

func (m *memory) Failing(_ context.Context, before time.Time) ([]deliver.Failing, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []deliver.Failing
	for _, w := range m.webhooks {
		if w.State != webhook.Disabled && !w.FailingSince.IsZero() && w.FailingSince.Before(before) {
			list = append(list, deliver.Failing{Webhook: w.Webhook, Reported: w.reported})
		}
	}
	return list, m.fail
}

func (m *memory) ReportFailing(_ context.Context, w webhook.Webhook, e audit.Event) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	own := m.webhooks[w.ID]
	if m.fail != nil || own == nil || own.reported || !own.FailingSince.Equal(w.FailingSince) {
		return false, m.fail
	}
	own.reported = true
	m.events = append(m.events, e)
	return true, nil
}

func (m *memory) Disable(_ context.Context, w webhook.Webhook, reason string, e audit.Event) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	own := m.webhooks[w.ID]
	if m.fail != nil || own == nil || !own.FailingSince.Equal(w.FailingSince) {
		return false, m.fail
	}
	m.disable(own, reason, e)
	return true, nil
}

func (m *memory) Prune(_ context.Context, before time.Time, most int) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var n int64
	m.deliveries = slices.DeleteFunc(m.deliveries, func(d *memoryDelivery) bool {
		old := d.Event.At.Before(before) && n < int64(most)
		if old {
			n++
		}
		return old
	})
	return n, m.fail
}

func (m *memory) Stats(context.Context) (deliver.Stats, error) { return deliver.Stats{}, m.fail }

func (m *memory) failWith(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *memory) get(_ testing.TB, webhookID uuid.UUID) webhook.Webhook {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w := m.webhooks[webhookID]; w != nil {
		return w.Webhook
	}
	return webhook.Webhook{}
}

func (m *memory) list(_ testing.TB, webhookID uuid.UUID) []webhook.Delivery {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []webhook.Delivery
	for _, d := range m.deliveries {
		if d.WebhookID == webhookID {
			copied := d.Delivery
			copied.Attempts = slices.Clone(d.Attempts)
			list = append(list, copied)
		}
	}
	return list
}

func (m *memory) queue(testing.TB) deliver.Queue { return m }

func (m *memory) remove(_ testing.TB, id uuid.UUID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.webhooks, id)
	m.mu.Unlock()
	time.Sleep(deliver.Fresh + deliver.Fresh/2) // as the databases do
	m.mu.Lock()
}

func (m *memory) change(t testing.TB, subject int) {
	m.mu.Lock()
	m.sequences[subject]++
	e := event(fmt.Sprint(subject), m.sequences[subject])
	m.mu.Unlock()
	m.emit(t, e)
}

func (m *memory) hurry(testing.TB) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.deliveries {
		d.NextAttemptAt = time.Time{}
	}
}

func (m *memory) lapse(_ testing.TB, tokens []uuid.UUID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.deliveries {
		if slices.Contains(tokens, d.token) {
			d.until = time.Time{}
		}
	}
}

func (m *memory) failingFor(_ testing.TB, id uuid.UUID, hours int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.webhooks[id].FailingSince = time.Now().Add(-time.Duration(hours) * time.Hour).UTC().Truncate(time.Second)
}

func (m *memory) actions(_ testing.TB, id uuid.UUID) []audit.Action {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []audit.Action
	for _, e := range m.events {
		if e.Target.Key == id.String() {
			list = append(list, e.Action)
		}
	}
	return list
}
