// Command testsummary runs `go test -json` and prints a short summary: go's own line for each package, the
// output of tests that failed, and at the end how many tests ran, on which databases, and the totals:
//
//	testsummary -databases sqlite,postgres go test -json ./...
//
// With -beside another command runs at the same time, such as one with other settings of the compiler:
//
//	testsummary -beside 'go test -json ./slow' go test -json -race ./quick/...
//
// It exits with status 0 only if the command did, no test failed, none was skipped, every named database was tested,
// and the output contains no real secret. A missing database therefore fails the run, and the output of a program under
// test is searched for secrets even if the test does not read it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

func main() {
	databases := flag.String("databases", "", "comma-separated names of subtests that must have run")
	beside := flag.String("beside", "", "a command that runs at the same time, with spaces between its arguments")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: testsummary [-databases NAME,…] [-beside COMMAND] go test -json [ARGUMENT…]")
		os.Exit(2)
	}
	commands := [][]string{flag.Args()}
	if also := strings.Fields(*beside); len(also) > 0 {
		commands = append(commands, also)
	}
	required := strings.FieldsFunc(*databases, func(r rune) bool { return r == ',' })
	if err := run(os.Stdout, required, commands...); err != nil {
		fmt.Fprintln(os.Stderr, "testsummary:", err)
		os.Exit(1)
	}
}

// run runs the commands in parallel and writes the summary of their output. It returns an error unless all tests
// passed.
func run(w io.Writer, required []string, commands ...[]string) error {
	s := newSummary(w)
	errs := make([]error, len(commands))
	var all sync.WaitGroup
	for i, command := range commands {
		all.Go(func() { errs[i] = s.follow(command) })
	}
	all.Wait()
	return errors.Join(append(errs, s.report(required))...)
}

// follow runs a command and processes its output.
func (s *summary) follow(command []string) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := s.read(events)
	// Wait for the command even after a read error, because its status counts too.
	return errors.Join(readErr, cmd.Wait())
}
