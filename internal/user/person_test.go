package user_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

func TestValid(t *testing.T) {
	for _, tc := range []struct {
		name  string
		valid func(string) bool
		good  []string
		bad   []string
	}{
		{"email", user.ValidEmail,
			[]string{"owner@acme.example", "a.b+c@sub.acme.example", "jörg@müller.example",
				"jo\u0308rg@müller.example", "νίκος@acme.example", "ΝΊΚΟΣ@acme.example", "Сергей@acme.example",
				"straße@acme.example", "STRAẞE@acme.example", "μαρία@acme.example",
				"ΜΑΡΊΑ@acme.example", "ꙋтро@acme.example", "Ꙋтро@acme.example", "क\u0958@acme.example",
				"İnci@acme.example", "ꭰ@acme.example",
				"Ꭰ@acme.example",
				strings.Repeat("a", 60) + "@" + strings.Repeat("b", 100) + ".example"},
			[]string{"", "owner", "@acme.example", "owner@", "a@b@c", "Owner <owner@acme.example>",
				"owner@acme.example\n", " owner@acme.example",
				"\"a b\"@acme.example", "a\x00@acme.example", "a\u200b@acme.example", "a\u200d@acme.example",
				"a\u200c@acme.example", "a@ac\u200dme.example", "a\u202e@acme.example", "a\u200f@acme.example",
				"\u017fo@acme.example", "\u212aim@acme.example", "ﬁn@acme.example", "ｋim@acme.example",
				"ᲃергей@acme.example", "\u00b5@acme.example", "\u1c88@acme.example",
				"\u212bsa@acme.example", "\u2126@acme.example", "\uf900@acme.example",
				"\u1f77@acme.example", "\u2800@acme.example",
				"\u1c80@acme.example", "a\u1fbe@acme.example", "a\u3164@acme.example",
				"a\u115f@acme.example", "a\u2800@acme.example", "a\u034f@acme.example", "a\u180b@acme.example",
				"a\ufe0f@acme.example", "a\U000e0100@acme.example", "a@b\u3164.example",
				"a\u00ad@acme.example",
				"a\u0085@acme.example", "a@acme.example.", "a@ä.example。",
				strings.Repeat("a", 250) + "@b.example"}},
		{"name", user.ValidName,
			[]string{"A", "Jean-Luc", "O'Neil", "山田 太郎", strings.Repeat("ä", 100)},
			[]string{"", " ", " A", "A ", "A\nB", "A\x00", "A\u202eB", "\u200b", "A\u2028B", "\xff", "A\ufffdB",
				"\u3164", "\u2800", "\ufe0f", "\u200d",
				strings.Repeat("ä", 101)}},
		{"locale", user.ValidLocale,
			[]string{"en", "de", "en-US", "zh-Hant-TW", "es-419", "sl-rozaj-biske-1994"},
			[]string{"", "e", "en_US", "en-", "-en", "12", "en US", "en-" + strings.Repeat("a", 9),
				"en" + strings.Repeat("-abcdefgh", 5)}},
		{"permission", user.IsPermission,
			[]string{"Create_Store_API_Tokens", "Add_Brands", "Add_Orders"},
			[]string{"", "create_store_api_tokens", "Own_Everything"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, text := range tc.good {
				if !tc.valid(text) {
					t.Errorf("valid(%q) = false, want true", text)
				}
			}
			for _, text := range tc.bad {
				if tc.valid(text) {
					t.Errorf("valid(%q) = true, want false", text)
				}
			}
		})
	}
}

func TestPermissions(t *testing.T) {
	all := user.Permissions()
	if len(all) != 131 || !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("Permissions(): got %d names, want 131, each once and sorted: %v", len(all), all)
	}
}

// Of the letters that are equal but for case, the usual pair is accepted, and no other.
func TestLettersOfAddresses(t *testing.T) {
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		if !unicode.IsLetter(r) || norm.NFKC.String(string(r)) != string(r) || unicode.SimpleFold(r) == r || r == 'ς' {
			continue
		}
		lower := unicode.ToLower(unicode.ToUpper(r))
		want := lower >= utf8.RuneSelf && (r == lower || unicode.ToLower(r) == lower)
		check.Equal(t, user.ValidEmail(string(r)+"@acme.example"), want, "whether %c (%U) is accepted", r, r)
		check.Equal(t, user.IsEmail(string(r)+"@acme.example"), true, "whether a user may have %c (%U)", r, r)
	}
}

func TestMailbox(t *testing.T) {
	for email, want := range map[string]string{
		"Ann@Acme.example":            "Ann@Acme.example",
		"jo\u0308rg@acme.example":     "jörg@acme.example",
		"n@\u24e5ictim.example":       "n@victim.example",
		"n@ｖictim。example":            "n@victim.example",
		"n@müller.example":            "n@xn--mller-kva.example",
		"n@XN--MLLER-KVA.example":     "n@XN--MLLER-KVA.example",
		"σ\uf900@acme.example":        "σ豈@acme.example",
		"not an address":              "not an address",
		"n@under_score.ä_example.com": "n@under_score.ä_example.com",
	} {
		check.Equal(t, user.Mailbox(email), want, "mailbox of %q", email)
	}
}
