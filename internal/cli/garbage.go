package cli

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Bounds of the garbage that accumulates in the heap between two collections.
const (
	// mostGCPercent and leastGCPercent are values of GOGC.
	mostGCPercent  = 400
	leastGCPercent = 100
	// moderateGarbage, in bytes, is where the percentage begins to fall.
	moderateGarbage = 16 << 20
)

// gcPercent returns the value of GOGC for a heap with that many bytes of live
// data. Little data may be followed by several times as much garbage: requests
// are so short that collecting would take a good part of their time. For more
// data the garbage is limited to moderateGarbage, or to as much as there is data.
func gcPercent(live uint64) int {
	if live == 0 {
		return mostGCPercent
	}
	return int(min(mostGCPercent, max(leastGCPercent, moderateGarbage*100/live)))
}

// tuneGC sets the value of GOGC from the live data after each garbage
// collection until ctx ends, unless the operator set GOGC.
func (p *program) tuneGC(ctx context.Context) {
	if _, set := p.env("GOGC"); set {
		return
	}
	debug.SetGCPercent(mostGCPercent)
	afterGC(ctx, func() { debug.SetGCPercent(gcPercent(liveHeap())) })
}

// afterGC calls do after each garbage collection until ctx ends.
func afterGC(ctx context.Context, do func()) {
	// The next collection finds the value unused.
	unused := new([64]byte)
	runtime.AddCleanup(unused, func(struct{}) {
		if ctx.Err() == nil {
			do()
			afterGC(ctx, do)
		}
	}, struct{}{})
}

// liveHeap returns how many bytes the last garbage collection found in use.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return math.MaxUint64
	}
	return sample[0].Value.Uint64()
}

// freeStartup returns the memory that only the start needed to the system. What
// sync.Pool holds, such as the buffers of the migrations, lives for two
// collections.
func freeStartup() {
	runtime.GC()
	debug.FreeOSMemory()
}
