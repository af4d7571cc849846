package user

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// together are the scripts that one word may mix: those of Japanese, Chinese and Korean, each with Latin (Unicode
// Technical Standard 39, section 5.2, "Highly Restrictive"). Everything else that mixes scripts can be written to look
// like another word, such as аnn with a Cyrillic а.
var together = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"}, {"Latin", "Han", "Bopomofo"}, {"Latin", "Han", "Hangul"},
}

// frequent are the scripts that are looked for first.
var frequent = []string{"Latin", "Cyrillic", "Greek", "Han", "Hiragana", "Katakana", "Hangul", "Arabic", "Hebrew",
	"Devanagari", "Thai", "Armenian", "Georgian"}

// likeASCII are Latin letters, each with the ASCII letter that it looks like (Unicode Technical Standard 39,
// confusables.txt). A mailbox that has one can be taken for the one without.
var likeASCII = map[rune]rune{
	'ı': 'i', 'ȷ': 'j', 'ɑ': 'a', 'ɡ': 'g', 'ɩ': 'i', 'ɪ': 'i', 'ɣ': 'y', 'ʋ': 'u', 'ɯ': 'w', 'ʏ': 'y', 'ƽ': 's',
	'Ɩ': 'l', 'ǀ': 'l', 'ᴄ': 'c', 'ᴏ': 'o', 'ᴜ': 'u', 'ᴠ': 'v', 'ᴡ': 'w', 'ᴢ': 'z', 'ꜱ': 's', 'ꞟ': 'u',
}

// mixedScripts returns two scripts that a word must not mix, and false if all of its scripts may stand together.
// Digits, punctuation and marks belong to every script.
func mixedScripts(word string) (one, other string, mixed bool) {
	var found []string
	for _, r := range word {
		known := slices.ContainsFunc(found, func(s string) bool { return has(s, r) })
		if known || r < utf8.RuneSelf && !isASCIILetter(r) {
			continue
		}
		if s := scriptOf(r); s != "" {
			found = append(found, s)
		}
	}
	if len(found) < 2 || slices.ContainsFunc(together, func(allowed []string) bool {
		return !slices.ContainsFunc(found, func(s string) bool { return !slices.Contains(allowed, s) })
	}) {
		return "", "", false
	}
	return found[0], found[1], true
}

func isASCIILetter(r rune) bool { return r|' ' >= 'a' && r|' ' <= 'z' }

func has(script string, r rune) bool { return unicode.Is(unicode.Scripts[script], r) }

// scriptOf returns the script of a character, by Unicode's name; "" for characters of all scripts.
func scriptOf(r rune) string {
	if has("Common", r) || has("Inherited", r) {
		return ""
	}
	for _, s := range frequent {
		if has(s, r) {
			return s
		}
	}
	for s, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return s
		}
	}
	return ""
}

// confusing returns why a new address could be taken for another one, as a sentence, or "". The part before the "@" and
// each label of the domain must be of scripts that stand together.
func confusing(email string) string {
	local, domain, _ := cutAddress(email)
	if isASCII(email) && !strings.Contains(strings.ToLower(domain), "xn--") {
		return ""
	}
	for _, word := range append([]string{local}, strings.Split(foldDomain(domain), ".")...) {
		if one, other, mixed := mixedScripts(word); mixed {
			return "It mixes letters of the scripts " + one + " and " + other + " in “" + word +
				"”, which can look like another address."
		}
	}
	for _, r := range local {
		if ascii, is := likeASCII[r]; is {
			return "Its letter “" + string(r) + "” looks like “" + string(ascii) +
				"”, so that it can be taken for another address."
		}
	}
	return ""
}
