package gormdb

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
)

// walIndex is the part of SQLite's WAL index, the file -shm, that determines the state of the database file and the
// WAL (SQLite, "WAL-mode File Format", section 2: "The WAL-Index File Format").
type walIndex struct {
	// salts are those of the WAL's header. They change whenever SQLite restarts the WAL.
	salts [8]byte
	// frames is the number of committed frames in the WAL, and pageSize the size of the page in each.
	frames, pageSize uint32
	// backfilled is the number of frames that checkpoints have copied to the database file. attempted is greater than
	// that while a checkpoint is copying.
	backfilled, attempted uint32
}

const (
	walHeaderSize   = 32
	walFrameHeader  = 24
	walIndexHeader  = 48
	walIndexSize    = 132
	walMagic        = 0x377f0682 // or one more
	walMagicVaries  = 1
	largestPageSize = 1 << 16
)

// readWALIndex returns false if the index cannot be read, or is being written.
func readWALIndex(shm io.ReaderAt) (walIndex, bool) {
	var b [walIndexSize]byte
	if _, err := shm.ReadAt(b[:], 0); err != nil {
		return walIndex{}, false
	}
	const initialized = 12
	if b[initialized] != 1 || !bytes.Equal(b[:walIndexHeader], b[walIndexHeader:2*walIndexHeader]) {
		return walIndex{}, false
	}
	size := uint32(binary.NativeEndian.Uint16(b[14:]))
	if size == 1 {
		size = largestPageSize
	}
	return walIndex{
		salts: [8]byte(b[32:40]), frames: binary.NativeEndian.Uint32(b[16:]), pageSize: size,
		backfilled: binary.NativeEndian.Uint32(b[96:]), attempted: binary.NativeEndian.Uint32(b[128:]),
	}, true
}

// holds reports whether a WAL has the frames of the index. It checks its size, its header, and the header of each
// frame starting at from: a WAL that was truncated and written to again has a hole.
func (x walIndex) holds(wal *os.File, from uint32) bool {
	info, err := wal.Stat()
	if err != nil || info.Size() < x.offset(x.frames+1) {
		return false
	}
	var header [walHeaderSize]byte
	if _, err := wal.ReadAt(header[:], 0); err != nil {
		return false
	}
	if binary.BigEndian.Uint32(header[:])&^walMagicVaries != walMagic || [8]byte(header[16:24]) != x.salts {
		return false
	}
	var frame [walFrameHeader]byte
	for n := max(from, 1); n <= x.frames; n++ {
		if _, err := wal.ReadAt(frame[:], x.offset(n)); err != nil || [8]byte(frame[8:16]) != x.salts {
			return false
		}
	}
	return true
}

// offset returns where a frame begins; the first frame is 1.
func (x walIndex) offset(frame uint32) int64 {
	return walHeaderSize + int64(frame-1)*int64(x.pageSize+walFrameHeader)
}

// copied is the state of the database file after the last checkpoint that wrote to it.
type copied struct {
	salts      [8]byte
	backfilled uint32
	size       int64
	modified   int64 // in nanoseconds
}

// contentProblem reports whether another program than SQLite has written to the database file or to the WAL. It
// returns "" if none has, and also if a commit or checkpoint runs during the check.
func (f *databaseFile) contentProblem() string {
	wal, shm := f.besideFiles[0], f.besideFiles[1]
	if wal == nil || shm == nil {
		return ""
	}
	before, ok := readWALIndex(shm)
	if !ok {
		return ""
	}
	info, err := f.main.Stat()
	from := uint32(1)
	if f.seen.salts == before.salts {
		from = f.seen.frames
	}
	held := before.frames == 0 || before.holds(wal, from)
	after, ok := readWALIndex(shm)
	after.frames = before.frames // further frames do not affect the check
	if err != nil || !ok || after != before {
		return ""
	}
	if !held {
		return "has a -wal file that was overwritten or cut short"
	}
	f.seen = before
	if before.attempted != before.backfilled {
		return ""
	}
	now := copied{before.salts, before.backfilled, info.Size(), info.ModTime().UnixNano()}
	was := f.copied
	if was.salts == now.salts && was.backfilled == now.backfilled && was != (copied{}) && was != now {
		return "was overwritten"
	}
	f.copied = now
	return ""
}
