package httpserver

import (
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/gateway/routes"
	"latchkey/internal/panel"
)

// spied is a panel that has only patterns.
type spied struct {
	Panel
	asked int
}

func (s *spied) Credential(*http.Request) string { s.asked++; return "" }

func (s *spied) Serve(http.ResponseWriter, *http.Request, panel.Caller) { s.asked++ }

// leastAllocations returns the minimum number of allocations of f over several
// runs. The race detector and the garbage collector randomly empty the pools of
// net/http.
func leastAllocations(f func()) float64 {
	least := testing.AllocsPerRun(1, f)
	for range 200 {
		least = min(least, testing.AllocsPerRun(1, f))
	}
	return least
}

// The panel costs the API, the gateways and OAuth nothing: its code does not
// run for their requests, and they allocate the same with and without it.
func TestPanelCostsOthersNothing(t *testing.T) {
	pages := panel.New(panel.Config{})
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	serving := func(p Panel) *public {
		return newPublic(Config{
			Limits: config.HTTP{MaxBody: 1 << 20, RequestTimeout: time.Second}, Log: log, Routes: routes.Default(),
			Panel:      p,
			Verifier:   anybody{record: &access.Record{Principal: auth.Principal{ID: uuid.Max, AccountID: uuid.Max}}},
			API:        http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
			WriteError: func(http.ResponseWriter, *http.Request, error) {},
		}, newMetrics(nil), nil)
	}
	spy := &spied{Panel: pages}
	with, without := serving(spy), serving(nil)
	for _, tc := range []struct{ method, address string }{
		{http.MethodPost, "/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01/graphql"},
		{http.MethodGet, "/gateway/check"},
		{http.MethodPost, introspectPath},
		{http.MethodGet, "/.well-known/oauth-authorization-server"},
		{http.MethodGet, "/nowhere"},
	} {
		request, err := http.NewRequest(tc.method, tc.address, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.RemoteAddr = "127.0.0.1:1234"
		request.Header.Set("X-Auth-Token", "a credential of fifty-odd letters, as all of ours are")
		answer := func(p *public) func() {
			return func() { p.ServeHTTP(unread{make(http.Header)}, request) }
		}
		plain, paged := leastAllocations(answer(without)), leastAllocations(answer(with))
		if paged > plain {
			t.Errorf("%s %s makes %v allocations, want %v as without the panel", tc.method, tc.address, paged, plain)
		}
		if spy.asked > 0 {
			t.Fatalf("%s %s: got %d calls of the panel, want 0", tc.method, tc.address, spy.asked)
		}
	}
}
