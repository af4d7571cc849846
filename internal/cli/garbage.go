package cli

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Limits of the garbage on the heap between two collections.
const (
	// maxGCPercent and leastGCPercent are values of GOGC.
	maxGCPercent = 400
	minGCPercent = 70
	// moderateGarbage is the garbage in bytes above which the percentage is
	// lowered.
	moderateGarbage = 12 << 20
)

// gcPercent returns the value of GOGC for a heap with live bytes in use. A
// small heap may grow to several times its size before a collection, because
// collecting would take a large part of the time of short requests. For a
// larger heap the garbage is limited to moderateGarbage, but not below 70 % of the size
// of the live data.
func gcPercent(live uint64) int {
	if live == 0 {
		return maxGCPercent
	}
	return int(min(maxGCPercent, max(minGCPercent, moderateGarbage*100/live)))
}

// tuneGC adjusts GOGC to the live heap after each garbage collection until ctx
// ends, unless the operator has set GOGC.
func (p *program) tuneGC(ctx context.Context) {
	if _, set := p.env("GOGC"); set {
		return
	}
	debug.SetGCPercent(maxGCPercent)
	afterGC(ctx, func() { debug.SetGCPercent(gcPercent(liveHeap())) })
}

// afterGC calls do after each garbage collection until ctx ends.
func afterGC(ctx context.Context, do func()) {
	// The next collection frees the value and runs the cleanup.
	unused := new([64]byte)
	runtime.AddCleanup(unused, func(struct{}) {
		if ctx.Err() == nil {
			do()
			afterGC(ctx, do)
		}
	}, struct{}{})
}

// liveHeap returns the bytes that the last garbage collection found in use.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return math.MaxUint64
	}
	return sample[0].Value.Uint64()
}

// freeStartup returns the memory used by the start to the operating system: the
// heap's, and pages of the program's file. Objects in a sync.Pool, such as the
// buffers of the migrations, live for two collections.
func freeStartup() {
	runtime.GC()
	debug.FreeOSMemory()
	_ = releaseProgram() // after an error these pages stay mapped
}
