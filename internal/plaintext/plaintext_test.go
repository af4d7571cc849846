package plaintext_test

import (
	"testing"

	"latchkey/internal/plaintext"
	"latchkey/internal/test/check"
)

func TestOneLine(t *testing.T) {
	for text, want := range map[string]bool{
		"":                   true,
		"Café Łódź 東京 مرحبا": true,
		"नेपाल\u200dक, می\u200cخواهم": true,
		"sun ☀\ufe0f":                  true,
		"two\nlines":                   false,
		"two\u2028lines":               false,
		"two\u2029paragraphs":          false,
		"NUL \x00":                     false,
		"tab\t":                        false,
		"delete \x7f":                  false,
		"next line \u0085":             false,
		"right to left \u202e":         false,
		"no width \u200b":              false,
		"soft hyphen \u00ad":           false,
		"Hangul filler \u3164":         false,
		"Hangul jamo fillers \u115f":   false,
		"Hangul jamo fillers \u1160":   false,
		"half width filler \uffa0":     false,
		"Khmer inherent vowel \u17b4":  false,
		"grapheme joiner \u034f":       false,
		"tag \U000e0041":               false,
		"an invalid byte \xff":         false,
		"half a surrogate pair \ufffd": false,
	} {
		check.Equal(t, plaintext.OneLine(text), want, "OneLine(%q)", text)
	}
}

func TestShows(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, " ": false, "\u2800": false, "\ufe0f": false, "\u200d\u200c": false, "\u3000": false,
		"a": true, " a": true, "☀\ufe0f": true, "⠁": true,
	} {
		check.Equal(t, plaintext.Shows(text), want, "Shows(%q)", text)
	}
}
