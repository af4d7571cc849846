package httpserver

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"latchkey/graph/server"
	"latchkey/internal/access"
	"latchkey/internal/config"
	"latchkey/internal/gateway/routes"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

// mistyped returns a secret of the kind with a wrong last character.
func mistyped(tb testing.TB, kind secret.Kind) string {
	tb.Helper()
	s, err := secret.Generate(rand.Reader, kind)
	if err != nil {
		tb.Fatal(err)
	}
	text := []byte(s.Reveal())
	last := &text[len(text)-1]
	if *last++; *last > 'z' {
		*last = 'a'
	}
	return string(text)
}

// refusing is a server that knows no credential, and needs no database to
// refuse malformed ones.
func refusing() *public {
	verifier := access.NewVerifier(access.Config{Catalogue: scope.Default(), Now: time.Now})
	return newPublic(Config{
		Limits: config.HTTP{MaxBody: 1, RequestTimeout: time.Second}, Log: slog.New(slog.DiscardHandler),
		Routes:   routes.Default(),
		Verifier: verifier, WriteError: server.WriteError,
	}, newMetrics(nil), nil)
}

// refusals are requests that are refused without a database lookup, and the
// maximum number of allocations of each. net/http would already have allocated
// the header's map and its first bucket, which are two.
var refusals = []struct {
	name, path, header string
	kind               secret.Kind
	most               float64
}{
	{"a mistyped token", "/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01/graphql", "X-Auth-Token",
		secret.AccountAccessToken, 5},
	{"no credential", "/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01/graphql", "X-Other", secret.AccountAccessToken,
		5},
	{"a mistyped gateway's key", "/gateway/check", "X-Latchkey-Gateway", secret.GatewayKey, 7},
}

func refused(tb testing.TB, p *public, path, header, value string) func() {
	tb.Helper()
	request, err := http.NewRequest(http.MethodGet, path, http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	request.RemoteAddr = "127.0.0.1:1234"
	request.Header.Set(header, value)
	return func() { p.ServeHTTP(unread{make(http.Header)}, request) }
}

// Refusing a request costs almost nothing: apart from the header's map it
// allocates the request id, the deadline and the list with its one error, and
// for a gateway a little more.
func TestRefusingAllocatesLittle(t *testing.T) {
	for _, tc := range refusals {
		p := refusing()
		if n := leastAllocations(refused(t, p, tc.path, tc.header, mistyped(t, tc.kind))); n > tc.most {
			t.Errorf("%s makes %v allocations, want at most %v", tc.name, n, tc.most)
		}
		if got := answersByStatus(t, p.metrics); got["401"] == 0 || len(got) != 1 {
			t.Errorf("%s: answers by status: got %v, want 401 only", tc.name, got)
		}
	}
}

func BenchmarkRefusing(b *testing.B) {
	p := refusing()
	for _, tc := range refusals {
		b.Run(tc.name, func(b *testing.B) {
			ask := refused(b, p, tc.path, tc.header, mistyped(b, tc.kind))
			b.ReportAllocs()
			for b.Loop() {
				ask()
			}
		})
	}
}

// answersByStatus returns the number of requests that the metrics count, by
// status.
func answersByStatus(t *testing.T, m *metrics) map[string]float64 {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "latchkey_http_requests_total" {
			continue
		}
		for _, one := range family.GetMetric() {
			for _, label := range one.GetLabel() {
				if label.GetName() == "status" {
					counted[label.GetValue()] += one.GetCounter().GetValue()
				}
			}
		}
	}
	return counted
}

// Every request is counted under its status, also when the first requests with
// several statuses end concurrently. Run with the race detector.
func TestRequestsAreCountedByStatus(t *testing.T) {
	const each = 100
	statuses := []int{200, 204, 400, 401, 403, 500}
	for range 20 {
		m := newMetrics(nil)
		route := m.route("/")
		var ended sync.WaitGroup
		for _, status := range statuses {
			ended.Go(func() {
				for range each {
					route.observe(status, time.Millisecond)
				}
			})
		}
		ended.Wait()
		counted := answersByStatus(t, m)
		for _, status := range statuses {
			if n := counted[strconv.Itoa(status)]; n != each {
				t.Fatalf("%v responses with status %d are counted, want %d", n, status, each)
			}
		}
	}
}

// When two requests create counters concurrently, neither replaces the other,
// and each counter is kept once.
func TestCountersAreKept(t *testing.T) {
	route := newMetrics(nil).route("/")
	for _, status := range []int{200, 401, 403} {
		route.observe(status, time.Millisecond)
	}
	before := route.byStatus.Load()
	route.observe(404, time.Millisecond)
	after := *route.byStatus.Load()
	route.byStatus.Store(before) // the list that a concurrent request has read
	route.observe(500, time.Millisecond)
	check.Equal(t, after[3].status, 404, "the old list was modified: it")
	for range 2 {
		for _, status := range []int{200, 401, 403, 404, 500} {
			route.observe(status, time.Millisecond)
		}
	}
	check.Equal(t, len(*route.byStatus.Load()), 5, "counters by status")
}
