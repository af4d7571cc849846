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
	leases     map[uuid.UUID]*memoryLease
	deliveries []*memoryDelivery
	events     []audit.Event
	// fail is returned by every method if it is not nil.
	fail error
	// calls counts the calls of Claim, and checks those of Recheck.
	calls, checks int
	// released counts the leases that were released without an outcome, and again the deliveries that were claimed
	// again without an attempt in between.
	released, again int
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
	// edition counts how often pending deliveries were ended.
	edition int64
}

type memoryLease struct {
	token  uuid.UUID
	claims int64
	until  time.Time
}

type memoryDelivery struct {
	webhook.Delivery

	attempts int
	// claims counts the claims of the delivery.
	claims int
}

func newMemory() *memory {
	return &memory{webhooks: map[uuid.UUID]*memoryWebhook{}, leases: map[uuid.UUID]*memoryLease{}}
}

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

func (m *memory) Claim(_ context.Context, p deliver.Places,
	holds map[uuid.UUID]deliver.Holding) (all []deliver.Claimed, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.fail != nil {
		return nil, m.fail
	}
	now, p := time.Now(), p.Clone()
	claimed := map[uuid.UUID]*deliver.Claimed{}
	for _, d := range m.deliveries {
		w, holding := m.webhooks[d.WebhookID], holds[d.WebhookID]
		if !m.due(d, now) || slices.Contains(holding.Events, d.Event.ID) {
			continue
		}
		held := len(holding.Events)
		if claimed[w.ID] != nil {
			held += len(claimed[w.ID].Jobs)
		}
		if held >= m.limit(w) || claimed[w.ID] == nil && !m.mayLease(w.ID, holding.Token, now) ||
			held < deliver.MaxInFlight && !p.Take(w.AccountID, w.proven) {
			continue
		}
		if claimed[w.ID] == nil {
			claimed[w.ID] = &deliver.Claimed{Webhook: w.Webhook, Lease: m.lease(w, holding.Token, now)}
		}
		if d.claims > len(d.Attempts) {
			m.again++
		}
		d.claims++
		claimed[w.ID].Jobs = append(claimed[w.ID].Jobs, deliver.Job{Webhook: w.Webhook, Event: d.Event,
			Attempts: d.attempts, Numbered: len(d.Attempts), Proven: w.proven, Lease: claimed[w.ID].Lease})
	}
	for _, c := range claimed {
		all = append(all, *c)
	}
	return all, nil
}

func (m *memory) due(d *memoryDelivery, now time.Time) bool {
	w := m.webhooks[d.WebhookID]
	if d.State != webhook.Pending || w == nil || w.State != webhook.Enabled || d.NextAttemptAt.After(now) {
		return false
	}
	for _, other := range m.deliveries {
		if other.WebhookID != d.WebhookID || other.State != webhook.Pending {
			continue
		}
		if other.Event.Target == d.Event.Target && other.Event.Sequence < d.Event.Sequence {
			return false
		}
	}
	return true
}

func (m *memory) limit(w *memoryWebhook) int {
	if w.failures >= deliver.ProbeAfter {
		return 1
	}
	return deliver.MaxInFlight + m.ahead
}

func (m *memory) mayLease(id, own uuid.UUID, now time.Time) bool {
	l := m.leases[id]
	return l == nil || !l.until.After(now) || l.token == own
}

// lease takes or extends a lease.
func (m *memory) lease(w *memoryWebhook, own uuid.UUID, now time.Time) deliver.Lease {
	l := m.leases[w.ID]
	if l == nil {
		l = &memoryLease{}
		m.leases[w.ID] = l
	}
	if l.token != own || own == uuid.Nil {
		l.token = uuid.New()
	}
	l.claims++
	l.until = now.Add(deliver.LeaseTime)
	return deliver.Lease{WebhookID: w.ID, Token: l.token, Claims: l.claims, Edition: w.edition, Until: l.until,
		Checked: now}
}

// leased reports whether a server has the lease of a webhook.
func (m *memory) leased(id uuid.UUID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.mayLease(id, uuid.Nil, time.Now())
}

func (m *memory) Recheck(_ context.Context, j deliver.Job) (deliver.Job, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.checks++
	w, l, now := m.webhooks[j.Webhook.ID], m.leases[j.Webhook.ID], time.Now()
	if w == nil || w.State != webhook.Enabled || w.edition != j.Lease.Edition || l.token != j.Lease.Token ||
		!l.until.After(now) {
		return j, false, m.fail
	}
	l.until = now.Add(deliver.LeaseTime)
	j.Webhook, j.Lease.Until, j.Lease.Checked = w.Webhook, l.until, now
	return j, true, m.fail
}

func (m *memory) Release(_ context.Context, leases []deliver.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.released += m.release(leases)
	return m.fail
}

func (m *memory) release(leases []deliver.Lease) (n int) {
	for _, r := range leases {
		if l := m.leases[r.WebhookID]; l.token == r.Token && l.claims == r.Claims && m.fail == nil {
			l.until = time.Time{}
			n++
		}
	}
	return n
}

func (m *memory) delivery(j deliver.Job) *memoryDelivery {
	for _, d := range m.deliveries {
		if d.WebhookID == j.Webhook.ID && d.Event.ID == j.Event.ID {
			return d
		}
	}
	return nil
}

func (m *memory) Finish(_ context.Context, done []deliver.Finished, release []deliver.Lease) ([]bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	recorded := make([]bool, len(done))
	for i, f := range done {
		d, w := m.delivery(f.Job), m.webhooks[f.Job.Webhook.ID]
		if d == nil || w == nil || m.leases[w.ID].token != f.Job.Lease.Token || len(d.Attempts) != f.Job.Numbered {
			continue
		}
		recorded[i] = true
		f.Outcome.Attempt.Number = len(d.Attempts) + 1
		d.Attempts = append(d.Attempts, f.Outcome.Attempt)
		d.State, d.NextAttemptAt, d.attempts = f.Outcome.State, f.Outcome.NextAt, d.attempts+1
		w.proven = f.Outcome.Attempt.Error == ""
		m.judge(w, f)
	}
	m.release(release)
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
	w.edition++
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
	for _, l := range m.leases {
		if slices.Contains(tokens, l.token) {
			l.until = time.Time{}
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
