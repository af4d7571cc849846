package secret_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

// ringOf returns a keyring whose keys are filled with the bytes, the current one
// first.
func ringOf(tb testing.TB, fills ...byte) *secret.Keyring {
	tb.Helper()
	text := "latchkey-keys 1\n"
	for _, fill := range fills {
		text += keyLine(tb, fill)
	}
	ring, err := secret.ParseKeyring(strings.NewReader(text), "keys")
	if err != nil {
		tb.Fatal(err)
	}
	return ring
}

// keyLine returns the line of a key file for a key filled with one byte.
func keyLine(tb testing.TB, fill byte) string {
	tb.Helper()
	ring, err := secret.NewKeyring(bytes.NewReader(bytes.Repeat([]byte{fill}, 32)))
	if err != nil {
		tb.Fatal(err)
	}
	text := ring.Text()
	return text[strings.Index(text, "\nkey ")+1:]
}

func TestDigestIsHMAC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")
		ring, err := secret.NewKeyring(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		s, err := secret.Generate(rand.Reader, secret.ClientSecret)
		if err != nil {
			t.Fatal(err)
		}
		want := hmac.New(sha256.New, raw)
		want.Write([]byte(s.Reveal()))
		if got := ring.Digest(s); secret.Digest(want.Sum(nil)) != got.Digest {
			t.Fatalf("Digest: got %x, want %x", got.Digest, want.Sum(nil))
		}
	})
}

// A fingerprint must be unique to its secret and differ from every stored digest.
func TestFingerprint(t *testing.T) {
	ring, s, other := ringOf(t, 1), generate(t, secret.GatewayKey), generate(t, secret.GatewayKey)
	of := secret.Fingerprint
	if of(s.Reveal()) != of(strings.Clone(s.Reveal())) || of(s.Reveal()) == of(other.Reveal()) ||
		of(s.Reveal()) == of(mistype(s.Reveal())) {
		t.Error("fingerprints: two secrets have the same, or one has two; want one for each secret")
	}
	if of(s.Reveal()) == ring.Digest(s).Digest {
		t.Error("the fingerprint equals the stored digest, want another")
	}
	for _, foreign := range []string{"", s.Reveal()[1:], s.Reveal() + "x"} {
		if of(foreign) != (secret.Digest{}) {
			t.Errorf("Fingerprint(%q) = %x, want the zero digest, as it is not a secret", foreign, of(foreign))
		}
	}
}

func TestDigestIsUnderTheCurrentKey(t *testing.T) {
	s := generate(t, secret.StoreAccessToken)
	before, after := ringOf(t, 1), ringOf(t, 2, 1)
	if before.Digest(s) == after.Digest(s) {
		t.Error("digests under two keys are equal, want different ones")
	}
	candidates := after.Candidates(s)
	if len(candidates) != 2 || candidates[0] != after.Digest(s) || candidates[1] != before.Digest(s) {
		t.Errorf("Candidates() = %x, want the digests under both keys, the current key's first", candidates)
	}
}

func TestZeroSecretHasNoCandidates(t *testing.T) {
	check.Equal(t, ringOf(t, 1, 2).Candidates(secret.Secret{}), nil, "candidates of the zero secret")
}

func TestNewKeyringFails(t *testing.T) {
	broken := errors.New("entropy source failed")
	if ring, err := secret.NewKeyring(iotest.ErrReader(broken)); ring != nil || !errors.Is(err, broken) {
		t.Errorf("NewKeyring() = %v, %v, want no ring and the error %v", ring, err, broken)
	}
	if ring, err := secret.NewKeyring(bytes.NewReader(make([]byte, 31))); ring != nil || err == nil {
		t.Errorf("NewKeyring of 31 bytes = %v, %v, want no ring and an error", ring, err)
	}
}

func TestKeyringConcurrently(t *testing.T) {
	ring := ringOf(t, 1, 2)
	var running sync.WaitGroup
	for range 8 {
		s := generate(t, secret.AccountAccessToken)
		want := ring.Candidates(s)
		running.Go(func() {
			for range 500 {
				if got := ring.Candidates(s); got[0] != want[0] || got[1] != want[1] {
					t.Errorf("got %x, want %x", got, want)
					return
				}
			}
		})
	}
	running.Wait()
}

func TestCandidatesAllocate(t *testing.T) {
	s := generate(t, secret.AccountAccessToken)
	for _, ring := range []*secret.Keyring{ringOf(t, 1), ringOf(t, 1, 2)} {
		if n := testing.AllocsPerRun(1000, func() { digests = ring.Candidates(s) }); n > 1 {
			t.Errorf("Candidates allocates %v times, want 1 at most", n)
		}
	}
}
