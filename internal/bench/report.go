package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// pair is a kind of work and the program it is compared with.
type pair struct {
	work, against   string // names of contenders
	target, stretch float64
}

// figure is a single number that is to be small.
type figure struct {
	work            string
	value           float64
	unit            string
	target, stretch float64
}

// report is all that a run found out.
type report struct {
	header  []string
	pairs   []pair
	results map[string][]measurement // by contender, a measurement for each round
	figures []figure
}

// markdown returns the report as it stands in docs/benchmarks.md and, nearly as legible, in a terminal.
func (r report) markdown() string {
	var w strings.Builder
	for _, line := range r.header {
		fmt.Fprintf(&w, "- %s\n", line)
	}
	w.WriteString("\n| work | per second | p50 | p99 | against | per second | ratio | range | of processor time | target | stretch | |\n")
	w.WriteString("|---|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|---|\n")
	for _, p := range r.pairs {
		ours, theirs := summarize(r.results[p.work]), summarize(r.results[p.against])
		q := compare(r.results[p.work], r.results[p.against])
		fmt.Fprintf(&w, "| %s | %.0f | %s | %s | %s | %.0f | %.2f | %.2f–%.2f | %.2f | ≥ %.2f | %.2f | %s |\n",
			p.work, ours.perSecond, milliseconds(ours.p50), milliseconds(ours.p99), p.against, theirs.perSecond,
			q.median, q.least, q.most, q.processor, p.target, p.stretch, verdict(q.median >= p.target, q.median >= p.stretch))
	}
	w.WriteString("\n| figure | | target | stretch | |\n|---|--:|--:|--:|---|\n")
	for _, f := range r.figures {
		fmt.Fprintf(&w, "| %s | %.1f %s | ≤ %g | %g | %s |\n",
			f.work, f.value, f.unit, f.target, f.stretch, verdict(f.value <= f.target, f.value <= f.stretch))
	}
	return w.String()
}

func verdict(target, stretch bool) string {
	switch {
	case stretch:
		return "stretch reached"
	case target:
		return "target reached"
	default:
		return "missed"
	}
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// remains says why a target is missed that still is.
//
//go:embed remains.md
var remains string

// page is docs/benchmarks.md.
func (r report) page() string {
	return `# Benchmarks

Written by ` + "`make bench-record`" + `; ` + "`make bench`" + ` prints the same. Only the ratios mean anything elsewhere: both programs
of a pair run in turn on the same machine, in every round, and share its cores with their client and database; what is compared
with bare or with hand takes turns within a round, too, a second each and in a new order every time. Each round starts them
anew, since where a process comes to lie in memory makes it faster or slower by some percent. A rate is the median
of the rounds, a ratio the median of the rounds' ratios, which need not be that of the two rates in its line, with the least and the
greatest beside it. Every answer is checked; a run with a single wrong one fails. **Of processor time** is the same ratio by the
time that the machine worked for each answer, server, client, database and kernel together: what a busy host takes from a virtual
machine changes rates from one second to the next, and that hardly.

The yardsticks are made for the comparison and do nothing else: **bare** answers 200 fixed bytes of JSON with net/http, **bare,
refusing** the answer that a mistyped secret gets, as long and under the same headers, which is as fast as net/http can be, and
**bare, permitting** in the same way what a gateway gets that asks about a token which may;
**raw** is pgbench inserting the rows that issuing a token keeps, one statement a transaction; **hand** answers the same 50
users with net/http, pgx and encoding/json; **raw on SQLite** inserts the rows of a token with the driver alone, one
transaction after the other. wrk drives the servers with 2 threads and 32 connections, pgbench has as many. PostgreSQL runs
as it comes, with fsync, synchronous_commit and full_page_writes on.

` + r.markdown() + remains
}

// machine describes what the numbers were measured on.
func machine(binary, pgbench, dir string, now time.Time) ([]string, error) {
	disk, err := fdatasyncTime(dir)
	if err != nil {
		return nil, err
	}
	lines := []string{
		now.UTC().Format("2 January 2006"),
		fmt.Sprintf("%s, %d cores, %s/%s", processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH),
		fmt.Sprintf("fdatasync of 8 KiB takes %.0f µs: the lower, the more commits are bound by the processor and not by the disk",
			float64(disk)/float64(time.Microsecond)),
	}
	for _, version := range [][]string{{binary, "version"}, {"go", "version"}, {pgbench, "--version"}} {
		out, err := exec.Command(version[0], version[1:]...).Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.Join(version, " "), err)
		}
		lines = append(lines, strings.TrimSpace(string(out)))
	}
	return lines, nil
}

// processor returns the processor's name, where Linux tells it.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimLeft(strings.TrimSpace(name), ": \t")
		}
	}
	return "unknown processor"
}
