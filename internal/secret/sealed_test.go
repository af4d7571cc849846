package secret_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
	"testing/iotest"

	"latchkey/internal/secret"
)

func TestSealAndOpen(t *testing.T) {
	ring := ringOf(t, 1)
	sealed, err := ring.Seal(rand.Reader, []byte("a sealed secret"), "of a user")
	if err != nil || bytes.Contains(sealed.Text, []byte("secret")) {
		t.Fatalf("Seal() = %q, %v, want a text that does not show the secret", sealed.Text, err)
	}
	again, err := ring.Seal(rand.Reader, []byte("a sealed secret"), "of a user")
	if err != nil || bytes.Equal(again.Text, sealed.Text) {
		t.Errorf("sealed twice: the texts are equal, want different ones: %v", err)
	}
	changed := secret.Sealed{Key: sealed.Key, Text: bytes.Clone(sealed.Text)}
	changed.Text[len(changed.Text)-1] ^= 1
	for _, tc := range []struct {
		name   string
		ring   *secret.Keyring
		sealed secret.Sealed
		of     string
		want   string // empty for ErrNotOpened
	}{
		{"the same key", ring, sealed, "of a user", "a sealed secret"},
		{"after a new key", ringOf(t, 2, 1), sealed, "of a user", "a sealed secret"},
		{"without the key", ringOf(t, 2), sealed, "of a user", ""},
		{"for another purpose", ring, sealed, "of another user", ""},
		{"changed", ring, changed, "of a user", ""},
		{"truncated", ring, secret.Sealed{Key: sealed.Key, Text: sealed.Text[:5]}, "of a user", ""},
		{"nothing", ring, secret.Sealed{}, "of a user", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.ring.Open(tc.sealed, tc.of)
			if string(got) != tc.want || (err == nil) != (tc.want != "") || err != nil &&
				!errors.Is(err, secret.ErrNotOpened) {
				t.Errorf("Open() = %q, %v, want %q, or %v if empty", got, err, tc.want, secret.ErrNotOpened)
			}
		})
	}
	if _, err := ring.Seal(iotest.ErrReader(errors.New("dry")), nil, ""); err == nil {
		t.Error("Seal without randomness: got no error, want one")
	}
}

func TestDigestOfACode(t *testing.T) {
	old, ring := ringOf(t, 1), ringOf(t, 2, 1)
	code := secret.NewPassword("abcdefghjkmn")
	stored := old.DigestCode("user-1", code)
	candidates := ring.CodeCandidates("user-1", code)
	if len(candidates) != 2 || candidates[0] != ring.DigestCode("user-1", code) || candidates[1] != stored {
		t.Errorf("CodeCandidates() = %v, want two, the last %v", candidates, stored)
	}
	if ring.DigestCode("another context", code).Digest == candidates[0].Digest {
		t.Error("the codes of two users have the same digest, want different ones")
	}
	if old.DigestCode("a", secret.NewPassword("bc")) == old.DigestCode("ab", secret.NewPassword("c")) {
		t.Error("the boundary between user and code does not change the digest, want different digests")
	}
}
