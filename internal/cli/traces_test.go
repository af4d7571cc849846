package cli_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// collector receives traces over OTLP/HTTP.
type collector struct {
	server *httptest.Server

	mu    sync.Mutex
	raw   []byte
	spans []*tracepb.Span
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.server = httptest.NewServer(c)
	t.Cleanup(c.server.Close)
	return c
}

// ServeHTTP receives spans.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var received tracepb.TracesData
	if err == nil {
		err = proto.Unmarshal(body, &received)
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" ||
		r.Header.Get("X-Key") != "a value" {
		http.Error(w, fmt.Sprint("unexpected request: ", err), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, body...)
	for _, ofResource := range received.ResourceSpans {
		for _, ofScope := range ofResource.ScopeSpans {
			c.spans = append(c.spans, ofScope.Spans...)
		}
	}
}

// env adds the variables with which a server sends its traces to the collector.
func (c *collector) env(env map[string]string) map[string]string {
	env["OTEL_EXPORTER_OTLP_ENDPOINT"] = c.server.URL
	env["OTEL_EXPORTER_OTLP_HEADERS"] = "x-key=a%20value"
	env["OTEL_RESOURCE_ATTRIBUTES"] = "deployment.environment.name=test"
	env["OTEL_BSP_SCHEDULE_DELAY"] = "50"
	return env
}

// await returns the first span for which is is true, and all spans.
func (c *collector) await(t *testing.T, what string, is func(*tracepb.Span, trees) bool) (*tracepb.Span, trees) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c.mu.Lock()
		all := trees(slices.Clone(c.spans))
		c.mu.Unlock()
		if i := slices.IndexFunc(all, func(s *tracepb.Span) bool { return is(s, all) }); i >= 0 {
			return all[i], all
		}
		if time.Now().After(deadline) {
			var names []string
			for _, s := range all {
				names = append(names, strings.Join(all.path(s), " < "))
			}
			t.Fatalf("got no span of %s within 30s, want one; spans:\n%s", what, strings.Join(names, "\n"))
		}
	}
}

// trees are the spans of traces.
type trees []*tracepb.Span

// path returns the names of a span and its ancestors, as far as they arrived.
func (t trees) path(s *tracepb.Span) []string {
	names := []string{s.Name}
	for range 20 {
		i := slices.IndexFunc(t, func(other *tracepb.Span) bool {
			return string(other.SpanId) == string(s.ParentSpanId) && string(other.TraceId) == string(s.TraceId)
		})
		if i < 0 {
			return names
		}
		s = t[i]
		names = append(names, s.Name)
	}
	return names
}

// attributeOf returns the text of an attribute.
func attributeOf(s *tracepb.Span, key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

// hook is a receiver of webhooks that checks their signatures.
type hook struct {
	server *httptest.Server

	mu       sync.Mutex
	requests []http.Header
	bodies   [][]byte
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{}
	h.server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.requests, h.bodies = append(h.requests, r.Header), append(h.bodies, body)
	}))
	t.Cleanup(h.server.Close)
	return h
}

// await returns the header of the first request, whose signature must be right.
func (h *hook) await(t *testing.T, signing string) http.Header {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		h.mu.Lock()
		headers, bodies := h.requests, h.bodies
		h.mu.Unlock()
		if len(headers) > 0 {
			verifier, err := standardwebhooks.NewWebhook(signing)
			if err == nil {
				err = verifier.Verify(bodies[0], headers[0])
			}
			if err != nil {
				t.Errorf("the signature: got %v, want it valid", err)
			}
			return headers[0]
		}
		if time.Now().After(deadline) {
			t.Fatal("got no webhook within 30s, want one")
		}
	}
}

// A request over GraphQL is a trace of the request, the operation, its resolvers and their statements, and the webhook
// that it causes has a trace of its own, whose context its receiver gets. No span has a secret, and the log lines of
// the request have the ID of its trace.
func TestTraces(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		c, receiver := newCollector(t), newHook(t)
		env := c.env(environment(t, url))
		s, session := demo(t, env)
		_, signing := newWebhook(t, env, receiver.server.URL+"/?key=hidden-from-spans", "api_token.created")
		var made issued
		mutation := issue("Traced", `scopes: ["account_read"]`)
		s.must(t, session, strings.Replace(mutation, "mutation", "mutation Issue", 1), &made)
		const server = "POST /accounts/{account_uuid}/graphql"
		insert, all := c.await(t, "a statement below a resolver", func(s *tracepb.Span, all trees) bool {
			path := all.path(s)
			return attributeOf(s, "db.system.name") != "" &&
				strings.Contains(strings.ToLower(attributeOf(s, "db.query.text")), "insert into api_tokens") &&
				path[len(path)-1] == server
		})
		path := all.path(insert)
		check.Equal(t, path[len(path)-2], "mutation", "the span below the request's")
		if resolver := path[1]; !strings.HasSuffix(resolver, ".createApiToken") {
			t.Errorf("the span above the statement: got %q of %q, want the one of createApiToken", resolver, path)
		}
		var id, name string
		for _, s := range all {
			if string(s.TraceId) == string(insert.TraceId) {
				id, name = id+attributeOf(s, "latchkey.request_id"), name+attributeOf(s, "graphql.operation.name")
			}
		}
		check.Equal(t, name, "Issue", "the operation's name")
		loggedWith(t, s, id, hex.EncodeToString(insert.TraceId))
		header := receiver.await(t, signing)
		sent, _ := c.await(t, "an attempt", func(s *tracepb.Span, _ trees) bool { return s.Name == "webhook attempt" })
		check.Equal(t, header.Get("Traceparent"),
			fmt.Sprintf("00-%x-%x-01", sent.TraceId, sent.SpanId), "the header traceparent")
		check.Equal(t, attributeOf(sent, "server.address"), "127.0.0.1", "the receiver's host")
		if string(sent.TraceId) == string(insert.TraceId) || len(sent.ParentSpanId) > 0 {
			t.Error("the attempt: got a trace with other spans, want one of its own")
		}
		c.await(t, "a billing run", func(s *tracepb.Span, all trees) bool {
			return slices.Contains(all.path(s)[1:], "billing run")
		})
		c.await(t, "sealing", func(s *tracepb.Span, _ trees) bool { return s.Name == "seal audit events" })
		s.shows(t, "/metrics", "\nlatchkey_trace_spans_exported_total ")
		documentsMetrics(t, s)
		check.Equal(t, s.stop(t), 0, "exit status")
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, hidden := range append(secret.Kinds(), "hidden-from-spans", "graphql?", "Traced") {
			if hidden != secret.ServerKey && strings.Contains(string(c.raw), string(hidden)) {
				t.Errorf("got %q in the spans, want it absent", hidden)
			}
		}
		if found := secret.Find(c.raw); len(found) > 0 {
			t.Errorf("got %d secrets in the spans, want none", len(found))
		}
		if !strings.Contains(string(c.raw), "deployment.environment.name") {
			t.Error("got no attribute of OTEL_RESOURCE_ATTRIBUTES, want it")
		}
	})
}

