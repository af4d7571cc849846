package httpserver_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"latchkey/internal/httpserver"
	"latchkey/internal/test/check"
)

// charging is a handler that charges each request the cost that is its body.
func charging(w http.ResponseWriter, r *http.Request) {
	var fields int
	if _, err := fmt.Fscan(r.Body, &fields); err != nil {
		writeError(w, r, err)
		return
	}
	if err := httpserver.Charge(r.Context(), fields); err != nil {
		writeError(w, r, err)
		return
	}
	_, _ = io.WriteString(w, "done")
}

// charged starts a server with these quotas.
func charged(t *testing.T, token, account int) func(credential string, fields int) answer {
	t.Helper()
	server := limitedTo(t, charging, token, account, 100)
	return func(credential string, fields int) answer {
		t.Helper()
		return server.do(t, "POST", server.public+apiPath, fmt.Sprint(fields), "X-Auth-Token: "+credential)
	}
}

// An operation of up to 10,000 fields costs one request. Every further 100
// fields cost one more.
func TestOperationsTakeRequestsByTheirPrice(t *testing.T) {
	ask := charged(t, 10_000, 100_000)
	left := 10_000
	for _, step := range []struct{ fields, takes int }{
		{1, 1}, {1753, 1}, {10_000, 1}, {10_001, 2}, {10_100, 2}, {10_101, 3}, {15_013, 52}, {50_000, 401},
		{1_000_000, 1000}, // at most a tenth of the quota
	} {
		left -= step.takes
		got := ask(goodToken, step.fields)
		if want := fmt.Sprintf("10000 %d 1800000", left); got.StatusCode != 200 || standing(got) != want {
			t.Errorf("%d fields: got %d, %q, want %q", step.fields, got.StatusCode, standing(got), want)
		}
	}
}

// The account is charged too, by its own quota. The headers are those of the
// one that has fewer left.
func TestAccountsPayForOperations(t *testing.T) {
	ask := charged(t, 1000, 600)
	for _, step := range []struct {
		credential, want string
		status           int
	}{
		{goodToken, "600 540 1800000", 200}, // a tenth of 600
		{goodToken, "600 480 1800000", 200},
		{secondToken, "600 420 1800000", 200},
	} {
		if got := ask(step.credential, 50_000); got.StatusCode != step.status || standing(got) != step.want {
			t.Errorf("got %d, %q, want %d, %q", got.StatusCode, standing(got), step.status, step.want)
		}
	}
}

// An operation that costs more than what is left is refused with Retry-After.
// Only the one request is charged.
func TestOperationThatCostsMoreThanIsLeft(t *testing.T) {
	ask := charged(t, 100, 10_000)
	for i := range 9 {
		if got := ask(goodToken, 50_000); got.StatusCode != 200 {
			t.Fatalf("operation %d: got %d, want 200", i, got.StatusCode)
		}
	}
	ask(goodToken, 1)
	got := ask(goodToken, 50_000)
	if got.StatusCode != 429 || standing(got) != "100 8 1800000" || strings.Contains(got.text, "done") {
		t.Errorf("operation that costs more than is left: got %d, %q, %s, want 429, \"100 8 1800000\" and no execution",
			got.StatusCode, standing(got), got.text)
	}
	within(t, "Retry-After", got.Header.Get("Retry-After"), 16, 18) // one of nine is missing; one returns every 18 s
	if got := ask(goodToken, 1); got.StatusCode != 200 || standing(got) != "100 7 1800000" {
		t.Errorf("a cheaper operation: got %d, %q, want 200, \"100 7 1800000\"", got.StatusCode, standing(got))
	}
}

// With small quotas, every operation costs one request.
func TestSmallQuotas(t *testing.T) {
	ask := charged(t, 2, 3)
	for _, want := range []string{"2 1 1800000", "2 0 1800000"} {
		if got := ask(goodToken, 50_000); got.StatusCode != 200 || standing(got) != want {
			t.Errorf("got %d, %q, want %q", got.StatusCode, standing(got), want)
		}
	}
}

func TestChargeWithoutRates(t *testing.T) {
	if err := httpserver.Charge(context.Background(), 50_000); err != nil {
		t.Errorf("outside of a request: %v", err)
	}
	server := start(t, charging, nil)
	check.Equal(t, server.do(t, "POST", server.public+apiPath, "50000", "X-Auth-Token: "+goodToken).StatusCode, 200,
		"status without a rate limit")
}

// Charging an operation that costs one request allocates nothing.
func TestChargeOfAnOrdinaryOperation(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _ = httpserver.Charge(context.Background(), 1753) }); n > 0 {
		t.Errorf("Charge: got %v allocations, want 0", n)
	}
}
