// Package bulkhead limits how much expensive work of one account runs at the same
// time, so that it leaves processors, connections and memory to others.
package bulkhead

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/google/uuid"
)

// Bulkhead limits one kind of work separately for each account. It is safe for
// concurrent use.
type Bulkhead struct {
	most int
	// inAccount and inAll are the most pieces of work that run or wait, of an
	// account and of all. Zero means any number.
	inAccount, inAll int

	mu sync.Mutex
	of map[uuid.UUID]*places
	// used is the number of pieces of work that run or wait.
	used int
}

// ErrFull is the error of Enter if too much work waits.
var ErrFull = errors.New("too much work waits")

// places is the semaphore of an account, with one place for each running piece of
// work.
type places struct {
	free chan struct{}
	// used is the number of pieces of work that run or wait. At zero the entry is
	// deleted.
	used int
}

// New returns a Bulkhead that runs at most this many pieces of work of one account
// at the same time.
func New(most int) *Bulkhead { return &Bulkhead{most: most, of: map[uuid.UUID]*places{}} }

// Bounded returns a Bulkhead like New, in which at most inAccount pieces of work of
// one account and inAll of all accounts run or wait. What waits needs memory.
func Bounded(most, inAccount, inAll int) *Bulkhead {
	b := New(most)
	b.inAccount, b.inAll = inAccount, inAll
	return b
}

// HalfTheProcessors returns half the number of processors, at least one: a limit
// for work that keeps a processor busy.
func HalfTheProcessors() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// Enter waits for a place, and returns a function that releases it. It returns
// ErrFull immediately if too much work waits, and an error if ctx is done first.
func (b *Bulkhead) Enter(ctx context.Context, accountID uuid.UUID) (leave func(), err error) {
	p, err := b.join(accountID)
	if err != nil {
		return nil, err
	}
	forget := func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.used--
		if p.used--; p.used == 0 {
			delete(b.of, accountID)
		}
	}
	select {
	case p.free <- struct{}{}:
		return func() { <-p.free; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, fmt.Errorf("wait for other work of the account: %w", ctx.Err())
	}
}

// join counts a piece of work of the account.
func (b *Bulkhead) join(accountID uuid.UUID) (*places, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.of[accountID]
	if p == nil {
		p = &places{free: make(chan struct{}, b.most)}
	}
	if b.inAll > 0 && b.used >= b.inAll || b.inAccount > 0 && p.used >= b.inAccount {
		return nil, ErrFull
	}
	b.of[accountID] = p
	p.used++
	b.used++
	return p, nil
}
