package main_test

import (
	"bufio"
	"errors"
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

func TestExitStatusIsTheCommands(t *testing.T) {
	program := build(t)
	tests := []struct {
		name string
		args []string
		want int
	}{
		{name: "success", args: []string{"true"}, want: 0},
		{name: "failure", args: []string{"sh", "-c", "exit 3"}, want: 3},
		{name: "killed", args: []string{"sh", "-c", "kill -9 $$"}, want: 1},
		{name: "no such command", args: []string{"./no-such-command"}, want: 1},
		{name: "none given", want: 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := exec.Command(program, test.args...).Run()
			var exit *exec.ExitError
			got := 0
			if errors.As(err, &exit) {
				got = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			check.Equal(t, got, test.want, "exit status")
		})
	}
}

// The cluster must not outlive the program, or every interrupted run would leave a server behind.
func TestClusterEndsWithTheProgram(t *testing.T) {
	program := build(t)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			cmd := exec.Command(program, "sh", "-c", "echo $LATCHKEY_TEST_POSTGRES; exec sleep 600")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// After SIGKILL the command is an orphan, as when make is killed.
			t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
			line, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			dsn, err := url.Parse(strings.TrimSpace(line))
			if err != nil {
				t.Fatal(err)
			}
			if !listens(dsn.Host) {
				t.Fatalf("got no server at %s, want one", dsn.Host)
			}
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			for start := time.Now(); listens(dsn.Host); time.Sleep(20 * time.Millisecond) {
				if time.Since(start) > 20*time.Second {
					t.Fatalf("got a running server 20s after %v, want it stopped", signal)
				}
			}
		})
	}
}

func listens(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "testcluster")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	return program
}
