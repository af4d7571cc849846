package httpserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/httpserver"
	"latchkey/internal/test/check"
)

func TestLimitsAreNeeded(t *testing.T) {
	if _, err := httpserver.New(httpserver.Config{}); err == nil {
		t.Error("New without limits: got no error, want one")
	}
}

func TestLogOfRequests(t *testing.T) {
	server := start(t, whoami, nil)
	got := server.do(t, "POST", server.public+apiPath+"?query=hidden-query", "hidden-body",
		"X-Auth-Token: "+goodToken, "User-Agent: hidden-agent", "Cookie: hidden-cookie")
	server.do(t, "GET", server.public+"/lka_hidden-path", "", "Authorization: Bearer hidden-bearer")
	server.api(t, "X-Auth-Token: hidden-token")
	for _, secret := range []string{"hidden", goodToken, "secret name"} {
		if log := server.log.String(); strings.Contains(log, secret) {
			t.Errorf("the log: got %s, want it without %s", log, secret)
		}
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(strings.SplitN(server.log.String(), "\n", 2)[0]), &line); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"msg": "request", "method": "POST", "route": "/accounts/{account_uuid}/graphql", "status": 200.0,
		"client": "127.0.0.1",
		"bytes":  float64(len(got.text)), "request_id": got.Header.Get("X-Request-Id"), "principal": "API_TOKEN",
		"principal_id": tokenID.String(),
	} {
		if line[name] != want {
			t.Errorf("%s is %v, want %v", name, line[name], want)
		}
	}
	if line["duration_us"] == nil {
		t.Errorf("the log line: got %v, want a duration_us", line)
	}
}

func TestAdmin(t *testing.T) {
	broken := errors.New("pass-word of the database")
	server := start(t, whoami, func(c *httpserver.Config) {
		c.Checks = []httpserver.Check{
			{Name: "database", Run: func(context.Context) error { return broken }},
			{Name: "schema", Run: func(context.Context) error { return fault.Errorf(fault.Conflict, "behind") }},
			{Name: "feed", Run: func(context.Context) error { return nil }},
		}
	})
	server.api(t, "X-Auth-Token: "+goodToken)
	server.api(t, "X-Auth-Token: lka_other")
	for _, tc := range []struct {
		path   string
		status int
		want   []string
	}{
		{"/healthz", 200, []string{`"ok"`}},
		{"/readyz", 503, []string{`"ready":false`, `{"name":"serving","ok":true}`,
			`{"name":"database","ok":false,"reason":"The check failed`,
			`{"name":"schema","ok":false,"reason":"behind"}`, `{"name":"feed","ok":true}`}},
		{"/metrics", 200,
			[]string{`latchkey_http_requests_total{route="/accounts/{account_uuid}/graphql",status="200"} 1`,
				`latchkey_verifications_total{outcome="accepted",reason=""} 1`,
				`latchkey_verifications_total{outcome="refused",reason="unknown"} 1`,
				`latchkey_http_request_duration_seconds_count{route="/accounts/{account_uuid}/graphql"} 2`,
				"go_goroutines"}},
		{"/other", 404, []string{"/healthz"}},
	} {
		t.Run(tc.path, func(t *testing.T) {
			got := server.do(t, "GET", server.admin+tc.path, "")
			check.Equal(t, got.StatusCode, tc.status, "status")
			for _, want := range tc.want {
				if !strings.Contains(got.text, want) {
					t.Errorf("body: got %s, want %s in it", got.text, want)
				}
			}
			if strings.Contains(got.text, "pass-word") {
				t.Errorf("body: got %s, want it without the cause", got.text)
			}
		})
	}
	if got := server.do(t, "GET", server.public+"/metrics", ""); got.StatusCode != 404 {
		t.Errorf("/metrics of the public listener: got %d, want 404", got.StatusCode)
	}
}

// Profiles are served only if the operator wants them, only to the admin listener, and never the command line, which
// can have a password.
func TestProfiles(t *testing.T) {
	for _, on := range []bool{false, true} {
		t.Run(strconv.FormatBool(on), func(t *testing.T) {
			server := start(t, whoami, func(c *httpserver.Config) { c.Profiles = on })
			for path, served := range map[string]bool{"/debug/pprof/": true, "/debug/pprof/heap?debug=1": true,
				"/debug/pprof/goroutine?debug=2": true, "/debug/pprof/cmdline": false} {
				want := http.StatusNotFound
				if on && served {
					want = http.StatusOK
				}
				got := server.do(t, "GET", server.admin+path, "")
				check.Equal(t, got.StatusCode, want, "status of %s", path)
				if strings.Contains(got.text, "-test.") {
					t.Errorf("%s: got %s, want it without the command line", path, got.text)
				}
				check.Equal(t, server.do(t, "GET", server.public+path, "").StatusCode, http.StatusNotFound,
					"status of %s at the public listener", path)
			}
		})
	}
}

func TestReady(t *testing.T) {
	server := start(t, whoami, nil)
	if got := server.do(t, "GET", server.admin+"/readyz", ""); got.StatusCode != 200 ||
		!strings.Contains(got.text, `"ready":true`) {
		t.Errorf("got %d, %s, want 200 and ready", got.StatusCode, got.text)
	}
}

// slow is a handler that reports each request and blocks until it is released.
type slow struct{ asked, letGo chan struct{} }

func newSlow() slow { return slow{make(chan struct{}), make(chan struct{})} }

func (s slow) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	close(s.asked)
	<-s.letGo
	_, _ = io.WriteString(w, "finished")
}

func TestGracefulStop(t *testing.T) {
	api := newSlow()
	server := start(t, api.ServeHTTP, nil)
	answered := make(chan string, 1)
	go func() { answered <- server.api(t, "X-Auth-Token: "+goodToken).text }()
	<-api.asked
	server.stop()

	eventually(t, "not ready", func() bool { return server.do(t, "GET", server.admin+"/readyz", "").StatusCode == 503 })
	eventually(t, "no new connections", func() bool {
		fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := fresh.Get(server.public + "/")
		if err == nil {
			res.Body.Close()
		}
		return err != nil
	})
	select {
	case err := <-server.ended:
		t.Fatalf("the server ended with %v, want it to wait for the request in flight", err)
	default:
	}
	close(api.letGo)
	check.Equal(t, <-answered, "finished", "the request in flight")
	if err := <-server.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestGraceEnds(t *testing.T) {
	api := newSlow()
	server := start(t, api.ServeHTTP, func(c *httpserver.Config) { c.Grace = 50 * time.Millisecond })
	failed := make(chan error, 1)
	go func() {
		req, err := http.NewRequest("GET", server.public+apiPath, nil)
		if err == nil {
			req.Header.Set("X-Auth-Token", goodToken)
			_, err = server.client.Do(req) //nolint:bodyclose // there is no response
		}
		failed <- err
	}()
	<-api.asked
	server.stop()
	if err := <-server.ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the server ended with %v, want %v", err, context.DeadlineExceeded)
	}
	if err := <-failed; err == nil {
		t.Error("the aborted request: got a response, want an error")
	}
	close(api.letGo)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("not within the time: want %s", what)
}
