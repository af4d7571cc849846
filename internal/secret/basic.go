package secret

import (
	"crypto/hmac"
	"crypto/sha256"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// LegacyAccount is the kind of a Basic, which was made elsewhere and has no
// prefix.
const LegacyAccount Kind = "legacy"

// Bounds on what a legacy API account has, in characters. A token has no check
// part and may have been made by anybody, so it must at least be long.
const (
	MaxUsername    = 100
	MinLegacyToken = 20
	MaxLegacyToken = 200
)

// Basic is what a legacy API account presents by HTTP Basic (RFC 7617): a user
// name and a token, good for one store. Like Secret it does not print or
// compare.
type Basic struct {
	silent

	s *string // all that is digested
}

// ParseBasic returns what was presented at the store that has the hash. It
// returns ErrMalformed for a name or a token that no legacy API account has.
func ParseBasic(storeHash, username, token string) (Basic, error) {
	if !ValidUsername(username) || !ValidLegacyToken(token) {
		return Basic{}, ErrMalformed
	}
	// It begins as no Secret does, so that no digest of one is that of the
	// other, and lengths keep its parts apart.
	s := "latchkey legacy API account\n" + counted(storeHash) + counted(username) + counted(token)
	return Basic{s: &s}, nil
}

func counted(part string) string { return strconv.Itoa(len(part)) + ":" + part }

// ValidUsername reports whether text can be the user name of a legacy API
// account: 1 to MaxUsername characters that print, without a colon (RFC 7617,
// section 2) and without space around them.
func ValidUsername(text string) bool {
	n := utf8.RuneCountInString(text)
	return n >= 1 && n <= MaxUsername && utf8.ValidString(text) && strings.TrimSpace(text) == text &&
		!strings.ContainsFunc(text, func(r rune) bool { return r == ':' || !unicode.IsPrint(r) })
}

// ValidLegacyToken reports whether text can be the token of a legacy API
// account: MinLegacyToken to MaxLegacyToken characters of ASCII that print.
func ValidLegacyToken(text string) bool {
	return len(text) >= MinLegacyToken && len(text) <= MaxLegacyToken &&
		!strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// DigestBasic returns the digest of b under the current key: the one to store.
func (k *Keyring) DigestBasic(b Basic) KeyedDigest { return k.keys[0].digestBasic(b) }

// BasicCandidates returns the digests that b may be stored under, one for
// every key, the current one first. The zero Basic has none.
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
