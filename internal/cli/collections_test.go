package cli_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// The Postman collection of examples runs from the first request to the last,
// each with the IDs that earlier ones kept, and every check in it passes.
func TestCollection(t *testing.T) {
	const folder = "testdata/newman"
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "newman")); err != nil {
		install := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--prefix", folder)
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		s, session := demo(t, env, "--test-clock")
		values := map[string]string{"base_url": s.public, "token": session,
			"merchant_token": strings.TrimSpace(run(t, env, "session", "create", "--email", "owner@bicycles.example")),
			"gateway_key":    strings.TrimSpace(run(t, env, "gateway", "create", "--name", "Collection"))}
		report := filepath.Join(t.TempDir(), "report.json")
		args := []string{"run", "../../examples/postman.json", "--reporters", "json", "--reporter-json-export", report}
		for name, value := range values {
			args = append(args, "--env-var", name+"="+value)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, folder+"/node_modules/.bin/newman", args...).CombinedOutput()
		text, unread := os.ReadFile(report)
		if unread != nil {
			t.Fatalf("%v, %v: %s", err, unread, redacted([]any{string(out)}))
		}
		var ran struct {
			Run struct {
				Stats struct {
					Requests   struct{ Total, Failed int }
					Assertions struct{ Total, Failed int }
				}
				Failures []struct {
					Source struct{ Name string }
					Error  struct{ Test, Message string }
				}
			}
		}
		if err := json.Unmarshal(text, &ran); err != nil {
			t.Fatal(err)
		}
		for _, f := range ran.Run.Failures {
			t.Errorf("%s: %s: %s", f.Source.Name, f.Error.Test, redacted([]any{f.Error.Message}))
		}
		check.Equal(t, err, nil, "newman")
		check.Equal(t, ran.Run.Stats.Assertions.Failed, 0, "failed checks")
		if ran.Run.Stats.Requests.Total < 50 || ran.Run.Stats.Assertions.Total < 100 {
			t.Errorf("got %d requests and %d checks, want at least 50 and 100", ran.Run.Stats.Requests.Total,
				ran.Run.Stats.Assertions.Total)
		}
	})
}
