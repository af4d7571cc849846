package password

import (
	"bytes"
	"math"
	"runtime"
	"testing"

	"golang.org/x/crypto/argon2"
	"pgregory.net/rapid"
)

// Every tag is the one that golang.org/x/crypto/argon2 computes, over memory that holds what was computed before.
func TestDeriveKeyIsArgon2id(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lanes := rapid.Uint8Range(1, maxLanes).Draw(t, "lanes")
		by := phc{
			memory: rapid.Uint32Range(8*uint32(lanes), 2048).Draw(t, "memory"), passes: rapid.Uint32Range(1, 4).Draw(t, "passes"), lanes: lanes,
			salt: rapid.SliceOfN(rapid.Byte(), minSalt, maxBytes).Draw(t, "salt"),
		}
		size := rapid.Uint32Range(minSum, 200).Draw(t, "size")
		password := rapid.SliceOf(rapid.Byte()).Draw(t, "password")
		want := argon2.IDKey(password, by.salt, by.passes, by.memory, by.lanes, size)
		if got := deriveKey(password, by, size); !bytes.Equal(got, want) {
			t.Fatalf("%x, want %x", got, want)
		}
	})
	for _, by := range []phc{ // as hashes are made, and more memory than is kept
		{memory: memory, passes: passes, lanes: lanes, salt: make([]byte, SaltSize)}, {memory: memory + 1000, passes: 1, lanes: 3, salt: make([]byte, SaltSize)},
	} {
		want := argon2.IDKey([]byte("password"), by.salt, by.passes, by.memory, by.lanes, sumSize)
		if got := deriveKey([]byte("password"), by, sumSize); !bytes.Equal(got, want) {
			t.Errorf("%x, want %x", got, want)
		}
	}
}

// A hash allocates no memory of its own: what it takes is there from the one before.
func TestHashesReuseMemory(t *testing.T) {
	by := phc{memory: memory, passes: 1, lanes: lanes, salt: make([]byte, SaltSize)}
	// The least of several: the race detector has the pool drop some buffers.
	least := uint64(math.MaxUint64)
	var before, after runtime.MemStats
	for range 20 {
		runtime.ReadMemStats(&before)
		deriveKey([]byte("password"), by, sumSize)
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	if least > memory*1024/4 {
		t.Errorf("a hash allocates %d bytes", least)
	}
}

func BenchmarkDeriveKey(b *testing.B) {
	by := phc{memory: memory, passes: passes, lanes: lanes, salt: make([]byte, SaltSize)}
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			deriveKey([]byte("password"), by, sumSize)
		}
	})
	b.Run("x/crypto", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			argon2.IDKey([]byte("password"), by.salt, by.passes, by.memory, by.lanes, sumSize)
		}
	})
}
