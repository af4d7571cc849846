package cli

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// With any number of callers, also ones that give up, the check runs once a
// second, and a caller waits at most a second.
func TestSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		release := make(chan struct{})
		var hang atomic.Bool
		s := &sampled{check: func(ctx context.Context) error {
			runs.Add(1)
			if hang.Load() {
				<-release // ignores ctx
			}
			return ctx.Err()
		}}
		ask := func(ctx context.Context) (worked int) {
			for range 20 {
				if s.run(ctx) == nil {
					worked++
				}
			}
			return worked
		}
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		if worked := ask(canceled); worked != 20 || runs.Load() != 1 {
			t.Errorf("got %d of 20 checks successful after %d runs, want 20 after 1", worked, runs.Load())
		}
		time.Sleep(sampleInterval)
		hang.Store(true)
		for range 3 {
			began := time.Now()
			if worked := ask(t.Context()); worked != 0 || runs.Load() != 2 || time.Since(began) != sampleInterval {
				t.Errorf("got %d of 20 checks successful after %d runs and %s, want 0 after 2 and %s", worked,
					runs.Load(), time.Since(began), sampleInterval)
			}
			time.Sleep(sampleInterval)
		}
		hang.Store(false)
		close(release)
		synctest.Wait()
		if err := s.run(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the blocked run: got %v, want %v", err, context.DeadlineExceeded)
		}
		time.Sleep(sampleInterval)
		if worked := ask(t.Context()); worked != 20 || runs.Load() != 3 {
			t.Errorf("again: got %d of 20 checks successful after %d runs, want 20 after 3", worked, runs.Load())
		}
	})
}
