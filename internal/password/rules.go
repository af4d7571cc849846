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

// serviceName is what every user may guess that others build a password of.
const serviceName = "latchkey"

// common holds one common password on each line, in lower case. Lines of its
// notice start with "# ", so they match nothing without a space.
//
//go:embed common.txt
var common string

// fold returns the form in which a password is compared with words: case does
// not count.
func fold(text string) string { return cases.Fold().String(norm.NFKC.String(strings.TrimSpace(text))) }

// isCommon reports whether a folded password is a common one, or one with
// digits and punctuation around it.
func isCommon(folded string) bool {
	bare := strings.TrimFunc(folded, func(r rune) bool { return !unicode.IsLetter(r) })
	return listed(folded) || listed(bare)
}

func listed(text string) bool {
	return utf8.RuneCountInString(text) >= MinLength && !strings.Contains(text, "\n") && strings.Contains(common, "\n"+text+"\n")
}

// repeats reports whether a password is one short text several times.
func repeats(text []rune) bool {
	for period := 1; period < MinLength && 2*period <= len(text); period++ {
		if slices.Equal(text[period:], text[:len(text)-period]) {
			return true
		}
	}
	return false
}

// keyRows are neighbours on keyboards; so are characters whose numbers are.
var keyRows = []string{"1234567890", "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm", "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю"}

// shortestRun is how many characters in a row make a run.
const shortestRun = 3

// mostOutsideRuns is how many characters next to runs make no password of them.
const mostOutsideRuns = 2

// isSequence reports whether a folded password consists of runs, such as
// "abcd4321", and next to nothing else.
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

// runAt returns the length of the longest run at the start of the text: of one
// character, of an alphabet, or of a row of keys, in either direction.
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

// Bounds of what a password has beside names: shorter parts of names are not
// looked for, and fewer letters than leastLetters in fewer than MinLength
// characters are not enough.
const (
	leastNamePart = 3
	leastLetters  = 4
)

// isNames reports whether a folded password is names, and little else.
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

// nameParts returns the words in names, and each name without what separates
// them, longest first.
func nameParts(names []string) []string {
	separates := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	var parts []string
	for _, name := range names {
		words := strings.FieldsFunc(fold(name), separates)
		parts = append(append(parts, words...), strings.Join(words, ""))
	}
	parts = slices.DeleteFunc(parts, func(part string) bool { return utf8.RuneCountInString(part) < leastNamePart })
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(parts)
}
