package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"latchkey/internal/fault"
	"latchkey/internal/scan"
	"latchkey/internal/secret"
)

// errFound reports that scan found secrets.
type errFound struct{ secrets int }

// Error implements error.
func (e errFound) Error() string { return fmt.Sprintf("secrets found: %d", e.secrets) }

// scanCommand is the command scan.
type scanCommand struct{ *program }

func (p scanCommand) command() *cobra.Command {
	var rules string
	c := &cobra.Command{Use: "scan PATH…",
		Short: "Find Latchkey's secrets in files and in the history of git repositories"}
	c.Flags().StringVar(&rules, "rules", "",
		"instead of scanning, print rules that find the secrets with gitleaks or trufflehog")
	c.Args = func(c *cobra.Command, args []string) error {
		if c.Flags().Changed("rules") {
			return cobra.NoArgs(c, args)
		}
		return takes("PATH", 1, math.MaxInt)(c, args)
	}
	c.RunE = p.runs(func(c *cobra.Command, args []string) error {
		if c.Flags().Changed("rules") {
			return p.printRules(rules)
		}
		return p.scan(c.Context(), args)
	})
	return c
}

func (p scanCommand) printRules(tool string) error {
	text, known := scan.Rules(tool)
	if !known {
		var in inputs
		in.wrong("--rules", fmt.Sprintf("must be %s, and not %.40q.", strings.Join(scan.Tools(), " or "), tool))
		return in.faults.Err()
	}
	return p.printed(map[string]string{"rules": text}, text, func() {})
}

// scan scans the paths in their order. "-" is standard input.
func (p scanCommand) scan(ctx context.Context, paths []string) error {
	s := &scan.Scanner{}
	var in inputs
	for _, path := range paths {
		var err error
		if path == "-" {
			err = s.Reader(ctx, p.stdin, "standard input")
		} else {
			err = s.Path(ctx, path)
		}
		if errors.Is(err, scan.ErrTooMany) {
			s.Unreadable = append(s.Unreadable, err)
			break
		}
		if err != nil {
			in.faults = append(in.faults, fault.Flatten(cannotRead("PATH", shown(secret.Redact(path)), err))...)
		}
	}
	if err := p.printScan(s); err != nil {
		return err
	}
	return scanError(s, in)
}

// scanError returns the error of a scan. Secrets take precedence over files that could not be read.
func scanError(s *scan.Scanner, in inputs) error {
	switch {
	case len(s.Findings) > 0:
		return errFound{len(s.Findings)}
	case len(in.faults) > 0:
		return in.faults.Err()
	case len(s.Unreadable) > 0:
		return fmt.Errorf("not everything could be scanned; errors: %d", len(s.Unreadable))
	}
	return nil
}

// leakView is a secret in the output.
type leakView struct {
	Repository string `json:"repository,omitempty"`
	Commit     string `json:"commit,omitempty"`
	Object     string `json:"object,omitempty"`
	File       string `json:"file,omitempty"`
	Line       int    `json:"line,omitempty"`
	Column     int    `json:"column,omitempty"`
	Kind       string `json:"kind"`
	Hint       string `json:"hint"`
}

// scanView is the JSON output of scan.
type scanView struct {
	Findings []leakView `json:"findings"`
	// Errors are about what could not be scanned.
	Errors  []string `json:"errors"`
	Files   int64    `json:"files"`
	Objects int64    `json:"objects"`
	Bytes   int64    `json:"bytes"`
}

// line returns the finding in the form of a compiler's message.
func (v leakView) line() string {
	var place []string
	switch {
	case v.Commit != "":
		place = append(place, shown(v.Repository)+" commit "+v.Commit)
	case v.Object != "":
		place = append(place, shown(v.Repository)+" object "+v.Object)
	}
	if v.File != "" {
		place = append(place, shown(v.File))
	}
	if v.Line > 0 {
		place = append(place, strconv.Itoa(v.Line), strconv.Itoa(v.Column))
	}
	return strings.Join(place, ":") + ": " + v.Kind + " " + v.Hint + "\n"
}

func (p scanCommand) printScan(s *scan.Scanner) error {
	view := scanView{Findings: []leakView{}, Errors: []string{}, Files: s.Stats.Files, Objects: s.Stats.Objects,
		Bytes: s.Stats.Bytes}
	var text strings.Builder
	for _, f := range s.Findings {
		one := leakView{f.Repository, f.Commit, f.Object, f.File, f.Line, f.Column, f.Kind.Name(), f.Hint}
		view.Findings = append(view.Findings, one)
		text.WriteString(one.line())
	}
	for _, err := range s.Unreadable {
		view.Errors = append(view.Errors, err.Error())
	}
	return p.printed(view, text.String(), func() {
		for _, err := range s.Unreadable {
			p.say("latchkey: %s", shown(err.Error()))
		}
		p.say("scanned files: %d, objects of git: %d, bytes: %d", view.Files, view.Objects, view.Bytes)
	})
}
