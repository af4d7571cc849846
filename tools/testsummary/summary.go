package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"latchkey/internal/test/leak"
)

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// testID names a test of a package. An empty Test means the package itself.
type testID struct{ Package, Test string }

// summary collects the events.
type summary struct {
	w  io.Writer
	mu sync.Mutex // held while a line is processed

	output map[testID][]string // kept until the test's result is known
	result map[testID]string   // the action each test ended with; "run" until then
	order  []testID            // tests in the order in which they started
	tail   map[testID]string   // the end of each test's output, where a secret may have begun
	leaks  []string            // secrets found in the output, by hint, with their place
}

func newSummary(w io.Writer) *summary {
	return &summary{w: w, output: map[testID][]string{}, result: map[testID]string{}, tail: map[testID]string{}}
}

// read processes a stream of events to its end. A line that is not an event, such as the go command's own messages, is
// written unchanged.
func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		s.line(line)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) line(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var e event
	switch {
	case line == "":
	case json.Unmarshal([]byte(line), &e) == nil && e.Action != "":
		s.take(e)
	default:
		s.write(testID{}, line)
	}
}

func (s *summary) take(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		s.write(id, e.Output)
	case "output":
		s.search(id, e.Output)
		s.output[id] = append(s.output[id], e.Output)
	case "run":
		s.order = append(s.order, id)
		s.result[id] = e.Action
	case "pass", "fail", "skip":
		s.result[id] = e.Action
		if e.Test == "" {
			s.finish(e.Package, e.Action)
		} else if e.Action == "pass" {
			delete(s.output, id)
		}
	}
}

// write writes output that belongs to no test.
func (s *summary) write(from testID, text string) {
	s.search(from, text)
	_, _ = io.WriteString(s.w, leak.Redact(text))
}

// search looks for secrets in output, which arrives in pieces. A program that prints a secret in a test would also
// print it into its operators' logs.
func (s *summary) search(from testID, text string) {
	text = s.tail[from] + text
	findings := leak.Find([]byte(text))
	for _, f := range findings {
		s.leaks = append(s.leaks, strings.TrimSpace(fmt.Sprintf("secret %s in the output of %s %s", f, from.Package,
			from.Test)))
	}
	if len(findings) > 0 {
		text = "" // each is reported once
	}
	s.tail[from] = text[max(0, len(text)-longestPiece):]
}

// longestPiece is the longest incomplete secret at the end of a piece: in hexadecimal, all but one digit.
const longestPiece = 2*53 - 1

// finish writes the result of a package that has ended: go's own line and, if it failed, the output of its failed and
// unfinished tests.
func (s *summary) finish(pkg, result string) {
	own := testID{Package: pkg}
	if result == "fail" {
		for _, id := range s.order {
			if id.Package == pkg && (s.result[id] == "fail" || s.result[id] == "run") {
				_, _ = io.WriteString(s.w, leak.Redact(strings.Join(s.output[id], "")))
			}
		}
		_, _ = io.WriteString(s.w, leak.Redact(strings.Join(s.output[own], "")))
		return
	}
	for _, line := range s.output[own] {
		if strings.HasPrefix(line, "ok ") || strings.HasPrefix(line, "? ") {
			_, _ = io.WriteString(s.w, line)
		}
	}
}

// totals holds the number of tests by result. A test with subtests is not counted in addition to them.
type totals struct {
	passed, failed, skipped int
	on                      map[string]int // passed, by path element of the test's name
	bad                     []string       // "fail package test", in order
}

func (s *summary) totals() totals {
	t := totals{on: map[string]int{}}
	parents := s.parents()
	for _, id := range s.order {
		result := s.result[id]
		if parents[id] && (result == "pass" || s.childShares(id, result)) {
			continue
		}
		switch result {
		case "pass":
			t.passed++
			for _, element := range slices.Compact(strings.Split(id.Test, "/")) {
				t.on[element]++
			}
		case "skip":
			t.skipped++
			t.bad = append(t.bad, fmt.Sprintf("skipped %s %s", id.Package, id.Test))
		default: // "fail", or "run" if the test binary died
			t.failed++
			t.bad = append(t.bad, fmt.Sprintf("failed %s %s", id.Package, id.Test))
		}
	}
	t.addPackages(s)
	return t
}

// addPackages counts packages that failed without a failed test: they did not compile, or died outside of a test.
func (t *totals) addPackages(s *summary) {
	var failed []string
	for id, result := range s.result {
		if id.Test == "" && result == "fail" && !s.anyFailedIn(id.Package) {
			failed = append(failed, id.Package)
		}
	}
	slices.Sort(failed)
	for _, pkg := range failed {
		t.failed++
		t.bad = append(t.bad, "failed "+pkg)
	}
}

func (s *summary) anyFailedIn(pkg string) bool {
	return slices.ContainsFunc(s.order, func(id testID) bool {
		return id.Package == pkg && s.result[id] != "pass" && s.result[id] != "skip"
	})
}

// parents returns the tests that have subtests.
func (s *summary) parents() map[testID]bool {
	parents := map[testID]bool{}
	for _, id := range s.order {
		for i, r := range id.Test {
			if r == '/' {
				parents[testID{id.Package, id.Test[:i]}] = true
			}
		}
	}
	return parents
}

// childShares reports whether a subtest of id has the same result, so that the failure is counted once.
func (s *summary) childShares(id testID, result string) bool {
	return slices.ContainsFunc(s.order, func(other testID) bool {
		return other.Package == id.Package && strings.HasPrefix(other.Test, id.Test+"/") && s.result[other] == result
	})
}

// report writes the last lines and returns an error if any test failed, was skipped or is missing.
func (s *summary) report(required []string) error {
	t := s.totals()
	var errs []error
	for _, line := range t.bad {
		fmt.Fprintln(s.w, line)
	}
	var on []string
	for _, database := range required {
		on = append(on, fmt.Sprintf("%d on %s", t.on[database], database))
		if t.on[database] == 0 {
			errs = append(errs, fmt.Errorf("no test ran on %s", database))
		}
	}
	if len(on) > 0 {
		fmt.Fprintln(s.w, "databases:", strings.Join(on, ", "))
	}
	fmt.Fprintf(s.w, "%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	if t.failed > 0 {
		errs = append(errs, fmt.Errorf("%d failed", t.failed))
	}
	if t.skipped > 0 {
		errs = append(errs, fmt.Errorf("%d skipped: a skipped test passes without testing", t.skipped))
	}
	for _, line := range s.leaks {
		fmt.Fprintln(s.w, line)
	}
	if len(s.leaks) > 0 {
		errs = append(errs, fmt.Errorf("%d secrets in the output", len(s.leaks)))
	}
	if t.passed == 0 {
		errs = append(errs, errors.New("no test passed"))
	}
	return errors.Join(errs...)
}
