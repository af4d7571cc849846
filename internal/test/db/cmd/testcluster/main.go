// Command testcluster runs a command with a PostgreSQL cluster, whose URL is in the command's environment as
// LATCHKEY_TEST_POSTGRES. It exits with the command's exit status:
//
//	go run ./internal/test/db/cmd/testcluster go test ./...
//
// The cluster ends with testcluster, however that ends, so there is nothing to stop or clean up.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	dbtest "latchkey/internal/test/db"
)

func main() {
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "testcluster:", err)
	}
	os.Exit(status)
}

// run returns the exit status of the command in args, or 1 and an error if it could not run.
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

// forwardSignals forwards signals that end this program to the command, and this program ends with the command. An
// interrupt from the terminal has reached the command already.
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

// exitStatus returns this program's exit status for the result of the command.
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
