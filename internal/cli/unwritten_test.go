package cli_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/internal/cli"
	dbtest "latchkey/internal/test/db"
)

// failingWriter is a standard output that fails every write.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func runUnwritable(t *testing.T, env map[string]string, args ...string) (stderr string, code int) {
	t.Helper()
	var errs strings.Builder
	lookupEnv := func(name string) (string, bool) { text, ok := env[name]; return text, ok }
	code = cli.Main(t.Context(), args, lookupEnv, strings.NewReader(""), failingWriter{}, &errs)
	return errs.String(), code
}

const oneAccount = `accounts:
  - uuid: ` + acmeID + `
    name: Acme Retail
    owner: {email: owner@acme.example, first_name: Acme, last_name: Owner, locale: en}
`

// acme creates a database with one account and one token, and returns the
// token's id.
func acme(t *testing.T) (env map[string]string, id string) {
	t.Helper()
	env = environment(t, dbtest.SQLiteURL(t))
	file := filepath.Join(t.TempDir(), "acme.yaml")
	if err := os.WriteFile(file, []byte(oneAccount), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, env, "apply", "-f", file)
	run(t, env, "token", "create", "--account", acmeID, "--name", "Seen", "--scope", "account_read")
	listed := run(t, env, "token", "list", "--account", acmeID)
	return env, strings.Fields(strings.Split(listed, "\n")[1])[0]
}

// A command whose result could not be written fails.
func TestUnwrittenResult(t *testing.T) {
	env, id := acme(t)
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"version", []string{"version"}, ""},
		{"help", []string{"--help"}, ""},
		{"list", []string{"token", "list", "--account", acmeID}, ""},
		{"users", []string{"user", "list", "--account", acmeID}, ""},
		{"session", []string{"session", "create", "--email", "owner@acme.example"},
			"could not be printed and cannot be shown again: start another"},
		{"gateway", []string{"gateway", "create", "--name", "edge"}, "the key is lost and was deleted: create another"},
		{"rotate", []string{"token", "rotate", id, "--account", acmeID},
			`the new access token of "Seen" could not be printed and cannot be shown again: rotate again`},
		{"webhook", []string{"webhook", "create", "--account", acmeID, "--type", "*", "--url",
			"https://hooks.example.com/"},
			"the signing secret is lost and the webhook was deleted: create another"},
		{"events", []string{"event", "list", "--account", acmeID}, ""},
		{"create", []string{"token", "create", "--account", acmeID, "--name", "Unseen", "--scope", "account_read"},
			"was revoked: issue another"},
	} {
		for _, format := range []string{"text", "json"} {
			t.Run(tc.name+" as "+format, func(t *testing.T) {
				if tc.name == "help" && format == "json" {
					tc.args = []string{"help", "token"}
				}
				stderr, code := runUnwritable(t, env, append(tc.args, "--output", format)...)
				reported := strings.Contains(stderr,
					"the result could not be written to standard output: no space left on device")
				if format == "json" {
					stderr = strings.ReplaceAll(stderr, `\"`, `"`)
				}
				if code != 1 || !reported || !strings.Contains(stderr, tc.want) || secretPattern.MatchString(stderr) {
					t.Errorf("got exit status %d, %s, want 1, %q and no secret", code,
						secretPattern.ReplaceAllString(stderr, "[secret]"), tc.want)
				}
			})
		}
	}
}

// A token whose credentials could not be printed is revoked.
func TestUnprintedTokenIsRevoked(t *testing.T) {
	env, _ := acme(t)
	runUnwritable(t, env, "token", "create", "--account", acmeID, "--name", "Unseen", "--scope", "account_read")
	if live := run(t, env, "token", "list", "--account", acmeID); strings.Contains(live, "Unseen") {
		t.Errorf("active tokens: got the one that was not shown, want it revoked:\n%s", live)
	}
	revoked := run(t, env, "token", "list", "--account", acmeID, "--status", "revoked", "--output", "json")
	if !strings.Contains(revoked, `"revocationReason": "its credentials could not be written"`) {
		t.Errorf("revoked tokens: got %s, want one whose credentials could not be written", revoked)
	}
}

// A webhook whose signing secret could not be printed is deleted.
func TestUnprintedWebhookIsDeleted(t *testing.T) {
	env, _ := acme(t)
	stderr, code := runUnwritable(t, env, "webhook", "create", "--account", acmeID, "--type", "*", "--url",
		"https://hooks.example.com/")
	if code != 1 || strings.Contains(stderr, "whsec_") {
		t.Errorf("exit status %d, want 1, and no secret in %s", code, strings.ReplaceAll(stderr, "whsec_", "[secret]"))
	}
	if all := run(t, env, "webhook", "list", "--account", acmeID); strings.Contains(all, "hooks.example.com") {
		t.Errorf("webhooks: got the one whose secret was not shown, want it deleted:\n%s", all)
	}
}

// A command whose reader is gone undoes its changes before it ends.
func TestClosedPipe(t *testing.T) {
	env, _ := acme(t)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	defer writer.Close()
	command := exec.Command("latchkey", "token", "create", "--account", acmeID, "--name", "Unseen", "--scope",
		"account_read")
	command.Env = os.Environ()
	for name, value := range env {
		command.Env = append(command.Env, name+"="+value)
	}
	var errs strings.Builder
	command.Stdout, command.Stderr = writer, &errs
	if err := command.Run(); err == nil || command.ProcessState.ExitCode() != 1 ||
		!strings.Contains(errs.String(), "broken pipe") {
		t.Errorf("got %v, %s, want exit status 1 and \"broken pipe\"", err, redacted([]any{errs.String()}))
	}
	if live := run(t, env, "token", "list", "--account", acmeID); strings.Contains(live, "Unseen") {
		t.Errorf("active tokens: got the one that was not shown, want it revoked:\n%s", live)
	}
}
