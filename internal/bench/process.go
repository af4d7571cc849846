package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a server that is being measured.
type process struct {
	cmd    *exec.Cmd
	stderr strings.Builder
	once   sync.Once
	exit   error
}

// startProcess runs a program with these settings added to the environment. What it writes to stderr is kept for the error
// of a server that ends by itself.
func startProcess(env []string, name string, args ...string) (*process, *bufio.Reader, error) {
	p := &process{cmd: exec.Command(name, args...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = &p.stderr
	// The server must not outlive a benchmark that is killed.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, nil, err
	}
	return p, bufio.NewReader(stdout), nil
}

// stop asks the server to end and waits for that.
func (p *process) stop() error {
	p.once.Do(func() {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			p.exit = err
			return
		}
		if err := p.cmd.Wait(); err != nil {
			p.exit = fmt.Errorf("%s: %w: %s", p.cmd.Path, err, p.stderr.String())
		}
	})
	return p.exit
}

// resident returns the memory that the process holds, in bytes.
func (p *process) resident() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return parseResident(string(status))
}

// parseResident reads VmRSS, which Linux gives in kibibytes, out of a process's status.
func parseResident(status string) (int64, error) {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kibibytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kibibytes << 10, err
		}
	}
	return 0, errors.New("no VmRSS in the process's status")
}

// mostResident samples the process's memory until ctx ends and returns the largest.
func (p *process) mostResident(ctx context.Context) (int64, error) {
	var most int64
	for {
		now, err := p.resident()
		if err != nil {
			return most, err
		}
		most = max(most, now)
		select {
		case <-ctx.Done():
			return most, nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// startYardstick starts one of the yardsticks and returns its URL.
func startYardstick(name, database string) (*process, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	p, stdout, err := startProcess(nil, self, "-serve", name, "-database", database)
	if err != nil {
		return nil, "", err
	}
	address, err := stdout.ReadString('\n')
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("start %s: %w", name, err), p.stop())
	}
	return p, "http://" + strings.TrimSpace(address), nil
}
