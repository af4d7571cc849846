package deliver_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"latchkey/internal/audit"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
	"latchkey/internal/webhook/deliver/egress"
)

// quiet drops what servers log about clients that close connections.
var quiet = log.New(io.Discard, "", 0)

// attempt makes one attempt, the first of its delivery.
func attempt(t *testing.T, s *deliver.Sender, w webhook.Webhook) deliver.Outcome {
	t.Helper()
	o, err := s.Send(t.Context(), deliver.Job{Webhook: w, Event: revoked()})
	if err != nil {
		t.Fatalf("send: %v", err)
	}
	return o
}

// verify checks a request with the library of the specification's authors.
func verify(t *testing.T, r received, s secret.WebhookSecret) {
	t.Helper()
	library, err := standardwebhooks.NewWebhook(s.Reveal())
	if err != nil {
		t.Fatalf("the library does not accept the secret: %v", err)
	}
	if err := library.Verify([]byte(r.body), r.header); err != nil {
		t.Errorf("the library does not accept the request: %v", err)
	}
	if err := library.Verify([]byte(r.body+" "), r.header); err == nil {
		t.Error("the library's verification of a changed body: got no error, want one")
	}
}

// Rule 4: a request is signed as the specification says, with both secrets during a rotation.
func TestRequestsAreSigned(t *testing.T) {
	f := newFixture(t)
	r := startReceiver(t, nil)
	w := f.webhook(t, r.URL+"/hooks?x=1")
	previous, sealed := f.secret(t, w.ID)
	s := f.sender(t, 0, r)

	o := attempt(t, s, w)
	check.Equal(t, o.State, webhook.Delivered, "the state (%s)", o.Attempt.Error)
	got := r.wait(t, 1)[0]
	verify(t, got, f.secrets[w.ID])
	body, err := deliver.Body(revoked())
	check.Equal(t, err, nil, "the body")
	check.Equal(t, got.body, string(body), "the body")
	check.Equal(t, got.path, "/hooks", "the path")
	check.Equal(t, got.header.Get("webhook-id"), "bc/account/event/"+eventID.String(), "webhook-id")
	check.Equal(t, got.header.Get("Content-Type"), "application/json", "Content-Type")
	check.Equal(t, got.header.Get("User-Agent"), "Latchkey/test", "User-Agent")
	for _, name := range []string{"Accept-Encoding", "Authorization", "Cookie", "Referer"} {
		check.Equal(t, got.header.Values(name), nil, "%s", name)
	}

	w.Previous, w.PreviousExpiresAt = sealed, time.Now().Add(time.Hour)
	attempt(t, s, w)
	both := r.wait(t, 2)[1]
	verify(t, both, f.secrets[w.ID])
	verify(t, both, previous)

	w.PreviousExpiresAt = time.Now().Add(-time.Second)
	attempt(t, s, w)
	one := r.wait(t, 3)[2]
	verify(t, one, f.secrets[w.ID])
	check.Equal(t, len(strings.Fields(one.header.Get("webhook-signature"))), 1, "signatures after the rotation")

	w.Secret, w.PreviousExpiresAt = sealed, time.Time{}
	attempt(t, s, w)
	verify(t, r.wait(t, 4)[3], previous)
}

// Rule 5: a 2xx status within the time is success. Every other answer is a failure, and its next attempt has a time.
func TestAnswers(t *testing.T) {
	f := newFixture(t)
	for code, want := range map[int]string{
		200: "", 201: "", 202: "", 204: "", 299: "",
		300: "status 300: redirects are not followed", 301: "status 301: redirects are not followed",
		304: "status 304: redirects are not followed", 307: "status 307: redirects are not followed",
		400: "status 400: Bad Request", 401: "status 401: Unauthorized", 404: "status 404: Not Found",
		410: "status 410: Gone", 429: "status 429: Too Many Requests", 500: "status 500: Internal Server Error",
		503: "status 503: Service Unavailable", 599: "status 599", 777: "status 777",
	} {
		r := startReceiver(t, status(code))
		o := attempt(t, f.sender(t, 0, r), f.webhook(t, r.URL))
		check.Equal(t, o.Attempt.Error, want, "the error of %d", code)
		check.Equal(t, o.Attempt.Status, code, "the status of %d", code)
		state := webhook.Pending
		switch {
		case want == "":
			state = webhook.Delivered
		case code == 410:
			state = webhook.Dead
		}
		check.Equal(t, o.State, state, "the state after %d", code)
		check.Equal(t, o.Gone, code == 410, "gone after %d", code)
		check.Equal(t, o.Health, true, "counts for health after %d", code)
		if in := time.Until(o.NextAt); state == webhook.Pending && (in < 4*time.Second || in > 6*time.Second) {
			t.Errorf("the next attempt after %d: got in %s, want in 5s", code, in)
		}
	}
}

