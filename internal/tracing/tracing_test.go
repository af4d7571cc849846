package tracing_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	"latchkey/internal/tracing"
)

// lines is a log that can be read meanwhile.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func start(t *testing.T, log io.Writer, env map[string]string) *tracing.Tracing {
	t.Helper()
	s, err := tracing.Read(from(env))
	if err != nil {
		t.Fatal(err)
	}
	traces, err := tracing.Start(t.Context(), s, "v1", "server-1", slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return traces
}

// counted returns the values of the metrics, by reason.
func counted(t *testing.T, traces *tracing.Tracing) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(traces.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			reason := "exported"
			for _, l := range m.Label {
				reason = l.GetValue()
			}
			values[reason] = m.Counter.GetValue()
		}
	}
	return values
}

// Spans arrive compressed, with the server's attributes, and without secrets. A receiver that is busy is asked again.
func TestExport(t *testing.T) {
	token, err := secret.Generate(rand.Reader, secret.AccountAccessToken)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	bodies := make(chan []byte, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body, err := io.ReadAll(unzipped)
		if err != nil {
			t.Error(err)
		}
		bodies <- body
	}))
	defer server.Close()
	var log lines
	traces := start(t, &log, map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": server.URL,
		"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_SERVICE_NAME": "keys",
		"OTEL_RESOURCE_ATTRIBUTES": "service.name=other,service.version=v2"})
	_, span := traces.Provider().Tracer("test").Start(t.Context(), "name "+token.Reveal(),
		trace.WithAttributes(attribute.StringSlice("list", []string{"x", token.Reveal()}),
			attribute.String("long", strings.Repeat("x", 5000))))
	span.AddEvent("event", trace.WithAttributes(attribute.String("text", token.Reveal())))
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	traces.Shutdown(ctx)
	body := <-bodies
	if found := secret.Find(body); len(found) > 0 || !bytes.Contains(body, []byte(token.Hint())) {
		t.Errorf("got %d secrets in the spans, want only the token's hint", len(found))
	}
	var data tracepb.TracesData
	if err := proto.Unmarshal(body, &data); err != nil {
		t.Fatal(err)
	}
	has := map[string]string{}
	for _, a := range data.ResourceSpans[0].Resource.Attributes {
		has[a.Key] = a.Value.GetStringValue()
	}
	check.Equal(t, []string{has["service.name"], has["service.version"], has["service.instance.id"]},
		[]string{"keys", "v2", "server-1"}, "the resource")
	for _, a := range data.ResourceSpans[0].ScopeSpans[0].Spans[0].Attributes {
		if n := len(a.Value.GetStringValue()); n > 2000 {
			t.Errorf("%s has %d bytes, want 2000 at most", a.Key, n)
		}
	}
	check.Equal(t, counted(t, traces), map[string]float64{"exported": 1, "queue_full": 0, "export_failed": 0},
		"counted")
}

// While the receiver does not answer, ending a span does not wait; those that the queue has no room for are counted and
// logged once. Shutdown gives up in time.
func TestQueueIsBounded(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	var log lines
	traces := start(t, &log, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL,
		"OTEL_BSP_MAX_QUEUE_SIZE": "10"})
	tracer := traces.Provider().Tracer("test")
	for range 100 {
		_, span := tracer.Start(t.Context(), "span")
		span.End()
	}
	check.Equal(t, counted(t, traces)["queue_full"], 90, "dropped")
	check.Equal(t, strings.Count(log.String(), "too many wait"), 1, "log lines")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	traces.Shutdown(ctx)
	if !strings.Contains(log.String(), "the last spans could not be exported") {
		t.Errorf("got the log %q, want a warning of the last spans", log.String())
	}
}

// Spans that the receiver refuses are counted, and logged once.
func TestRefusedSpans(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	var log lines
	traces := start(t, &log, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL})
	for range 3 {
		_, span := traces.Provider().Tracer("test").Start(t.Context(), "span")
		span.End()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	traces.Shutdown(ctx)
	check.Equal(t, counted(t, traces), map[string]float64{"exported": 0, "queue_full": 0, "export_failed": 3},
		"counted")
	check.Equal(t, strings.Count(log.String(), "answered 404"), 1, "log lines")
}

// Traces that are off have no provider, no propagator and no metrics.
func TestOff(t *testing.T) {
	for _, traces := range []*tracing.Tracing{nil, start(t, io.Discard, nil)} {
		if traces.Provider() != nil || len(traces.Collectors()) > 0 || len(traces.Propagator().Fields()) > 0 {
			t.Error("got a provider, metrics or a propagator, want none")
		}
		traces.Shutdown(t.Context())
	}
}

// Log lines have the IDs of the context, and a request's ID once.
func TestLogHandler(t *testing.T) {
	id := "request-1"
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	inRequest := context.WithValue(t.Context(), tracing.RequestIDKey{}, &id)
	for _, tc := range []struct {
		name string
		ctx  context.Context
		args []any
		want map[string]string
	}{
		{"outside", t.Context(), nil, map[string]string{}},
		{"in a request", inRequest, nil, map[string]string{"request_id": "request-1"}},
		{"with an ID of its own", inRequest, []any{"request_id", "other"}, map[string]string{"request_id": "other"}},
		{"in a span", trace.ContextWithSpanContext(inRequest, span), nil, map[string]string{"request_id": "request-1",
			"trace_id": span.TraceID().String(), "span_id": span.SpanID().String()}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			log := slog.New(tracing.NewLogHandler(slog.NewJSONHandler(&out, nil)))
			log.InfoContext(tc.ctx, "text", tc.args...)
			got := map[string]string{}
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"time", "level", "msg"} {
				delete(got, key)
			}
			check.Equal(t, got, tc.want, "attributes")
			check.Equal(t, strings.Count(out.String(), "request_id"), min(1, len(tc.want)), "request IDs")
		})
	}
}
