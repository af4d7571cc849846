package tracing

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// RequestIDKey is the key of a request's ID in its context. The value is a *string, so that a lookup does not allocate.
type RequestIDKey struct{}

// requestID is the attribute with a request's ID.
const requestID = "request_id"

// logHandler adds the IDs of the request and the trace of the context.
type logHandler struct{ slog.Handler }

// NewLogHandler returns a handler that adds to each record the attribute request_id, if the context belongs to a
// request and the record does not have it, and the attributes trace_id and span_id, if the context belongs to a span.
func NewLogHandler(h slog.Handler) slog.Handler { return logHandler{h} }

// Handle implements slog.Handler.
func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	id, _ := ctx.Value(RequestIDKey{}).(*string)
	span := trace.SpanContextFromContext(ctx)
	if id == nil && !span.IsValid() {
		return h.Handler.Handle(ctx, r)
	}
	r = r.Clone()
	if id != nil && !has(r, requestID) {
		r.AddAttrs(slog.String(requestID, *id))
	}
	if span.IsValid() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func has(r slog.Record, key string) bool {
	found := false
	r.Attrs(func(a slog.Attr) bool {
		found = a.Key == key
		return !found
	})
	return found
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h logHandler) WithGroup(name string) slog.Handler { return logHandler{h.Handler.WithGroup(name)} }
