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

// Kind says what a secret opens. Its text is the prefix of the secret.
type Kind string

// The kinds of secret. Each prefix is part of the format and never changes.
const (
	// AccountAccessToken is the access token of an account-level API token.
	AccountAccessToken Kind = "lka_"
	// StoreAccessToken is the access token of a store-level API token.
	StoreAccessToken Kind = "lks_"
	// OAuthAccessToken is an access token that a client got for its client
	// secret (RFC 6749, section 4.4).
	OAuthAccessToken Kind = "lko_"
	// ClientSecret is the client secret of an API token of either level.
	ClientSecret Kind = "lkc_"
	// UserSession is the session of a person.
	UserSession Kind = "lku_"
	// Flow is what a browser holds between two steps of proving who somebody is.
	Flow Kind = "lkf_"
	// GatewayKey is the key with which a gateway asks about tokens.
	GatewayKey Kind = "lkg_"
	// OneTimeLink is the part of a link in which its holder proves, once, who
	// they are.
	OneTimeLink Kind = "lkl_"
)

// alphabet is in ASCII order, so that equally long base62 numbers compare as
// numbers when they compare as text.
const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

const (
	prefixLength  = 4
	payloadLength = 43 // the fewest base62 characters that hold 256 bits
	checkLength   = 6  // the fewest base62 characters that hold 32 bits
	checkedLength = prefixLength + payloadLength
	length        = checkedLength + checkLength
	hintLength    = 4
)

// largestPayload is 2^256-1. 43 base62 characters can hold slightly more;
// what is above it was never issued.
const largestPayload = "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1"

// ErrMalformed is what Parse answers, alone and unchanged, for everything that
// is not a secret. Which rule was broken is not said: it would help nobody who
// holds the right secret.
var ErrMalformed = fault.Errorf(fault.Unauthenticated,
	"This is not a credential of ours. Copy it again, whole and unchanged.")

// Secret is a credential value. It does not print (every way of formatting,
// logging or encoding it gives "[secret]") and does not compare; Reveal alone
// shows it. The zero Secret is no secret: its Kind, Hint and Reveal are empty.
type Secret struct {
	silent

	s *string // nil, or the 53 characters; a pointer so that fmt cannot follow it
}

// Generate makes a secret of the kind from 32 bytes of random. It fails when
// random does, and for a kind that does not exist.
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

// Parse returns the secret that was presented. It returns ErrMalformed for
// anything but the exact text of a secret that Generate could have made. It
// needs no look-up and, when it refuses, no memory.
func Parse(presented string) (Secret, error) {
	if !wellFormed(presented) {
		return Secret{}, ErrMalformed
	}
	s := presented
	return Secret{s: &s}, nil
}

// Fingerprint returns what tells a presented text from every other of a
// secret's length in this process's memory: its SHA-256, which costs a quarter
// of a digest. It is never stored, since it is not under a server's key. Texts
// of another length, which are no secrets, share one.
func Fingerprint(presented string) Digest {
	var text [length]byte
	if len(presented) != length {
		return Digest{}
	}
	copy(text[:], presented)
	return sha256.Sum256(text[:])
}

// Kind returns what the secret opens, and "" for the zero Secret.
func (s Secret) Kind() Kind {
	if s.s == nil {
		return ""
	}
	return Kind((*s.s)[:prefixLength])
}

// Reveal returns the secret itself, for the one response that shows it.
func (s Secret) Reveal() string {
	if s.s == nil {
		return ""
	}
	return *s.s
}

// Hint returns the prefix and the last four characters, "lka_…x7Qz": enough
// for its holder to recognise the secret. The four characters belong to the
// check part, so they tell next to nothing of the random part.
func (s Secret) Hint() string {
	if s.s == nil {
		return ""
	}
	return (*s.s)[:prefixLength] + "…" + (*s.s)[length-hintLength:]
}

func (k Kind) known() bool {
	switch k {
	case AccountAccessToken, StoreAccessToken, OAuthAccessToken, ClientSecret, UserSession, Flow, GatewayKey, OneTimeLink:
		return true
	default:
		return false
	}
}

// wellFormed says whether text is canonical in every part.
func wellFormed(text string) bool {
	if len(text) != length || !Kind(text[:prefixLength]).known() {
		return false
	}
	// The sum is computed here and not by crc32.ChecksumIEEE, which would force
	// a copy of the text onto the heap.
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

// encodePayload fills dst with the fixed-width base62 form of the 256-bit
// number in raw (big-endian). It is a conversion of the whole number, not of
// each byte, so every secret is equally likely.
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

// encodeCheck returns the fixed-width base62 form of sum.
func encodeCheck(sum uint32) [checkLength]byte {
	var check [checkLength]byte
	for i := checkLength - 1; i >= 0; i-- {
		check[i] = alphabet[sum%uint32(len(alphabet))]
		sum /= uint32(len(alphabet))
	}
	return check
}
