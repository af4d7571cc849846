package secret_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"latchkey/internal/secret"
)

// holder has values in every kind of field: exported, unexported, behind a pointer,
// in lists and maps.
type holder[T any] struct {
	Exported T
	hidden   T
	Pointer  *T
	pointer  *T
	List     []T
	list     []T
	Table    map[string]T
	table    map[string]T
	any      any
}

func hold[T any](v T) holder[T] {
	return holder[T]{v, v, &v, &v, []T{v}, []T{v}, map[string]T{"k": v}, map[string]T{"k": v}, v}
}

// printings returns v as printed by everything that turns values into text.
func printings(t *testing.T, v any) map[string]string {
	t.Helper()
	printed := map[string]string{}
	for _, verb := range strings.Split("v +v #v s +s #s q +q #q x X #x d o b t e f g c U p w 60v -60s .3s", " ") {
		printed["%"+verb] = fmt.Sprintf("%"+verb, v)
	}
	printed["Sprint"] = fmt.Sprint(v)
	printed["Errorf"] = fmt.Errorf("wrapped: %w, %v", fmt.Errorf("%v", v), v).Error()
	for name, encode := range map[string]func(any) ([]byte, error){
		"json": json.Marshal, "xml": xml.Marshal,
	} {
		encoded, err := encode(v)
		printed[name] = fmt.Sprintf("%s %v", encoded, err)
	}
	var text, lines bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&lines, nil)} {
		slog.New(handler).With("early", v).LogAttrs(context.Background(), slog.LevelInfo, fmt.Sprint(v),
			slog.Any("value", v), slog.Group("group", "inner", v))
	}
	printed["slog text"], printed["slog json"] = text.String(), lines.String()
	return printed
}

// spellings returns the ways in which bytes could be printed.
func spellings(b []byte) []string {
	plain := strings.Trim(fmt.Sprintf("%v", b), "[]") // 108 107 97
	return []string{
		string(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)),
		plain, strings.ReplaceAll(plain, " ", ","), strings.ReplaceAll(plain, " ", ", "),
		strings.Trim(fmt.Sprintf("%#v", b), "[]byte{}"), strings.Trim(fmt.Sprintf("% x", b), "[]"),
	}
}

// silent checks that no formatting of v contains a long part of the secret.
func silent(t *testing.T, v any, what []byte) {
	t.Helper()
	const piece = 6
	for way, printed := range printings(t, v) {
		for i := range len(what) - piece + 1 {
			for _, spelled := range spellings(what[i : i+piece]) {
				if strings.Contains(printed, spelled) {
					t.Fatalf("%s of %T prints %q, want it without the secret", way, v, printed)
				}
			}
		}
	}
}

func TestSecretNeverPrints(t *testing.T) {
	s := generate(t, secret.AccountAccessToken)
	what := []byte(s.Reveal())
	for _, v := range []any{s, &s, hold(s), hold(&s), new(hold(s)), []any{s}, map[string]any{"token": s}} {
		silent(t, v, what)
	}
	for way, printed := range printings(t, s) {
		// fmt itself prints the pointer verb and a misplaced %w.
		if !strings.Contains(printed, "[secret]") && way != "%p" && way != "%w" {
			t.Errorf("%s prints %q, want it to contain [secret]", way, printed)
		}
	}
	if s.String() != "[secret]" || s.GoString() != "[secret]" {
		t.Errorf("String() = %q, GoString() = %q, want [secret]", s.String(), s.GoString())
	}
}

func TestKeyringNeverPrints(t *testing.T) {
	raw := make([]byte, 32)
	rand.Read(raw)
	ring, err := secret.NewKeyring(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{ring, *ring, hold(ring), hold(*ring), new(hold(*ring))} {
		silent(t, v, raw)
		for _, pad := range []byte{0x36, 0x5c} { // the key's block in HMAC
			silent(t, v, xor(raw, pad))
		}
	}
}

func xor(bytes []byte, with byte) []byte {
	combined := make([]byte, len(bytes))
	for i, b := range bytes {
		combined[i] = b ^ with
	}
	return combined
}

// The tests above would also pass if printings did not detect secrets.
func TestPrintingsShowAString(t *testing.T) {
	s := generate(t, secret.AccountAccessToken).Reveal()
	for way, printed := range printings(t, hold(s)) {
		shown := false
		for _, spelled := range spellings([]byte(s)) {
			shown = shown || strings.Contains(printed, spelled)
		}
		if lossy := way == "%p" || way == "%.3s" || way == "xml" || way == "%c" || way == "%U"; !shown && !lossy {
			t.Errorf("%s prints %q, want it to contain the plain string", way, printed)
		}
	}
}
