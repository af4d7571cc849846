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

// The commands of docs/scim.md, "With curl", run as written and print what the page says.
func TestSCIMGuide(t *testing.T) {
	useWithoutRace(t)
	program, err := exec.LookPath("latchkey")
	if err != nil {
		t.Fatal(err)
	}
	blocks := codeOf(t, "scim.md", "With curl")
	const database = "sqlite:tmp/scim.db"
	check.Equal(t, strings.TrimSpace(blocks[0]), "bin/latchkey serve --demo --database "+database, "the first command")
	dbtest.EachURL(t, func(t *testing.T, url string) {
		dir := t.TempDir()
		linkTo(t, program, filepath.Join(dir, "bin", "latchkey"))
		env := environment(t, url)
		s := serve(t, env, "--demo")
		script := strings.NewReplacer(database, "'"+url+"'", "http://127.0.0.1:8080", s.public).Replace(
			strings.Join(blocks[1:], ""))
		c := exec.CommandContext(t.Context(), "sh", "-euc", script)
		c.Dir, c.Env = dir, append(os.Environ(), "LATCHKEY_KEY_FILE="+env["LATCHKEY_KEY_FILE"])
		output, err := c.CombinedOutput()
		out := string(output)
		if err != nil || strings.Contains(out, "api:messages:2.0:Error") {
			t.Fatalf("%v: %s", err, redacted([]any{out}))
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		for _, want := range []string{
			`"active":true.*"externalId":"hr-2001".*"userName":"jo@acme.example"`, `"active":false`,
			`"active":true.*"roles":\[\{"display":"Sales Staff, [^"]*","type":"[a-z0-9]+","value":"SALES_STAFF"\}\]`,
			`"itemsPerPage":1,.*"totalResults":1`,
		} {
			check.Equal(t, regexp.MustCompile(want).MatchString(out), true, "%s in the output: %s", want,
				redacted([]any{out}))
		}
		check.Equal(t, lines[len(lines)-1], "404", "the status of the removed user")
	})
}
