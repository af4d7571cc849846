package auth

import (
	"context"
	"errors"
	"time"

	"latchkey/internal/fault"
)

// WriteTimeout is the time limit of one change, the same as that of a credential
// lookup.
const WriteTimeout = 5 * time.Second

// BoundWrite runs work, which makes a change, with a context that has WriteTimeout.
// It returns the result of Unconfirmed for the error of work.
func BoundWrite(ctx context.Context, work func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, WriteTimeout)
	defer cancel()
	return Unconfirmed(ctx, limited, work(limited))
}

// Unconfirmed converts the error of work that ran in limited, a context derived
// from ctx with WriteTimeout. If limited has ended, an internal error becomes a
// fault that wraps fault.ErrUnavailable. If ctx has ended, err is returned
// unchanged, unless ctx ended because the database is unavailable.
func Unconfirmed(ctx, limited context.Context, err error) error {
	ended := ctx.Err()
	if err == nil || ended == nil && limited.Err() == nil || fault.KindOf(err) != fault.Internal {
		return err
	}
	if ended != nil && !errors.Is(ended, fault.ErrUnavailable) {
		return err
	}
	return fault.Wrap(errors.Join(fault.ErrUnavailable, err), fault.Internal,
		"The change was not confirmed within %s. It may have been made: check before you send it again.", WriteTimeout)
}

type writeKey struct{}

// ReadOnly returns a context in which the API makes no changes. Every mutation
// fails with the refusal before it runs, regardless of the principal's rights.
func ReadOnly(ctx context.Context, refusal *fault.Error) context.Context {
	return context.WithValue(ctx, writeKey{}, refusal)
}

// MayWrite returns the refusal of a read-only context, and nil for any other
// context.
func MayWrite(ctx context.Context) *fault.Error {
	refusal, _ := ctx.Value(writeKey{}).(*fault.Error)
	return refusal
}
