package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The test runs wrk itself, because it also tests the script.
func TestWrk(t *testing.T) {
	tests := []struct {
		name     string
		load     wrk
		requests []request
		answer   http.HandlerFunc
		wantErr  string // part of it; "" for none
	}{
		{name: "good answers", load: wrk{expected: "fine"}, requests: []request{
			{method: "POST", path: "/a?b=c", token: "lka_x", body: `{"query":"{ a }"}`}, {method: "GET", path: "/"},
		}, answer: func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			whole := r.URL.String() + " " + r.Header.Get("X-Auth-Token") + " " + r.Header.Get("Content-Type") + " " +
				string(body)
			if r.Method == "GET" && whole == "/   " || whole == `/a?b=c lka_x application/json {"query":"{ a }"}` {
				_, _ = io.WriteString(w, "all fine")
			}
		}},
		{name: "another body", load: wrk{expected: "fine"}, requests: []request{{method: "GET", path: "/"}},
			answer:  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "broken") },
			wantErr: "such as: 200 broken"},
		{name: "another status", load: wrk{expected: "fine"}, requests: []request{{method: "GET", path: "/"}},
			answer:  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "fine", http.StatusTeapot) },
			wantErr: "such as: 418 fine"},
		{name: "GraphQL errors beside the data", load: wrk{expected: "fine"},
			requests: []request{{method: "GET", path: "/"}},
			answer: func(w http.ResponseWriter,
				_ *http.Request) {
				_, _ = io.WriteString(w, `{"errors":[],"data":"fine"}`)
			},
			wantErr: "with a wrong one"},
		{name: "too few to be sent once", load: wrk{expected: "fine", once: true},
			requests: slices.Repeat([]request{{method: "GET", path: "/"}}, 10),
			answer:   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") },
			wantErr:  errExhausted.Error()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(test.answer)
			defer server.Close()
			test.load.url = server.URL
			m, err := test.load.run(t.Context(), t.TempDir(), test.requests, time.Second)
			if (err == nil) != (test.wantErr == "") || err != nil && !strings.Contains(err.Error(), test.wantErr) {
				t.Fatalf("error %v, want %q", err, test.wantErr)
			}
			if err == nil && (m.perSecond <= 0 || m.p50 <= 0 || m.p99 < m.p50) {
				t.Errorf("measurement: got %+v, want a rate, and a p99 that is at least the p50", m)
			}
		})
	}
}

// A request that may be sent once is sent once, by one of the threads.
func TestWrkOnce(t *testing.T) {
	const prepared = 200_000
	var seen [prepared]atomic.Int32
	var repeated atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := 0
		for _, digit := range strings.TrimPrefix(r.URL.Path, "/") {
			n = n*10 + int(digit-'0')
		}
		if seen[n].Add(1) > 1 {
			repeated.Add(1)
		}
		_, _ = io.WriteString(w, "fine")
	}))
	defer server.Close()
	var requests []request
	for i := range prepared {
		requests = append(requests, request{method: "GET", path: "/" + string(appendDigits(nil, i))})
	}
	if _, err := (wrk{url: server.URL, expected: "fine", once: true}).run(t.Context(), t.TempDir(), requests,
		time.Second); err != nil {
		t.Fatal(err)
	}
	if n := repeated.Load(); n > 0 {
		t.Errorf("requests sent more than once: got %d, want 0", n)
	}
}

func appendDigits(digits []byte, n int) []byte {
	if n >= 10 {
		digits = appendDigits(digits, n/10)
	}
	return append(digits, byte('0'+n%10))
}

func TestParseWrk(t *testing.T) {
	const good = "Running 5s test\nRESULT requests=50000 microseconds=5000000 p50=1500 p99=4000 failed=0 bad=0 exhausted=0 sample=\n"
	m, err := parseWrk(good)
	if want := (measurement{perSecond: 10000, p50: 1500 * time.Microsecond, p99: 4 * time.Millisecond}); err != nil ||
		m != want {
		t.Errorf("%+v, %v; want %+v", m, err, want)
	}
	tests := []struct{ name, from, to string }{
		{name: "connections failed", from: "failed=0", to: "failed=1"},
		{name: "a wrong answer", from: "bad=0", to: "bad=1"},
		{name: "no request", from: "requests=50000", to: "requests=0"},
		{name: "no result", from: "RESULT", to: "unable to connect"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if m, err := parseWrk(strings.Replace(good, test.from, test.to, 1)); err == nil {
				t.Errorf("parseWrk: got %+v, want an error", m)
			}
		})
	}
	if _, err := parseWrk(strings.Replace(good, "exhausted=0", "exhausted=1", 1)); !errors.Is(err, errExhausted) {
		t.Errorf("error %v, want errExhausted", err)
	}
}

func TestParsePgbench(t *testing.T) {
	const good = `scaling factor: 1
number of transactions actually processed: 43500
number of failed transactions: 0 (0.000%)
latency average = 3.678 ms
tps = 8700.250000 (without initial connection time)
`
	m, err := parsePgbench(good)
	if err != nil || m.perSecond != 8700.25 {
		t.Errorf("%+v, %v; want 8700.25 a second", m, err)
	}
	if _, err := parsePgbench(strings.Replace(good, "transactions: 0 (0.000%)", "transactions: 3 (0.007%)",
		1)); err == nil {
		t.Error("failed transactions: got no error, want one")
	}
	if _, err := parsePgbench("pgbench: error"); err == nil {
		t.Error("output without a rate: got no error, want one")
	}
}

func TestPgbenchLatencies(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "pgbench")
	for name, content := range map[string]string{
		".100":   "0 1 3000 0 1700000000 1\n0 2 1000 0 1700000000 2\n",
		".100.1": "1 1 2000 0 1700000000 3\n",
	} {
		if err := os.WriteFile(prefix+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := pgbenchLatencies(prefix)
	if want := []time.Duration{time.Millisecond, 2 * time.Millisecond, 3 * time.Millisecond}; err != nil ||
		!slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if left, err := filepath.Glob(prefix + "*"); err != nil || len(left) > 0 {
		t.Errorf("files left for the next round: got %v, %v, want none", left, err)
	}
}

func TestParseResident(t *testing.T) {
	got, err := parseResident("Name:\tlatchkey\nVmPeak:\t 99999 kB\nVmRSS:\t   14336 kB\n")
	if err != nil || got != 14<<20 {
		t.Errorf("%d, %v; want %d", got, err, 14<<20)
	}
	if _, err := parseResident("Name:\tgone\n"); err == nil {
		t.Error("a status without VmRSS: got no error, want one")
	}
}
