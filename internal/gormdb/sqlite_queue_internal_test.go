package gormdb

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/test/check"
)

// queued queues writes behind a running one and returns the order in which they run. Each letter is an account; upper
// case means an urgent write.
func queued(t *testing.T, waiting string) string {
	t.Helper()
	var q writeQueue
	var order []byte
	synctest.Test(t, func(t *testing.T) {
		leave, err := q.enter(t.Context(), turn{})
		if err != nil {
			t.Fatal(err)
		}
		for _, letter := range []byte(waiting) {
			go func() {
				urgent := letter < 'a'
				leave, err := q.enter(t.Context(), turn{account: uuid.UUID{letter | 0x20}, urgent: urgent})
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, letter)
				leave()
			}()
			synctest.Wait() // it is queued before the next one comes
		}
		time.Sleep(time.Second)
		leave()
		synctest.Wait()
	})
	check.Equal(t, q.waits.Load(), int64(len(waiting)), "%s: writes that waited", waiting)
	check.Equal(t, time.Duration(q.waited.Load()), time.Duration(len(waiting))*time.Second,
		"%s: the time that they waited", waiting)
	if q.busy || len(q.urgent.waiting)+len(q.ordinary.waiting)+len(q.urgent.order)+len(q.ordinary.order) > 0 {
		t.Errorf("%s: the queue: got %+v, want it empty", waiting, &q)
	}
	return string(order)
}

func TestWriteQueueOrder(t *testing.T) {
	for _, c := range []struct{ name, waiting, want string }{
		{"nobody", "", ""},
		{"accounts in turn", "aaabbc", "abcaba"},
		{"urgent ones first", "aabAbB", "ABabab"},
		{"urgent ones in turn", "AAABa", "ABAAa"},
		{"ordinary ones are not starved", "b" + "AAAAAAAAAAAAAAAAAAAA" + "b", "AAAAAAAAAAAAAAAA" + "b" + "AAAA" + "b"},
	} {
		check.Equal(t, queued(t, c.waiting), c.want, "%s: %s ran", c.name, c.waiting)
	}
}

func TestWriteQueueCancellation(t *testing.T) {
	var q writeQueue
	gone, cancel := context.WithCancel(t.Context())
	leave, err := q.enter(t.Context(), turn{})
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan error)
	go func() {
		_, err := q.enter(gone, turn{})
		left <- err
	}()
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("a write whose request has ended: got error %v, want %v", err, context.Canceled)
	}
	if _, err := q.enter(gone, turn{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a write whose request has ended before: got error %v, want %v", err, context.Canceled)
	}
	leave()
	if leave, err = q.enter(t.Context(), turn{}); err != nil || len(q.ordinary.order) > 0 {
		t.Errorf("the next write: got error %v and the queue %+v, want it empty", err, q.ordinary)
	}
	leave()
}

// A request may end at the same time as its write gets its turn. The turn then passes to the next write, in either
// order the request notices the two.
func TestWriteQueueCancellationOfATurn(t *testing.T) {
	for round := range 200 {
		var q writeQueue
		leave, err := q.enter(t.Context(), turn{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan struct{})
		go func() {
			defer close(left)
			if leave, err := q.enter(ctx, turn{}); err == nil {
				leave()
			}
		}()
		for waiting := false; !waiting; runtime.Gosched() {
			q.mu.Lock()
			waiting = !q.ordinary.empty()
			q.mu.Unlock()
		}
		cancel()
		leave()
		<-left
		if q.busy {
			t.Fatalf("in round %d no write has the turn, want one to have it", round)
		}
	}
}

// One write runs at a time, even if contexts end meanwhile, and every other write runs.
func TestWriteQueueRaces(t *testing.T) {
	var q writeQueue
	var all sync.WaitGroup
	var running, ran int // the race detector notices two writes at once
	for n := range 200 {
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			if n%3 == 0 {
				go cancel()
			}
			defer cancel()
			leave, err := q.enter(ctx, turn{account: uuid.UUID{byte(n % 5)}, urgent: n%4 == 0})
			if err != nil {
				return
			}
			if running++; running != 1 {
				t.Errorf("writes at once: got %d, want 1", running)
			}
			running, ran = running-1, ran+1
			leave()
		})
	}
	all.Wait()
	if q.busy || ran < 100 {
		t.Errorf("%d writes ran, busy %t, want 100 at least, and not busy", ran, q.busy)
	}
}

// The writes of an account keep their order.
func TestWriteQueueKeepsOrder(t *testing.T) {
	var r rounds
	var added []chan struct{}
	for range 5 {
		added = append(added, make(chan struct{}))
		r.add(uuid.UUID{}, added[len(added)-1])
	}
	if !r.remove(uuid.UUID{}, added[2]) || r.remove(uuid.UUID{}, added[2]) {
		t.Error("removing a write twice: want it removed the first time only")
	}
	var taken []chan struct{}
	for !r.empty() {
		taken = append(taken, r.take())
	}
	check.Equal(t, taken, slices.Delete(slices.Clone(added), 2, 3), "taken")
}
