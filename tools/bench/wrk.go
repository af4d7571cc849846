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

// How wrk loads a server: few threads, because client, server and database share the cores.
const (
	wrkThreads     = 2
	wrkConnections = 32
)

//go:embed wrk.lua
var wrkScript []byte

// request is one HTTP request for wrk to send. All fields but method and path may be empty. Headers have the form
// "Name: value".
type request struct {
	method, path, token, body string
	headers                   []string
}

// wrk is a load of HTTP requests.
type wrk struct {
	url      string // scheme and host
	status   int    // expected status; 0 is 200
	expected string // text in the body of every valid response
	once     bool   // each request may be sent only once
}

// run sends the requests for d and checks every response. It repeats the requests unless they may be sent only once. It
// returns errExhausted if there were too few of those.
func (w wrk) run(ctx context.Context, dir string, requests []request, d time.Duration) (measurement, error) {
	script := filepath.Join(dir, "wrk.lua")
	if err := os.WriteFile(script, wrkScript, 0o600); err != nil {
		return measurement{}, err
	}
	if !w.once && len(requests) > 0 {
		// A random start, because short loads would otherwise send only the first few requests.
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
		"-d", d.String(), "-s", script, w.url, "--", file, w.expected, mode, strconv.Itoa(wrkThreads),
		strconv.Itoa(status))
	return working(func() (measurement, error) {
		out, err := cmd.CombinedOutput()
		if err != nil {
			return measurement{}, fmt.Errorf("wrk: %w: %s", err, out)
		}
		return parseWrk(string(out))
	})
}

// errExhausted reports that a load needed more requests than were prepared for it.
var errExhausted = errors.New("there were too few requests that may be sent once")

var wrkResult = regexp.MustCompile(
	`(?m)^RESULT requests=(\d+) microseconds=(\d+) p50=(\d+) p99=(\d+) failed=(\d+) bad=(\d+) exhausted=(\d) sample=(.*)$`)

// parseWrk parses the line that wrk.lua writes. A load with a single wrong response is an error, because its speed
// means nothing.
func parseWrk(out string) (measurement, error) {
	match := wrkResult.FindStringSubmatch(out)
	if match == nil {
		return measurement{}, fmt.Errorf("unexpected output of wrk: %s", out)
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
		return measurement{}, fmt.Errorf("%d requests without a response and %d with a wrong one, such as: %s", failed,
			bad, match[8])
	case exhausted > 0:
		return measurement{}, errExhausted
	case requests == 0 || microseconds == 0:
		return measurement{}, errors.New("wrk got no response")
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
