package httpserver_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/httpserver"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// Successful checks are not logged. Refusals are logged with their reason, but
// without the path that was requested.
func TestGatewayInTheLog(t *testing.T) {
	server, _ := gateway(t, nil)
	server.check(t)
	check.Equal(t, server.log.String(), "", "the log")
	server.check(t, "X-Original-URI: /stores/acme1us/v2/orders/4711")
	for _, want := range []string{`"status":403`, `"refused_for":"scope"`, `"principal_id":"` + tokenID.String()} {
		if text := server.log.String(); !strings.Contains(text, want) || strings.Contains(text, "4711") {
			t.Errorf("the log: got %s, want %s in it, and no path", text, want)
		}
	}
}

// The log line of a refused request has the reason and, if known, the principal
// of the credential. Credentials that any client can make up are only counted,
// so that a flood of them does not flood the log.
func TestRefusedCredentialsInTheLog(t *testing.T) {
	server, _ := gateway(t, nil)
	for _, tc := range []struct {
		token string
		want  []string
	}{
		{"malformed", nil},
		{"not issued", []string{`"refused_for":"unknown"`}},
		{"revoked", []string{`"refused_for":"revoked or ended"`, `"credential_of":"` + tokenID.String() + `"`}},
	} {
		before := len(server.log.String())
		if got := server.check(t, "X-Auth-Token: "+tc.token); got.StatusCode != 401 {
			t.Errorf("%s: got %d, want 401", tc.token, got.StatusCode)
		}
		text := server.log.String()[before:]
		if lines := strings.Count(text, "\n"); lines != min(len(tc.want), 1) || strings.Contains(text, tc.token+`"`) {
			t.Errorf("%s: got %d lines, want %d without the token: %s", tc.token, lines, min(len(tc.want), 1), text)
		}
		for _, want := range tc.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: the log: got %s, want %s in it", tc.token, text, want)
			}
		}
	}
}

