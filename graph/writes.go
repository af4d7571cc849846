package graph

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/99designs/gqlgen/graphql"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// writes runs the mutation fields: those of the root's groups, such as
// "createApiToken" of "apiToken". It is safe for concurrent use.
type writes struct {
	mu sync.Mutex
	// succeeded counts the fields without an error, and failed those that the
	// database was unavailable for.
	succeeded, failed int
	cancels           []context.CancelFunc
}

// boundBelow are the mutation fields whose services set auth.WriteTimeout: for each
// batch of a bulk operation (package membership) or of a replay, and for what follows
// the hash of a password, which requests wait for. advanceTime is a billing run of
// many short transactions; what it has billed when the request times out stays.
var boundBelow = []string{"provisionUsers", "deprovisionUsers", "replayDeliveries", "createUserWithPassword",
	"advanceTime"}

// run is the resolver middleware that sets auth.WriteTimeout for the other mutation
// fields. The timeout includes resolving their results.
func (w *writes) run(ctx context.Context, next graphql.Resolver) (any, error) {
	const root = "Mutation"
	fc := graphql.GetFieldContext(ctx)
	if fc.Object == root || fc.Parent == nil || fc.Parent.Object != root {
		return next(ctx)
	}
	limited, cancel := boundWrite(ctx, fc.Field.Name)
	result, err := next(limited)
	err = auth.Unconfirmed(ctx, limited, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancels = append(w.cancels, cancel)
	switch {
	case err == nil:
		w.succeeded++
	case errors.Is(err, fault.ErrUnavailable):
		w.failed++
	}
	return result, err
}

func boundWrite(ctx context.Context, field string) (context.Context, context.CancelFunc) {
	if slices.Contains(boundBelow, field) {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, auth.WriteTimeout)
}

// finish frees the timers. It reports whether the database was unavailable for a
// field and no other field succeeded, so that the whole request can be retried.
// The results must have been resolved.
func (w *writes) finish() (unavailable bool) {
	for _, cancel := range w.cancels {
		cancel()
	}
	return w.failed > 0 && w.succeeded == 0
}
