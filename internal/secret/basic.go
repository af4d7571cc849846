package secret

import (
	"crypto/hmac"
	"crypto/sha256"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// LegacyAccount is the kind of a Basic. It is not the prefix of a secret, since
// other programs made the tokens.
const LegacyAccount Kind = "legacy"

// Limits of a legacy API account's user name and token, in characters. A token has
// no checksum and may come from any program, so it must at least be long.
const (
	MaxUsername    = 100
	MinLegacyToken = 20
	MaxLegacyToken = 200
)

// Basic is the credential that a legacy API account presents by HTTP Basic (RFC
// 7617): a user name and a token for one store. Like Secret it does not print or
// compare.
type Basic struct {
	silent

	s *string // the input of the digest
}

// ParseBasic returns the credential that was presented for the store with the hash.
// It returns ErrMalformed for an invalid user name or token.
func ParseBasic(storeHash, username, token string) (Basic, error) {
	if !ValidUsername(username) || !ValidLegacyToken(token) {
		return Basic{}, ErrMalformed
	}
	// No Secret has this prefix, so the digests of the two differ. The lengths make
	// the encoding unambiguous.
	s := "latchkey legacy API account\n" + counted(storeHash) + counted(username) + counted(token)
	return Basic{s: &s}, nil
}

func counted(part string) string { return strconv.Itoa(len(part)) + ":" + part }

// ValidUsername reports whether text is a valid user name of a legacy API account:
// 1 to MaxUsername printable characters, without a colon (RFC 7617, section 2) and
// without surrounding spaces.
func ValidUsername(text string) bool {
	n := utf8.RuneCountInString(text)
	return n >= 1 && n <= MaxUsername && utf8.ValidString(text) && strings.TrimSpace(text) == text &&
		!strings.ContainsFunc(text, func(r rune) bool { return r == ':' || !unicode.IsPrint(r) })
}

// ValidLegacyToken reports whether text is a valid token of a legacy API account:
// MinLegacyToken to MaxLegacyToken printable ASCII characters.
func ValidLegacyToken(text string) bool {
	return len(text) >= MinLegacyToken && len(text) <= MaxLegacyToken &&
		!strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// DigestBasic returns the digest of b under the current key, for storage.
func (k *Keyring) DigestBasic(b Basic) KeyedDigest { return k.keys[0].digestBasic(b) }

// BasicCandidates returns the digests under which b may be stored, one for each
// key, the current one first. It returns none for the zero Basic.
func (k *Keyring) BasicCandidates(b Basic) []KeyedDigest {
	if b.s == nil {
		return nil
	}
	digests := make([]KeyedDigest, len(k.keys))
	for i, key := range k.keys {
		digests[i] = key.digestBasic(b)
	}
	return digests
}

func (k serverKey) digestBasic(b Basic) KeyedDigest {
	d := KeyedDigest{Key: k.id}
	if b.s == nil {
		return d
	}
	mac := hmac.New(sha256.New, []byte(*k.raw))
	mac.Write([]byte(*b.s))
	mac.Sum(d.Digest[:0])
	return d
}
