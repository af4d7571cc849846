package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// Sealed is a text encrypted under a server key, with the key's ID. Values that
// only need to be compared are stored as digests instead.
type Sealed struct {
	Key  KeyID
	Text []byte
}

// ErrNotOpened is the error of Open for a text that was sealed under a key that is
// not in the keyring or for another purpose, or that was changed.
var ErrNotOpened = errors.New("sealed text cannot be opened with these keys")

// Seal encrypts plain under the current key with AES-256-GCM. The text opens only
// with the same value of of, which is authenticated. Seal returns an error if
// random does.
func (k *Keyring) Seal(random io.Reader, plain []byte, of string) (Sealed, error) {
	key := k.keys[0]
	box, err := key.box()
	if err != nil {
		return Sealed{}, err
	}
	nonce := make([]byte, box.NonceSize())
	if _, err := io.ReadFull(random, nonce); err != nil {
		return Sealed{}, fmt.Errorf("read random bytes to seal with: %w", err)
	}
	return Sealed{Key: key.id, Text: box.Seal(nonce, nonce, plain, []byte(of))}, nil
}

// Open decrypts a text that Seal encrypted with the same of, under any key of the
// keyring. It returns ErrNotOpened for any other text.
func (k *Keyring) Open(s Sealed, of string) ([]byte, error) {
	for _, key := range k.keys {
		if key.id != s.Key {
			continue
		}
		box, err := key.box()
		if err != nil {
			return nil, err
		}
		if len(s.Text) < box.NonceSize() {
			return nil, ErrNotOpened
		}
		plain, err := box.Open(nil, s.Text[:box.NonceSize()], s.Text[box.NonceSize():], []byte(of))
		if err != nil {
			return nil, ErrNotOpened
		}
		return plain, nil
	}
	return nil, ErrNotOpened
}

// box returns the cipher for sealing. Its key is derived from the server key (RFC
// 5869), so that each key has one use.
func (k serverKey) box() (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, []byte(*k.raw), nil, "latchkey sealed text", keyLength)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// DigestCode returns the digest of a user's short code under the current key, for
// storage. There are few codes, but an attacker without the server key cannot test
// guesses. Equal codes of two users have different digests.
func (k *Keyring) DigestCode(of string, code Password) KeyedDigest {
	return k.keys[0].digestCode(of, code)
}

// CodeCandidates returns the digests under which the code may be stored, one for
// each key, the current one first.
func (k *Keyring) CodeCandidates(of string, code Password) []KeyedDigest {
	digests := make([]KeyedDigest, len(k.keys))
	for i, key := range k.keys {
		digests[i] = key.digestCode(of, code)
	}
	return digests
}

// digestCode digests a prefix that no Secret has, so that its digests differ from
// those of secrets. The lengths make the encoding unambiguous.
func (k serverKey) digestCode(of string, code Password) KeyedDigest {
	d := KeyedDigest{Key: k.id}
	mac := hmac.New(sha256.New, []byte(*k.raw))
	mac.Write([]byte("latchkey code\n" + counted(of) + counted(code.Reveal())))
	mac.Sum(d.Digest[:0])
	return d
}