// loggedWith checks that the log lines of a request have the trace's ID.
func loggedWith(t *testing.T, s *server, request, trace string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		lines := 0
		for text := range strings.Lines(s.logged()) {
			var line struct {
				Request string `json:"request_id"`
				Trace   string `json:"trace_id"`
			}
			if json.Unmarshal([]byte(text), &line) == nil && line.Request == request {
				lines++
				check.Equal(t, line.Trace, trace, "trace_id of %s", text)
			}
		}
		if lines > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got no log line of the request %q within 30s, want one", request)
		}
	}
}

// Without the variables webhooks have no trace context, and log lines no trace.
func TestWithoutTraces(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		receiver := newHook(t)
		env := environment(t, url)
		env["OTEL_EXPORTER_OTLP_ENDPOINT"], env["OTEL_SDK_DISABLED"] = "http://127.0.0.1:1", "true"
		s, session := demo(t, env)
		_, signing := newWebhook(t, env, receiver.server.URL, "api_token.created")
		s.must(t, session, issue("Untraced", `scopes: ["account_read"]`), &issued{})
		check.Equal(t, receiver.await(t, signing).Get("Traceparent"), "", "the header traceparent")
		check.Equal(t, s.stop(t), 0, "exit status")
		if strings.Contains(s.logged(), "trace_id") {
			t.Error("got trace_id in the log, want none")
		}
	})
}

// A receiver of traces that is away, or that never answers, neither fails nor slows requests, nor keeps the server from
// stopping. Lost spans are counted, and logged once.
func TestTracesThatCannotBeExported(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, tc := range []struct{ name, endpoint, counts, logs string }{
		{"away", "http://" + freeAddress(t), `latchkey_trace_spans_dropped_total{reason="export_failed"} `,
			"spans could not be exported"},
		{"silent", "http://" + silent.Addr().String(), `latchkey_trace_spans_dropped_total{reason="queue_full"} `,
			"spans are dropped, because too many wait"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			env := environment(t, dbtest.SQLiteURL(t))
			env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = tc.endpoint
			env["OTEL_BSP_SCHEDULE_DELAY"], env["OTEL_BSP_MAX_QUEUE_SIZE"] = "20", "20"
			if tc.name == "away" {
				env["OTEL_BSP_EXPORT_TIMEOUT"] = "100"
			}
			s, session := demo(t, env)
			for deadline := time.Now().Add(30 * time.Second); !strings.Contains(s.logged(), tc.logs); {
				s.must(t, session, "{ account { id } }", &struct{}{})
				if time.Now().After(deadline) {
					t.Fatalf("got no %q in the log within 30s, want it: %s", tc.logs, s.logged())
				}
			}
			for range 20 {
				s.must(t, session, "{ account { id } }", &struct{}{})
			}
			s.shows(t, "/metrics", tc.counts)
			check.Equal(t, s.stop(t), 0, "exit status")
			check.Equal(t, strings.Count(s.logged(), tc.logs), 1, "log lines")
		})
	}
}

// Variables that Latchkey does not support are refused at the start, by name, together with other settings.
func TestWrongTraceVariables(t *testing.T) {
	env := environment(t, dbtest.SQLiteURL(t))
	env["OTEL_TRACES_EXPORTER"], env["OTEL_EXPORTER_OTLP_PROTOCOL"] = "otlp", "grpc"
	env["OTEL_TRACES_SAMPLER"], env["LATCHKEY_CACHE_SIZE"] = "sometimes", "many"
	_, notes, code := attempt(t, env, "serve", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0")
	check.Equal(t, code, 2, "exit status")
	for _, want := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "OTEL_TRACES_SAMPLER",
		"LATCHKEY_CACHE_SIZE"} {
		if !strings.Contains(notes, want) {
			t.Errorf("got %q, want %s in it", notes, want)
		}
	}
}
