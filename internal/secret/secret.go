package secret

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"

	"latchkey/internal/fault"
)

// Kind is the kind of a secret. Its text is the prefix of the secret.
type Kind string

// The kinds of secret. Each prefix is part of the format and never changes.
const (
	// AccountAccessToken is the access token of an account-level API token.
	AccountAccessToken Kind = "lka_"
	// StoreAccessToken is the access token of a store-level API token.
	StoreAccessToken Kind = "lks_"
	// OAuthAccessToken is a granted access token (RFC 6749, section 4.4).
	OAuthAccessToken Kind = "lko_"
	// ClientSecret is the client secret of an API token of either level.
	ClientSecret Kind = "lkc_"
	// UserSession is the secret of a user's session.
	UserSession Kind = "lku_"
	// Flow is the secret that a browser has between two steps of a sign-in.
	Flow Kind = "lkf_"
	// GatewayKey is the key with which a gateway authenticates.
	GatewayKey Kind = "lkg_"
	// OneTimeLink is the secret in a one-time link.
	OneTimeLink Kind = "lkl_"
)

// alphabet is in ASCII order, so that base62 numbers of equal length sort as
// numbers when they sort as text.
const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

const (
	prefixLength  = 4
	payloadLength = 43 // the fewest base62 characters that hold 256 bits
	checkLength   = 6  // the fewest base62 characters that hold 32 bits
	checkedLength = prefixLength + payloadLength
	length        = checkedLength + checkLength
	hintLength    = 4
)

// largestPayload is 2^256-1. 43 base62 characters can encode slightly larger
// numbers, which are never issued.
const largestPayload = "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1"

// ErrMalformed is the error of Parse for every text that is not a secret. It does
// not reveal which rule is broken, since only an attacker would need that.
var ErrMalformed = fault.Errorf(fault.Unauthenticated,
	"This is not a Latchkey credential. Copy it again, complete and unchanged.")

// Secret is a credential. It does not print (every way of formatting, logging or
// encoding it gives "[secret]") and does not compare; only Reveal returns its text.
// The Kind, Hint and Reveal of the zero Secret are empty.
type Secret struct {
	silent

	s *string // nil, or the 53 characters; a pointer so that fmt cannot follow it
}

// Generate returns a new secret of the kind from 32 bytes read from random. It
// returns an error if random does, or if the kind does not exist.
func Generate(random io.Reader, kind Kind) (Secret, error) {
	if !kind.known() {
		return Secret{}, fmt.Errorf("generate secret: no kind %q", string(kind))
	}
	var raw [32]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return Secret{}, fmt.Errorf("read random bytes for a secret: %w", err)
	}
	text := make([]byte, length)
	copy(text, kind)
	encodePayload(text[prefixLength:checkedLength], raw)
	check := encodeCheck(crc32.ChecksumIEEE(text[:checkedLength]))
	copy(text[checkedLength:], check[:])
	s := string(text)
	return Secret{s: &s}, nil
}

// Parse parses a presented secret. It returns ErrMalformed for any text that
// Generate cannot return. It needs no lookup, and does not allocate when it returns
// an error.
func Parse(presented string) (Secret, error) {
	if !wellFormed(presented) {
		return Secret{}, ErrMalformed
	}
	s := presented
	return Secret{s: &s}, nil
}

// Fingerprint returns the key of a presented secret in the caches of this process:
// its SHA-256, which costs a quarter of a digest. It is never stored, because it
// does not depend on a server key. All texts of a different length, which are not
// secrets, have the same fingerprint.
func Fingerprint(presented string) Digest {
	var text [length]byte
	if len(presented) != length {
		return Digest{}
	}
	copy(text[:], presented)
	return sha256.Sum256(text[:])
}

// Kind returns the kind of the secret, or "" for the zero Secret.
func (s Secret) Kind() Kind {
	if s.s == nil {
		return ""
	}
	return Kind((*s.s)[:prefixLength])
}

// Reveal returns the text of the secret, for the one response that shows it.
func (s Secret) Reveal() string {
	if s.s == nil {
		return ""
	}
	return *s.s
}

// Hint returns the prefix and the last four characters, such as "lka_…x7Qz", by
// which its holder can recognize the secret. The four characters are part of the
// checksum, so they reveal almost nothing about the random part.
func (s Secret) Hint() string {
	if s.s == nil {
		return ""
	}
	return (*s.s)[:prefixLength] + "…" + (*s.s)[length-hintLength:]
}

func (k Kind) known() bool {
	switch k {
	case AccountAccessToken, StoreAccessToken, OAuthAccessToken, ClientSecret, UserSession, Flow, GatewayKey,
		OneTimeLink:
		return true
	default:
		return false
	}
}

// wellFormed reports whether every part of text is canonical.
func wellFormed(text string) bool {
	if len(text) != length || !Kind(text[:prefixLength]).known() {
		return false
	}
	// crc32.ChecksumIEEE would copy the text to the heap.
	sum := ^uint32(0)
	for i := range checkedLength {
		if i >= prefixLength && !base62(text[i]) {
			return false
		}
		sum = crc32.IEEETable[byte(sum)^text[i]] ^ sum>>8
	}
	check := encodeCheck(^sum)
	return text[checkedLength:] == string(check[:]) && text[prefixLength:checkedLength] <= largestPayload
}

func base62(c byte) bool {
	return c-'0' < 10 || c-'A' < 26 || c-'a' < 26
}

// encodePayload writes the fixed-width base62 encoding of the big-endian 256-bit
// number in raw to dst. It converts the whole number and not each byte, so every
// secret is equally likely.
func encodePayload(dst []byte, raw [32]byte) {
	var number [4]uint64
	for i := range number {
		number[i] = binary.BigEndian.Uint64(raw[8*i:])
	}
	for i := len(dst) - 1; i >= 0; i-- {
		var digit uint64
		for w := range number {
			number[w], digit = bits.Div64(digit, number[w], uint64(len(alphabet)))
		}
		dst[i] = alphabet[digit]
	}
}

// encodeCheck returns the fixed-width base62 encoding of sum.
func encodeCheck(sum uint32) [checkLength]byte {
	var check [checkLength]byte
	for i := checkLength - 1; i >= 0; i-- {
		check[i] = alphabet[sum%uint32(len(alphabet))]
		sum /= uint32(len(alphabet))
	}
	return check
}
