package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/clock"
	"latchkey/internal/test/check"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// dice decides at random. It is safe for concurrent use.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (d *dice) oneIn(n int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n) == 0
}

func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

var errKilled = errors.New("the server was killed")

// mortal is the queue of a server that can be killed before and after each of its steps. Then no call has an effect,
// and no answer arrives.
type mortal struct {
	deliver.Queue
	dice *dice
	// odds are those of dying at one step; 0 for a server that lives.
	odds int
	kill context.CancelFunc

	mu     sync.Mutex
	dead   bool
	tokens []uuid.UUID
}

// step reports whether the server is still alive.
func (m *mortal) step() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dead && m.odds > 0 && m.dice.oneIn(m.odds) {
		m.dead = true
		m.kill()
	}
	return !m.dead
}

// Claim implements deliver.Queue.
func (m *mortal) Claim(ctx context.Context, p deliver.Places,
	holds map[uuid.UUID]deliver.Holding) ([]deliver.Claimed, error) {
	if !m.step() {
		return nil, errKilled
	}
	// Every token must be known, so that lapse ends its lease.
	p.Most = min(p.Most, 1+m.dice.below(8))
	claimed, err := m.Queue.Claim(context.WithoutCancel(ctx), p, holds)
	m.mu.Lock()
	for _, c := range claimed {
		m.tokens = append(m.tokens, c.Lease.Token)
	}
	m.mu.Unlock()
	if !m.step() {
		return nil, errKilled
	}
	return claimed, err
}

// Recheck implements deliver.Queue.
func (m *mortal) Recheck(ctx context.Context, j deliver.Job) (deliver.Job, bool, error) {
	if !m.step() {
		return j, false, errKilled
	}
	j, may, err := m.Queue.Recheck(ctx, j)
	if !m.step() {
		return j, false, errKilled
	}
	return j, may, err
}

// Release implements deliver.Queue.
func (m *mortal) Release(ctx context.Context, leases []deliver.Lease) error {
	if !m.step() {
		return errKilled
	}
	err := m.Queue.Release(ctx, leases)
	if !m.step() {
		return errKilled
	}
	return err
}

// Finish implements deliver.Queue.
func (m *mortal) Finish(ctx context.Context, done []deliver.Finished, release []deliver.Lease) ([]bool, error) {
	if !m.step() {
		return nil, errKilled
	}
	ok, err := m.Queue.Finish(ctx, done, release)
	if !m.step() {
		return nil, errKilled
	}
	return ok, err
}

// sink receives events without a network, so that nothing is under way when a server is dead.
type sink struct {
	mu      sync.Mutex
	dice    *dice
	got     map[uuid.UUID]map[string][]int64 // webhook, subject: the sequences that were accepted
	removed map[uuid.UUID]bool
	faults  []string
}

func (s *sink) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// receive takes an event and returns whether it is accepted. It checks that the earlier ones of the subject were
// accepted before, and that no event comes back after a later one.
func (s *sink) receive(j deliver.Job) bool {
	refused := s.dice.oneIn(5)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed[j.Webhook.ID] {
		s.fault("an attempt began after the webhook was deleted")
	}
	if s.got[j.Webhook.ID] == nil {
		s.got[j.Webhook.ID] = map[string][]int64{}
	}
	subject, n := j.Event.Target.Key, j.Event.Sequence
	list := s.got[j.Webhook.ID][subject]
	if len(list) > 0 {
		if last := list[len(list)-1]; n < last || n > last+1 {
			s.fault("sequence %d of %s came after %d", n, subject, last)
		}
	}
	if !refused && !slices.Contains(list, n) {
		s.got[j.Webhook.ID][subject] = append(list, n)
	}
	return !refused
}

// send returns the Send of a server: an attempt that takes a while, at any point of which the server can be killed.
func (s *sink) send(m *mortal) func(context.Context, deliver.Job) (deliver.Outcome, error) {
	return func(ctx context.Context, j deliver.Job) (deliver.Outcome, error) {
		if !m.step() {
			return deliver.Outcome{}, errKilled
		}
		accepted := s.receive(j)
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(s.dice.below(3000)) * time.Microsecond):
		}
		if !m.step() {
			return deliver.Outcome{}, errKilled
		}
		now := clock.Timestamp(time.Now())
		o := deliver.Outcome{Attempt: webhook.Attempt{At: now}, State: webhook.Delivered, Health: true}
		if !accepted {
			o.Attempt.Error, o.State, o.NextAt = "refused", webhook.Pending, now.Add(5*time.Second)
		}
		return o, nil
	}
}

// live runs a server until it is killed or ctx ends, and then lets the time pass that its leases last.
func live(ctx context.Context, t *testing.T, of fleet, q deliver.Queue, s *sink, odds int) {
	ctx, kill := context.WithCancel(ctx)
	defer kill()
	m := &mortal{Queue: q, dice: s.dice, odds: odds, kill: kill}
	d := deliver.NewDispatcher(deliver.DispatcherConfig{Queue: m, Send: s.send(m), InFlight: 1 + s.dice.below(20),
		Now: time.Now, Disabled: disabledEvent, Log: slog.New(slog.DiscardHandler)})
	d.Run(ctx)
	of.lapse(t, m.tokens)
}

// Rules 1 to 3, with three servers that are killed at random at every step: every event is delivered at least once, the
// order of a subject is never broken, and nothing is sent to a webhook after its deletion.
func TestKilledServers(t *testing.T) {
	eachFleet(t, func(t *testing.T, of fleet) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		f, d := newFixture(t), &dice{r: rand.New(rand.NewPCG(seed, 0))}
		s := &sink{dice: d, got: map[uuid.UUID]map[string][]int64{}, removed: map[uuid.UUID]bool{}}
		hooks := []webhook.Webhook{f.webhook(t, "https://a.example"), f.webhook(t, "https://b.example"),
			f.webhook(t, "https://removed.example")}
		for _, w := range hooks {
			of.add(t, w)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var servers sync.WaitGroup
		for range 3 {
			q := of.queue(t)
			servers.Go(func() {
				for ctx.Err() == nil {
					live(ctx, t, of, q, s, 40)
				}
			})
		}
		var changes [subjects]int
		for i := range 120 {
			subject := d.below(subjects)
			of.change(t, subject)
			changes[subject]++
			if i == 60 {
				of.remove(t, hooks[2].ID)
				s.mu.Lock()
				s.removed[hooks[2].ID] = true
				s.mu.Unlock()
			}
			time.Sleep(time.Duration(d.below(5)) * time.Millisecond)
			if i%10 == 0 {
				of.hurry(t)
			}
		}
		until(t, "all are delivered", func() bool {
			of.hurry(t)
			time.Sleep(50 * time.Millisecond) // hurry keeps servers from claiming
			return allIn(of.list(t, hooks[0].ID), webhook.Delivered) &&
				allIn(of.list(t, hooks[1].ID), webhook.Delivered)
		})
		stop()
		servers.Wait()
		check.Equal(t, s.faults, nil, "broken rules")
		for _, w := range hooks[:2] {
			total := 0
			for subject, got := range s.got[w.ID] {
				total += len(got)
				check.Equal(t, got[len(got)-1]-got[0]+1, int64(len(got)), "events of %s from %d on", subject, got[0])
			}
			check.Equal(t, total, 120, "events that %s accepted (changes %v)", w.URL, changes)
		}
	})
}
