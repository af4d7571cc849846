// Package argon2id computes Argon2id (RFC 9106) in reused memory outside the
// garbage-collected heap.
//
// The package golang.org/x/crypto/argon2 computes the same, but allocates its
// memory in the heap at every call: many concurrent sign-ins grow the heap to
// several times the memory in use.
package argon2id

import (
	"encoding/binary"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/blake2b"
)

// Sizes of RFC 9106, section 3.2.
const (
	blockWords = 128 // of 64 bits: 1 KiB
	syncPoints = 4   // slices of a lane
	argon2id   = 2   // the type y
	seedSize   = 64  // H_0
)

// block is one block of Argon2's memory matrix.
type block [blockWords]uint64

// Reused is the memory, in KiB, up to which calls share buffers.
const Reused = 19 * 1024

// Parameters are the inputs of a tag other than the password. All are positive,
// and Memory is at least 8 times Lanes (RFC 9106, section 3.1).
type Parameters struct {
	Memory uint32 // KiB
	Passes uint32
	Lanes  uint8
	Salt   []byte
}

// Key returns the Argon2id tag of a password: size bytes, at least 4. It
// computes the lanes one after the other, without goroutines.
func Key(password []byte, by Parameters, size uint32) []byte {
	rows := by.Memory / (syncPoints * uint32(by.Lanes)) * syncPoints * uint32(by.Lanes)
	if rows > Reused {
		large := newBuffer(rows)
		defer large.free()
		return newMatrix(large.blocks, by).key(password, by, size)
	}
	reused := buffers.get()
	defer buffers.put(reused)
	return newMatrix(reused.blocks[:rows], by).key(password, by, size)
}

// matrix is Argon2's memory: one row after another, each of columns blocks.
type matrix struct {
	blocks                  []block
	lanes, columns, segment uint32
	passes                  uint32
}

func newMatrix(blocks []block, by Parameters) *matrix {
	columns := uint32(len(blocks)) / uint32(by.Lanes) //nolint:gosec // blocks of 1 KiB, counted by a uint32
	return &matrix{blocks: blocks, lanes: uint32(by.Lanes), columns: columns, segment: columns / syncPoints,
		passes: by.Passes}
}

// key fills the matrix and returns its tag (RFC 9106, section 3.2).
func (m *matrix) key(password []byte, by Parameters, size uint32) []byte {
	m.first(seed(password, by, size))
	for pass := range m.passes {
		for slice := range uint32(syncPoints) {
			for lane := range m.lanes {
				m.fill(pass, slice, lane)
			}
		}
	}
	last := m.blocks[m.columns-1]
	for lane := uint32(1); lane < m.lanes; lane++ {
		for i, word := range &m.blocks[(lane+1)*m.columns-1] {
			last[i] ^= word
		}
	}
	var raw [8 * blockWords]byte
	for i, word := range last {
		binary.LittleEndian.PutUint64(raw[8*i:], word)
	}
	return longHash(raw[:], size)
}

// seed returns H_0 (RFC 9106, section 3.2).
func seed(password []byte, by Parameters, size uint32) [seedSize]byte {
	var text []byte
	for _, n := range []uint32{uint32(by.Lanes), size, by.Memory, by.Passes, argon2.Version, argon2id} {
		text = binary.LittleEndian.AppendUint32(text, n)
	}
	for _, part := range [][]byte{password, by.Salt, nil, nil} { // without a secret and associated data
		text = binary.LittleEndian.AppendUint32(text, uint32(len(part))) //nolint:gosec // a password or a salt, of less than 4 GiB
		text = append(text, part...)
	}
	return blake2b.Sum512(text)
}

// longHash returns H', BLAKE2b of any length (RFC 9106, section 3.3).
func longHash(text []byte, size uint32) []byte {
	text = append(binary.LittleEndian.AppendUint32(nil, size), text...)
	if size <= blake2b.Size {
		return short(text, int(size))
	}
	var out []byte
	v := blake2b.Sum512(text)
	for int(size)-len(out) > blake2b.Size {
		out = append(out, v[:blake2b.Size/2]...)
		if rest := int(size) - len(out); rest <= blake2b.Size {
			return append(out, short(v[:], rest)...)
		}
		v = blake2b.Sum512(v[:])
	}
	return out
}

func short(text []byte, size int) []byte {
	h, err := blake2b.New(size, nil)
	if err != nil {
		panic("argon2id: a tag of no possible size: " + err.Error()) // size is 1 to 64 here
	}
	h.Write(text)
	return h.Sum(nil)
}

// first fills the first two blocks of each lane.
func (m *matrix) first(seed [seedSize]byte) {
	text := make([]byte, seedSize+8)
	copy(text, seed[:])
	for lane := range m.lanes {
		binary.LittleEndian.PutUint32(text[seedSize+4:], lane)
		for column := range uint32(2) {
			binary.LittleEndian.PutUint32(text[seedSize:], column)
			raw := longHash(text, 8*blockWords)
			for i := range blockWords {
				m.blocks[lane*m.columns+column][i] = binary.LittleEndian.Uint64(raw[8*i:])
			}
		}
	}
}

// fill computes one segment: a slice of a lane in a pass. Argon2id takes the
// addresses of the first half of the first pass from a counter, and all others
// from the previous block (RFC 9106, section 3.4).
func (m *matrix) fill(pass, slice, lane uint32) {
	counted := pass == 0 && slice < syncPoints/2
	var zero, input, addresses block
	if counted {
		input = block{uint64(pass), uint64(lane), uint64(slice), uint64(len(m.blocks)), uint64(m.passes), argon2id}
	}
	start := uint32(0)
	if pass == 0 && slice == 0 {
		start = 2
	}
	for i := start; i < m.segment; i++ {
		column := slice*m.segment + i
		at := lane*m.columns + column
		previous := at - 1
		if column == 0 {
			previous = at + m.columns - 1
		}
		random := m.blocks[previous][0]
		if counted {
			if i == start || i%blockWords == 0 {
				input[6]++
				addresses = block{}
				compress(&addresses, &zero, &input)
				input2 := addresses
				addresses = block{}
				compress(&addresses, &zero, &input2)
			}
			random = addresses[i%blockWords]
		}
		if pass == 0 {
			m.blocks[at] = block{} // what an earlier password left
		}
		compress(&m.blocks[at], &m.blocks[previous], &m.blocks[m.reference(random, pass, slice, lane, i)])
	}
}

// reference returns which block a block refers to (RFC 9106, section 3.4.2).
func (m *matrix) reference(random uint64, pass, slice, lane, i uint32) uint32 {
	of := uint32(random>>32) % m.lanes
	if pass == 0 && slice == 0 {
		of = lane
	}
	// area is how many blocks may be referred to, and from where they start.
	area, from := 3*m.segment, ((slice+1)%syncPoints)*m.segment
	if pass == 0 {
		area, from = slice*m.segment, 0
	}
	switch {
	case of == lane:
		area += i - 1
	case i == 0:
		area--
	}
	x := random & 0xffffffff
	x = x * x >> 32
	offset := uint64(area) - 1 - uint64(area)*x>>32
	return of*m.columns + uint32((uint64(from)+offset)%uint64(m.columns))
}
