package argon2id

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// The buffers of two simultaneous calls do not count as live data of the
// garbage-collected heap, which would let several times as much garbage accumulate.
func TestBuffersAreOutsideTheHeap(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	first, second := newBuffer(Reused), newBuffer(Reused)
	runtime.ReadMemStats(&after)
	if len(first.blocks) != Reused || len(second.blocks) != Reused {
		t.Errorf("buffers of %d and %d blocks, want %d", len(first.blocks), len(second.blocks), Reused)
	}
	first.free()
	second.free()
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("two buffers take %d bytes of the heap, want %d at most", grown, 1<<20)
	}
}

// A buffer is used again while calls follow each other, and freed once none has used it for idleTime.
func TestIdleBuffersAreFreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &freeList{rows: 8}
		for range 3 {
			first, second := l.get(), l.get()
			l.put(first)
			l.put(second)
			if len(l.idle) != 2 {
				t.Fatalf("idle buffers after two simultaneous calls: got %d, want 2", len(l.idle))
			}
			time.Sleep(idleTime - time.Second)
		}
		freed := 0
		for i, b := range l.idle {
			l.idle[i].free = func() { freed++; b.free() }
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if freed != 2 || len(l.idle) != 0 {
			t.Errorf("idle buffers: %d of 2 were freed and %d are left, want 2 and none", freed, len(l.idle))
		}
		l.put(l.get())
		l.release()
	})
}
