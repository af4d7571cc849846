package bulkhead

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
)

// The work of one account waits for its own and for no other account's, and
// leaves nothing behind.
func TestWorkIsBoundedByAccount(t *testing.T) {
	w := New()
	one, other := uuid.New(), uuid.New()
	var ends []func()
	for range most() {
		end, err := w.Enter(t.Context(), one)
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Enter(ended, one); !errors.Is(err, context.Canceled) {
		t.Errorf("one more: %v", err)
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
		t.Fatal("a place was given back, and the next did not get it")
	}
	for _, end := range ends[1:] {
		end()
	}
	if len(w.of) != 0 {
		t.Errorf("%d accounts are still known", len(w.of))
	}
}
