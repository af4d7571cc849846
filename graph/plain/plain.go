// Package plain is the fast path for objects, and lists of objects, of which only
// plain fields are selected. A plain field is a Go field, or a method without
// context, arguments and error.
//
// gqlgen resolves every field of every element in its own context, behind several
// closures, and every element of a list in its own goroutine. For plain fields this
// has no visible effect, so the code that tools/graphgen generates writes them
// in order into one buffer.
//
// The fast path handles no errors. If a value is null although the schema forbids
// it, or a method panics, the output is discarded and gqlgen's code runs instead. It
// reports the error with its path and propagates the null as the specification
// requires.
package plain

import (
	"io"
	"sync"

	"github.com/99designs/gqlgen/graphql"
)

const extension = "latchkey/plain"

// Allow enables the fast path for the operation. The operation must have no field
// middleware, because the fast path skips it.
func Allow(op *graphql.OperationContext) { op.Stats.SetExtension(extension, true) }

// Marshal runs write on an empty buffer and returns the output. It returns nil if
// write reports false or panics; the caller must then use gqlgen's code. The result
// can be written only once, because its buffer is reused.
func Marshal(write func([]byte) ([]byte, bool)) (m graphql.Marshaler) {
	out := buffers.Get().(*buffer)
	defer func() {
		if recover() != nil {
			m = nil
		}
	}()
	var ok bool
	if out.bytes, ok = write(out.bytes[:0]); !ok {
		out.release()
		return nil
	}
	return out
}

// largestKept is the largest buffer, in bytes, that is returned to the pool, so
// that one large response does not hold memory forever. A response of 250 users
// takes about 40 KB.
const largestKept = 64 << 10

var buffers = sync.Pool{New: func() any { return &buffer{bytes: make([]byte, 0, 4<<10)} }}

type buffer struct{ bytes []byte }

// MarshalGQL writes the buffer and returns it to the pool.
func (b *buffer) MarshalGQL(w io.Writer) {
	// A Marshaler cannot return an error; the owner of w checks for it.
	_, _ = w.Write(b.bytes)
	b.release()
}

func (b *buffer) release() {
	if cap(b.bytes) <= largestKept {
		buffers.Put(b)
	}
}
