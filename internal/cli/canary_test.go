package cli_test

import (
	"strings"
	"testing"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// Every server checks every server, including itself, and leaves no keys
// behind.
func TestCanary(t *testing.T) {
	keepRace(t)
	const unknown = "\nlatchkey_verifications_total{outcome=\"refused\",reason=\"unknown\"} 0\n"
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		names := []string{"a", "b"}
		if strings.HasPrefix(url, "sqlite:") {
			names = names[:1]
		}
		var servers []*server
		for _, name := range names {
			servers = append(servers, serve(t, env, "--replica-name", name, "--canary-interval", "200ms"))
		}
		for _, s := range servers {
			for _, name := range names {
				s.shows(t, "/metrics", `latchkey_revocation_lag_seconds_count{replica="`+name+`"} 3`)
			}
		}
		for _, s := range servers {
			if metrics := s.adminPage(t, "/metrics"); !strings.Contains(metrics, unknown) {
				t.Errorf("metrics: got %s, want no unknown credentials counted: %s", metrics, s.logged())
			}
			check.Equal(t, s.stop(t), 0, "exit status")
		}
		if left := run(t, env, "gateway", "list", "--output", "json"); strings.Contains(left, "canary") {
			t.Errorf("gateway keys: got %s, want none of the canaries", left)
		}
	})
}
