package auth

import (
	"context"

	"latchkey/internal/fault"
)

type writeKey struct{}

// ReadOnly returns a context in which the API changes nothing: a mutation is
// refused with the fault before any of it runs, whatever its principal may do.
func ReadOnly(ctx context.Context, refusal *fault.Error) context.Context {
	return context.WithValue(ctx, writeKey{}, refusal)
}

// MayWrite returns the refusal of a context that is read-only, and nil for any
// other.
func MayWrite(ctx context.Context) *fault.Error {
	refusal, _ := ctx.Value(writeKey{}).(*fault.Error)
	return refusal
}
