package user

import (
	"net/mail"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"latchkey/internal/plaintext"
)

// Limits of a user's fields.
const (
	// MaxEmail is the longest valid e-mail address (RFC 5321, section
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

// ValidEmail reports whether text is one bare e-mail address. It has no invisible
// characters, not even those that some scripts need in names: with them, addresses
// of different people look the same. Before the "@" it has no other forms of
// characters, such as ſ for s, which names of users do not have either (RFC 8264,
// section 9.17): Fold makes such an address equal to that of another mailbox.
func ValidEmail(text string) bool {
	if len(text) > MaxEmail { // avoid copying a long text
		return false
	}
	if last, _ := utf8.DecodeLastRuneInString(text); isDot(last) {
		return false // the root of the domain name system
	}
	address, err := mail.ParseAddress(text)
	local, _, _ := cutAddress(text)
	return err == nil && address.Address == text && utf8.ValidString(text) && !strings.ContainsFunc(local, isVariant) &&
		!strings.ContainsFunc(text, func(r rune) bool {
			return unicode.IsSpace(r) || !plaintext.Printable(r) || isBlank(r) || r == '"'
		})
}

// isBlank reports whether r shows nothing by itself although it is printable.
func isBlank(r rune) bool {
	const brailleBlank = '\u2800'
	return r == brailleBlank || unicode.In(r, unicode.Join_Control, unicode.Variation_Selector)
}

// isVariant reports whether r is another form of other characters, such as the kelvin sign for K or ᲀ for в: Fold makes
// them equal, but they differ in more than case. The final sigma ς is allowed, since Greek words end with it.
func isVariant(r rune) bool {
	if r < utf8.RuneSelf || r == 'ς' {
		return false
	}
	composed := norm.NFC.String(string(r))
	folded := foldRune(r)
	return norm.NFKC.String(string(r)) != composed || isASCII(composed) || folded != r && folded != unicode.ToLower(r)
}

// ValidName reports whether text is a valid name of a user or an object: one
// line of plain text, 1 to MaxName characters, without leading or trailing
// space.
func ValidName(text string) bool { return validLine(text, MaxName) }

// validLine reports whether text is one line of plain text, 1 to most characters, without
// leading or trailing space.
func validLine(text string, most int) bool {
	n := utf8.RuneCountInString(text)
	return n >= 1 && n <= most && strings.TrimSpace(text) == text && plaintext.OneLine(text)
}

// ValidLocale reports whether text has the shape of a BCP 47 language tag.
func ValidLocale(text string) bool { return len(text) <= MaxLocale && locale.MatchString(text) }
