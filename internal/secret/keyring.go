package secret

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// Digest is the HMAC-SHA-256 of a secret under a server key. It is stored in place
// of the secret.
type Digest [sha256.Size]byte

// KeyID identifies a server key without revealing anything about it. It is derived
// from the key, so the same key has the same ID on every server.
type KeyID string

// KeyedDigest is a digest and the ID of its key. It is comparable and can be a map
// key.
type KeyedDigest struct {
	Key    KeyID
	Digest Digest
}

// keyLength is the length of a server key in bytes: that of the digest, which RFC
// 2104 section 3 recommends as the minimum.
const keyLength = sha256.Size

// Keyring holds the server's keys: the current one, under which new secrets are
// stored, and previous ones that are still accepted. It does not print them. It is
// immutable and safe for concurrent use.
type Keyring struct {
	silent

	keys []serverKey // never empty; the current one first
}

// NewKeyring returns a keyring with one key of 32 bytes read from random. It
// returns an error if random does.
func NewKeyring(random io.Reader) (*Keyring, error) {
	var raw [keyLength]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return nil, fmt.Errorf("read random bytes for a server key: %w", err)
	}
	return &Keyring{keys: []serverKey{newServerKey(raw)}}, nil
}

// Digest returns the digest of s under the current key, for storage.
func (k *Keyring) Digest(s Secret) KeyedDigest {
	return k.keys[0].digest(s)
}

// Candidates returns the digests under which s may be stored, one for each key, the
// current one first. It returns none for the zero Secret.
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

// Sign returns a signature of the text for a use. A signature for one use is not
// valid for another, and is never the digest of a secret, since no secret has its
// prefix.
func (k *Keyring) Sign(use, text string) KeyedDigest { return k.keys[0].sign(use, text) }

// SignAs is Sign under the key with the ID. It reports whether the keyring has the key.
func (k *Keyring) SignAs(id KeyID, use, text string) (d KeyedDigest, has bool) {
	for _, key := range k.keys {
		if key.id == id {
			return key.sign(use, text), true
		}
	}
	return d, false
}

// Signed reports whether d is this server's signature of the text for the use.
func (k *Keyring) Signed(use, text string, d KeyedDigest) bool {
	for _, key := range k.keys {
		if key.id == d.Key {
			own := key.sign(use, text)
			return hmac.Equal(own.Digest[:], d.Digest[:])
		}
	}
	return false
}

// IDs returns the IDs of the keys, the current one first.
func (k *Keyring) IDs() []KeyID {
	ids := make([]KeyID, len(k.keys))
	for i, key := range k.keys {
		ids[i] = key.id
	}
	return ids
}

// serverKey is one key. Like Secret it keeps its bytes behind a *string.
type serverKey struct {
	id  KeyID
	raw *string
	// inner and outer are the states of the two passes of HMAC after the key's
	// block.
	inner, outer *string
}

func newServerKey(raw [keyLength]byte) serverKey {
	text := string(raw[:])
	return serverKey{id: idOf(raw), raw: &text, inner: pad(raw, 0x36), outer: pad(raw, 0x5c)}
}

// pad returns the key, padded with zeros to a block of the hash, XORed with b in
// every byte (RFC 2104, section 2).
func pad(raw [keyLength]byte, b byte) *string {
	var block [sha256.BlockSize]byte
	copy(block[:], raw[:])
	for i := range block {
		block[i] ^= b
	}
	text := string(block[:])
	return &text
}

// idLength is the length of a KeyID in bytes, which it has in hexadecimal.
const idLength = 6

// idOf returns the first bytes of a hash of the key, in hexadecimal. It does
// not reveal the key. In a key file, it detects a damaged key.
func idOf(raw [keyLength]byte) KeyID {
	sum := sha256.Sum256(append([]byte("latchkey server key id\n"), raw[:]...))
	return KeyID(hex.EncodeToString(sum[:idLength]))
}

// digest computes HMAC (RFC 2104, section 2) with its two passes written out. A
// hash from crypto/hmac is as fast, but it is an interface, so its state and the
// secret's bytes would escape to the heap on every request.
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
