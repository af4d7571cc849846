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

// Sealed is what must be read again, encrypted under a server key, and the key.
// What need only be recognised is kept as a digest instead.
type Sealed struct {
	Key  KeyID
	Text []byte
}

// ErrNotOpened is what Open answers for everything that it cannot open: it was
// sealed under a key that is not in the keyring or for something else, or it
// was changed.
var ErrNotOpened = errors.New("sealed text cannot be opened with these keys")

// Seal encrypts plain under the current key with AES-256-GCM. What it is of
// binds it to its place: it opens only for the same. It fails when random does.
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

// Open decrypts what Seal made of the same thing, under any key of the ring. It
// returns ErrNotOpened for anything else.
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

// box encrypts under a key of its own that follows from the server key (RFC
// 5869), so that one key does one thing.
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

// DigestCode returns the digest of a short code of somebody's under the current
// key: the one to store. A code is one of few, but whoever has no server key
// cannot test guesses. Two people's like codes have different digests.
func (k *Keyring) DigestCode(of string, code Password) KeyedDigest {
	return k.keys[0].digestCode(of, code)
}

// CodeCandidates returns the digests that the code may be stored under, one for
// every key, the current one first.
func (k *Keyring) CodeCandidates(of string, code Password) []KeyedDigest {
	digests := make([]KeyedDigest, len(k.keys))
	for i, key := range k.keys {
		digests[i] = key.digestCode(of, code)
	}
	return digests
}

// digestCode begins as no Secret does, so that no digest of one is that of the
// other, and lengths keep its parts apart.
func (k serverKey) digestCode(of string, code Password) KeyedDigest {
	d := KeyedDigest{Key: k.id}
	mac := hmac.New(sha256.New, []byte(*k.raw))
	mac.Write([]byte("latchkey code\n" + counted(of) + counted(code.Reveal())))
	mac.Sum(d.Digest[:0])
	return d
}
