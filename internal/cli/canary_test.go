package cli_test

import (
	"regexp"
	"strings"
	"testing"

	"latchkey/internal/dbtest"
)

var unknown = regexp.MustCompile(`(?m)^latchkey_verifications_total\{outcome="refused",reason="unknown"\} [01]$`)

// Every server measures every server, itself included, and leaves nothing.
func TestCanary(t *testing.T) {
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
			// What a canary asks is no attempt of anybody's. A server that looks a key up just as it is deleted does not
			// know whose it was, which happens once in hundreds of rounds on a busy machine.
			if metrics := s.adminPage(t, "/metrics"); !unknown.MatchString(metrics) {
				t.Errorf("the canaries' keys count as unknown credentials: %s", metrics)
			}
			if code := s.stop(t); code != 0 {
				t.Errorf("exit status %d", code)
			}
		}
		if left := run(t, env, "gateway", "list", "--output", "json"); strings.Contains(left, "canary") {
			t.Errorf("left are %s", left)
		}
	})
}