// An answer of 101 is a failure. Its connection is closed at once, although the receiver keeps it open.
func TestSwitchingProtocols(t *testing.T) {
	f := newFixture(t)
	closed := make(chan error, 1)
	url := "http://" + serve(t, func(c net.Conn) {
		read(c)
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err := io.Copy(io.Discard, c)
		closed <- err
	})
	o := attempt(t, f.sender(t, 30*time.Second), f.webhook(t, url))
	check.Equal(t, o.Attempt.Error, "status 101: Switching Protocols", "the error")
	check.Equal(t, o.State, webhook.Pending, "the state")
	if err := <-closed; errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection: %v, want it closed", err)
	}
}

// Rule 5: redirects are never followed.
func TestRedirectsAreNotFollowed(t *testing.T) {
	f := newFixture(t)
	elsewhere := startReceiver(t, nil)
	for _, code := range []int{301, 302, 303, 307, 308} {
		r := startReceiver(t, func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, elsewhere.URL, code)
		})
		o := attempt(t, f.sender(t, 0, r, elsewhere), f.webhook(t, r.URL))
		check.Equal(t, o.State, webhook.Pending, "the state after %d", code)
	}
	check.Equal(t, len(elsewhere.received()), 0, "requests at the target of the redirects")
}

// Rule 5: Retry-After is honored up to an hour, with 429 and with other failures.
func TestRetryAfterIsHonored(t *testing.T) {
	f := newFixture(t)
	for text, want := range map[string]time.Duration{"120": 2 * time.Minute, "86400": time.Hour,
		time.Now().Add(10 * time.Minute).UTC().Format(http.TimeFormat): 10 * time.Minute} {
		for _, code := range []int{429, 503} {
			r := startReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", text)
				w.WriteHeader(code)
			})
			o := attempt(t, f.sender(t, 0, r), f.webhook(t, r.URL))
			if in := time.Until(o.NextAt); (in - want).Abs() > 5*time.Second {
				t.Errorf("the next attempt after %d with Retry-After %s: got in %s, want in %s", code, text, in, want)
			}
		}
	}
}

// Rule 5: after the last attempt the delivery is dead.
func TestLastAttempt(t *testing.T) {
	f := newFixture(t)
	r := startReceiver(t, status(500))
	s, w := f.sender(t, 0, r), f.webhook(t, r.URL)
	for attempts := range deliver.MaxAttempts {
		o, err := s.Send(t.Context(), deliver.Job{Webhook: w, Event: revoked(), Attempts: attempts})
		if err != nil {
			t.Fatal(err)
		}
		want := webhook.Pending
		if attempts == deliver.MaxAttempts-1 {
			want = webhook.Dead
		}
		check.Equal(t, o.State, want, "the state after %d failures", attempts+1)
	}
}

// A test event does not count for health.
func TestTestEvents(t *testing.T) {
	f := newFixture(t)
	r := startReceiver(t, status(500))
	e := revoked()
	e.Action = audit.WebhookTest
	o, err := f.sender(t, 0, r).Send(t.Context(), deliver.Job{Webhook: f.webhook(t, r.URL), Event: e})
	check.Equal(t, err, nil, "the error")
	check.Equal(t, o.Health, false, "counts for health")
}

// Rule 9: a webhook whose address is not allowed is a failure without a connection, and its error names no address.
func TestAddressIsNotAllowed(t *testing.T) {
	f := newFixture(t)
	r := startReceiver(t, nil)
	_, port, _ := net.SplitHostPort(r.Listener.Addr().String())
	s := deliver.NewSender(deliver.SenderConfig{Keys: f.keys, Egress: egress.New(nil, nil), Now: time.Now,
		Random: func() float64 { return 0.5 }})
	for _, url := range []string{r.URL, "https://localhost:" + port, "http://127.0.0.1:" + port, "https://[::1]:443/",
		"https://169.254.169.254/latest/meta-data/", "http://0x7f000001:" + port} {
		o := attempt(t, s, f.webhook(t, url))
		if o.Attempt.Error != "address not allowed" && !strings.HasPrefix(o.Attempt.Error, "the host name ") {
			t.Errorf("%s: got %q, want it not allowed", url, o.Attempt.Error)
		}
		check.Equal(t, o.State, webhook.Pending, "the state of %s", url)
	}
	check.Equal(t, len(r.received()), 0, "requests")
}

