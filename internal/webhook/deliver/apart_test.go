package deliver_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/test/check"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// lockedHooks is a queue that records outcomes of one account slowly at first, and then not before goOn is closed.
type lockedHooks struct {
	*memory

	account uuid.UUID
	calls   atomic.Int64
	goOn    chan struct{}
}

// Finish records outcomes.
func (q *lockedHooks) Finish(ctx context.Context, done []deliver.Finished, release []deliver.Lease) ([]bool, error) {
	if slices.ContainsFunc(done, func(f deliver.Finished) bool { return f.Job.Webhook.AccountID == q.account }) {
		if q.calls.Add(1) == 1 {
			time.Sleep(150 * time.Millisecond)
		} else {
			select {
			case <-q.goOn:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	return q.memory.Finish(ctx, done, release)
}

// The outcomes of an account that take long to record do not delay those of others.
func TestSlowRecordsOfAnAccount(t *testing.T) {
	f, m := newFixture(t), newMemory()
	locked, other := f.webhook(t, "https://locked.example"), f.webhook(t, "https://other.example")
	locked.AccountID, other.AccountID = uuid.New(), uuid.New()
	q := &lockedHooks{memory: m, account: locked.AccountID, goOn: make(chan struct{})}
	m.add(t, locked)
	d, stop := run(t, deliver.DispatcherConfig{Queue: q,
		Send: func(context.Context, deliver.Job) (deliver.Outcome, error) {
			return deliver.Outcome{State: webhook.Delivered, Health: true}, nil
		}})
	delivered := func(id uuid.UUID) func() bool {
		return func() bool { list := m.list(t, id); return len(list) > 0 && allIn(list, webhook.Delivered) }
	}
	release := sync.OnceFunc(func() { close(q.goOn) })
	t.Cleanup(release)
	m.emit(t, event("a", 1))
	d.Wake()
	until(t, "the first event is delivered", delivered(locked.ID))
	time.Sleep(20 * time.Millisecond) // the dispatcher notes how long it took
	m.add(t, other)
	for n := range 3 {
		m.emit(t, event("b", n+1))
		d.Wake()
		until(t, "the other account's event is recorded", delivered(other.ID))
	}
	check.Equal(t, delivered(locked.ID)(), false, "whether the events of the locked webhook are recorded meanwhile")
	release()
	until(t, "all are recorded", delivered(locked.ID))
	stop()
}
