package feed

import (
	"strconv"
	"testing"
	"time"
)

// Rows are deleted below the newest sample that is old enough. Without such a sample, none are deleted.
func TestPrunerLimit(t *testing.T) {
	const kept, interval = 10 * time.Minute, 10 * time.Second
	p := pruner{kept: kept}
	start := time.Now()
	for n := range 200 {
		now := start.Add(time.Duration(n) * interval)
		p.note(sample{strconv.Itoa(n), now})
		want := ""
		if old := n - int(kept/interval); old >= 0 {
			want = strconv.Itoa(old)
		}
		xmin, known := p.limit(now)
		if xmin != want || known != (want != "") {
			t.Fatalf("after %s: below %q, %v; want %q", now.Sub(start), xmin, known, want)
		}
	}
	if most := int(kept/interval) + 1; len(p.samples) > most {
		t.Errorf("%d samples are kept, want at most %d", len(p.samples), most)
	}
	// After an hour without samples, the limit is the last sample before.
	if xmin, known := p.limit(start.Add(2 * time.Hour)); !known || xmin != "139" {
		t.Errorf("the limit after a pause: got %q, %v, want 139", xmin, known)
	}
}
