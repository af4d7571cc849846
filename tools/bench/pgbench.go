package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What raw runs: statements that insert the same rows as issuing a token, and as creating a charge.
var (
	//go:embed raw.sql
	rawInsert []byte
	//go:embed charge.sql
	rawChargeInsert []byte
)

// pgbenchScript is a script for pgbench, with the values of its variables.
type pgbenchScript struct {
	program string
	text    []byte
	numbers map[string]int
}

// run runs the script for d with as many clients as wrk has connections, each waiting for its commit.
func (p pgbenchScript) run(ctx context.Context, dir, database string, d time.Duration) (measurement, error) {
	script := filepath.Join(dir, "raw.sql")
	if err := os.WriteFile(script, p.text, 0o600); err != nil {
		return measurement{}, err
	}
	prefix := filepath.Join(dir, "pgbench")
	cmd := exec.CommandContext(ctx, p.program, "--no-vacuum", "--protocol=prepared", "--file", script,
		"--client", strconv.Itoa(wrkConnections), "--jobs", strconv.Itoa(wrkThreads),
		"--time", strconv.Itoa(int(d.Seconds())), "--log", "--log-prefix", prefix, "--sampling-rate=0.1")
	for name, value := range p.numbers {
		cmd.Args = append(cmd.Args, "--define", fmt.Sprintf("%s=%d", name, value))
	}
	cmd.Args = append(cmd.Args, database)
	m, err := working(func() (measurement, error) {
		out, err := cmd.CombinedOutput()
		if err != nil {
			return measurement{}, fmt.Errorf("pgbench: %w: %s", err, out)
		}
		return parsePgbench(string(out))
	})
	if err != nil {
		return m, err
	}
	latencies, err := pgbenchLatencies(prefix)
	m.p50, m.p99 = percentile(latencies, 50), percentile(latencies, 99)
	return m, err
}

var (
	pgbenchRate   = regexp.MustCompile(`(?m)^tps = ([0-9.]+) \(without initial connection time\)$`)
	pgbenchFailed = regexp.MustCompile(`(?m)^number of failed transactions: ([0-9]+) `)
)

// parsePgbench returns the rate that pgbench prints.
func parsePgbench(out string) (measurement, error) {
	rate := pgbenchRate.FindStringSubmatch(out)
	if rate == nil {
		return measurement{}, fmt.Errorf("unexpected output of pgbench: %s", out)
	}
	if failed := pgbenchFailed.FindStringSubmatch(out); failed != nil && failed[1] != "0" {
		return measurement{}, fmt.Errorf("pgbench: %s transactions failed", failed[1])
	}
	perSecond, err := strconv.ParseFloat(rate[1], 64)
	return measurement{perSecond: perSecond}, err
}

// pgbenchLatencies reads and removes pgbench's logs, whose third column is a transaction's duration in microseconds,
// and returns the sorted durations.
func pgbenchLatencies(prefix string) ([]time.Duration, error) {
	logs, err := filepath.Glob(prefix + ".*")
	if err != nil {
		return nil, err
	}
	var latencies []time.Duration
	for _, log := range logs {
		latencies, err = appendLatencies(latencies, log)
		if err := errors.Join(err, os.Remove(log)); err != nil {
			return nil, err
		}
	}
	slices.Sort(latencies)
	return latencies, nil
}

func appendLatencies(latencies []time.Duration, log string) ([]time.Duration, error) {
	file, err := os.Open(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		columns := strings.Fields(lines.Text())
		if len(columns) < 3 {
			return nil, fmt.Errorf("%s: not a line of pgbench's log: %s", log, lines.Text())
		}
		microseconds, err := strconv.ParseInt(columns[2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", log, err)
		}
		latencies = append(latencies, time.Duration(microseconds)*time.Microsecond)
	}
	return latencies, lines.Err()
}
