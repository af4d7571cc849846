package httpserver

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/gateway/routes"
	"latchkey/internal/test/check"
	"latchkey/internal/tracing"
)

// traced are traces with a provider.
type traced struct{ provider trace.TracerProvider }

func (t traced) Provider() trace.TracerProvider          { return t.provider }
func (traced) Propagator() propagation.TextMapPropagator { return propagation.TraceContext{} }

// seen returns a server that keeps the requests of its API, and the one that it got last.
func seen(traces Traces) (*public, *http.Request) {
	got := &http.Request{}
	return newPublic(Config{
		Limits: config.HTTP{MaxBody: 1 << 20, RequestTimeout: time.Second}, Routes: routes.Default(),
		Log:            slog.New(slog.NewJSONHandler(io.Discard, nil)),
		Verifier:       anybody{record: &access.Record{Principal: auth.Principal{ID: uuid.Max, AccountID: uuid.Max}}},
		API:            http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { *got = *r }),
		WriteError:     func(http.ResponseWriter, *http.Request, error) {},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Traces: traces,
	}, newMetrics(nil), nil), got
}

func requestFrom(t *testing.T, method, address, peer, traceparent string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = peer
	r.Header.Set("X-Auth-Token", "a credential of fifty-odd letters, as all of ours are")
	if traceparent != "" {
		r.Header.Set("Traceparent", traceparent)
		r.Header.Set("Tracestate", "vendor=text")
	}
	return r
}

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// Traces that are off cost nothing: handlers get a request without a span, and a gateway check makes as many
// allocations as on a server that has no traces at all. A trace that is not sampled makes at most mostUnsampled more.
func TestTracesThatAreOffCostNothing(t *testing.T) {
	const mostUnsampled = 12
	without, got := seen(nil)
	off, gotOff := seen(&tracing.Tracing{})
	never := sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample()))
	unsampled, gotUnsampled := seen(traced{never})
	if without.spans != nil || off.spans != nil || unsampled.spans == nil {
		t.Errorf("spans: got %v without traces, %v while they are off, %v while they are on, want nil, nil and others",
			without.spans, off.spans, unsampled.spans)
	}
	check := requestFrom(t, http.MethodGet, "/gateway/check", "192.0.2.1:1", traceparent)
	allocations := func(p *public) float64 {
		return leastAllocations(func() { p.ServeHTTP(unread{make(http.Header)}, check) })
	}
	base := allocations(without)
	if n := allocations(off); n > base {
		t.Errorf("while traces are off a check makes %v allocations, want %v as without", n, base)
	}
	if n := allocations(unsampled); n > base+mostUnsampled {
		t.Errorf("while the trace is not sampled a check makes %v allocations, want %v more than %v at most", n,
			mostUnsampled, base)
	}
	const api = "/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01/graphql"
	for _, tc := range []struct {
		p    *public
		got  *http.Request
		span bool
	}{{without, got, false}, {off, gotOff, false}, {unsampled, gotUnsampled, true}} {
		tc.p.ServeHTTP(unread{make(http.Header)}, requestFrom(t, http.MethodPost, api, "192.0.2.1:1", traceparent))
		if has := trace.SpanContextFromContext(tc.got.Context()).IsValid(); has != tc.span {
			t.Errorf("a span in the request's context: got %v, want %v", has, tc.span)
		}
	}
}

// A client can neither make its requests be recorded nor choose the trace in which they appear, nor put its texts into
// spans. A trusted proxy can do the former two.
func TestClientsDoNotDecideAboutTraces(t *testing.T) {
	for _, tc := range []struct {
		name, peer, sent string
		root             sdk.Sampler
		recorded, joined bool
		links            int
	}{
		{"client asks to be recorded", "198.51.100.1:1", traceparent, sdk.NeverSample(), false, false, 0},
		{"client asks not to be recorded", "198.51.100.1:1", traceparent[:len(traceparent)-1] + "0",
			sdk.AlwaysSample(), true, false, 1},
		{"client sends a trace", "198.51.100.1:1", traceparent, sdk.AlwaysSample(), true, false, 1},
		{"client sends no trace", "198.51.100.1:1", "", sdk.AlwaysSample(), true, false, 0},
		{"client sends nonsense", "198.51.100.1:1", "00-x-y-01", sdk.AlwaysSample(), true, false, 0},
		{"proxy sends a trace", "192.0.2.1:1", traceparent, sdk.NeverSample(), true, true, 0},
		{"proxy asks not to record", "192.0.2.1:1", traceparent[:len(traceparent)-1] + "0", sdk.AlwaysSample(),
			false, true, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			recorder := tracetest.NewSpanRecorder()
			p, got := seen(traced{sdk.NewTracerProvider(sdk.WithSampler(sdk.ParentBased(tc.root)),
				sdk.WithSpanProcessor(recorder))})
			r := requestFrom(t, "SECRET", "/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01/graphql?text=of-client",
				tc.peer, tc.sent)
			p.ServeHTTP(unread{make(http.Header)}, r)
			r.Method = http.MethodPost
			p.ServeHTTP(unread{make(http.Header)}, r)
			id := trace.SpanContextFromContext(got.Context()).TraceID().String()
			check.Equal(t, id == traceparent[3:35], tc.joined, "it joined the trace")
			spans := recorder.Ended()
			if !tc.recorded {
				check.Equal(t, len(spans), 0, "spans")
				return
			}
			check.Equal(t, len(spans), 2, "spans")
			const route = "/accounts/{account_uuid}/graphql"
			check.Equal(t, spans[0].Name(), "_OTHER "+route, "the name")
			check.Equal(t, spans[1].Name(), "POST "+route, "the name")
			check.Equal(t, len(spans[1].Links()), tc.links, "links")
			for _, l := range spans[1].Links() {
				check.Equal(t, l.SpanContext.TraceID().String(), traceparent[3:35], "the linked trace")
				check.Equal(t, l.SpanContext.TraceState().Len(), 0, "the linked trace's state")
			}
			has := map[attribute.Key]string{}
			for _, a := range spans[1].Attributes() {
				has[a.Key] = a.Value.String()
			}
			delete(has, "latchkey.request_id")
			check.Equal(t, has, map[attribute.Key]string{"http.request.method": "POST", "url.scheme": "http",
				"http.route": route, "http.response.status_code": "200"}, "attributes")
		})
	}
}

// The context of a request has its ID, for log lines, also after the request.
func TestContextHasTheRequestID(t *testing.T) {
	p, got := seen(nil)
	r := requestFrom(t, http.MethodPost, "/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01/graphql", "192.0.2.1:1", "")
	r.Header.Set("X-Request-Id", "given-by-the-proxy")
	p.ServeHTTP(unread{make(http.Header)}, r)
	id, _ := context.WithoutCancel(got.Context()).Value(tracing.RequestIDKey{}).(*string)
	if id == nil || *id != "given-by-the-proxy" {
		t.Errorf("got %v, want the ID", id)
	}
}
