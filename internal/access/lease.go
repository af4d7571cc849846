package access

import (
	"fmt"
	"time"

	"latchkey/internal/clock"
	"latchkey/internal/fault"
)

// Lease bounds staleness. A cached entry is used only if the feed confirmed within a Lease that all changes were
// received. Without that, the database is read, and the read must take less than a Lease.
const Lease = 2 * time.Second

// withinLease calls load and returns its result if load took less than a Lease. Otherwise it calls load once more,
// because the process may have been stopped for hours during the read. It returns fault.ErrUnavailable if the second
// call also takes too long.
func withinLease[V any](now clock.Clock, load func() (*V, error)) (*V, error) {
	for range 2 {
		began := now()
		value, err := load()
		if err != nil || clock.Elapsed(began, now()) < Lease {
			return value, err
		}
	}
	return nil, fmt.Errorf("look up twice: each took more than %v: %w", Lease, fault.ErrUnavailable)
}
