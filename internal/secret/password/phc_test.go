package password_test

import (
	"strings"
	"testing"

	"latchkey/internal/secret/password"
)

const good = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

func TestParseHashes(t *testing.T) {
	replaced := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	for _, c := range []struct{ name, text string }{
		{"nothing", ""},
		{"another function", replaced("argon2id", "argon2i")},
		{"another version", replaced("v=19", "v=16")},
		{"no version", replaced("v=19$", "")},
		{"too much memory", replaced("m=19456", "m=262145")},
		{"too little memory for the lanes", replaced("m=19456,t=2,p=1", "m=15,t=2,p=2")},
		{"too many passes", replaced("t=2", "t=17")},
		{"no pass", replaced("t=2", "t=0")},
		{"too many lanes", replaced("p=1", "p=17")},
		{"lanes that overflow", replaced("p=1", "p=257")},
		{"a number that overflows", replaced("t=2", "t=4294967298")},
		{"parameters in another order", replaced("m=19456,t=2", "t=2,m=19456")},
		{"a number with a sign", replaced("t=2", "t=+2")},
		{"a number with a leading zero", replaced("t=2", "t=02")},
		{"an extra parameter", replaced("p=1", "p=1,k=1")},
		{"a short salt", replaced("c29tZXNhbHRzb21lc2FsdA", "c29tZQ")},
		{"a long salt", replaced("c29tZXNhbHRzb21lc2FsdA", strings.Repeat("c29t", 22))},
		{"padding", replaced("bHRzb21lc2FsdA", "bHRzb21lc2FsdA==")},
		{"nonzero trailing bits", replaced("bHRzb21lc2FsdA", "bHRzb21lc2FsdB")},
		{"a short hash", good[:len(good)-30]},
		{"trailing text", good + "$"},
		{"a line break", good + "\n"},
		{"leading space", " " + good},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := password.Parse(c.text); err == nil {
				t.Errorf("Parse(%q): got no error, want one", c.text)
			}
		})
	}
	if again, err := password.Parse(good); again != good || err != nil {
		t.Errorf("Parse(%q) = %q, %v, want the same text", good, again, err)
	}
}

// A parsed hash is formatted unchanged, and an error does not contain the text.
func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$argon2id$v=19$m=,t=,p=$$")
	f.Fuzz(func(t *testing.T, text string) {
		again, err := password.Parse(text)
		if err == nil && again != text {
			t.Errorf("Parse(%q) = %q, want the same text", text, again)
		}
	})
}
