package secret_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

// example returns a new secret of the kind, and its hint.
func example(t testing.TB, kind secret.Kind) (text, hint string) {
	t.Helper()
	switch kind {
	case secret.WebhookSigning:
		s, err := secret.GenerateWebhook(rand.Reader)
		noError(t, err)
		return s.Reveal(), s.Hint()
	case secret.ServerKey:
		file := filepath.Join(t.TempDir(), "key")
		keys, err := secret.NewKeyring(rand.Reader)
		noError(t, err)
		noError(t, keys.WriteNew(file))
		content, err := os.ReadFile(file)
		noError(t, err)
		at := bytes.LastIndex(content, []byte("\nkey "))
		return strings.TrimSpace(string(content[at:])), string(keys.IDs()[0])
	}
	s := generate(t, kind)
	return s.Reveal(), s.Hint()
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	for _, kind := range secret.Kinds() {
		text, hint := example(t, kind)
		around := []struct{ name, before, after string }{
			{"alone", "", ""},
			{"in a setting", "LATCHKEY_TOKEN=", "\n"},
			{"in words", "x" + strings.Repeat("lk", 3), "abc_1"},
			{"in quotes", `{"token":"`, `"}`},
			{"in binary data", "\x00\xff", "\x00\xff"},
			{"after its own beginning", text[:5], "="},
		}
		for _, c := range around {
			t.Run(string(kind)+" "+c.name, func(t *testing.T) {
				want := []secret.Found{{Start: len(c.before), End: len(c.before) + len(text), Kind: kind, Hint: hint}}
				check.Equal(t, secret.Find([]byte(c.before+text+c.after)), want, "found")
			})
		}
		t.Run(string(kind)+" mistyped", func(t *testing.T) {
			mistyped := []string{text[:len(text)-1], text[1:], strings.ToUpper(text), text[:9] + " " + text[9:]}
			for _, wrong := range mistyped {
				check.Equal(t, len(secret.Find([]byte(wrong))), 0, "found in a mistyped secret")
			}
		})
		check.Equal(t, kind.Name() != "", true, "kind %q has a name", string(kind))
		check.Equal(t, len(text) <= secret.LongestFound, true, "length of %s is at most LongestFound", kind.Name())
	}
}

func TestFindSeveral(t *testing.T) {
	var text strings.Builder
	var want []secret.Found
	for range 3 {
		for _, kind := range secret.Kinds() {
			one, hint := example(t, kind)
			want = append(want, secret.Found{Start: text.Len(), End: text.Len() + len(one), Kind: kind, Hint: hint})
			text.WriteString(one)
		}
	}
	check.Equal(t, secret.Find([]byte(text.String())), want, "found")
}

func TestRedact(t *testing.T) {
	for _, kind := range secret.Kinds() {
		text, hint := example(t, kind)
		check.Equal(t, secret.Redact("a/"+text+"/b"), "a/"+hint+"/b", "redacted")
	}
	check.Equal(t, secret.Redact("no secret"), "no secret", "redacted")
}

// The kinds that Parse accepts are those that Find finds.
func TestKindsAreComplete(t *testing.T) {
	for c := 'a'; c <= 'z'; c++ {
		kind := secret.Kind(fmt.Sprintf("lk%c_", c))
		_, err := secret.Generate(rand.Reader, kind)
		check.Equal(t, slices.Contains(secret.Kinds(), kind), err == nil, "kind %q is in Kinds", string(kind))
	}
}

func FuzzFind(f *testing.F) {
	for _, kind := range secret.Kinds() {
		text, _ := example(f, kind)
		f.Add([]byte("x" + text + text[:20] + text))
	}
	f.Add([]byte("lklka_whsec_key key "))
	f.Fuzz(func(t *testing.T, text []byte) {
		end := 0
		for _, found := range secret.Find(text) {
			if found.Start < 0 || found.End > len(text) || found.End-found.Start > secret.LongestFound {
				t.Fatalf("found at %d to %d of %d bytes", found.Start, found.End, len(text))
			}
			end = max(end, found.End)
			if again := secret.Find(text[found.Start:found.End]); len(again) != 1 || again[0].Kind != found.Kind {
				t.Errorf("found %q, but not in the secret itself", found.Hint)
			}
		}
		if secret.Redact(string(text)) == string(text) && end > 0 {
			t.Error("a text with a secret: got it unchanged, want it redacted")
		}
	})
}

func BenchmarkFind(b *testing.B) {
	text := bytes.Repeat([]byte("The quick brown fox walks over the key of a lazy dog, and likes it. return nil, err\n"), 12_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if secret.Find(text) != nil {
			b.Fatal("found a secret in plain text")
		}
	}
}
