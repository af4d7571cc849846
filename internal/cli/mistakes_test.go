package cli_test

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Only commands that start with an empty system create a database.
func TestCommandsThatCreateNoDatabase(t *testing.T) {
	for _, args := range [][]string{
		{"migrate", "--status"}, {"session", "create", "--email", "a@b.example"}, {"session", "list"},
		{"session", "end", "--email", "a@b.example"},
		{"token", "list", "--account", acmeID},
		{"token", "create", "--account", acmeID, "--name", "Sync", "--scope", "account_read"},
		{"user", "list", "--account", acmeID}, {"gateway", "list"}, {"gateway", "create", "--name", "edge"},
		{"legacy", "list", "--account", acmeID},
		{"user", "reset-factors", "--email", "a@b.example"}, {"apply", "--dry-run", "-f", "../manifest/demo/demo.yaml"},
	} {
		t.Run(strings.Join(args[:2], " "), func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "mistyped.db")
			env := map[string]string{"LATCHKEY_DATABASE_URL": "sqlite:" + file}
			expectRefusal(t, env, 2, "--database (LATCHKEY_DATABASE_URL): There is no database at "+file, args...)
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("files: got %v, %v, want none", left, err)
			}
		})
	}
}

// A lost database is not replaced by an empty one.
func TestLostDatabase(t *testing.T) {
	keepRace(t)
	file := filepath.Join(t.TempDir(), "data.db")
	env := map[string]string{"LATCHKEY_DATABASE_URL": "sqlite:" + file}
	run(t, env, "migrate")
	commands := [][]string{{"migrate"}, {"apply", "-f", "../manifest/demo/demo.yaml"},
		{"serve", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"}}
	if err := os.Truncate(file, 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		expectRefusal(t, env, 2, "is missing or empty. Restore the database", c...)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		expectRefusal(t, env, 2, "is missing or empty. Restore the database", c...)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("database: got a new file, want none")
	}
}

// A directory is not a database.
func TestDatabaseIsDirectory(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{dir, dir + "/"} {
		expectRefusal(t, map[string]string{"LATCHKEY_DATABASE_URL": "sqlite:" + name}, 2,
			name+" is a directory. Name a file in it", "migrate")
	}
}

func TestDatabaseReadableByOthers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data.db")
	env := map[string]string{"LATCHKEY_DATABASE_URL": "sqlite:" + file}
	run(t, env, "migrate")
	for _, mode := range []os.FileMode{0o644, 0o640, 0o602} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		expectRefusal(t, env, 2, "is accessible to users other than its owner", "serve", "--addr", "127.0.0.1:0",
			"--admin-addr", "127.0.0.1:0")
		expectRefusal(t, env, 2, `Run "chmod 600 `+file, "session", "list")
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, env, "session", "list")
}

// An unset shell variable does not create a token that works from any address.
func TestEmptyListFlags(t *testing.T) {
	env, _ := acme(t)
	for _, flags := range [][]string{{"--allow-ip", ""}, {"--allow-ip", " "}, {"--allow-ip", "10.0.0.0/8,"},
		{"--scope", ""}, {"--scope", "account_users_read,,"}} {
		args := append([]string{"token", "create", "--account", acmeID, "--name", "From anywhere", "--scope",
			"account_read"}, flags...)
		expectRefusal(t, env, 2, `for "`+flags[0]+`" flag: must not have an empty entry`, args...)
	}
	expectRefusal(t, env, 2, `for "--status" flag: must not have an empty entry`, "token", "list", "--account", acmeID,
		"--status", "")
	if listed := run(t, env, "token", "list", "--account", acmeID); strings.Contains(listed, "From anywhere") {
		t.Errorf("tokens: got one from anywhere, want none:\n%s", listed)
	}
	run(t, env, "token", "create", "--account", acmeID, "--name", "Spaced", "--scope",
		"account_read, account_users_read", "--allow-ip", "10.0.0.0/8, 192.0.2.1")
	if listed := run(t, env, "token", "list", "--account", acmeID, "--status", "active, expired", "--output",
		"json"); !strings.Contains(listed, "192.0.2.1") {
		t.Errorf("tokens: got %s, want the address 192.0.2.1", listed)
	}
}

func TestVersionFlag(t *testing.T) {
	if flag, command := run(t, nil, "--version"), run(t, nil, "version"); flag != command ||
		!strings.HasPrefix(flag, "latchkey ") {
		t.Errorf("--version printed %q, want %q as version prints, with the name latchkey", flag, command)
	}
}

// If standard output is closed, Go opens the null device in its place: writes
// succeed, but the secret is lost.
func TestClosedStandardOutput(t *testing.T) {
	env, _ := acme(t)
	shell := func(redirection string, args ...string) (string, int) {
		command := exec.CommandContext(t.Context(), "sh",
			append([]string{"-c", `exec latchkey "$@" ` + redirection, "sh"}, args...)...)
		command.Env = os.Environ()
		for name, value := range env {
			command.Env = append(command.Env, name+"="+value)
		}
		var errs strings.Builder
		command.Stderr = &errs
		_ = command.Run() // the exit status is checked
		return errs.String(), command.ProcessState.ExitCode()
	}
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"was revoked: issue another", []string{"token", "create", "--account", acmeID, "--name", "Unseen", "--scope",
			"account_read"}},
		{"the key is lost and was deleted", []string{"gateway", "create", "--name", "edge"}},
		{"start another", []string{"session", "create", "--email", "owner@acme.example"}},
	} {
		if errs, code := shell(">&-", tc.args...); code != 1 || !strings.Contains(errs, tc.want) ||
			secretPattern.MatchString(errs) {
			t.Errorf("%s: exit status %d, %s, want 1, %q and no secret", tc.args[0], code,
				secretPattern.ReplaceAllString(errs, "[secret]"), tc.want)
		}
	}
	if live := run(t, env, "token", "list", "--account", acmeID); strings.Contains(live, "Unseen") {
		t.Errorf("active tokens: got one whose secrets were not shown, want none:\n%s", live)
	}
	if errs, code := shell(">/dev/null", "token", "create", "--account", acmeID, "--name", "Thrown away", "--scope",
		"account_read"); code != 0 {
		t.Errorf("output to /dev/null: got exit status %d, %s, want 0", code, errs)
	}
}

// handleHangUp resets SIGHUP for child processes, which would inherit that it
// is ignored when the tests run under nohup(1).
func handleHangUp(t *testing.T) {
	t.Helper()
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(handled) })
}
