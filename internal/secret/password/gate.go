package password

import (
	"context"

	"latchkey/internal/fault"
)

// Limits of concurrent hashing. A hash needs memory while it is computed, and a
// request needs some while it waits.
const (
	// AtOnce is the number of hashes that are computed concurrently.
	AtOnce = 2
	// MostWaiting is the most callers that wait.
	MostWaiting = 128
)

const tooMany = "Too many passwords are being checked. Try again in a few seconds."

// Gate admits AtOnce callers at a time and lets MostWaiting more wait. It is safe
// for concurrent use.
type Gate struct{ inside, all chan struct{} }

// NewGate returns a gate.
func NewGate() *Gate {
	return &Gate{inside: make(chan struct{}, AtOnce), all: make(chan struct{}, AtOnce+MostWaiting)}
}

// Enter waits until the caller is admitted, and returns a function to call
// afterwards. It returns fault.RateLimited immediately if too many callers are
// waiting, and when ctx is done first: then nothing was hashed, and so nothing was
// changed.
func (g *Gate) Enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.all <- struct{}{}:
	default:
		return nil, fault.Errorf(fault.RateLimited, tooMany)
	}
	select {
	case g.inside <- struct{}{}:
		return func() { <-g.inside; <-g.all }, nil
	case <-ctx.Done():
		<-g.all
		return nil, fault.Wrap(ctx.Err(), fault.RateLimited, tooMany)
	}
}
