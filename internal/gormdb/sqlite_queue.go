package gormdb

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// turn describes a write to the queue.
type turn struct {
	// account is the account that the write concerns. It is zero for writes that do not concern a single account,
	// which share one place in the round.
	account uuid.UUID
	// urgent writes remove permissions, or are those of readiness checks. They are short.
	urgent bool
}

// mostUrgent is the maximum number of consecutive urgent writes while an ordinary one waits, so that ordinary writes
// are never starved.
const mostUrgent = 16

// writeQueue gives SQLite's writing connection to one write at a time: urgent writes first, accounts in turn within
// each class, and the writes of one account in order of arrival. So an account waits for at most one write of each
// other account, however many those have queued. The zero writeQueue is ready to use, and safe for concurrent use.
type writeQueue struct {
	mu   sync.Mutex
	busy bool
	// urgent and ordinary are the queued writes.
	urgent, ordinary rounds
	// row counts the urgent writes since the last ordinary one began.
	row int
	// waits is how many writes had to wait, and waited the nanoseconds that those which got their turn waited.
	waits, waited atomic.Int64
}

// enter waits for the write's turn. The caller must call leave after its transaction has ended. If ctx ends first,
// enter returns its error.
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
	waits, ready, since := q.class(t.urgent), make(chan struct{}), time.Now()
	waits.add(t.account, ready)
	q.mu.Unlock()
	q.waits.Add(1)
	select {
	case <-ready:
		q.waited.Add(int64(time.Since(since)))
		return q.leave, nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	waiting := waits.remove(t.account, ready)
	q.mu.Unlock()
	if !waiting { // it got its turn at the same time
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

// rounds are queued writes by account.
type rounds struct {
	// order are the accounts with queued writes, the next one first.
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

// take removes the next write. Its account moves to the end of the round.
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

// remove removes a write that gives up its turn, and reports whether it was still queued.
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

// keep sets the queued writes of an account, and deletes the account if there are none.
func (r *rounds) keep(account uuid.UUID, left []chan struct{}) {
	if len(left) == 0 {
		delete(r.waiting, account)
		return
	}
	r.waiting[account] = left
}
