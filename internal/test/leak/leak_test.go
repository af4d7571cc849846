package leak_test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	"latchkey/internal/test/leak"
)

func generate(t interface{ Fatal(...any) }, kind secret.Kind) string {
	s, err := secret.Generate(rand.Reader, kind)
	if err != nil {
		t.Fatal(err)
	}
	return s.Reveal()
}

func TestFind(t *testing.T) {
	one, two := generate(t, secret.AccountAccessToken), generate(t, secret.UserSession)
	mistyped := []byte(one)
	mistyped[30] ^= 1
	generated, err := secret.GenerateWebhook(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signing := generated.Reveal()
	for _, tc := range []struct {
		name, text string
		offsets    []int
	}{
		{"nothing", "", nil},
		{"only a secret", one, []int{0}},
		{"in a line of a log", `{"msg":"refused","token":"` + one + `"}`, []int{26}},
		{"among letters and digits", "xx" + one + "yy", []int{2}},
		{"after the beginning of another", "lka_lk" + one, []int{6}},
		{"two, one after the other", one + two, []int{0, 53}},
		{"in hexadecimal", `\x` + hex.EncodeToString([]byte("no"+one)), []int{6}},
		{"in uppercase hexadecimal", strings.ToUpper(hex.EncodeToString([]byte(two))), []int{0}},
		{"a signing secret", `{"secret":"` + signing + `"}`, []int{11}},
		{"a signing secret in hexadecimal", hex.EncodeToString([]byte("no" + signing)), []int{4}},
		{"half a signing secret", signing[:40], nil},
		{"a signing secret of another length", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", nil},
		{"mistyped", string(mistyped), nil},
		{"half a secret", one[:52], nil},
		{"half a secret in hexadecimal", hex.EncodeToString([]byte(one))[:104] + "zz", nil},
		{"a hint", "lka_…" + one[49:], nil},
		{"an example", "lka_" + strings.Repeat("0", 49), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var offsets []int
			for _, f := range leak.Find([]byte(tc.text)) {
				offsets = append(offsets, f.Offset)
			}
			check.Equal(t, fmt.Sprint(offsets), fmt.Sprint(tc.offsets), "found at %v, %v", offsets, tc.offsets)
		})
	}
}

// A report of a leak must not contain a usable secret.
func TestFindingsHoldNoSecret(t *testing.T) {
	one, two := generate(t, secret.ClientSecret), generate(t, secret.StoreAccessToken)
	findings := leak.Find([]byte("first " + one + " then " + two))
	if len(findings) != 2 {
		t.Fatalf("Find: got %v, want 2 findings", findings)
	}
	check.Equal(t, findings[0].String(), fmt.Sprintf(`lkc_…%s at byte 6, after "first "`, one[49:]),
		"first finding")
	check.Equal(t, findings[1].Before, " then ", "text before the second finding")
	if text := fmt.Sprintf("%#v", findings); strings.Contains(text, one[10:40]) || strings.Contains(text, two[10:40]) {
		t.Errorf("findings: got %s, want them without the secrets", text)
	}
}

func TestRedact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		around := rapid.SliceOfN(rapid.StringMatching(`[ -~ä]{0,20}`), 1, 4).Draw(t, "text around")
		var text, want strings.Builder
		for i, plain := range around {
			if i > 0 {
				s := generate(t, secret.GatewayKey)
				text.WriteString(s)
				want.WriteString("[lkg_…" + s[49:] + "]")
			}
			text.WriteString(plain)
			want.WriteString(plain)
		}
		if got := leak.Redact(text.String()); got != want.String() {
			t.Fatalf("got %q, want %q", got, want.String())
		}
	})
}

func BenchmarkFind(b *testing.B) {
	text := []byte(strings.Repeat("the quick brown fox looks like 6 lamps; ", 25_000))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		leak.Find(text)
	}
}
