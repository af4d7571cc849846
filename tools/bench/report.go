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
	work, against string // names of contenders
	// target is 0 if there is none.
	target, stretch float64
}

// figure is a single number for which lower is better.
type figure struct {
	work            string
	value           float64
	unit            string
	target, stretch float64
}

// report holds all results of a run.
type report struct {
	header  []string
	pairs   []pair
	results map[string][]measurement // by contender, a measurement for each round
	figures []figure
}

// markdown returns the report as docs/benchmarks.md shows it. It is also readable in a terminal.
func (r report) markdown() string {
	var w strings.Builder
	for _, line := range r.header {
		fmt.Fprintf(&w, "- %s\n", line)
	}
	w.WriteString(
		"\n| work | per second | p50 | p99 | against | per second | ratio | range | of processor time | target | stretch | |\n")
	w.WriteString("|---|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|---|\n")
	for _, p := range r.pairs {
		ours, theirs := summarize(r.results[p.work]), summarize(r.results[p.against])
		q := compare(r.results[p.work], r.results[p.against])
		goals := "– | – | no target"
		if p.target > 0 {
			goals = fmt.Sprintf("≥ %.2f | %.2f | %s", p.target, p.stretch,
				verdict(q.median >= p.target, q.median >= p.stretch))
		}
		fmt.Fprintf(&w, "| %s | %.0f | %s | %s | %s | %.0f | %.2f | %.2f–%.2f | %.2f | %s |\n",
			p.work, ours.perSecond, milliseconds(ours.p50), milliseconds(ours.p99), p.against, theirs.perSecond,
			q.median, q.least, q.most, q.processor, goals)
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

// milliseconds returns a dash for 0, which no load measures.
func milliseconds(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// remains explains results, among them the missed targets.
//
//go:embed remains.md
var remains string

// page returns the content of docs/benchmarks.md.
func (r report) page() string {
	return `# Benchmarks

Written by ` + "`make bench-record`" + `; ` + "`make bench`" + ` prints the same. Only the ratios can be compared between machines. Both programs of a
pair run alternately on the same machine, in every round, and share its cores with their client and database. Programs that are
compared with bare or with hand also take turns within a round, a second each, in a new order every time. Each round restarts all
of them, because the location of a process in memory makes it faster or slower by some percent. A rate is the median of the rounds.
A ratio is the median of the rounds' ratios, which can differ from the ratio of the two rates in its line; **range** has the smallest
and the largest. Every response is checked, and a run with a single wrong one fails. **Of processor time** is the same ratio by the
processor time of the whole machine for each response: server, client, database and kernel. Time that a busy host takes from a
virtual machine changes the rates from one second to the next, but hardly this ratio.

The yardsticks exist only for this comparison. **bare** answers with 200 fixed bytes of JSON through net/http. **bare, refusing** sends
a response of the same length and with the same headers as the one to a mistyped secret, so it is as fast as net/http can be. **bare,
permitting** does the same for the response to a gateway whose client's token has the scope. **raw** is pgbench, which inserts the
rows of issuing a token, with one statement in a transaction. **hand** answers with the same 50 users through net/http, pgx and
encoding/json. **raw, charging** inserts a charge and its event and updates the period's total, each time for another of a million subscriptions; **hand,
subscriptions** and **hand, charges** answer with the same lists as their GraphQL counterparts. A billing run stores a charge and an
event for each subscription, and updates it; **COPY of the same rows** inserts what the run stored into the same tables of another
copy of the database, with the new state of the subscriptions in a table of its own. **raw on SQLite** inserts the rows of a token with only the driver, one transaction after the other. **posts** is a loop
that signs and posts a webhook's body, with as many requests in flight as Latchkey has for its webhooks, 4 for each; webhooks are
delivered from a backlog in which each event is of another subject. Both post to one receiver, which answers at once. wrk loads the
servers with 2 threads and 32 connections, and pgbench uses as many. PostgreSQL has its default settings, with fsync,
synchronous_commit and full_page_writes on.

` + r.markdown() + remains
}

// machine describes the machine on which the numbers were measured.
func machine(binary, pgbench, dir string, now time.Time) ([]string, error) {
	disk, err := fdatasyncTime(dir)
	if err != nil {
		return nil, err
	}
	lines := []string{
		now.UTC().Format("2 January 2006"),
		fmt.Sprintf("%s, %d cores, %s/%s", processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH),
		fmt.Sprintf(
			"fdatasync of 8 KiB takes %.0f µs: the lower this is, the more the processor and not the disk limits the rate of commits",
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

// processor returns the processor's name, if Linux reports it.
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
