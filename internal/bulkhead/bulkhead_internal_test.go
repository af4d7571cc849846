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

// A bounded bulkhead refuses work immediately if too much of the account or of all accounts runs or waits, and admits
// work again when some has ended.
func TestBoundedWork(t *testing.T) {
	w := Bounded(1, 2, 3)
	ended, cancel := context.WithCancel(t.Context())
	defer cancel()
	one, other := uuid.New(), uuid.New()
	waited := make(chan error, 1)
	enter := func(account uuid.UUID) func() {
		t.Helper()
		leave, err := w.Enter(t.Context(), account)
		if err != nil {
			t.Fatal(err)
		}
		return leave
	}
	waits := func(account uuid.UUID, before int) {
		t.Helper()
		go func() {
			_, err := w.Enter(ended, account)
			waited <- err
		}()
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			w.mu.Lock()
			used := w.used
			w.mu.Unlock()
			if used > before {
				return
			}
		}
		t.Fatal("work that may wait is not counted")
	}
	refused := func(account uuid.UUID, name string) {
		t.Helper()
		if leave, err := w.Enter(ended, account); !errors.Is(err, ErrFull) {
			t.Errorf("%s: got %t, %v, want %v", name, leave != nil, err, ErrFull)
		}
	}
	leaveOne := enter(one)
	waits(one, 1)
	refused(one, "a third piece of work of an account")
	leaveOther := enter(other)
	refused(uuid.New(), "a fourth piece of work of all")
	leaveOther()
	enter(uuid.New())()
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("work that waited: got %v, want %v", err, context.Canceled)
	}
	leaveOne()
	check.Equal(t, len(w.of)+w.used, 0, "entries and work counted at the end")
}
