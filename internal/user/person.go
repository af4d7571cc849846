package user

import (
	"net/mail"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what is kept of a person.
const (
	// MaxEmail is the longest e-mail address that can be written to (RFC 5321,
	// section 4.5.3.1.3, less the angle brackets).
	MaxEmail = 254
	// MaxName is the longest first or last name, in characters.
	MaxName = 100
	// MaxLocale is enough for every language tag in use (RFC 5646, section
	// 4.4.1).
	MaxLocale = 35
)

// locale is the shape of a language tag, not the registry of them (RFC 5646,
// section 2.1).
var locale = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`)

// ValidEmail reports whether text is one bare e-mail address.
func ValidEmail(text string) bool {
	address, err := mail.ParseAddress(text)
	return err == nil && address.Address == text && len(text) <= MaxEmail && utf8.ValidString(text) &&
		!strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unprintable(r) || r == '"' })
}

// ValidName reports whether text is fit for the name of a person or a thing: one line of
// plain text, 1 to MaxName characters, with no space around it.
func ValidName(text string) bool {
	n := utf8.RuneCountInString(text)
	return n >= 1 && n <= MaxName && strings.TrimSpace(text) == text && !strings.ContainsFunc(text, unprintable)
}

// unprintable reports whether r is a control character, ends a line, or is one
// that nobody sees, which can make a text read as another. Some scripts need
// the joiners. U+FFFD stands for what is no character, as half of one in JSON.
func unprintable(r rune) bool {
	return r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) && !unicode.Is(unicode.Join_Control, r)
}

// ValidLocale reports whether text has the shape of a BCP 47 language tag.
func ValidLocale(text string) bool { return len(text) <= MaxLocale && locale.MatchString(text) }
