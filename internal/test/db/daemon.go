package dbtest

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Daemon is a third-party server that a test runs: it listens on a port of 127.0.0.1, runs in the foreground, and ends
// on SIGTERM.
type Daemon struct {
	// Program is its name, looked up in PATH and in Debian's directories for root. Package is its Debian package.
	Program, Package string
	// Args are its arguments. It runs in a directory of its own, as an unprivileged user if the tests run as root.
	Args []string
	// Env is added to PATH, HOME (its directory) and LC_ALL.
	Env []string
	// Files holds the contents of the files in its directory, by name.
	Files map[string]string
	// Port is the port that it listens on.
	Port int
}

// RunningDaemon is a Daemon that has been started.
type RunningDaemon struct{ cmd *exec.Cmd }

// Start runs d until the test ends. It returns when d accepts connections.
func (d Daemon) Start(t testing.TB) *RunningDaemon {
	t.Helper()
	running, err := d.start(t)
	if err != nil {
		t.Fatalf("dbtest: start %s (on Debian: apt-get install %s): %v", d.Program, d.Package, err)
	}
	return running
}

// Reload writes files to the daemon's directory and sends it SIGHUP.
func (r *RunningDaemon) Reload(t testing.TB, files map[string]string) {
	t.Helper()
	if err := errors.Join(writeFiles(r.cmd.Dir, files), r.cmd.Process.Signal(syscall.SIGHUP)); err != nil {
		t.Fatalf("dbtest: reload %s: %v", r.cmd.Path, err)
	}
}

// FreePort returns a port of 127.0.0.1 that is not in use.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	return port
}

func (d Daemon) start(t testing.TB) (*RunningDaemon, error) {
	program, err := exec.LookPath(d.Program)
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/" + d.Program); err != nil {
			return nil, err
		}
	}
	owner, err := findPrograms()
	if err != nil {
		return nil, err
	}
	dir, err := owner.makeDir(os.TempDir())
	if err != nil {
		return nil, err
	}
	guard, err := startGuard(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	t.Cleanup(func() { _ = guard.release() })
	if err := writeFiles(dir, d.Files); err != nil {
		return nil, err
	}
	cmd := owner.command(dir, d.Program, d.Args...)
	cmd.Path, cmd.Env = program, append(cmd.Env, d.Env...)
	return &RunningDaemon{cmd}, d.run(t, guard, cmd)
}

func writeFiles(dir string, files map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(files[name]), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// run returns when the program accepts connections.
func (d Daemon) run(t testing.TB, guard *guard, cmd *exec.Cmd) error {
	log, err := os.Create(filepath.Join(cmd.Dir, "log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	running, err := startInstance(cmd, log)
	if err != nil {
		return err
	}
	t.Cleanup(func() {
		if err := running.end(syscall.SIGTERM); err != nil {
			t.Errorf("dbtest: stop %s: %v", d.Program, err)
		}
		_ = guard.watch(0)
	})
	if err := guard.watch(cmd.Process.Pid); err != nil {
		return err
	}
	for deadline := time.Now().Add(startTimeout); ; {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port)))
		if err == nil {
			return conn.Close()
		}
		if running.waitEnded(pollInterval) || time.Now().After(deadline) {
			said, _ := os.ReadFile(log.Name())
			return fmt.Errorf("it does not listen: %s", said)
		}
	}
}
