package cli

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

func TestGCPercent(t *testing.T) {
	const mb = 1 << 20
	for live, want := range map[uint64]int{
		0: 400, 1: 400, 3 * mb: 400, 4 * mb: 300, 8 * mb: 150, 10 * mb: 120, 12 * mb: 100, 100 * mb: 70, 1 << 63: 70,
	} {
		check.Equal(t, gcPercent(live), want, "%d bytes of live data", live)
	}
}

// The percentage follows the live heap, unless GOGC is set.
func TestTuneGC(t *testing.T) {
	was := debug.SetGCPercent(123)
	defer debug.SetGCPercent(was)
	gogc := func(set bool) *program {
		return &program{env: func(name string) (string, bool) { return "123", set && name == "GOGC" }}
	}
	percent := func() int {
		now := debug.SetGCPercent(123)
		debug.SetGCPercent(now)
		return now
	}
	gogc(true).tuneGC(t.Context())
	check.Equal(t, percent(), 123, "GOGC=123 was changed to")
	gogc(false).tuneGC(t.Context())
	large := make([]byte, 64<<20)
	for deadline := time.Now().Add(10 * time.Second); percent() != minGCPercent; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatalf("GOGC: got %d with %d bytes of live data, want %d", percent(), liveHeap(), minGCPercent)
		}
	}
	runtime.KeepAlive(large)
	for deadline := time.Now().Add(10 * time.Second); percent() <= minGCPercent; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatalf("GOGC: got %d with %d bytes of live data, want more than %d", percent(), liveHeap(), minGCPercent)
		}
	}
}
