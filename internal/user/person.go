package user

import (
	"net/mail"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"latchkey/internal/plaintext"
)

// Limits of a user's fields.
const (
	// MaxEmail is the longest valid email address (RFC 5321, section
	// 4.5.3.1.3, less the angle brackets).
	MaxEmail = 254
	// MaxName is the longest first or last name, in characters.
	MaxName = 100
	// MaxLocale is long enough for every language tag in use (RFC 5646, section
	// 4.4.1).
	MaxLocale = 35
)

// DefaultLocale is the locale of a new user if the request gives none.
const DefaultLocale = "en"

// locale matches the syntax of a language tag (RFC 5646, section 2.1). It does
// not check the registry.
var locale = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`)

// ValidEmail reports whether a request, or an identity provider, may name a user by
// the address: it is one that IsEmail accepts, without other forms of characters
// before the "@", such as ſ for s, which names of users do not have either (RFC 8264,
// section 9.17): Fold makes such an address equal to that of another mailbox.
// CheckNewEmail refuses more.
func ValidEmail(text string) bool {
	local, _, _ := cutAddress(text)
	return IsEmail(text) && !strings.ContainsFunc(local, isVariant)
}

// IsEmail reports whether text is one bare email address, which a user who was
// added earlier can have. It has no invisible characters, not even those that some
// scripts need in names: with them, addresses of different users look the same.
func IsEmail(text string) bool {
	if len(text) > MaxEmail { // avoid copying a long text
		return false
	}
	if last, _ := utf8.DecodeLastRuneInString(text); isDot(last) {
		return false // the root of the domain name system
	}
	address, err := mail.ParseAddress(text)
	return err == nil && address.Address == text && utf8.ValidString(text) &&
		!strings.ContainsFunc(text, func(r rune) bool {
			return !plaintext.Printable(r) || plaintext.Blank(r) || r == '"'
		})
}

// isVariant reports whether r is another form of other characters, such as the kelvin sign for K, Å for Å or ᲀ for в:
// Fold makes them equal, but they differ in more than case. Of the letters that Fold makes equal, the lower case and
// its upper case are none. The final sigma ς is allowed, since Greek words end with it.
func isVariant(r rune) bool {
	if r < utf8.RuneSelf || r == 'ς' {
		return false
	}
	composed := norm.NFC.String(string(r))
	if single, size := utf8.DecodeRuneInString(composed); single != r && size == len(composed) {
		return true
	}
	lower := unicode.ToLower(unicode.ToUpper(r))
	return norm.NFKC.String(string(r)) != composed ||
		unicode.SimpleFold(r) != r && r != lower && unicode.ToLower(r) != lower
}

// Mailbox returns the address to which mail for a user with the address is sent: composed (NFC), and with the domain in
// ASCII, which is looked up. So every spelling that Fold makes equal leads to one mailbox, but for the case of letters,
// and mail servers without internationalized addresses (RFC 6531) accept those of which only the domain is in Unicode.
func Mailbox(email string) string {
	local, domain, is := cutAddress(email)
	if !is {
		return email
	}
	if encoded, err := idna.Lookup.ToASCII(foldDomain(domain)); err == nil && !isASCII(domain) {
		domain = encoded
	}
	return norm.NFC.String(local) + "@" + domain
}

// ValidName reports whether text is a valid name of a user or an object: one
// line of plain text, 1 to MaxName characters, without leading or trailing
// space.
func ValidName(text string) bool { return validLine(text, MaxName) }

// validLine reports whether text is one line of plain text, 1 to most characters, without
// leading or trailing space.
func validLine(text string, most int) bool {
	n := utf8.RuneCountInString(text)
	return n >= 1 && n <= most && strings.TrimSpace(text) == text && plaintext.OneLine(text) && plaintext.Shows(text)
}

// ValidLocale reports whether text has the shape of a BCP 47 language tag.
func ValidLocale(text string) bool { return len(text) <= MaxLocale && locale.MatchString(text) }