// Every refusal has a reason. It is not logged if no credential was verified: a
// client can fill the log only with credentials that count as failures.
func TestRefusalsHaveReasons(t *testing.T) {
	log := &dbtest.Log{}
	server, _ := gateway(t, func(c *httpserver.Config) {
		c.Log = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	const erp = "Authorization: Basic ZXJwOm9mOm9sZA=="
	for _, tc := range []struct {
		lines []string
		level string
		want  string
	}{
		{[]string{"X-Forwarded-Uri: /stores/acme1us/v3/hooks"}, "INFO", "headers differ"},
		{[]string{"X-Forwarded-Method: PUT"}, "INFO", "headers differ"},
		{[]string{"X-Original-URI: /stores/acme1us/v4/hooks"}, "INFO", "no route"},
		{[]string{"X-Latchkey-Gateway: another"}, "INFO", "unknown"},
		{[]string{"X-Auth-Token: not issued"}, "INFO", "unknown"},
		{[]string{"Authorization: Bearer another"}, "DEBUG", "two credentials"},
		{[]string{erp}, "DEBUG", "two credentials"},
		{[]string{"-X-Auth-Token"}, "DEBUG", "no credential"},
		{[]string{"-X-Auth-Token", erp}, "DEBUG", "not version 2"},
		{[]string{"-X-Auth-Token", erp, "X-Forwarded-Method: PUT"}, "DEBUG", "headers differ"},
		{[]string{"-X-Auth-Token", erp, "X-Original-URI: /stores/acme1us/v4/hooks"}, "DEBUG", "no route"},
		{[]string{"-X-Latchkey-Gateway"}, "DEBUG", "not a gateway"},
		{[]string{"X-Latchkey-Gateway: key", "X-Latchkey-Gateway: another"}, "DEBUG", "not a gateway"},
	} {
		before := len(log.String())
		got := server.check(t, tc.lines...)
		text := log.String()[before:]
		if got.StatusCode/100 != 4 || !strings.Contains(text, `"refused_for":"`+tc.want+`"`) ||
			!strings.Contains(text, `"level":"`+tc.level+`"`) {
			t.Errorf("%v: got %d and the log %s, want 4xx and a line of level %s with the reason %q", tc.lines,
				got.StatusCode, text, tc.level, tc.want)
		}
	}
}

// Requests without a gateway key are logged once, and those of clients that
// disconnect not at all.
func TestWhatCostsNothingIsNoNews(t *testing.T) {
	server, _ := gateway(t, nil)
	for range 3 {
		server.check(t, "-X-Latchkey-Gateway")
		server.check(t, "X-Auth-Token: gone")
	}
	text := server.log.String()
	if strings.Count(text, "without exactly one gateway key") != 1 || strings.Contains(text, "ERROR") ||
		strings.Contains(text, "not a gateway") {
		t.Errorf("the log: got %s, want one line about the gateway keys, no error and no line for other requests", text)
	}
	if server.check(t, "X-Auth-Token: broken"); !strings.Contains(server.log.String(),
		"credential could not be verified") {
		t.Errorf("the log: got %s, want the internal error", server.log.String())
	}
}

// The refusal that a canary waits for is neither logged nor counted. A key that
// never worked here does not count as a canary's.
func TestCanariesAreNoAttack(t *testing.T) {
	flown := &canary{}
	server, _ := gateway(t, func(c *httpserver.Config) { c.Verifier, c.Canary = flown, "tweet" })
	refused := func(times string) {
		t.Helper()
		if got := server.check(t, "X-Latchkey-Gateway: canary"); got.StatusCode != 401 {
			t.Errorf("a canary's request: got %d, want 401", got.StatusCode)
		}
		if text := server.do(t, "GET", server.admin+"/metrics", "").text; !strings.Contains(text,
			`outcome="refused",reason="unknown"} `+times) {
			t.Errorf("refusals with an unknown credential: got metrics %s, want the count %s", text, times)
		}
	}
	refused("1")
	flown.lives.Store(true)
	server.check(t, "X-Latchkey-Gateway: canary")
	flown.lives.Store(false)
	before := len(server.log.String())
	refused("1")
	check.Equal(t, server.log.String()[before:], "", "the log")
	// The key is deleted while the body of a request arrives.
	flown.lives.Store(true)
	flown.once.Store(true)
	got := server.do(t, "POST", server.public+"/oauth2/introspect", "token=canary", "X-Latchkey-Gateway: canary",
		formType)
	if got.StatusCode != 401 || flown.lives.Load() {
		t.Errorf("a key deleted during the request: %dand working %t, want 401 and false", got.StatusCode,
			flown.lives.Load())
	}
	refused("1")
}

// canary is a verifier whose key works while lives is true.
type canary struct {
	desk

	lives, once atomic.Bool // once: it stops working after its first use
}

func (c *canary) VerifyGateway(ctx context.Context, presented string, from auth.Origin) (*access.Record, error) {
	if presented == "canary" && c.lives.Load() {
		c.lives.Store(!c.once.Load())
		return &access.Record{Principal: auth.Principal{Kind: auth.Gateway, Name: "tweet"}}, nil
	}
	return c.desk.VerifyGateway(ctx, presented, from)
}

// Internal errors are logged with their cause, also for a credential that does
// not exist.
func TestGatewayLogsFailures(t *testing.T) {
	server, _ := gateway(t, nil)
	for _, line := range []string{"X-Latchkey-Gateway: broken", "X-Auth-Token: broken"} {
		before := len(server.log.String())
		if got := server.check(t, line); got.StatusCode != 500 {
			t.Errorf("%s: got %d, want 500", line, got.StatusCode)
		}
		if text := server.log.String()[before:]; !strings.Contains(text, "no connection") {
			t.Errorf("%s: the log: got %s, want the cause \"no connection\"", line, text)
		}
	}
}
