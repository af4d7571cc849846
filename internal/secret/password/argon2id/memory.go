package argon2id

import (
	"sync"
	"time"
)

// idleTime is how long a buffer is kept after its last use.
const idleTime = time.Minute

// buffers are the buffers of this process.
var buffers = freeList{rows: Reused}

// freeList keeps buffers of rows blocks each between calls. It never holds more
// than were in use at the same time. It is safe for concurrent use.
type freeList struct {
	rows uint32

	mu   sync.Mutex
	idle []buffer
	// expiry calls release idleTime after the last put.
	expiry *time.Timer
}

// buffer is memory outside the garbage-collected heap, where the system has
// that. In the heap, two buffers of 19 MiB would count as live data, and the
// garbage collector would let several times as much garbage accumulate.
type buffer struct {
	blocks []block
	// free returns the memory to the system. The blocks must not be used after it.
	free func()
}

// get returns a buffer for one caller. Its content is left from an earlier call.
func (l *freeList) get() buffer {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := len(l.idle) - 1
	if last < 0 {
		return newBuffer(l.rows)
	}
	b := l.idle[last]
	l.idle = l.idle[:last]
	return b
}

// put takes back a buffer from get.
func (l *freeList) put(b buffer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = append(l.idle, b)
	if l.expiry == nil {
		l.expiry = time.AfterFunc(idleTime, l.release)
		return
	}
	l.expiry.Reset(idleTime)
}

// release frees the idle buffers.
func (l *freeList) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.idle {
		b.free()
	}
	l.idle = nil
}
