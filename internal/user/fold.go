package user

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Fold returns the form of an email address that comparisons use. It removes
// case, by Unicode's simple case folding of the composed form (Unicode Standard
// Annex 44, CaseFolding.txt). Full case folding would make addresses equal that
// mail systems distinguish, such as ß and ss. A domain in Unicode and its ASCII
// form (RFC 5891, section 4) are equal, and domains are compared as package idna
// maps them for a lookup: σ and ς differ there. Folding a folded address does
// not change it.
func Fold(email string) string {
	email = strings.TrimSpace(email)
	local, domain, is := cutAddress(email)
	if !is {
		return FoldText(email)
	}
	return FoldText(local) + "@" + foldDomain(domain)
}

// FoldText returns the form of a text other than an address, or of a part of an address, that comparisons use. It
// removes case as Fold does, and keeps space.
func FoldText(text string) string {
	if isASCII(text) {
		return strings.ToLower(text) // as foldRune does, in a fraction of the time
	}
	return untilStable(text, foldRune)
}

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// untilStable composes the text and maps its characters, again and again until
// neither changes it. A mapped character can compose with the mark after it: there
// is a ǰ, but its upper case is J and a mark.
func untilStable(text string, mapping func(rune) rune) string {
	for {
		next := norm.NFC.String(strings.Map(mapping, norm.NFC.String(text)))
		if next == text {
			return text
		}
		text = next
	}
}

// cutAddress splits an address at its last "@".
func cutAddress(email string) (local, domain string, is bool) {
	i := strings.LastIndexByte(email, '@')
	if i < 0 {
		return "", "", false
	}
	return email[:i], email[i+1:], true
}

// foldDomain returns a domain in lower case with every label in Unicode.
func foldDomain(domain string) string {
	if isASCII(domain) && !strings.Contains(strings.ToLower(domain), "xn--") {
		return FoldText(domain)
	}
	labels := strings.Split(strings.Map(func(r rune) rune {
		if isDot(r) {
			return '.'
		}
		return r
	}, domain), ".")
	for i, label := range labels {
		labels[i] = foldLabel(label)
	}
	return strings.Join(labels, ".")
}

// isDot reports whether r separates the labels of a domain (Unicode Technical
// Standard 46, section 4).
func isDot(r rune) bool { return r == '.' || r == '。' || r == '．' || r == '｡' }

// foldLabel folds a label of a domain. Of one that IDNA does not allow, only the
// case is removed. Some labels are allowed in lower case only.
func foldLabel(label string) string {
	if mapped, ok := lookedUp(norm.NFC.String(label)); ok {
		return mapped
	}
	lower := untilStable(label, lowerRune)
	if mapped, ok := lookedUp(lower); ok {
		return mapped
	}
	return lower
}

// lookedUp returns the label in Unicode as package idna maps it for a lookup, and
// false if IDNA does not allow it.
func lookedUp(label string) (mapped string, ok bool) {
	encoded, err := idna.Lookup.ToASCII(label)
	if err != nil {
		return "", false
	}
	mapped, err = idna.Lookup.ToUnicode(encoded)
	return mapped, err == nil && mapped != "" // "xn--" encodes nothing
}

// foldRune returns the same character for all letters that differ only in case: the
// lower case of the smallest of them. The mark U+0345, an iota below a letter, stays:
// folded to ι it would no longer compose with the letter.
func foldRune(r rune) rune {
	if unicode.IsMark(r) {
		return r
	}
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		if !unicode.IsMark(other) {
			least = min(least, other)
		}
	}
	return lowerRune(least)
}

// lowerRune is unicode.ToLower, except for characters whose lower case is not
// only theirs: İ would become i, and so the address of another person.
func lowerRune(r rune) rune {
	lower := unicode.ToLower(r)
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		if other == lower {
			return lower
		}
	}
	return r
}
