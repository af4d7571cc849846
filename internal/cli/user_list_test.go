package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/internal/dbtest"
	"latchkey/internal/export"
)

// crowded declares an account with more people than a page has, and somebody in more stores than a page of those has.
func crowded() string {
	var y strings.Builder
	y.WriteString(oneAccount + "    users:\n")
	for i := range 260 {
		fmt.Fprintf(&y, "      - {email: p%d@acme.example, first_name: \"=Person %d\", last_name: \"Ö, \\\"%d\\\"\", locale: en}\n", i, i, i)
	}
	y.WriteString("    stores:\n")
	for i := range 12 {
		fmt.Fprintf(&y, "      - hash: shop%d\n        name: Shop %d\n        users:\n          - {email: p7@acme.example, permissions: [Add_Orders]}\n", i, i)
		if i < 2 {
			fmt.Fprintf(&y, "          - {email: p%d@acme.example, status: inactive}\n", 100+i)
		}
	}
	return y.String()
}

// The database, a server and the example tell the same of everybody, in every form.
func TestUserListFromEverywhere(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		if strings.HasPrefix(url, "postgres") {
			run(t, env, "migrate")
		}
		dir := t.TempDir()
		declared, token := filepath.Join(dir, "acme.yaml"), filepath.Join(dir, "token")
		if err := os.WriteFile(declared, []byte(crowded()), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, env, "apply", "-f", declared)
		created := run(t, env, "token", "create", "--account", acmeID, "--name", "Audit", "--scope", "account_users_read,account_stores_read")
		if err := os.WriteFile(token, []byte(secrets.FindString(created)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := serve(t, env)
		for _, format := range []string{"csv", "ndjson", "json", "table"} {
			args := []string{"user", "list", "--account", acmeID, "--output", format}
			want := run(t, env, args...)
			if got := run(t, nil, append(args, "--server", s.public, "--token-file", token)...); got != want {
				t.Errorf("%s: the server tells\n%.2000s, and the database\n%.2000s", format, got, want)
			}
		}
		for _, more := range [][]string{nil, {"--store", "shop1"}, {"--updated-after", "2100-01-01T00:00:00Z"}} {
			want := run(t, env, append([]string{"user", "list", "--account", acmeID, "--output", "csv"}, more...)...)
			if got := exported(t, append([]string{"--server", s.public, "--account", acmeID, "--token-file", token}, more...)...); got != want {
				t.Errorf("%q: the example tells\n%.2000s, and the command\n%.2000s", more, got, want)
			}
		}
		lines := strings.Split(strings.TrimSpace(exported(t, "--server", s.public, "--account", acmeID, "--token-file", token, "--output", "ndjson")), "\n")
		var busy export.Person
		for _, line := range lines {
			var p export.Person
			if err := json.Unmarshal([]byte(line), &p); err != nil {
				t.Fatal(err)
			}
			if len(p.Stores) > len(busy.Stores) {
				busy = p
			}
		}
		if len(lines) != 261 || busy.Email != "p7@acme.example" || len(busy.Stores) != 12 {
			t.Errorf("%d people, and %s is in %d stores", len(lines), busy.Email, len(busy.Stores))
		}
	})
}

// exported runs the export script.
func exported(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs strings.Builder
	command := exec.CommandContext(t.Context(), "python3", append([]string{"../../examples/export_users.py"}, args...)...)
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		t.Fatalf("%v: %s", err, redacted([]any{errs.String()}))
	}
	return out.String()
}
