package leaks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"unicode/utf8"

	"latchkey/internal/fault"
	"latchkey/internal/plaintext"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	"latchkey/internal/token"
)

func TestParseReports(t *testing.T) {
	one := Report{Token: "a", Type: "t", URL: "u", Source: "s"}
	for _, c := range []struct {
		name, body string
		want       []Report // nil for a fault
	}{
		{"GitHub's form", `[{"token":"a","type":"t","url":"u","source":"s"}]`, []Report{one}},
		{"one report", ` {"token":"a"}`, []Report{{Token: "a"}}},
		{"other fields", `[{"token":"a","more":{"b":1}}]`, []Report{{Token: "a"}}},
		{"two", `[{"token":"a"},{"token":"b"}]`, []Report{{Token: "a"}, {Token: "b"}}},
		{"too many", `[{"token":"a"},{"token":"b"},{"token":"c"}]`, nil},
		{"none", `[]`, nil},
		{"nothing", ``, nil},
		{"no JSON", `token=a`, nil},
		{"two bodies", `{"token":"a"}{"token":"b"}`, nil},
		{"no token", `[{"type":"t"}]`, nil},
		{"a number", `[{"token":1}]`, nil},
		{"null", `null`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseReports([]byte(c.body), 2)
			check.Equal(t, got, c.want, "reports")
			check.Equal(t, fault.KindOf(err) == fault.Invalid, c.want == nil, "refused")
		})
	}
}

func TestReason(t *testing.T) {
	s, err := secret.Generate(rand.Reader, secret.ClientSecret)
	if err != nil {
		t.Fatal(err)
	}
	const holder = "Leaked: reported by a client that has the secret"
	for _, c := range []struct{ name, url, source, want string }{
		{"nothing", "", "", holder},
		{"both", "https://a.example/b", "Gist_content", holder + ", found in gist_content at https://a.example/b"},
		{"credentials", "https://me:pw@a.example/b?token=1#2", "", holder + " at https://a.example/b"},
		{"a secret in the path", "https://a.example/" + s.Reveal(), "", holder + " at https://a.example"},
		{"an escaped secret", "https://a.example/" + strings.Replace(s.Reveal(), "k", "%6B", 1), "",
			holder + " at https://a.example"},
		{"a secret as the host", "https://" + s.Reveal() + "/", "", holder},
		{"another scheme", "javascript:alert(1)", "", holder},
		{"no URL", "see\nmy mail", "", holder},
		{"a strange source", "", "by mail; call 555", holder},
		{"a long source", "", strings.Repeat("a", 31), holder},
		{"line breaks", "https://a.example/%0Ab\u202e", "", holder + " at https://a.example/%0Ab%E2%80%AE"},
		{"a long URL", "https://a.example/" + strings.Repeat("b", 1000), "",
			holder + " at https://a.example/" + strings.Repeat("b", 131) + "…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			check.Equal(t, Report{URL: c.url, Source: c.source}.reason(Reporter{}), c.want, "reason")
		})
	}
}

// FuzzReports checks that what a client sends is bounded and stripped.
func FuzzReports(f *testing.F) {
	f.Add([]byte(`[{"token":"a","type":"t","url":"https://a.example/b","source":"content"}]`))
	f.Add([]byte(`{"token":"lka_","url":"http://a@b.example:1/%00"}`))
	f.Add([]byte(`[{"token":"\ud800","url":"//","source":"` + strings.Repeat("x", 40) + `"}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		reports, err := ParseReports(body, 3)
		if err != nil {
			check.Equal(t, fault.KindOf(err), fault.Invalid, "kind of the error")
			return
		}
		if len(reports) == 0 || len(reports) > 3 {
			t.Fatalf("got %d reports, want 1 to 3", len(reports))
		}
		for _, r := range reports {
			for _, from := range []Reporter{{}, {Scanner: true}} {
				reason := r.reason(from)
				if utf8.RuneCountInString(reason) > token.MaxReason || !utf8.ValidString(reason) ||
					!plaintext.OneLine(reason) || secret.In(reason) || secret.Find([]byte(reason)) != nil {
					t.Errorf("got the reason %q, want a short line without a secret", reason)
				}
			}
		}
	})
}

// keyFile returns a file with a key in GitHub's form, and the private key.
func keyFile(t testing.TB, id string) (string, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return `{"public_keys":[` + keyEntry(t, id, &key.PublicKey) + `]}`, key
}

func keyEntry(t testing.TB, id string, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := json.Marshal(map[string]any{"key_identifier": id, "is_current": true,
		"key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))})
	if err != nil {
		t.Fatal(err)
	}
	return string(entry)
}

func TestSignatures(t *testing.T) {
	file, key := keyFile(t, "k1")
	keys, err := ParseKeys(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(`[{"token":"a"}]`)
	digest := sha256.Sum256(body)
	raw, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := base64.StdEncoding.EncodeToString(raw)
	for _, c := range []struct {
		name, id, signature, body string
		keys                      *Keys
		want                      bool
	}{
		{"signed", "k1", signature, string(body), keys, true},
		{"another body", "k1", signature, string(body) + " ", keys, false},
		{"another key", "k2", signature, string(body), keys, false},
		{"no key", "", signature, string(body), keys, false},
		{"no signature", "k1", "", string(body), keys, false},
		{"no base64", "k1", "%", string(body), keys, false},
		{"a longer signature", "k1", base64.StdEncoding.EncodeToString(append(raw, 0)), string(body), keys, false},
		{"no keys", "k1", signature, string(body), nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			check.Equal(t, c.keys.Signed(c.id, c.signature, []byte(c.body)), c.want, "signed")
		})
	}
}

// A file of another form is refused, and a key that GitHub would not have.
func TestParseKeysRefuses(t *testing.T) {
	large, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good, _ := keyFile(t, "k1")
	entry := strings.TrimSuffix(strings.TrimPrefix(good, `{"public_keys":[`), `]}`)
	for _, text := range []string{"", "{}", "[]", `{"public_keys":[]}`,
		`{"public_keys":[{"key_identifier":"a","key":"b"}]}`,
		`{"public_keys":[` + keyEntry(t, "k", &large.PublicKey) + `]}`, `{"public_keys":[` + entry + "," + entry + `]}`,
		strings.Replace(good, `"k1"`, `""`, 1), strings.Replace(good, "PUBLIC KEY", "CERTIFICATE", 2),
		good + strings.Repeat(" ", maxKeyFile)} {
		if _, err := ParseKeys(strings.NewReader(text)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%.60q: got %v, want fault.Invalid", text, err)
		}
	}
}

func FuzzKeys(f *testing.F) {
	good, _ := keyFile(f, "k1")
	f.Add(good)
	f.Add(`{"public_keys":[{"key_identifier":"a","key":"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseKeys(strings.NewReader(text))
		if err != nil {
			check.Equal(t, fault.KindOf(err), fault.Invalid, "kind of the error")
			return
		}
		for id := range keys.byID {
			check.Equal(t, keys.Has(id) && !keys.Signed(id, "AA==", nil), true, "the key can be used")
		}
	})
}
