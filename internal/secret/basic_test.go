package secret_test

import (
	"fmt"
	"strings"
	"testing"

	"latchkey/internal/secret"
)

var legacyToken = strings.Repeat("0123456789abcdef", 2)

func basic(t *testing.T, store, username, token string) secret.Basic {
	t.Helper()
	b, err := secret.ParseBasic(store, username, token)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseBasic(t *testing.T) {
	for _, tc := range []struct {
		name, username, token string
		good                  bool
	}{
		{"usual", "erp", legacyToken, true},
		{"longest", strings.Repeat("ü", secret.MaxUsername), strings.Repeat("~", secret.MaxLegacyToken), true},
		{"space within a name", "old erp", legacyToken, true},
		{"punctuation in a token", "erp", `!"#$%&'()*+,-./:;<=>?`, true},
		{"no name", "", legacyToken, false},
		{"name too long", strings.Repeat("u", secret.MaxUsername+1), legacyToken, false},
		{"name with a colon", "a:b", legacyToken, false},
		{"name with a NUL", "a\x00b", legacyToken, false},
		{"name that is not valid UTF-8", "a\xff", legacyToken, false},
		{"space around a name", "erp ", legacyToken, false},
		{"no token", "erp", "", false},
		{"short token", "erp", strings.Repeat("x", secret.MinLegacyToken-1), false},
		{"long token", "erp", strings.Repeat("x", secret.MaxLegacyToken+1), false},
		{"token with a space", "erp", legacyToken + " ", false},
		{"token beyond ASCII", "erp", legacyToken + "ü", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := secret.ParseBasic("acme1us", tc.username, tc.token); (err == nil) != tc.good {
				t.Errorf("ParseBasic(%q, …): error %v, want success %t", tc.username, err, tc.good)
			}
		})
	}
}

// The digest depends on every part and on the boundaries between them.
func TestDigestBasic(t *testing.T) {
	keys := ringOf(t, 1)
	seen := map[secret.KeyedDigest]string{}
	for _, parts := range [][3]string{
		{"acme1us", "erp", legacyToken}, {"acme2eu", "erp", legacyToken}, {"acme1us", "er", "p" + legacyToken},
		{"acme1use", "rp", legacyToken}, {"acme1us", "erp1", legacyToken[1:]}, {"acme1us", "ERP", legacyToken},
	} {
		d := keys.DigestBasic(basic(t, parts[0], parts[1], parts[2]))
		if other, twice := seen[d]; twice {
			t.Errorf("the digest of %v: got that of %s, want another", parts, other)
		}
		seen[d] = fmt.Sprint(parts)
		if c := keys.BasicCandidates(basic(t, parts[0], parts[1], parts[2])); len(c) != 1 || c[0] != d {
			t.Errorf("BasicCandidates(%v) = %v, want only %v", parts, c, d)
		}
	}
	if keys.BasicCandidates(secret.Basic{}) != nil || keys.DigestBasic(secret.Basic{}).Digest != (secret.Digest{}) {
		t.Error("the zero Basic has digests, want none")
	}
}

func TestBasicIsSilent(t *testing.T) {
	b := basic(t, "acme1us", "erp", legacyToken)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, holder := range []any{b, &b, struct{ b secret.Basic }{b}} {
			if text := fmt.Sprintf(verb, holder); strings.Contains(text, "0123") || strings.Contains(text, "erp") {
				t.Errorf("%s prints %q, want neither the username nor the token", verb, text)
			}
		}
	}
}
