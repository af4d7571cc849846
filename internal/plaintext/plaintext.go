// Package plaintext says which characters a text of users may have.
package plaintext

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// OneLine reports whether every character of text is Printable.
func OneLine(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !Printable(r) })
}

// Printable reports whether r may be in a line of plain text. It is neither a control character, such as NUL, which
// PostgreSQL cannot store, nor a line break, nor an invisible character, which can make one text look like another.
// Invisible are the format characters and what else is ignored in display (Unicode Standard, section 5.21), except for
// the joiners, which some scripts need, and for variation selectors, which some emoji need. U+FFFD is not printable: it
// replaces an invalid character, such as half a surrogate pair in JSON.
func Printable(r rune) bool {
	if unicode.Is(unicode.Join_Control, r) {
		return true
	}
	return r != utf8.RuneError && !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp,
		unicode.Other_Default_Ignorable_Code_Point)
}

// Shows reports whether anything of text shows: it has a character that is not Blank.
func Shows(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return !Blank(r) })
}

// Blank reports whether r shows nothing by itself: space, the braille pattern without dots, and the joiners and
// variation selectors, which change what is beside them.
func Blank(r rune) bool {
	const brailleBlank = '\u2800'
	return r == brailleBlank || unicode.IsSpace(r) || unicode.In(r, unicode.Join_Control, unicode.Variation_Selector)
}
