package user

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
)

// One account's walks wait for each other and for nobody else's, and leave
// nothing behind.
func TestWalksAreBoundedByAccount(t *testing.T) {
	w := newWalks()
	one, other := uuid.New(), uuid.New()
	var ends []func()
	for range mostAtOnce() {
		end, err := w.begin(t.Context(), one)
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.begin(ended, one); !errors.Is(err, context.Canceled) {
		t.Errorf("one more: %v", err)
	}
	end, err := w.begin(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	end()
	waited := make(chan error)
	go func() {
		end, err := w.begin(t.Context(), one)
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
		t.Fatal("a place was given back and nobody got it")
	}
	for _, end := range ends[1:] {
		end()
	}
	if len(w.of) != 0 {
		t.Errorf("%d accounts are still known", len(w.of))
	}
}
