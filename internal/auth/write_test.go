package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

func TestReadOnly(t *testing.T) {
	if err := auth.MayWrite(t.Context()); err != nil {
		t.Errorf("an ordinary context is read-only: %v", err)
	}
	refusal := fault.Errorf(fault.Forbidden, "Not now.")
	if err := auth.MayWrite(auth.ReadOnly(t.Context(), refusal)); err != refusal {
		t.Errorf("MayWrite() of a read-only context = %v, want %v", err, refusal)
	}
}

// endedContext is a context that ended with an error.
type endedContext struct {
	context.Context
	err error
}

func (c endedContext) Err() error { return c.err }

// A change that was canceled because the database did not answer may have been
// made, and the error says so. A client that has disconnected gets no such error.
func TestUnconfirmed(t *testing.T) {
	cause := errors.New("the connection failed")
	silent := fmt.Errorf("%w: %w", fault.ErrUnavailable, context.DeadlineExceeded)
	for ended, unconfirmed := range map[error]bool{silent: true, context.DeadlineExceeded: false,
		context.Canceled: false} {
		ctx := endedContext{t.Context(), ended}
		err := auth.Unconfirmed(ctx, ctx, cause)
		if !errors.Is(err, cause) || errors.Is(err, fault.ErrUnavailable) != unconfirmed ||
			unconfirmed != strings.Contains(err.Error(), "was not confirmed") {
			t.Errorf("Unconfirmed after %v = %v, want the cause, as unconfirmed: %t", ended, err, unconfirmed)
		}
	}
}
