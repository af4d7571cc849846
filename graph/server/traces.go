package server

import (
	"context"
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"latchkey/internal/fault"
)

// maxTracedName is the maximum length of an operation's name in a span. Clients choose the names; no secret is so
// short.
const maxTracedName = 40

// trace starts the span of an operation, if operations are recorded. It returns the request with the span in its
// context, and the function that ends the span. The span has neither the document nor variables.
func (r *run) trace(req *http.Request, op *graphql.OperationContext) (traced *http.Request, end func()) {
	if r.tracer == nil {
		return req, func() {}
	}
	operation := string(op.Operation.Operation)
	attributes := []attribute.KeyValue{attribute.String("graphql.operation.type", operation)}
	if name := op.Operation.Name; name != "" && len(name) <= maxTracedName {
		attributes = append(attributes, attribute.String("graphql.operation.name", name))
	}
	ctx, span := r.tracer.Start(req.Context(), operation, trace.WithAttributes(attributes...))
	return req.WithContext(ctx), func() {
		fail(span, r.problems)
		span.End()
	}
}

// fail records the first error of the server in a span. Errors of clients are no failures.
func fail(span trace.Span, problems []problem) {
	for _, p := range problems {
		if p.Kind == fault.Internal {
			span.SetStatus(codes.Error, "")
			span.SetAttributes(attribute.String("error.type", string(p.Kind)))
			return
		}
	}
}

// traceResolvers makes the operation record a span for each field that has a resolver. Its name has the names of the
// schema, not the aliases, which clients choose.
func (h *Handler) traceResolvers(op *graphql.OperationContext) {
	if h.tracer == nil {
		return
	}
	next := op.ResolverMiddleware
	op.ResolverMiddleware = func(ctx context.Context, resolve graphql.Resolver) (any, error) {
		fc := graphql.GetFieldContext(ctx)
		if fc == nil || !fc.IsResolver {
			return next(ctx, resolve)
		}
		ctx, span := h.tracer.Start(ctx, fc.Object+"."+fc.Field.Name)
		defer span.End()
		result, err := next(ctx, resolve)
		if kind := fault.KindOf(err); kind != "" {
			span.SetAttributes(attribute.String("error.type", string(kind)))
			if kind == fault.Internal {
				span.SetStatus(codes.Error, "")
			}
		}
		return result, err
	}
}
