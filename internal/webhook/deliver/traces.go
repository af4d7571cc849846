package deliver

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"latchkey/internal/webhook"
)

// tracing records attempts. Each begins a trace: the request that caused the event ended before, perhaps on another
// server. The attributes have the receiver's host, and not the rest of its URL, which can have a secret.
type tracing struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
}

// newTracing returns nil if attempts are not recorded.
func newTracing(c SenderConfig) *tracing {
	if c.Traces == nil {
		return nil
	}
	return &tracing{c.Traces.Tracer("latchkey/internal/webhook/deliver"), c.TraceContext}
}

// begin starts the span of an attempt. end ends it with the attempt's result.
func (t *tracing) begin(ctx context.Context, j Job) (traced context.Context, end func(result, error)) {
	if t == nil {
		return ctx, func(result, error) {}
	}
	attributes := []attribute.KeyValue{
		attribute.String("latchkey.webhook.id", j.Webhook.ID.String()),
		attribute.String("latchkey.event.id", EventID(j.Event)),
	}
	if j.Webhook.Kind != webhook.EventBridge {
		attributes = append(attributes, attribute.String("http.request.method", http.MethodPost))
		if u, err := url.Parse(j.Webhook.URL); err == nil {
			attributes = append(attributes, attribute.String("server.address", u.Hostname()),
				attribute.String("url.scheme", u.Scheme))
		}
	}
	ctx, span := t.tracer.Start(ctx, "webhook attempt", trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attributes...))
	return ctx, func(r result, err error) {
		if r.status != 0 {
			span.SetAttributes(attribute.Int("http.response.status_code", r.status))
		}
		switch {
		case err != nil || r.failure != "" && r.status == 0:
			span.SetStatus(codes.Error, "")
			span.SetAttributes(attribute.String("error.type", "_OTHER"))
		case r.failure != "":
			span.SetStatus(codes.Error, "")
			span.SetAttributes(attribute.String("error.type", strconv.Itoa(r.status)))
		}
		span.End()
	}
}

// inject adds the header traceparent. It is not part of what is signed.
func (t *tracing) inject(ctx context.Context, h http.Header) {
	if t != nil {
		t.propagator.Inject(ctx, propagation.HeaderCarrier(h))
	}
}
