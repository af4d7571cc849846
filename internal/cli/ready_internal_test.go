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
			t.Errorf("%d of 20 succeeded, after %d runs", worked, runs.Load())
		}
		time.Sleep(sampleInterval)
		hang.Store(true)
		for range 3 {
			began := time.Now()
			if worked := ask(t.Context()); worked != 0 || runs.Load() != 2 || time.Since(began) != sampleInterval {
				t.Errorf("%d of 20 succeeded, after %d runs and %s", worked, runs.Load(), time.Since(began))
			}
			time.Sleep(sampleInterval)
		}
		hang.Store(false)
		close(release)
		synctest.Wait()
		if err := s.run(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the blocked run: got %v", err)
		}
		time.Sleep(sampleInterval)
		if worked := ask(t.Context()); worked != 20 || runs.Load() != 3 {
			t.Errorf("%d of 20 succeeded again, after %d runs", worked, runs.Load())
		}
	})
}
