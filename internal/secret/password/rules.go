package password

import (
	_ "embed" // the common passwords
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// serviceName is a word that an attacker would try in passwords.
const serviceName = "latchkey"

// common lists common passwords in lower case, one a line. The lines of its notice
// start with "# ", so they match no password without a space.
//
//go:embed common.txt
var common string

// fold returns the form in which passwords are compared with words, without case.
func fold(text string) string { return cases.Fold().String(norm.NFKC.String(strings.TrimSpace(text))) }

// isCommon reports whether a folded password is a common one, or one with digits
// and punctuation around it.
func isCommon(folded string) bool {
	bare := strings.TrimFunc(folded, func(r rune) bool { return !unicode.IsLetter(r) })
	return listed(folded) || listed(bare)
}

func listed(text string) bool {
	return utf8.RuneCountInString(text) >= MinLength && !strings.Contains(text, "\n") &&
		strings.Contains(common, "\n"+text+"\n")
}

// repeats reports whether a password repeats one short text.
func repeats(text []rune) bool {
	for period := 1; period < MinLength && 2*period <= len(text); period++ {
		if slices.Equal(text[period:], text[:len(text)-period]) {
			return true
		}
	}
	return false
}

// keyRows are sequences of neighboring keys on keyboards. Characters with
// consecutive code points also count as neighbors.
var keyRows = []string{"1234567890", "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm",
	"йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю"}

// shortestRun is the fewest characters of a run.
const shortestRun = 3

// mostOutsideRuns is the most characters outside of runs in a password that counts
// as a sequence.
const mostOutsideRuns = 2

// isSequence reports whether a folded password consists of runs, such as
// "abcd4321", and little else.
func isSequence(text []rune) bool {
	outside := 0
	for i := 0; i < len(text); {
		length := runAt(text[i:])
		if length < shortestRun {
			length = 1
			outside++
		}
		i += length
	}
	return outside <= mostOutsideRuns
}

// runAt returns the length of the longest run at the start of the text: one
// repeated character, or a part of an alphabet or of a row of keys, in either
// direction.
func runAt(text []rune) int {
	longest := 1
	for _, step := range []rune{-1, 0, 1} {
		n := 1
		for n < len(text) && text[n]-text[n-1] == step {
			n++
		}
		longest = max(longest, n)
	}
	for _, row := range keyRows {
		for _, step := range []int{-1, 1} {
			longest = max(longest, runOnKeys(text, []rune(row), step))
		}
	}
	return longest
}

func runOnKeys(text, row []rune, step int) int {
	at, n := slices.Index(row, text[0]), 1
	if at < 0 {
		return 1
	}
	for at += step; n < len(text) && at >= 0 && at < len(row) && row[at] == text[n]; at += step {
		n++
	}
	return n
}

// Limits for passwords with names. Parts of names that are shorter are ignored.
// Fewer letters than leastLetters, in fewer than MinLength characters, are not
// enough beside names.
const (
	leastNamePart = 3
	leastLetters  = 4
)

// isNames reports whether a folded password consists of names, and little else.
func isNames(folded string, names []string) bool {
	rest := folded
	for _, part := range nameParts(names) {
		rest = strings.ReplaceAll(rest, part, "")
	}
	if rest == folded {
		return false
	}
	letters := 0
	for _, r := range rest {
		if unicode.IsLetter(r) {
			letters++
		}
	}
	return letters < leastLetters && utf8.RuneCountInString(rest) < MinLength
}

// longestName is the maximum size of a name in bytes, more than that of any valid
// name or address.
const longestName = 2048

// nameParts returns the words in names, and each name without separators, longest
// first. It ignores names that are too long to be valid.
func nameParts(names []string) []string {
	separates := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	var parts []string
	for _, name := range names {
		if len(name) > longestName {
			continue
		}
		words := strings.FieldsFunc(fold(name), separates)
		parts = append(append(parts, words...), strings.Join(words, ""))
	}
	parts = slices.DeleteFunc(parts, func(part string) bool { return utf8.RuneCountInString(part) < leastNamePart })
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(parts)
}
