package access

import (
	"fmt"
	"time"

	"latchkey/internal/clock"
	"latchkey/internal/fault"
)

// Lease bounds staleness: it is the maximum age of the proof that all changes were received and, without such a proof,
// of a database read.
const Lease = 2 * time.Second

// Elapsed returns the larger of the monotonic and the wall-clock time between two readings of the clock. The monotonic
// clock runs while this process is stopped but not while the machine sleeps; the wall clock also runs then, but can be
// set back.
func Elapsed(since, now time.Time) time.Duration {
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}

// withinLease calls load and returns its result if load took less than a Lease. Otherwise it calls load once more,
// because the process may have been stopped for hours during the read. It returns fault.ErrUnavailable if the second
// call also takes too long.
func withinLease[V any](now clock.Clock, load func() (*V, error)) (*V, error) {
	for range 2 {
		began := now()
		value, err := load()
		if err != nil || Elapsed(began, now()) < Lease {
			return value, err
		}
	}
	return nil, fmt.Errorf("look up twice: each took more than %v: %w", Lease, fault.ErrUnavailable)
}
