package setup_test

import (
	"strings"
	"testing"

	"latchkey/internal/manifest"
	"latchkey/internal/manifest/setup"
)

func TestHashFor(t *testing.T) {
	for name, want := range map[string]string{
		"Acme US": "acmeus", "Öl & Gas 24": "olgas24", "Läden": "laden", "Straße Łódź": "strasselodz",
		"ｆｕｌｌ": "full", "A": "storea1", "": "store1", "日本": "store1",
		strings.Repeat("long ", 20): strings.Repeat("long", 8),
	} {
		if got := setup.HashFor(name); got != want || !manifest.ValidHash(got) {
			t.Errorf("HashFor(%q) = %q, want %q", name, got, want)
		}
	}
}
