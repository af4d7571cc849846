package user_test

import (
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// everyCharacter calls f with each single character, each mark after a letter, and each letter that has a case before
// marks, with which it can compose.
func everyCharacter(f func(text string)) {
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if r == '@' || unicode.IsSpace(r) || !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S) {
			continue
		}
		f(string(r))
		if unicode.IsMark(r) {
			f("a" + string(r))
			f("α" + string(r))
		}
		if unicode.ToUpper(r) != r || unicode.ToLower(r) != r || unicode.SimpleFold(r) != r {
			for _, mark := range []string{"\u030c", "\u0331", "\u0308", "\u0301", "\u030a", "\u0345", "\u0342\u0345"} {
				f(string(r) + mark)
			}
		}
	}
}

// folds fails the test if the address has several folded forms, or folds to one that is not composed.
func folds(t *testing.T, address string) {
	t.Helper()
	folded := user.Fold(address)
	if folded == address && norm.NFC.IsNormalString(address) && norm.NFD.IsNormalString(address) {
		return
	}
	if again := user.Fold(folded); again != folded {
		t.Errorf("Fold(Fold(%+q)): got %+q, want %+q", address, again, folded)
	}
	for _, form := range []norm.Form{norm.NFC, norm.NFD} {
		if got := user.Fold(form.String(address)); got != folded {
			t.Errorf("Fold(%+q), decomposed otherwise: got %+q, want %+q", address, got, folded)
		}
	}
}

// A folded address is folded, and all ways to write one address have one form.
func TestFoldIsStable(t *testing.T) {
	everyCharacter(func(text string) {
		folds(t, text+"@acme.example")
		folds(t, "ann@"+text+".example")
	})
}

// sameLetters reports whether the texts differ only in the case of their letters.
func sameLetters(text, other string) bool {
	if strings.Contains(norm.NFC.String(text+" "+other), "İ") {
		return false // a letter of its own, also as I with a dot
	}
	a, b := []rune(text), []rune(other)
	for i := range a {
		// The mark U+0345, an iota below a letter, has the upper case of ι, which is another letter.
		if len(a) != len(b) ||
			a[i] != b[i] && (unicode.IsMark(a[i]) || !strings.EqualFold(string(a[i]), string(b[i]))) {
			return false
		}
	}
	return true
}

// The case of a letter does not matter, also where its upper case is several characters, such as that of ǰ.
func TestFoldIgnoresCase(t *testing.T) {
	everyCharacter(func(text string) {
		for _, form := range []string{text, norm.NFD.String(text)} {
			for _, other := range []string{strings.ToUpper(form), strings.ToLower(form), strings.ToTitle(form)} {
				if other != form && sameLetters(form, other) {
					check.Equal(t, user.Fold(other+"@b.example"), user.Fold(form+"@b.example"),
						"Fold of %+q, like %+q", other, form)
				}
			}
		}
	})
}

// Two domains are one address's exactly if package idna looks both up as one.
func TestFoldComparesDomainsAsTheyAreLookedUp(t *testing.T) {
	forms := map[string]string{}
	everyCharacter(func(text string) {
		looked, err := idna.Lookup.ToASCII(norm.NFC.String(text))
		if err != nil || looked == "" || strings.Contains(looked, ".") {
			return
		}
		folded := user.Fold("ann@" + text + ".example")
		if was, met := forms[looked]; met && was != folded {
			t.Errorf("Fold of the domain %+q, looked up as %s: got %+q, want %+q", text, looked, folded, was)
		}
		forms[looked] = folded
	})
	looked := map[string]string{}
	for ascii, folded := range forms {
		if other, met := looked[folded]; met {
			t.Errorf("%+q is the form of the domains %s and %s, want one", folded, ascii, other)
		}
		looked[folded] = ascii
	}
}

// ASCII characters fold to the same beside other characters, which make the folding slower, and without them.
func TestFoldTextOfASCII(t *testing.T) {
	for c := rune(0); c <= unicode.MaxASCII; c++ {
		check.Equal(t, user.FoldText("é"+string(c)), "é"+user.FoldText(string(c)), "FoldText of %+q", c)
	}
	check.Equal(t, user.FoldText(" Ann LEE "), " ann lee ", "a text with space around it")
}