// Rule 9: proxies of the environment are not used.
func TestNoProxy(t *testing.T) {
	f := newFixture(t)
	proxy, r := startReceiver(t, nil), startReceiver(t, nil)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	o := attempt(t, f.sender(t, 0, r, proxy), f.webhook(t, r.URL))
	check.Equal(t, o.State, webhook.Delivered, "the state (%s)", o.Attempt.Error)
	check.Equal(t, len(proxy.received()), 0, "requests at the proxy")
}

// Connections are used again, by answers with a short body.
func TestConnectionsAreReused(t *testing.T) {
	f := newFixture(t)
	connections := map[string]bool{}
	var r *receiver
	r = startReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		connections[req.RemoteAddr] = true
		r.mu.Unlock()
		_, _ = fmt.Fprint(w, strings.Repeat("x", 3000))
	})
	s, w := f.sender(t, 0, r), f.webhook(t, r.URL)
	for range 10 {
		attempt(t, s, w)
	}
	check.Equal(t, len(connections), 1, "connections of ten requests")
}

// An attempt that the server aborts has no outcome. An event whose webhook's secrets cannot be opened has none, either.
func TestNoOutcome(t *testing.T) {
	f := newFixture(t)
	r := startReceiver(t, hang(t))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if o, err := f.sender(t, 0, r).Send(ctx, deliver.Job{Webhook: f.webhook(t, r.URL), Event: revoked()}); err == nil {
		t.Errorf("an aborted attempt: got %+v, want an error", o)
	}
	before := len(r.received())
	other := newFixture(t)
	o, err := other.sender(t, 0, r).Send(t.Context(), deliver.Job{Webhook: f.webhook(t, r.URL), Event: revoked()})
	if err == nil {
		t.Errorf("secrets under other keys: got %+v, want an error", o)
	}
	check.Equal(t, len(r.received()), before, "requests without a signature")
}

// Connections need TLS 1.2 at least.
func TestOldTLS(t *testing.T) {
	f := newFixture(t)
	r := startReceiver(t, nil)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: r.TLS.Certificates,
		MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	server := http.Server{Handler: http.NotFoundHandler(), ErrorLog: quiet, ReadTimeout: time.Minute}
	go func() { _ = server.Serve(l) }() // ends with the listener
	o := attempt(t, f.sender(t, 0, r), f.webhook(t, "https://"+l.Addr().String()))
	if o.Attempt.Error == "" || o.Attempt.Status != 0 {
		t.Errorf("the attempt: got status %d, error %q, want no status and an error", o.Attempt.Status, o.Attempt.Error)
	}
}

// Rule 4: npm's libraries accept the requests, too.
func TestRequestsAreVerifiedByNode(t *testing.T) {
	f := newFixture(t)
	r := startReceiver(t, nil)
	w := f.webhook(t, r.URL)
	previous, sealed := f.secret(t, w.ID)
	s := f.sender(t, 0, r)
	attempt(t, s, w)
	w.Previous, w.PreviousExpiresAt = sealed, time.Now().Add(time.Hour)
	attempt(t, s, w)
	type request struct {
		Secret  string            `json:"secret"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}
	var requests []request
	for i, got := range r.wait(t, 2) {
		headers := map[string]string{}
		for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
			headers[name] = got.header.Get(name)
		}
		requests = append(requests, request{f.secrets[w.ID].Reveal(), headers, got.body})
		if i == 1 {
			requests = append(requests, request{previous.Reveal(), headers, got.body})
		}
	}
	text, err := json.Marshal(requests)
	if err != nil {
		t.Fatal(err)
	}
	out := node(t, "testdata/verify", "svix", "verify.mjs", "REQUESTS="+string(text))
	check.Equal(t, out, "standardwebhooks: verified 3\nsvix: verified 3\n", "the output")
}

// node runs a Node program in a folder of testdata and returns its output. It installs the program's packages if they
// are missing.
func node(t *testing.T, folder, needs, program string, env ...string) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(folder, "node_modules", needs)); err != nil {
		install := exec.Command("npm", "ci", "--no-audit", "--no-fund")
		install.Dir = folder
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("this needs Node and its npm, and the packages in %s: %v\n%s", folder, err, out)
		}
	}
	run := exec.Command("node", program)
	run.Dir = folder
	run.Env = append(os.Environ(), env...)
	out, err := run.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return string(out)
}
