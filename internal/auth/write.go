package auth

import (
	"context"
	"errors"
	"time"

	"latchkey/internal/fault"
)

// WriteTimeout is how long a request may take to make one change, as long as a
// credential is looked up for.
const WriteTimeout = 5 * time.Second

// BoundWrite runs work, which makes a change, with a context that ends after
// WriteTimeout. It returns work's error, or Unconfirmed.
func BoundWrite(ctx context.Context, work func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, WriteTimeout)
	defer cancel()
	return Unconfirmed(ctx, limited, work(limited))
}

// Unconfirmed returns the error of work that ran in limited, a context made of
// ctx with WriteTimeout. An internal error after limited has ended becomes a
// fault that wraps fault.ErrUnavailable.
func Unconfirmed(ctx, limited context.Context, err error) error {
	if err == nil || ctx.Err() != nil || limited.Err() == nil || fault.KindOf(err) != fault.Internal {
		return err
	}
	return fault.Wrap(errors.Join(fault.ErrUnavailable, err), fault.Internal,
		"The change was not confirmed within %s. It may have been made: check before you send it again.", WriteTimeout)
}

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
