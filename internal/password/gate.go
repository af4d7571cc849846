package password

import (
	"context"

	"latchkey/internal/fault"
)

// Bounds on the passwords that are judged at a time. Each takes memory while it
// is hashed, and its request takes some while it waits.
const (
	// AtOnce is how many hashes are computed at a time.
	AtOnce = 2
	// MostWaiting is how many more may wait for their turn.
	MostWaiting = 128
)

// Gate lets AtOnce callers in at a time and MostWaiting wait. It is safe for
// concurrent use.
type Gate struct{ inside, all chan struct{} }

// NewGate returns a gate.
func NewGate() *Gate {
	return &Gate{inside: make(chan struct{}, AtOnce), all: make(chan struct{}, AtOnce+MostWaiting)}
}

// Enter waits until the caller may go in, and returns what to call afterwards.
// It returns fault.RateLimited at once when too many wait already, and the error
// of ctx when that ends first.
func (g *Gate) Enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.all <- struct{}{}:
	default:
		return nil, fault.Errorf(fault.RateLimited, "Too many passwords are being checked at the moment. Try again in a few seconds.")
	}
	select {
	case g.inside <- struct{}{}:
		return func() { <-g.inside; <-g.all }, nil
	case <-ctx.Done():
		<-g.all
		return nil, ctx.Err()
	}
}
