package gormdb_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/gormdb"
	"latchkey/internal/webhook/deliver"
)

// server claims and finishes as the dispatcher of a server does: it knows which deliveries it holds, and releases a
// lease with the last of them. Its methods are safe for concurrent use, as those of the queue are.
type server struct {
	q deliver.Queue

	mu sync.Mutex
	of map[uuid.UUID]*holding
}

// holding is a lease with the events of the deliveries that are held.
type holding struct {
	lease  deliver.Lease
	events map[uuid.UUID]bool
}

func newServer(db *gormdb.DB) *server { return &server{q: db.Queue(), of: map[uuid.UUID]*holding{}} }

// servers are those of handles.
var servers sync.Map

// serverOf returns the server of a handle, which is the same for every call.
func serverOf(db *gormdb.DB) *server {
	s, _ := servers.LoadOrStore(db, newServer(db))
	return s.(*server)
}

func (s *server) claim(ctx context.Context, p deliver.Places) (jobs []deliver.Job, err error) {
	claimed, err := s.q.Claim(ctx, p, s.holds())
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range claimed {
		if s.of[c.Webhook.ID] == nil {
			s.of[c.Webhook.ID] = &holding{events: map[uuid.UUID]bool{}}
		}
		s.of[c.Webhook.ID].lease = c.Lease
		for _, j := range c.Jobs {
			s.of[c.Webhook.ID].events[j.Event.ID] = true
		}
		jobs = append(jobs, c.Jobs...)
	}
	return jobs, err
}

func (s *server) holds() map[uuid.UUID]deliver.Holding {
	s.mu.Lock()
	defer s.mu.Unlock()
	holds := map[uuid.UUID]deliver.Holding{}
	for id, h := range s.of {
		holds[id] = deliver.Holding{Token: h.lease.Token, Events: slices.Collect(maps.Keys(h.events))}
	}
	return holds
}

// drop forgets jobs, and returns the leases without other jobs.
func (s *server) drop(jobs []deliver.Job) (idle []deliver.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range jobs {
		h := s.of[j.Webhook.ID]
		if h == nil {
			continue
		}
		if delete(h.events, j.Event.ID); len(h.events) == 0 {
			idle = append(idle, h.lease)
			delete(s.of, j.Webhook.ID)
		}
	}
	return idle
}

func (s *server) finish(ctx context.Context, done []deliver.Finished) ([]bool, error) {
	jobs := make([]deliver.Job, len(done))
	for i, f := range done {
		jobs[i] = f.Job
	}
	return s.q.Finish(ctx, done, s.drop(jobs))
}

// giveBack gives up jobs that are not attempted.
func (s *server) giveBack(t testing.TB, jobs []deliver.Job) {
	t.Helper()
	if err := s.q.Release(t.Context(), s.drop(jobs)); err != nil {
		t.Fatal(err)
	}
}
