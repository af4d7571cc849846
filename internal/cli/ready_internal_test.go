package cli

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// However many ask, and whoever of them leaves, the check runs once a second, and a caller waits for a second at most.
func TestSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		release := make(chan struct{})
		var hang atomic.Bool
		s := &sampled{check: func(ctx context.Context) error {
			runs.Add(1)
			if hang.Load() {
				<-release // whatever becomes of ctx
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
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if worked := ask(gone); worked != 20 || runs.Load() != 1 {
			t.Errorf("%d of 20 say that it works, after %d runs", worked, runs.Load())
		}
		time.Sleep(sampleInterval)
		hang.Store(true)
		for range 3 {
			began := time.Now()
			if worked := ask(t.Context()); worked != 0 || runs.Load() != 2 || time.Since(began) != sampleInterval {
				t.Errorf("%d of 20 say that it works, after %d runs and %s", worked, runs.Load(), time.Since(began))
			}
			time.Sleep(sampleInterval)
		}
		hang.Store(false)
		close(release)
		synctest.Wait()
		if err := s.run(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the run that hung: got %v", err)
		}
		time.Sleep(sampleInterval)
		if worked := ask(t.Context()); worked != 20 || runs.Load() != 3 {
			t.Errorf("%d of 20 say that it works again, after %d runs", worked, runs.Load())
		}
	})
}
