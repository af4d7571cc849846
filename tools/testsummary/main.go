// Command testsummary runs `go test -json` and says in few lines what happened: go's own line for each package, the
// output of tests that failed, and at the end how many tests ran, on which databases, and the totals:
//
//	testsummary -databases sqlite,postgres go test -json ./...
//
// With -beside another command runs at the same time, such as one with other settings of the compiler:
//
//	testsummary -beside 'go test -json ./slow' go test -json -race ./quick/...
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

// run runs the commands side by side and writes the summary of their output. It returns an error if the tests did not
// all pass.
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

// follow runs a command, and takes in its output.
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
	// Whatever the reading ended with, the command is waited for: its status counts too.
	return errors.Join(readErr, cmd.Wait())
}
