package cli_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// delivery is a delivery as the API shows it.
type delivery struct {
	State    string
	Attempts []struct {
		Number int
		Status *int
	}
}

// delivery returns the delivery of an event to a webhook, or the zero value.
func (s *server) delivery(t *testing.T, session, hook, event string) delivery {
	t.Helper()
	var answer struct {
		Account struct {
			Webhook struct {
				Deliveries struct {
					Edges []struct {
						Node struct {
							delivery

							Event struct{ ID string }
						}
					}
				}
			}
		}
	}
	s.must(t, session, fmt.Sprintf(`{ account { webhook(id: %q) { deliveries(first: 50) { edges { node {
		state attempts { number status } event { id } } } } } } }`, hook), &answer)
	for _, e := range answer.Account.Webhook.Deliveries.Edges {
		if e.Node.Event.ID == event {
			return e.Node.delivery
		}
	}
	return delivery{}
}

// waitForDelivery waits until an event was delivered in this number of attempts.
func (s *server) waitForDelivery(t *testing.T, session, hook, event string, attempts int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		d := s.delivery(t, session, hook, event)
		if d.State == "DELIVERED" && len(d.Attempts) >= attempts {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("timeout: the delivery is %+v, want %d attempts", d, attempts)
		}
	}
}

// waitForFailure waits until an attempt for the webhook failed.
func (s *server) waitForFailure(t *testing.T, session, hook string) {
	t.Helper()
	query := fmt.Sprintf(`{ account { webhook(id: %q) { failingSince } } }`, hook)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var answer struct {
			Account struct {
				Webhook struct{ FailingSince *time.Time }
			}
		}
		s.must(t, session, query, &answer)
		if answer.Account.Webhook.FailingSince != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got no failed attempt of %s within the time, want one", hook)
		}
	}
}

// request is a request that a webhook received.
type request struct {
	header http.Header
	body   string
}

// listener is a receiver with the requests that it got.
type listener struct {
	url      string
	requests chan request
}

// newListener starts a receiver that calls handle with each request.
func newListener(t *testing.T, handle func(http.ResponseWriter)) listener {
	t.Helper()
	l := listener{requests: make(chan request, 100)}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read a webhook: %v", err)
		}
		l.requests <- request{r.Header, string(body)}
		handle(w)
	}))
	t.Cleanup(s.Close)
	l.url = s.URL
	return l
}

// next returns the next request.
func (l listener) next(t *testing.T) request {
	t.Helper()
	select {
	case r := <-l.requests:
		return r
	case <-time.After(30 * time.Second):
		t.Fatal("got no webhook within 30s, want one")
		return request{}
	}
}

var webhookID = regexp.MustCompile(`bc/account/webhook/[0-9a-f-]{36}`)

// newWebhook creates a webhook and returns its ID and its secret.
func newWebhook(t *testing.T, env map[string]string, url, types string) (id, secret string) {
	t.Helper()
	create := []string{"webhook", "create", "--account", acmeID, "--url", url, "--type", types, "--webhook-allow",
		"127.0.0.1"}
	out, notes, code := attempt(t, env, create...)
	// On a busy machine the servers' writes can keep an SQLite file locked for longer than a command waits.
	for tries := 1; strings.Contains(notes, "database is locked") && tries < 5; tries++ {
		out, notes, code = attempt(t, env, create...)
	}
	if code != 0 {
		t.Fatalf("webhook create: got exit status %d: %s, want 0", code, notes)
	}
	return webhookID.FindString(notes), strings.TrimSuffix(out, "\n")
}

// The commands of docs/webhooks.md, "Verify a request", keep the exact body of a
// real request and compute its signature with openssl.
func TestVerifyingByHand(t *testing.T) {
	blocks := codeOf(t, "webhooks.md", "Verify a request")
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		s, session := demo(t, env)
		port, dir := freePort(t), t.TempDir()
		_, secret := newWebhook(t, env, "http://127.0.0.1:"+port+"/", "api_token.created")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		shell := func(commands string) string {
			c := exec.CommandContext(ctx, "sh", "-euc", commands)
			c.Dir, c.Env = dir, append(os.Environ(), "SECRET="+secret)
			out, err := c.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			return string(out)
		}
		s.issueAndRevoke(t, session, `A "quoted" name, ünd more`) // sent again until the command listens
		printed := shell(strings.ReplaceAll(blocks[0], "9000", port))
		got := shell(printed + blocks[1])
		signature := regexp.MustCompile(`SIGNATURE="(.+)"`).FindStringSubmatch(printed)
		if signature == nil {
			t.Fatalf("the command printed %q, which has no signature", printed)
		}
		check.Equal(t, "v1,"+strings.TrimSpace(got), signature[1], "the signature")
	})
}

// A server that is asked to stop finishes the requests in flight, records their
// outcome and begins no others.
func TestStopFinishesWebhooks(t *testing.T) {
	keepRace(t)
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		s, session := demo(t, env)
		var answered atomic.Bool
		release := make(chan struct{})
		l := newListener(t, func(http.ResponseWriter) { <-release; answered.Store(true) })
		hook, _ := newWebhook(t, env, l.url, "api_token.*")
		s.issueAndRevoke(t, session, "In flight")
		event := l.next(t).header.Get("webhook-id")
		if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		select {
		case <-s.ended:
			t.Error("the server ended before the webhook was answered, want it to wait")
		default:
		}
		close(release)
		check.Equal(t, s.exits(t), 0, "the exit status")
		if !answered.Load() {
			t.Error("the webhook: got no answer before the end, want one")
		}
		check.Equal(t, len(l.requests), 0, "requests that began after the signal")
		next := serve(t, env, "--webhook-workers", "0")
		if d := next.delivery(t, session, hook, event); d.State != "DELIVERED" || len(d.Attempts) != 1 {
			t.Errorf("the delivery is %+v, want DELIVERED in one attempt", d)
		}
		time.Sleep(time.Second)
		check.Equal(t, len(l.requests), 0, "requests of a server with --webhook-workers 0")
	})
}

// The metrics show the work of webhooks without naming one.
func TestWebhookMetrics(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		s, session := demo(t, env)
		s.shows(t, "/metrics", "\nlatchkey_webhook_oldest_pending_seconds 0\n")
		s.shows(t, "/metrics", `latchkey_webhooks{state="ENABLED"} 0`)
		good := newListener(t, func(http.ResponseWriter) {})
		bad := newListener(t, func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) })
		gone := newListener(t, func(w http.ResponseWriter) { w.WriteHeader(http.StatusGone) })
		for _, url := range []string{good.url, bad.url, gone.url} {
			newWebhook(t, env, url, "api_token.created")
		}
		s.issueAndRevoke(t, session, "Counted")
		for _, want := range []string{
			`latchkey_webhook_attempts_total{outcome="delivered"} 1`,
			`latchkey_webhook_attempts_total{outcome="failed"} 1`,
			`latchkey_webhook_attempts_total{outcome="gone"} 1`, `latchkey_webhook_attempts_total{outcome="dead"} 0`,
			`latchkey_webhooks{state="ENABLED"} 2`, `latchkey_webhooks{state="DISABLED"} 1`,
		} {
			s.shows(t, "/metrics", want)
		}
		text := s.adminPage(t, "/metrics")
		if strings.Contains(text, "\nlatchkey_webhook_oldest_pending_seconds 0\n") {
			t.Error("oldest pending delivery: got the age 0, want that of the delivery that failed and waits")
		}
		if strings.Contains(text, "127.0.0.1:") || webhookID.MatchString(text) {
			t.Errorf("metrics: got %s, want no webhook's address or ID", text)
		}
	})
}
