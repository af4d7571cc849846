package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// The commands of docs/billing.md, "A worked example", run as written and print
// the amounts that the page names.
func TestBillingGuide(t *testing.T) {
	useWithoutRace(t)
	program, err := exec.LookPath("latchkey")
	if err != nil {
		t.Fatal(err)
	}
	blocks := codeOf(t, "billing.md", "A worked example")
	const database = "sqlite:tmp/billing.db"
	start, found := strings.CutPrefix(strings.TrimSpace(blocks[0]), "bin/latchkey serve ")
	if !found || !strings.Contains(start, " --database "+database) {
		t.Fatalf("the example begins with %q, want that it serves %s", blocks[0], database)
	}
	dbtest.EachURL(t, func(t *testing.T, url string) {
		dir := t.TempDir()
		linkTo(t, program, filepath.Join(dir, "bin", "latchkey"))
		env := environment(t, url)
		s := serve(t, env, strings.Fields(strings.Replace(start, " --database "+database, "", 1))...)
		script := strings.NewReplacer(database, "'"+url+"'", "http://127.0.0.1:8080", s.public).Replace(
			strings.Join(blocks[1:], ""))
		c := exec.CommandContext(t.Context(), "sh", "-euc", script)
		c.Dir, c.Env = dir, append(os.Environ(), "LATCHKEY_KEY_FILE="+env["LATCHKEY_KEY_FILE"])
		output, err := c.CombinedOutput()
		out := string(output)
		if err != nil || strings.Contains(out, `"errors"`) {
			t.Fatalf("%v: %s", err, redacted([]any{out}))
		}
		for _, want := range []string{
			`"status":"PENDING"`, `"status":"COMPLETE"`, `"subscriptionId":"bc/account/subscription/`,
			`"kind":"USAGE","status":"PENDING","amount":\{"value":2.50?\}`,
			`"kind":"CREDIT","amount":\{"value":-15(\.00?)?\}`, `"kind":"PRORATION","amount":\{"value":30(\.00?)?\}`,
			`"month":"2026-01","number":1,"total":\{"value":32.50?,`, `"month":"2026-02","number":2,"total":\{"value":75(\.00?)?,`,
			`"cancelledAt":"2026-03-30T00:00:00`, `"-15.00","USD"`, `every charge and invoice is right`,
		} {
			check.Equal(t, regexp.MustCompile(want).MatchString(out), true, "%s in the output: %s", want,
				redacted([]any{out}))
		}
	})
}
