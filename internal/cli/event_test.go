package cli_test

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// A command that follows the log prints events after their commits, ends with
// 0 at a signal, and prints a cursor at which another one goes on.
func TestFollowEvents(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		s, session := demo(t, env)
		f := follow(t, env, "--type", "api_token.created,api_token.revoked")
		for _, name := range []string{"First", "Second"} {
			id := s.issueAndRevoke(t, session, name)
			for _, want := range []string{"created", "revoked"} {
				if line := f.next(t); !strings.Contains(line, `"type":"api_token.`+want+`"`) ||
					!strings.Contains(line, id) {
					t.Errorf("got %s, want that %s was %s", line, id, want)
				}
			}
		}
		cursor := f.end(t)
		id := s.issueAndRevoke(t, session, "Third")
		f = follow(t, env, "--type", "api_token.created", "--after", cursor)
		if line := f.next(t); !strings.Contains(line, id) {
			t.Errorf("got %s, want the creation of %s", line, id)
		}
		f.end(t)
	})
}

// follower is a running "event list --follow".
type follower struct {
	process *exec.Cmd
	lines   *bufio.Reader
	stderr  *bytes.Buffer
}

func follow(t *testing.T, env map[string]string, args ...string) follower {
	t.Helper()
	c := exec.CommandContext(t.Context(), program(t),
		append([]string{"event", "list", "--account", acmeID, "--follow"}, args...)...)
	c.Env = os.Environ()
	for name, value := range env {
		c.Env = append(c.Env, name+"="+value)
	}
	f := follower{process: c, stderr: &bytes.Buffer{}}
	c.Stderr = f.stderr
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	f.lines = bufio.NewReader(out)
	return f
}

// next returns the next line.
func (f follower) next(t *testing.T) string {
	t.Helper()
	line, err := f.lines.ReadString('\n')
	if err != nil {
		t.Fatalf("the command ended: %v", err)
	}
	return line
}

// end interrupts the command and returns the cursor that it prints.
func (f follower) end(t *testing.T) string {
	t.Helper()
	if err := f.process.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(f.lines)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.process.Wait() // the status is checked
	check.Equal(t, f.process.ProcessState.ExitCode(), 0, "the exit status")
	check.Equal(t, string(rest), "", "output after the last event")
	found := regexp.MustCompile(`^continue with --after (\S+)\n$`).FindStringSubmatch(f.stderr.String())
	if found == nil {
		t.Fatalf("standard error: got %s, want the cursor to continue with", f.stderr)
	}
	return found[1]
}
