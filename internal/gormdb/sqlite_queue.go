package gormdb

import (
	"context"
	"slices"
	"sync"

	"github.com/google/uuid"
)

// turn says whose write it is, and what it may overtake.
type turn struct {
	// account is the account that the write is about; zero for writes that are
	// about no single account, which share one place in the round.
	account uuid.UUID
	// urgent writes take rights away, or are what readiness depends on. They are
	// short.
	urgent bool
}

// mostUrgent is how many urgent writes in a row run before one that is not
// urgent, so that those are never starved.
const mostUrgent = 16

// writeQueue lets one write at a time use SQLite's writing connection: urgent
// writes first, accounts in turn within each class, and the writes of one
// account in the order in which they came. So an account waits for at most one
// write of each other account, however many writes those have waiting. The zero
// writeQueue is ready to use, and safe for concurrent use.
type writeQueue struct {
	mu   sync.Mutex
	busy bool
	// urgent and ordinary are the writes that wait.
	urgent, ordinary rounds
	// row counts the urgent writes since the last ordinary one began.
	row int
}

// enter waits for the write's turn. The caller must call leave once its
// transaction has ended. It returns the error of ctx if that ends first.
func (q *writeQueue) enter(ctx context.Context, t turn) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	if !q.busy {
		q.busy = true
		q.count(t.urgent)
		q.mu.Unlock()
		return q.leave, nil
	}
	waits, ready := q.class(t.urgent), make(chan struct{})
	waits.add(t.account, ready)
	q.mu.Unlock()
	select {
	case <-ready:
		return q.leave, nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	waiting := waits.remove(t.account, ready)
	q.mu.Unlock()
	if !waiting { // its turn came at the same moment
		q.leave()
	}
	return nil, ctx.Err()
}

func (q *writeQueue) class(urgent bool) *rounds {
	if urgent {
		return &q.urgent
	}
	return &q.ordinary
}

func (q *writeQueue) count(urgent bool) {
	if q.row++; !urgent {
		q.row = 0
	}
}

// leave gives the connection to the next write.
func (q *writeQueue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	urgent := !q.urgent.empty() && (q.row < mostUrgent || q.ordinary.empty())
	next := q.class(urgent)
	if next.empty() {
		q.busy = false
		return
	}
	q.count(urgent)
	close(next.take())
}

// rounds are writes that wait, by account.
type rounds struct {
	// order are the accounts with writes that wait, the next one first.
	order   []uuid.UUID
	waiting map[uuid.UUID][]chan struct{}
}

func (r *rounds) empty() bool { return len(r.order) == 0 }

func (r *rounds) add(account uuid.UUID, ready chan struct{}) {
	if r.waiting == nil {
		r.waiting = map[uuid.UUID][]chan struct{}{}
	}
	if len(r.waiting[account]) == 0 {
		r.order = append(r.order, account)
	}
	r.waiting[account] = append(r.waiting[account], ready)
}

// take removes the next write. Its account goes to the end of the round.
func (r *rounds) take() chan struct{} {
	account := r.order[0]
	r.order = r.order[1:]
	ready := r.waiting[account][0]
	r.keep(account, r.waiting[account][1:])
	if len(r.waiting[account]) > 0 {
		r.order = append(r.order, account)
	}
	return ready
}

// remove removes a write that no longer waits for its turn, and reports whether
// it still did.
func (r *rounds) remove(account uuid.UUID, ready chan struct{}) bool {
	i := slices.Index(r.waiting[account], ready)
	if i < 0 {
		return false
	}
	r.keep(account, slices.Delete(r.waiting[account], i, i+1))
	if len(r.waiting[account]) == 0 {
		r.order = slices.DeleteFunc(r.order, func(a uuid.UUID) bool { return a == account })
	}
	return true
}

// keep forgets an account without writes that wait.
func (r *rounds) keep(account uuid.UUID, left []chan struct{}) {
	if len(left) == 0 {
		delete(r.waiting, account)
		return
	}
	r.waiting[account] = left
}
