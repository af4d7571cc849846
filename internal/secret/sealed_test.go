package secret_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
	"testing/iotest"

	"latchkey/internal/secret"
)

func TestSealedIsOpened(t *testing.T) {
	ring := ringOf(t, 1)
	sealed, err := ring.Seal(rand.Reader, []byte("a secret to be read again"), "of somebody")
	if err != nil || bytes.Contains(sealed.Text, []byte("secret")) {
		t.Fatalf("%q, %v", sealed.Text, err)
	}
	again, err := ring.Seal(rand.Reader, []byte("a secret to be read again"), "of somebody")
	if err != nil || bytes.Equal(again.Text, sealed.Text) {
		t.Errorf("sealed twice, it is the same: %v", err)
	}
	changed := secret.Sealed{Key: sealed.Key, Text: bytes.Clone(sealed.Text)}
	changed.Text[len(changed.Text)-1] ^= 1
	for _, tc := range []struct {
		name   string
		ring   *secret.Keyring
		sealed secret.Sealed
		of     string
		want   string // empty for what cannot be opened
	}{
		{"by the same key", ring, sealed, "of somebody", "a secret to be read again"},
		{"after a new key", ringOf(t, 2, 1), sealed, "of somebody", "a secret to be read again"},
		{"without the key", ringOf(t, 2), sealed, "of somebody", ""},
		{"in another place", ring, sealed, "of somebody else", ""},
		{"changed", ring, changed, "of somebody", ""},
		{"cut off", ring, secret.Sealed{Key: sealed.Key, Text: sealed.Text[:5]}, "of somebody", ""},
		{"nothing", ring, secret.Sealed{}, "of somebody", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.ring.Open(tc.sealed, tc.of)
			if string(got) != tc.want || (err == nil) != (tc.want != "") || err != nil && !errors.Is(err, secret.ErrNotOpened) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	if _, err := ring.Seal(iotest.ErrReader(errors.New("dry")), nil, ""); err == nil {
		t.Error("sealed without randomness")
	}
}

func TestDigestOfACode(t *testing.T) {
	old, ring := ringOf(t, 1), ringOf(t, 2, 1)
	code := secret.NewPassword("abcdefghjkmn")
	kept := old.DigestCode("somebody", code)
	candidates := ring.CodeCandidates("somebody", code)
	if len(candidates) != 2 || candidates[0] != ring.DigestCode("somebody", code) || candidates[1] != kept {
		t.Errorf("%v has not %v", candidates, kept)
	}
	if ring.DigestCode("somebody else", code).Digest == candidates[0].Digest {
		t.Error("two people's codes are alike")
	}
	if old.DigestCode("a", secret.NewPassword("bc")) == old.DigestCode("ab", secret.NewPassword("c")) {
		t.Error("the parts run together")
	}
}
