// Package plain answers the simple part of a GraphQL query quickly: objects
// and lists of objects of which only plain fields were asked for, fields that
// are a Go field or a method without context, arguments and error.
//
// gqlgen resolves every field of every element in its own context, behind
// several closures, and every element of a list in its own goroutine. For
// plain fields none of that can be seen from outside, so the code generated
// by internal/graphgen writes them one after the other into one buffer.
//
// It does so only where nothing can be wrong. When a value turns out to be
// null where the schema forbids it, or a method panics, what was written is
// thrown away and gqlgen's own code runs instead, which reports the error,
// its path and the nulls that follow from it as the specification has them.
package plain

import (
	"io"
	"sync"

	"github.com/99designs/gqlgen/graphql"
)

const extension = "latchkey/plain"

// Allow lets the operation take the short way. It must be called only for an
// operation without field middleware, which the short way would pass by.
func Allow(op *graphql.OperationContext) { op.Stats.SetExtension(extension, true) }

// Marshal runs write on an empty buffer and returns what it appended. It
// returns nil when write reports false or panics; the caller then takes the
// long way. The result can be written once: its buffer is used again.
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

// A response of 250 users takes some 40 KB. Larger buffers are left to the
// garbage collector, lest one large response hold memory for ever.
const largestKept = 64 << 10

var buffers = sync.Pool{New: func() any { return &buffer{bytes: make([]byte, 0, 4<<10)} }}

type buffer struct{ bytes []byte }

// MarshalGQL writes the buffer and gives it back.
func (b *buffer) MarshalGQL(w io.Writer) {
	// An error of w is noticed by whoever owns w; a Marshaler reports none.
	_, _ = w.Write(b.bytes)
	b.release()
}

func (b *buffer) release() {
	if cap(b.bytes) <= largestKept {
		buffers.Put(b)
	}
}
