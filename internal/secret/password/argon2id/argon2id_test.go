package argon2id_test

import (
	"bytes"
	"math"
	"runtime"
	"testing"

	"golang.org/x/crypto/argon2"
	"pgregory.net/rapid"

	"latchkey/internal/secret/password/argon2id"
)

// Every tag equals that of golang.org/x/crypto/argon2, also in reused memory.
func TestKeyIsArgon2id(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lanes := rapid.Uint8Range(1, 16).Draw(t, "lanes")
		by := argon2id.Parameters{
			Memory: rapid.Uint32Range(8*uint32(lanes), 2048).Draw(t, "memory"),
			Passes: rapid.Uint32Range(1, 4).Draw(t, "passes"), Lanes: lanes,
			Salt: rapid.SliceOfN(rapid.Byte(), 8, 64).Draw(t, "salt"),
		}
		size := rapid.Uint32Range(4, 200).Draw(t, "size")
		password := rapid.SliceOf(rapid.Byte()).Draw(t, "password")
		want := argon2.IDKey(password, by.Salt, by.Passes, by.Memory, by.Lanes, size)
		if got := argon2id.Key(password, by, size); !bytes.Equal(got, want) {
			t.Fatalf("%x, want %x", got, want)
		}
	})
	for _, by := range []argon2id.Parameters{ // the cost of hashes, and more memory than is reused
		{Memory: argon2id.Reused, Passes: 2, Lanes: 1, Salt: make([]byte, 16)},
		{Memory: argon2id.Reused + 1000, Passes: 1, Lanes: 3, Salt: make([]byte, 16)},
	} {
		want := argon2.IDKey([]byte("password"), by.Salt, by.Passes, by.Memory, by.Lanes, 32)
		if got := argon2id.Key([]byte("password"), by, 32); !bytes.Equal(got, want) {
			t.Errorf("%x, want %x", got, want)
		}
	}
}

// A hash reuses the memory of the previous one.
func TestHashesReuseMemory(t *testing.T) {
	by := argon2id.Parameters{Memory: argon2id.Reused, Passes: 1, Lanes: 1, Salt: make([]byte, 16)}
	// Use the least of several runs: the race detector makes the pool drop some
	// buffers.
	least := uint64(math.MaxUint64)
	var before, after runtime.MemStats
	for range 20 {
		runtime.ReadMemStats(&before)
		argon2id.Key([]byte("password"), by, 32)
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	if least > argon2id.Reused*1024/4 {
		t.Errorf("a hash allocates %d bytes, want %d at most", least, argon2id.Reused*1024/4)
	}
}

func BenchmarkKey(b *testing.B) {
	by := argon2id.Parameters{Memory: argon2id.Reused, Passes: 2, Lanes: 1, Salt: make([]byte, 16)}
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			argon2id.Key([]byte("password"), by, 32)
		}
	})
	b.Run("x/crypto", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			argon2.IDKey([]byte("password"), by.Salt, by.Passes, by.Memory, by.Lanes, 32)
		}
	})
}
