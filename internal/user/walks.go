package user

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/google/uuid"
)

// walks bounds how many walks through its users run for one account at the
// same time, so that the searches of one account leave processors to others.
type walks struct {
	mu sync.Mutex
	of map[uuid.UUID]*places
}

// places are an account's: one for each of its walks that may run.
type places struct {
	free chan struct{}
	// used is how many walks run or wait. Without any the account is forgotten.
	used int
}

func newWalks() *walks { return &walks{of: map[uuid.UUID]*places{}} }

// mostAtOnce is how many walks run for one account: half of the processors.
func mostAtOnce() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// begin waits for a place, and returns what gives it back. It returns an error
// when ctx ends before.
func (w *walks) begin(ctx context.Context, accountID uuid.UUID) (end func(), err error) {
	w.mu.Lock()
	p := w.of[accountID]
	if p == nil {
		p = &places{free: make(chan struct{}, mostAtOnce())}
		w.of[accountID] = p
	}
	p.used++
	w.mu.Unlock()
	leave := func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if p.used--; p.used == 0 {
			delete(w.of, accountID)
		}
	}
	select {
	case p.free <- struct{}{}:
		return func() { <-p.free; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, fmt.Errorf("wait for other searches of the account: %w", ctx.Err())
	}
}

// walks reports whether the filter looks at one user of the account after the
// other: no index finds a part of a text, or bounds what the rest admits.
func (f Filter) walks() bool {
	return (f.Search != "" || !f.UpdatedAfter.IsZero() || f.WithoutStores) && f.Emails == nil && f.ExternalIDs == nil
}
