package httpserver

import (
	"net/http"
	"slices"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// spans records a span for each request of the public listener. The attributes have nothing that a client chooses
// freely, and the route instead of the path.
type spans struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	// options has the options of a span by method, which allocate.
	options map[string][]trace.SpanStartOption
}

// newSpans returns nil if requests are not recorded.
func newSpans(c Config) *spans {
	if c.Traces == nil || c.Traces.Provider() == nil {
		return nil
	}
	scheme := "http"
	if c.TLS != nil {
		scheme = "https"
	}
	s := &spans{tracer: c.Traces.Provider().Tracer("latchkey/internal/httpserver"), propagator: c.Traces.Propagator(),
		options: map[string][]trace.SpanStartOption{}}
	for _, method := range append(standardMethods[:], otherMethod) {
		s.options[method] = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("http.request.method", method), attribute.String("url.scheme", scheme))}
	}
	return s
}

// begin starts the span of a request, and returns the request with the span in its context. The span continues the
// trace of a trusted proxy. Of another client it begins a trace of its own and only has a link to the client's: a
// client must decide neither whether its requests are recorded nor in which trace they appear.
func (s *spans) begin(rs *requestState, r *http.Request, trusted bool) *http.Request {
	ctx := r.Context()
	method := spanMethod(r.Method)
	options := s.options[method]
	if r.Header["Traceparent"] != nil {
		sent := s.propagator.Extract(ctx, propagation.HeaderCarrier(r.Header))
		switch caller := trace.SpanContextFromContext(sent); {
		case !caller.IsValid():
		case trusted:
			ctx = sent
		default:
			caller = caller.WithTraceState(trace.TraceState{}) // a text of the client's
			options = append(slices.Clip(options), trace.WithLinks(trace.Link{SpanContext: caller}))
		}
	}
	ctx, rs.span = s.tracer.Start(ctx, method, options...)
	return r.WithContext(ctx)
}

// end ends the span of a request after its response.
func (s *spans) end(rs *requestState, method string) {
	if rs.span.IsRecording() {
		// The route of all unknown paths says nothing about them.
		if pattern := rs.route.pattern; pattern != "/" {
			rs.span.SetName(spanMethod(method) + " " + pattern)
			rs.span.SetAttributes(attribute.String("http.route", pattern))
		}
		rs.span.SetAttributes(attribute.Int("http.response.status_code", rs.status),
			attribute.String("latchkey.request_id", rs.requestID[0]))
		if rs.reason != "" {
			rs.span.SetAttributes(attribute.String("latchkey.refused_for", rs.reason))
		}
		if rs.status >= http.StatusInternalServerError {
			rs.span.SetStatus(codes.Error, "")
			rs.span.SetAttributes(attribute.String("error.type", strconv.Itoa(rs.status)))
		}
	}
	rs.span.End()
}

// otherMethod stands for all methods that are not standard ones, as the conventions of OpenTelemetry say.
const otherMethod = "_OTHER"

func spanMethod(method string) string {
	if slices.Contains(standardMethods[:], method) {
		return method
	}
	return otherMethod
}
