// Package clock is the time of day as services use it: the clock is a parameter, and times that are stored have one
// form.
package clock

import "time"

// Clock returns the current time, with a monotonic reading, for measuring durations. Timestamp is for times that are
// stored or compared with stored ones.
type Clock func() time.Time

// Timestamp returns the current time in the form of stored times.
func (c Clock) Timestamp() time.Time { return Timestamp(c()) }

// System is the clock of the machine.
func System() time.Time { return time.Now() }

// Timestamp returns t in the form of stored times: UTC and whole microseconds, which is what PostgreSQL stores, without
// a monotonic reading. A time that is read from the database equals the one that was written.
func Timestamp(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// Elapsed returns the larger of the monotonic and the wall-clock time between two readings of the clock. The monotonic
// clock runs while this process is stopped but not while the machine sleeps; the wall clock also runs then, but can be
// set back.
func Elapsed(since, now time.Time) time.Duration {
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}
