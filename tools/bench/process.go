package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a server that is being measured.
type process struct {
	cmd  *exec.Cmd
	log  string // the file with its output
	once sync.Once
	exit error
}

// startProcess runs a program with these settings added to the environment. Its output goes to a file, as on a server,
// so that reading it takes no processor time.
func startProcess(dir string, env []string, name string, args ...string) (*process, error) {
	log, err := os.CreateTemp(dir, filepath.Base(name)+"-*.log")
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	p := &process{cmd: exec.Command(name, args...), log: log.Name()}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	killWithParent(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

// stop sends SIGTERM to the server and waits for its end.
func (p *process) stop() error {
	p.once.Do(func() {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			p.exit = err
			return
		}
		if err := p.cmd.Wait(); err != nil {
			p.exit = fmt.Errorf("%s: %w: %s", p.cmd.Path, err, p.logTail())
		}
	})
	return p.exit
}

// wait waits until the program ends by itself.
func (p *process) wait() error {
	p.once.Do(func() {
		if err := p.cmd.Wait(); err != nil {
			p.exit = fmt.Errorf("%s: %w: %s", p.cmd.Path, err, p.logTail())
		}
	})
	return p.exit
}

// logTail returns the end of the server's output.
func (p *process) logTail() string {
	log, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	const enough = 1000
	return string(log[max(0, len(log)-enough):])
}

// resident returns the resident memory of the process in bytes.
func (p *process) resident() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return parseResident(string(status))
}

// parseResident reads VmRSS, which Linux gives in kibibytes, from a process's status.
func parseResident(status string) (int64, error) {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kibibytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")),
				10, 64)
			return kibibytes << 10, err
		}
	}
	return 0, errors.New("no VmRSS in the process's status")
}

// mostResident samples the process's memory until ctx ends and returns the maximum.
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

// startYardstick starts one of the yardsticks and returns its URL when it is ready.
func startYardstick(ctx context.Context, dir, name, database string) (*process, string, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, "", err
	}
	url := "http://" + address
	p, err := startYardstickAt(ctx, dir, name, database, url)
	return p, url, err
}

// startYardstickAt starts one of the yardsticks at a URL and returns when it is ready.
func startYardstickAt(ctx context.Context, dir, name, database, url string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := startProcess(dir, nil, self, "-serve", name, "-address", strings.TrimPrefix(url, "http://"), "-database",
		database)
	if err != nil {
		return nil, err
	}
	if err := awaitReady(ctx, url+"/ready"); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}
