package secret

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"sync"
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

	keys []*serverKey // never empty; the current one first
}

// NewKeyring makes a keyring of one key from 32 bytes of random. It fails
// when random does.
func NewKeyring(random io.Reader) (*Keyring, error) {
	var raw [keyLength]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return nil, fmt.Errorf("read random bytes for a server key: %w", err)
	}
	return &Keyring{keys: []*serverKey{newServerKey(raw)}}, nil
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

// serverKey is one key. Like Secret it holds its bytes behind a *string.
type serverKey struct {
	id  KeyID
	raw *string
	// macs holds *mac, each with the key's two first blocks already hashed,
	// which halves the work of a digest and spares its allocations.
	macs sync.Pool
}

// mac is a keyed hash with room for its input and output, which would
// otherwise be allocated anew because hash.Hash is an interface.
type mac struct {
	hash hash.Hash
	in   [length]byte
	out  Digest
}

func newServerKey(raw [keyLength]byte) *serverKey {
	text := string(raw[:])
	key := &serverKey{id: idOf(raw), raw: &text}
	key.macs.New = func() any {
		return &mac{hash: hmac.New(sha256.New, []byte(text))}
	}
	return key
}

// idOf is the first six bytes of a hash of the key, in hexadecimal. The key
// cannot be worked back from it, and a key file whose key was damaged is
// noticed because the id beside it no longer fits.
func idOf(raw [keyLength]byte) KeyID {
	sum := sha256.Sum256(append([]byte("latchkey server key id\n"), raw[:]...))
	return KeyID(hex.EncodeToString(sum[:6]))
}

func (k *serverKey) digest(s Secret) KeyedDigest {
	m := k.macs.Get().(*mac)
	defer k.macs.Put(m)
	m.hash.Reset()
	n := copy(m.in[:], s.Reveal())
	m.hash.Write(m.in[:n])
	m.hash.Sum(m.out[:0])
	clear(m.in[:])
	return KeyedDigest{Key: k.id, Digest: m.out}
}
