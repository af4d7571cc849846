package bulkhead

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/test/check"
)

// Work waits only for work of the same account. The entry of an account without
// work is deleted.
func TestWorkIsBoundedByAccount(t *testing.T) {
	const most = 2
	w := New(most)
	one, other := uuid.New(), uuid.New()
	var ends []func()
	for range most {
		end, err := w.Enter(t.Context(), one)
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Enter(ended, one); !errors.Is(err, context.Canceled) {
		t.Errorf("work beyond the limit: %v", err)
	}
	end, err := w.Enter(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	end()
	waited := make(chan error)
	go func() {
		end, err := w.Enter(t.Context(), one)
		if err == nil {
			end()
		}
		waited <- err
	}()
	ends[0]()
	select {
	case err := <-waited:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("a place was released, but the waiting work did not get it")
	}
	for _, end := range ends[1:] {
		end()
	}
	check.Equal(t, len(w.of), 0, "len(w.of)")
}
