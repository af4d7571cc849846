package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/internal/bulk/export"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// largeManifest declares an account with more users than a page has, and a user in
// more stores than a page has.
func largeManifest() string {
	var y strings.Builder
	y.WriteString(oneAccount + "    users:\n")
	for i := range 260 {
		fmt.Fprintf(&y,
			"      - {email: p%d@acme.example, first_name: \"=Person %d\", last_name: \"Ö, \\\"%d\\\"\", locale: en}\n",
			i, i, i)
	}
	y.WriteString("    stores:\n")
	for i := range 12 {
		fmt.Fprintf(&y,
			"      - hash: shop%d\n        name: Shop %d\n        users:\n          - {email: p7@acme.example, permissions: [Add_Orders]}\n", i, i)
		if i < 2 {
			fmt.Fprintf(&y, "          - {email: p%d@acme.example, status: inactive}\n", 100+i)
		}
	}
	return y.String()
}

// The database, a server and the example list the same users, in every format.
func TestUserListFromEverywhere(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		if strings.HasPrefix(url, "postgres") {
			run(t, env, "migrate")
		}
		dir := t.TempDir()
		declared, token := filepath.Join(dir, "acme.yaml"), filepath.Join(dir, "token")
		if err := os.WriteFile(declared, []byte(largeManifest()), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, env, "apply", "-f", declared)
		created := run(t, env, "token", "create", "--account", acmeID, "--name", "Audit", "--scope",
			"account_users_read,account_stores_read")
		if err := os.WriteFile(token, []byte(secretPattern.FindString(created)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := serve(t, env)
		for _, format := range []string{"csv", "ndjson", "json", "table"} {
			args := []string{"user", "list", "--account", acmeID, "--output", format}
			want := run(t, env, args...)
			check.Equal(t, run(t, nil, append(args, "--server", s.public, "--token-file", token)...), want,
				"%s: the server lists, and the database", format)
		}
		for _, more := range [][]string{nil, {"--store", "shop1"}, {"--updated-after", "2100-01-01T00:00:00Z"}} {
			want := run(t, env, append([]string{"user", "list", "--account", acmeID, "--output", "csv"}, more...)...)
			check.Equal(t,
				exported(t, append([]string{"--server", s.public, "--account", acmeID, "--token-file", token},
					more...)...), want, "%q: the example lists, and the command", more)
		}
		cut := exec.CommandContext(t.Context(), "sh", "-c",
			`python3 ../../examples/export_users.py "$@" 2>"$OUT" | head -n 1`, "sh", "--server", s.public, "--account", acmeID,
			"--token-file", token)
		errors := filepath.Join(dir, "errors")
		cut.Env = append(os.Environ(), "OUT="+errors)
		if out, err := cut.Output(); err != nil || !strings.HasPrefix(string(out), `"user_id"`) {
			t.Errorf("the first line of an export: got %q, %v, want the names of the columns", out, err)
		}
		if left, err := os.ReadFile(errors); err != nil || strings.Contains(string(left), "Error") {
			t.Errorf("an export whose reader ends: got %s, %v, want no error", left, err)
		}
		lines := strings.Split(strings.TrimSpace(exported(t, "--server", s.public, "--account", acmeID, "--token-file",
			token, "--output", "ndjson")), "\n")
		var member export.Person
		for _, line := range lines {
			var p export.Person
			if err := json.Unmarshal([]byte(line), &p); err != nil {
				t.Fatal(err)
			}
			if len(p.Stores) > len(member.Stores) {
				member = p
			}
		}
		if len(lines) != 261 || member.Email != "p7@acme.example" || len(member.Stores) != 12 {
			t.Errorf("got %d users, and %s in %d stores, want 261, and p7@acme.example in 12", len(lines), member.Email,
				len(member.Stores))
		}
	})
}

// exported runs the export script.
func exported(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs strings.Builder
	command := exec.CommandContext(t.Context(), "python3",
		append([]string{"../../examples/export_users.py"}, args...)...)
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		t.Fatalf("%v: %s", err, redacted([]any{errs.String()}))
	}
	return out.String()
}
