// Command testsummary runs `go test -json` and says in few lines what happened: go's own line for each package, the
// output of tests that failed, and at the end how many tests ran, on which databases, and the totals:
//
//	testsummary -databases sqlite,postgres go test -json ./...
//
// It ends with status 0 only if the command did, no test failed, none was skipped, every database named was tested, and
// no genuine secret stood in the output. So a database that was not there cannot look like one that passed, and what a
// program under test prints or logs is searched whatever the test itself looks at.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

func main() {
	databases := flag.String("databases", "", "comma-separated names of subtests that must have run")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: testsummary [-databases NAME,…] go test -json [ARGUMENT…]")
		os.Exit(2)
	}
	required := strings.FieldsFunc(*databases, func(r rune) bool { return r == ',' })
	if err := run(os.Stdout, required, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "testsummary:", err)
		os.Exit(1)
	}
}

// run runs the command and writes the summary of its output. It returns an error if the tests did not all pass.
func run(w io.Writer, required, command []string) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s := newSummary(w)
	readErr := s.read(events)
	// Whatever the reading ended with, the command is waited for: its status counts too.
	if err := errors.Join(readErr, cmd.Wait()); err != nil {
		return errors.Join(err, s.report(required))
	}
	return s.report(required)
}
