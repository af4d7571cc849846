// Command testcluster runs a command with a PostgreSQL cluster beside it, named in the command's environment as
// LATCHKEY_TEST_POSTGRES, and ends with the command's exit status:
//
//	go run ./internal/dbtest/cmd/testcluster go test ./...
//
// The cluster is gone when testcluster is, whatever ends it, so there is nothing to stop and nothing to clear up.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"latchkey/internal/dbtest"
)

func main() {
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "testcluster:", err)
	}
	os.Exit(status)
}

// run returns the exit status of the command in args, or 1 with what went wrong before it could run.
func run(args []string) (status int, err error) {
	if len(args) == 0 {
		return 2, errors.New("usage: testcluster COMMAND [ARGUMENT…]")
	}
	cluster, err := dbtest.StartCluster(dbtest.Options{})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()

	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), dbtest.EnvPostgres+"="+cluster.DSN("postgres"))
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	forwardSignals(cmd.Process)
	return exitStatus(cmd.Wait())
}

// forwardSignals hands a request to end on to the command, whose own end then ends this program. An interrupt from the
// terminal has reached the command by itself.
func forwardSignals(p *os.Process) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		for s := range signals {
			if s == syscall.SIGTERM {
				_ = p.Signal(s)
			}
		}
	}()
}

// exitStatus turns the result of a command that ran into this program's own exit status.
func exitStatus(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil
	default:
		return 1, err
	}
}
