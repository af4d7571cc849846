package httpserver

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

// A request is canceled once the database has answered nothing for 5 seconds,
// or at its deadline if the database is silent then. A slow statement may use
// the whole time if the database answers other queries.
func TestDeadlineOfASilentDatabase(t *testing.T) {
	for _, tc := range []struct {
		name        string
		limit       time.Duration
		silentFrom  time.Duration
		ends        time.Duration
		unavailable bool
	}{
		{"silent from the start", 20 * time.Second, 0, 5500 * time.Millisecond, true},
		{"silent later", 20 * time.Second, 8 * time.Second, 13500 * time.Millisecond, true},
		{"silent at the end", 20 * time.Second, 17 * time.Second, 20 * time.Second, true},
		{"little time", 3 * time.Second, 0, 3 * time.Second, true},
		{"it answers", 20 * time.Second, time.Hour, 20 * time.Second, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				started := time.Now()
				d := &deadline{
					Context: t.Context(), at: started.Add(tc.limit), early: tc.limit - mostSilence,
					silent: func(d time.Duration) bool { return time.Since(started)-tc.silentFrom > d },
				}
				defer d.release()
				child, cancel := context.WithTimeout(d, time.Hour)
				defer cancel()
				<-child.Done()
				check.Equal(t, time.Since(started), tc.ends, "it ended after")
				for _, err := range []error{d.Err(), child.Err()} {
					if !errors.Is(err, context.DeadlineExceeded) ||
						errors.Is(err, fault.ErrUnavailable) != tc.unavailable {
						t.Errorf("it ended with %v, want DeadlineExceeded, which is ErrUnavailable: %t", err,
							tc.unavailable)
					}
				}
			})
		})
	}
}
