package config_test

import (
	"strings"
	"testing"

	"latchkey/internal/config"
	"latchkey/internal/fault"
)

// Every setting reads or refuses every text: CIDRs, durations, rates, URLs and addresses.
func FuzzSettings(f *testing.F) {
	for i, text := range []string{"10.0.0.0/8,::1/128", "100/1m", "https://keys.example", "postgres://u:p@h/d?a=b",
		"smtps://u:p@h:465", "5m", "off", "[::1]:80", "2026-12-01T00:00:00Z", "a\nb", "\x00"} {
		f.Add(uint8(i), text)
	}
	settings := config.Settings()
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		s := settings[int(which)%len(settings)]
		_, err := config.Load(from(map[string]string{s.Flag: text}, nil), config.Needs{})
		if err == nil {
			return
		}
		if fault.KindOf(err) != fault.Invalid {
			t.Errorf("--%s: got %v, want fault.Invalid", s.Flag, err)
		}
		if s.Secret && len(text) > 20 && strings.Contains(err.Error(), text) {
			t.Errorf("--%s: got the value in the error", s.Flag)
		}
	})
}
