package cli_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	dbtest "latchkey/internal/test/db"
)

// An interrupted job reports what it has done, and continues when it is run
// again.
func TestInterruptedProvisioning(t *testing.T) {
	const begin = "email,first_name,last_name\na@acme.example,A,One\nwrong,No,Address\n"
	const rest = "b@acme.example,B,Two\nc@acme.example,C,Three\n"
	dbtest.EachURL(t, func(t *testing.T, url string) {
		interrupt := syscall.SIGINT
		if strings.HasPrefix(url, "sqlite:") {
			interrupt = syscall.SIGHUP
			handleHangUp(t)
		}
		env := environment(t, url)
		run(t, env, "apply", "-f", "../manifest/demo/demo.yaml")
		report := filepath.Join(t.TempDir(), "failed.csv")
		c := exec.CommandContext(t.Context(), program(t), "user", "provision", "--account", acmeID, "--file", "-",
			"--batch", "2", "--report", report)
		c.Env = os.Environ()
		for name, value := range env {
			c.Env = append(c.Env, name+"="+value)
		}
		var errs bytes.Buffer
		c.Stderr = &errs
		usersFile, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		feed := func(text string) {
			if _, err := io.WriteString(usersFile, text); err != nil {
				t.Fatal(err)
			}
		}
		feed(begin)
		for deadline := time.Now().Add(20 * time.Second); !strings.Contains(reportSoFar(t, report),
			"wrong"); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("report: got no line of the first batch within 20s, want one: %s", errs.String())
			}
		}
		if err := c.Process.Signal(interrupt); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) // the signal has arrived by then
		feed(rest)
		if err := usersFile.Close(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait() // the status is checked
		if c.ProcessState.ExitCode() != 1 || !strings.Contains(errs.String(),
			"\n1 created, 0 updated, 0 added, 0 unchanged, 0 removed, 1 failed\nlatchkey: interrupted") {
			t.Errorf("got exit status %d: %s, want 1, the counts of the first batch and \"interrupted\"",
				c.ProcessState.ExitCode(), errs.String())
		}
		again := writeFile(t, strings.Replace(begin, "wrong,No,Address\n", "", 1)+rest)
		_, text, code := attempt(t, env, "user", "provision", "--account", acmeID, "--file", again)
		if code != 0 || text != "2 created, 0 updated, 0 added, 1 unchanged, 0 removed, 0 failed\n" {
			t.Errorf("again: got exit status %d: %s, want 0, 2 created and 1 unchanged", code, text)
		}
	})
}

// reportSoFar returns the content of a report so far.
func reportSoFar(t *testing.T, report string) string {
	t.Helper()
	text, err := os.ReadFile(report)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}
