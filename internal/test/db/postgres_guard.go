package dbtest

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// guardScript reads the ID of the process to end from its input. The last line counts, and 0 means none. At the end of
// its input, at the latest when the process holding the other end has ended, it ends that process and removes the
// directory. SIGQUIT is PostgreSQL's immediate shutdown; the server removes its lock file when it is done.
const guardScript = `
pid=0
while read -r line; do pid=$line; done
if [ "$pid" -gt 0 ] && kill -QUIT "$pid"; then
	tries=0
	while [ -e "$1/data/postmaster.pid" ] && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
fi
rm -rf "$1"
`

// guard is a small process that outlives this one for a short time and cleans up after it. A test binary cannot do that
// itself, because it may end by os.Exit, a timeout's panic or SIGKILL.
type guard struct {
	cmd   *exec.Cmd
	input *os.File
}

func startGuard(dir string) (*guard, error) {
	output, input, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = output.Close() }()
	cmd := exec.Command("/bin/sh", "-c", guardScript, "guard", dir)
	cmd.Stdin = output
	cmd.Dir = os.TempDir()
	// An interrupt from the terminal goes to the whole process group and must not reach the guard.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		_ = input.Close()
		return nil, fmt.Errorf("start the cluster's guard: %w", err)
	}
	return &guard{cmd: cmd, input: input}, nil
}

// watch sets the process to end. 0 means none.
func (g *guard) watch(pid int) error {
	_, err := fmt.Fprintln(g.input, pid)
	return err
}

// release makes the guard clean up now and waits for it.
func (g *guard) release() error {
	if err := g.input.Close(); err != nil {
		return err
	}
	return g.cmd.Wait()
}
