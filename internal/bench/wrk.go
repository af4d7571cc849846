package main

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How wrk loads a server: few threads, since client, server and database share the cores.
const (
	wrkThreads     = 2
	wrkConnections = 32
)

//go:embed wrk.lua
var wrkScript []byte

// request is one HTTP request for wrk to send. All but method and path may be empty. Headers are in the form "Name: value".
type request struct {
	method, path, token, body string
	headers                   []string
}

// wrk is a load of HTTP requests.
type wrk struct {
	url    string // scheme and host
	status int    // of every good answer; 0 is 200
	wanted string // in the body of every good answer
	once   bool   // each request may be sent only once
}

// run sends the requests for d, over and over unless they may be sent only once, and checks every answer. It returns
// errExhausted if they did not last.
func (w wrk) run(ctx context.Context, dir string, requests []request, d time.Duration) (measurement, error) {
	script := filepath.Join(dir, "wrk.lua")
	if err := os.WriteFile(script, wrkScript, 0o600); err != nil {
		return measurement{}, err
	}
	if !w.once && len(requests) > 0 {
		// Short loads that all began alike would ask about the first few only.
		first := rand.IntN(len(requests))
		requests = slices.Concat(requests[first:], requests[:first])
	}
	file := filepath.Join(dir, "requests.tsv")
	if err := writeRequests(file, requests); err != nil {
		return measurement{}, err
	}
	mode := "again"
	if w.once {
		mode = "once"
	}
	status := cmp.Or(w.status, http.StatusOK)
	cmd := exec.CommandContext(ctx, "wrk", "-t", strconv.Itoa(wrkThreads), "-c", strconv.Itoa(wrkConnections),
		"-d", d.String(), "-s", script, w.url, "--", file, w.wanted, mode, strconv.Itoa(wrkThreads), strconv.Itoa(status))
	return working(func() (measurement, error) {
		out, err := cmd.CombinedOutput()
		if err != nil {
			return measurement{}, fmt.Errorf("wrk: %w: %s", err, out)
		}
		return parseWrk(string(out))
	})
}

// errExhausted says that a load would have sent more than what was prepared for it.
var errExhausted = errors.New("there were too few requests that may be sent once")

var wrkResult = regexp.MustCompile(
	`(?m)^RESULT requests=(\d+) microseconds=(\d+) p50=(\d+) p99=(\d+) failed=(\d+) bad=(\d+) exhausted=(\d) sample=(.*)$`)

// parseWrk reads the line that wrk.lua writes. A load with a single wrong answer is an error: speed without it is worth
// nothing.
func parseWrk(out string) (measurement, error) {
	match := wrkResult.FindStringSubmatch(out)
	if match == nil {
		return measurement{}, fmt.Errorf("wrk said: %s", out)
	}
	var n [8]int64
	for i := 1; i <= 7; i++ {
		var err error
		if n[i], err = strconv.ParseInt(match[i], 10, 64); err != nil {
			return measurement{}, err
		}
	}
	requests, microseconds, failed, bad, exhausted := n[1], n[2], n[5], n[6], n[7]
	switch {
	case failed+bad > 0:
		return measurement{}, fmt.Errorf("%d requests without and %d with a wrong answer, such as: %s", failed, bad, match[8])
	case exhausted > 0:
		return measurement{}, errExhausted
	case requests == 0 || microseconds == 0:
		return measurement{}, errors.New("wrk got no answer")
	}
	return measurement{
		perSecond: float64(requests) / (time.Duration(microseconds) * time.Microsecond).Seconds(),
		p50:       time.Duration(n[3]) * time.Microsecond,
		p99:       time.Duration(n[4]) * time.Microsecond,
	}, nil
}

func writeRequests(file string, requests []request) error {
	var lines strings.Builder
	for _, r := range requests {
		fmt.Fprintf(&lines, "%s\t%s\t%s\t%s\t%s\n", r.method, r.path, r.token, strings.Join(r.headers, "|"), r.body)
	}
	return os.WriteFile(file, []byte(lines.String()), 0o600)
}
