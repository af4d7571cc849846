package cli_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/internal/cli"
	"latchkey/internal/dbtest"
)

// nowhere is a standard output that takes nothing.
type nowhere struct{}

func (nowhere) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func unseen(t *testing.T, env map[string]string, args ...string) (stderr string, code int) {
	t.Helper()
	var errs strings.Builder
	look := func(name string) (string, bool) { text, ok := env[name]; return text, ok }
	code = cli.Main(t.Context(), args, look, strings.NewReader(""), nowhere{}, &errs)
	return errs.String(), code
}

const oneAccount = `accounts:
  - uuid: ` + acmeID + `
    name: Acme Retail
    owner: {email: owner@acme.example, first_name: Acme, last_name: Owner, locale: en}
`

// acme makes a database with one account and one token, whose id it returns.
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

// A result that standard output does not take is never taken for a success.
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
		{"people", []string{"user", "list", "--account", acmeID}, ""},
		{"session", []string{"session", "create", "--email", "owner@acme.example"}, "could not be shown and cannot be had again: start another"},
		{"gateway", []string{"gateway", "create", "--name", "edge"}, "the key is lost, so it was removed: make another"},
		{"rotate", []string{"token", "rotate", id, "--account", acmeID}, `the new access token of "Seen" could not be shown and cannot be had again: rotate again`},
		{"create", []string{"token", "create", "--account", acmeID, "--name", "Unseen", "--scope", "account_read"}, "was revoked: issue another"},
	} {
		for _, format := range []string{"text", "json"} {
			t.Run(tc.name+" as "+format, func(t *testing.T) {
				if tc.name == "help" && format == "json" {
					tc.args = []string{"help", "token"}
				}
				stderr, code := unseen(t, env, append(tc.args, "--output", format)...)
				told := strings.Contains(stderr, "the result could not be written to standard output: no space left on device")
				if format == "json" {
					stderr = strings.ReplaceAll(stderr, `\"`, `"`)
				}
				if code != 1 || !told || !strings.Contains(stderr, tc.want) || secrets.MatchString(stderr) {
					t.Errorf("exit status %d, %s", code, secrets.ReplaceAllString(stderr, "[secret]"))
				}
			})
		}
	}
}

// A token whose credentials nobody saw does not live on.
func TestUnseenTokenIsRevoked(t *testing.T) {
	env, _ := acme(t)
	unseen(t, env, "token", "create", "--account", acmeID, "--name", "Unseen", "--scope", "account_read")
	if live := run(t, env, "token", "list", "--account", acmeID); strings.Contains(live, "Unseen") {
		t.Errorf("it lives on:\n%s", live)
	}
	revoked := run(t, env, "token", "list", "--account", acmeID, "--status", "revoked", "--output", "json")
	if !strings.Contains(revoked, `"revocationReason": "its credentials could not be written"`) {
		t.Errorf("got %s", revoked)
	}
}

// A reader that is gone ends no command before it took back what it made.
func TestReaderIsGone(t *testing.T) {
	env, _ := acme(t)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	defer writer.Close()
	command := exec.Command("latchkey", "token", "create", "--account", acmeID, "--name", "Unseen", "--scope", "account_read")
	command.Env = os.Environ()
	for name, value := range env {
		command.Env = append(command.Env, name+"="+value)
	}
	var errs strings.Builder
	command.Stdout, command.Stderr = writer, &errs
	if err := command.Run(); err == nil || command.ProcessState.ExitCode() != 1 || !strings.Contains(errs.String(), "broken pipe") {
		t.Errorf("got %v, %s", err, redacted([]any{errs.String()}))
	}
	if live := run(t, env, "token", "list", "--account", acmeID); strings.Contains(live, "Unseen") {
		t.Errorf("the token lives on:\n%s", live)
	}
}
