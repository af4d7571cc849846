//go:build !unix

package argon2id

// newBuffer allocates memory for rows blocks in the heap.
func newBuffer(rows uint32) buffer { return buffer{make([]block, rows), func() {}} }
