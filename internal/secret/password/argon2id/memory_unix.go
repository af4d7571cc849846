//go:build unix

package argon2id

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newBuffer maps memory for rows blocks. It panics if the system has none left,
// as the runtime would.
func newBuffer(rows uint32) buffer {
	raw, err := unix.Mmap(-1, 0, int(rows)*int(unsafe.Sizeof(block{})), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Errorf("argon2id: map memory: %w", err))
	}
	// A mapping begins at the start of a page, so it is aligned for blocks.
	blocks := unsafe.Slice((*block)(unsafe.Pointer(unsafe.SliceData(raw))), rows)
	return buffer{blocks, func() {
		if err := unix.Munmap(raw); err != nil {
			panic(fmt.Errorf("argon2id: unmap memory: %w", err))
		}
	}}
}
