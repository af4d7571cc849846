// Package bulkhead bounds how much of the expensive work of one account runs at
// the same time, so that it leaves processors and connections to others.
package bulkhead

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/google/uuid"
)

// Bulkhead bounds one kind of work, for each account by itself. It is safe for
// concurrent use.
type Bulkhead struct {
	mu sync.Mutex
	of map[uuid.UUID]*places
}

// places are an account's: one for each piece of its work that may run.
type places struct {
	free chan struct{}
	// used is how many pieces of work run or wait. Without any the account is forgotten.
	used int
}

// New returns a Bulkhead.
func New() *Bulkhead { return &Bulkhead{of: map[uuid.UUID]*places{}} }

// most is how many pieces of work run for one account: half of the processors.
func most() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// Enter waits for a place of the account's, and returns what gives it back. It
// returns an error when ctx ends before.
func (b *Bulkhead) Enter(ctx context.Context, accountID uuid.UUID) (leave func(), err error) {
	b.mu.Lock()
	p := b.of[accountID]
	if p == nil {
		p = &places{free: make(chan struct{}, most())}
		b.of[accountID] = p
	}
	p.used++
	b.mu.Unlock()
	forget := func() {
		b.mu.Lock()
		defer b.mu.Unlock()
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
