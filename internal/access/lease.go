package access

import (
	"fmt"
	"time"

	"latchkey/internal/fault"
)

// Lease is how old something may be that is trusted: the proof that every
// change was heard and, where there is none, what the database said.
const Lease = 2 * time.Second

// Elapsed returns how much time has passed between two looks at the clock, at
// least. The monotonic clock goes on while this process is stopped but not
// while the machine sleeps; the wall clock does, but can be set back.
func Elapsed(since, now time.Time) time.Duration {
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}

// prompt returns what load reads within a lease. What took longer it reads once
// more: a process that was stopped while it read may have been so for hours. It
// returns fault.ErrUnavailable if that took as long, too.
func prompt[V any](now func() time.Time, load func() (*V, error)) (*V, error) {
	for range 2 {
		began := now()
		value, err := load()
		if err != nil || Elapsed(began, now()) < Lease {
			return value, err
		}
	}
	return nil, fmt.Errorf("look up twice: each took more than %v: %w", Lease, fault.ErrUnavailable)
}
