package secret

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// Digest is the HMAC-SHA-256 of a secret under a server key: what is stored
// in place of the secret.
type Digest [sha256.Size]byte

// KeyID names a server key without telling anything of it. It is computed
// from the key, so the same key has the same id wherever it is.
type KeyID string

// KeyedDigest is a digest and the key it was made with. It is comparable, and
// fit to be the key of a map.
type KeyedDigest struct {
	Key    KeyID
	Digest Digest
}

// keyLength is the length of a server key in bytes: as long as the digest,
// which RFC 2104 section 3 recommends as the least.
const keyLength = sha256.Size

// Keyring holds the server's keys: the current one, under which new secrets
// are stored, and previous ones that are still honoured. It does not print
// them. It never changes, and is safe for concurrent use.
type Keyring struct {
	silent

	keys []serverKey // never empty; the current one first
}

// NewKeyring makes a keyring of one key from 32 bytes of random. It fails
// when random does.
func NewKeyring(random io.Reader) (*Keyring, error) {
	var raw [keyLength]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return nil, fmt.Errorf("read random bytes for a server key: %w", err)
	}
	return &Keyring{keys: []serverKey{newServerKey(raw)}}, nil
}

// Digest returns the digest of s under the current key: the one to store.
func (k *Keyring) Digest(s Secret) KeyedDigest {
	return k.keys[0].digest(s)
}

// Candidates returns the digests that s may be stored under, one for every
// key, the current one first. The zero Secret has none.
func (k *Keyring) Candidates(s Secret) []KeyedDigest {
	if s.s == nil {
		return nil
	}
	digests := make([]KeyedDigest, len(k.keys))
	for i, key := range k.keys {
		digests[i] = key.digest(s)
	}
	return digests
}

// Sign returns what proves that a text of that use is this server's. No use is
// that of another, and none is a secret's digest: it begins as no secret does.
func (k *Keyring) Sign(use, text string) KeyedDigest { return k.keys[0].sign(use, text) }

// Signed reports whether d proves that a text of that use is this server's.
func (k *Keyring) Signed(use, text string, d KeyedDigest) bool {
	for _, key := range k.keys {
		if key.id == d.Key {
			own := key.sign(use, text)
			return hmac.Equal(own.Digest[:], d.Digest[:])
		}
	}
	return false
}

// IDs returns the ids of the keys, the current one first.
func (k *Keyring) IDs() []KeyID {
	ids := make([]KeyID, len(k.keys))
	for i, key := range k.keys {
		ids[i] = key.id
	}
	return ids
}

// serverKey is one key. Like Secret it holds its bytes behind *string.
type serverKey struct {
	id  KeyID
	raw *string
	// inner and outer are the key as the two passes of HMAC begin with it.
	inner, outer *string
}

func newServerKey(raw [keyLength]byte) serverKey {
	text := string(raw[:])
	return serverKey{id: idOf(raw), raw: &text, inner: pad(raw, 0x36), outer: pad(raw, 0x5c)}
}

// pad is the key filled up with zeros to a block of the hash and combined
// with b in every byte (RFC 2104, section 2).
func pad(raw [keyLength]byte, b byte) *string {
	var block [sha256.BlockSize]byte
	copy(block[:], raw[:])
	for i := range block {
		block[i] ^= b
	}
	text := string(block[:])
	return &text
}

// idOf is the first six bytes of a hash of the key, in hexadecimal. The key
// cannot be worked back from it, and a key file whose key was damaged is
// noticed because the id beside it no longer fits.
func idOf(raw [keyLength]byte) KeyID {
	sum := sha256.Sum256(append([]byte("latchkey server key id\n"), raw[:]...))
	return KeyID(hex.EncodeToString(sum[:6]))
}

// digest is HMAC (RFC 2104, section 2) with its two passes written out. A
// hash from crypto/hmac takes as long but, being an interface, puts its state
// and the secret's bytes on the heap; this happens on every request.
func (k serverKey) digest(s Secret) KeyedDigest {
	var inner [sha256.BlockSize + length]byte
	copy(inner[:], *k.inner)
	n := copy(inner[sha256.BlockSize:], s.Reveal())
	first := sha256.Sum256(inner[:sha256.BlockSize+n])

	var outer [sha256.BlockSize + sha256.Size]byte
	copy(outer[:], *k.outer)
	copy(outer[sha256.BlockSize:], first[:])
	return KeyedDigest{Key: k.id, Digest: sha256.Sum256(outer[:])}
}

func (k serverKey) sign(use, text string) KeyedDigest {
	d := KeyedDigest{Key: k.id}
	mac := hmac.New(sha256.New, []byte(*k.raw))
	mac.Write([]byte("latchkey signature\n" + counted(use) + counted(text)))
	mac.Sum(d.Digest[:0])
	return d
}
