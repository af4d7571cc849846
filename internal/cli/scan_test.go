package cli_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/internal/cli"
	"latchkey/internal/test/check"
)

// scanned runs latchkey scan with the standard input, and returns its status and output.
func scanned(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	none := func(string) (string, bool) { return "", false } // no settings: it is offline
	status = cli.Main(t.Context(), append([]string{"scan"}, args...), none, strings.NewReader(stdin), &out, &errs)
	return status, out.String(), errs.String()
}

// scan shows where secrets are, and not the secrets.
func TestScan(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	run(t, nil, "key", "create", key)
	content, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(content), "\nkey ")
	id := strings.Fields(line)[0]
	clean := filepath.Join(t.TempDir(), "clean")
	if err := os.WriteFile(clean, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, stdin string
		args        []string
		status      int
		stdout      string // its end
		stderr      string
	}{
		{"nothing", "", []string{clean, "-"}, 0, "", "scanned files: 2, objects of git: 0, bytes: 0\n"},
		{"a file", "", []string{clean, key}, 6, key + ":7:1: server key " + id + "\n", "latchkey: secrets found: 1\n"},
		{"standard input", string(content), []string{"-"}, 6, "standard input:7:1: server key " + id + "\n",
			"latchkey: secrets found: 1\n"},
		{"a missing file", "", []string{"missing"}, 2, "",
			"latchkey: PATH: cannot read missing: no such file or directory\n"},
		{"a missing file and a secret", "", []string{"missing", key}, 6, key + ":7:1: server key " + id + "\n",
			"latchkey: secrets found: 1\n"},
		{"no path", "", nil, 2, "", "latchkey: give the PATH: latchkey scan PATH… [flags]\n"},
		{"paths with rules", "", []string{"--rules", "gitleaks", key}, 2, "", "unknown command"},
		{"other rules", "", []string{"--rules", "grep"}, 2, "",
			"latchkey: --rules: must be gitleaks or trufflehog, and not \"grep\".\n"},
		{"gitleaks", "", []string{"--rules", "gitleaks"}, 0, "keywords = [\"key\"]\n", ""},
		{"trufflehog", "", []string{"--rules", "trufflehog"}, 0, "[0-9a-f]{64}\\b'\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, stdout, stderr := scanned(t, c.stdin, c.args...)
			if status != c.status || !strings.HasSuffix(stdout, c.stdout) || (c.stdout == "") != (stdout == "") ||
				!strings.Contains(stderr, c.stderr) {
				t.Errorf("got %d, %q, %q, want %d, %q, %q", status, stdout, stderr, c.status, c.stdout, c.stderr)
			}
		})
	}
	t.Run("JSON", func(t *testing.T) {
		status, stdout, _ := scanned(t, "", "--output", "json", key)
		var got struct {
			Findings []map[string]any
			Files    int
		}
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatal(err)
		}
		check.Equal(t, status, 6, "status")
		check.Equal(t, got.Files, 1, "files")
		check.Equal(t, got.Findings, []map[string]any{{"file": key, "line": 7.0, "column": 1.0, "kind": "server key",
			"hint": id}}, "findings")
	})
}

// A repository that cannot be read is reported, and the scan fails.
func TestScanOfUnreadable(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "repository", "objects"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"HEAD", "refs"} {
		if err := os.WriteFile(filepath.Join(dir, "repository", name), []byte("broken"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status, stdout, stderr := scanned(t, "", dir)
	if status != 1 || stdout != "" || !strings.Contains(stderr, filepath.Join(dir, "repository")+": git ") {
		t.Errorf("got %d, %q, %q, want 1 and the repository", status, stdout, stderr)
	}
}

// The commands of docs/commands.md and docs/leaks.md run as printed: they find nothing until a secret is staged.
func TestScanGuide(t *testing.T) {
	useWithoutRace(t)
	program, err := exec.LookPath("latchkey")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := strings.Join(sectionCode(t, "docs/commands.md", "scan"), "")
	other := strings.Join(sectionCode(t, "docs/leaks.md", "Finding leaks"), "")
	for _, c := range []struct{ name, before, script, want string }{
		{"nothing", "git init --quiet", script, "exit status 0"},
		{"rules", "set -e", other + "grep -c latchkey- gitleaks.toml trufflehog.yaml",
			"trufflehog.yaml:10\nexit status 0"},
		{"a staged secret", "latchkey key create key && git add key", script, "exit status 6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sh := exec.CommandContext(t.Context(), "sh", "-uc", c.before+"\n"+c.script+"\necho \"exit status $?\"")
			sh.Dir = dir
			sh.Env = append(os.Environ(),
				"PATH="+filepath.Dir(program)+string(os.PathListSeparator)+os.Getenv("PATH"))
			out, err := sh.CombinedOutput()
			if err != nil || !strings.HasSuffix(string(out), c.want+"\n") {
				t.Errorf("%v: got %s, want it to end with %s", err, redacted([]any{string(out)}), c.want)
			}
		})
	}
}
