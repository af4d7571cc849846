package clock_test

import (
	"testing"
	"time"

	"latchkey/internal/clock"
	"latchkey/internal/test/check"
)

func TestTimestamp(t *testing.T) {
	east := time.FixedZone("east", 3600)
	for _, tc := range []struct {
		name     string
		at, want time.Time
	}{
		{"another zone", time.Date(2026, 3, 4, 13, 0, 0, 0, east), time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)},
		{"nanoseconds", time.Date(2026, 3, 4, 12, 0, 0, 1999, time.UTC),
			time.Date(2026, 3, 4, 12, 0, 0, 1000, time.UTC)},
		{"before 1970", time.Date(1969, 3, 4, 12, 0, 0, 1999, time.UTC),
			time.Date(1969, 3, 4, 12, 0, 0, 1000, time.UTC)},
		{"zero", time.Time{}, time.Time{}},
	} {
		check.Equal(t, clock.Timestamp(tc.at), tc.want, "%s", tc.name)
		check.Equal(t, clock.Clock(func() time.Time { return tc.at }).Timestamp(), tc.want, "%s: the clock's timestamp",
			tc.name)
	}
	if got := clock.Clock(clock.System).Timestamp(); got != got.Round(0) || got != clock.Timestamp(got) {
		t.Errorf("the system's timestamp is %v", got)
	}
}
