// Package server serves GraphQL over HTTP. It negotiates media types, reads
// requests, parses, validates and caches documents, coerces variables, limits
// and prices operations, runs them, and writes the responses. What depends on the
// schema or the caller is in Config.
package server

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"go.opentelemetry.io/otel/trace"

	"latchkey/internal/fault"
)

// Config holds the schema and its rules. All fields but Limits, OnError,
// OnOperation and Traces are required.
type Config struct {
	Schema Schema
	Limits Limits
	// PageSize and MaxPageSize are the default and the largest size of a page.
	PageSize, MaxPageSize int
	// Coerce returns the value of the named scalar for v, a value as encoding/json
	// decodes it with UseNumber. It returns fault.Invalid for other values.
	Coerce func(name string, v any) (any, error)
	// Surcharge returns what a field costs in addition to the fields that it
	// returns. variables are nil if the operation declares none.
	Surcharge func(f *ast.Field, variables map[string]any) Cost
	// Items returns the number of elements of the list "items" in the result of a
	// field that has one for each element of its input, and otherwise 0.
	Items func(f *ast.Field, variables map[string]any) int
	// Loads returns the least price of each element of a page, or of each of Items,
	// that a field loads also if it is not selected. It returns 0 for a field that
	// loads neither.
	Loads func(f *ast.Field) int
	// Lists are the largest numbers of elements of lists that are no pages, by name. Others
	// count as the default page, and all as one element within an item.
	Lists map[string]int
	// Admit is called with each operation and its cost before it runs, and may
	// add middleware to it. If it returns an error, the operation does not run.
	// If finish is not nil, it is called after the operation has run; it reports
	// whether the response is 503 Service Unavailable, without data.
	Admit func(r *http.Request, op *graphql.OperationContext, cost Cost) (finish func() (unavailable bool), err error)
	Log   *slog.Logger
	// OnError is called with each error of a response, in the goroutine of the
	// request. operation and group are the operation's type and the root field of
	// the error. Both are empty for a request that was not executed. Nil ignores
	// errors.
	OnError func(operation, group string, code fault.Kind)
	// OnOperation is called with the type of each operation that was executed, in the
	// goroutine of the request. Nil ignores them.
	OnOperation func(operation string)
	// Traces records operations, and the fields that have a resolver. Nil records
	// none.
	Traces trace.TracerProvider
}

// Schema is a schema that runs operations. gqlgen generates it, with the
// template of tools/graphgen.
type Schema interface {
	Schema() *ast.Schema
	Run(ctx context.Context, op *graphql.OperationContext) graphql.Marshaler
}

// Handler answers GraphQL requests. They must have X-Request-Id in the response
// header. It is safe for concurrent use.
type Handler struct {
	config         Config
	schema         *ast.Schema
	documents      *documents
	introspections *introspections
	tracer         trace.Tracer // nil if operations are not recorded
}

// New returns a Handler.
func New(c Config) (*Handler, error) {
	c.Limits = c.Limits.WithDefaults()
	schema := c.Schema.Schema()
	documents, err := newDocuments(schema, c)
	if err != nil {
		return nil, err
	}
	introspections, err := newIntrospections()
	if err != nil {
		return nil, err
	}
	h := &Handler{config: c, schema: schema, documents: documents, introspections: introspections}
	if c.Traces != nil {
		h.tracer = c.Traces.Tracer("latchkey/graph/server")
	}
	return h, nil
}

// ServeHTTP handles one GraphQL request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	a := newAnswer(w)
	defer a.release()
	run := &run{Handler: h, started: started, requestID: a.requestID}
	if refused := run.request(a, r); refused != nil { //nolint:contextcheck // the context is the request's
		run.count(refused.problems)
		a.refuse(refused)
		return
	}
	run.count(run.problems)
	if h.config.OnOperation != nil {
		h.config.OnOperation(string(run.op.Operation))
	}
	if run.unavailable {
		// Errors without data, as when a credential cannot be looked up.
		w.Header()["Retry-After"] = []string{"1"}
		a.write(http.StatusServiceUnavailable, run.problems, nil)
		return
	}
	a.write(http.StatusOK, run.problems, run.data)
}

// run is the execution of one operation, and its result.
type run struct {
	*Handler
	started   time.Time
	requestID string
	// op is the operation. It is nil before the operation runs.
	op *ast.OperationDefinition
	// unavailable reports whether the operation had no effect and no result because
	// the database does not respond.
	unavailable bool
	// logged are the causes of internal errors that have been logged.
	logged []string

	data     graphql.Marshaler
	problems []problem
}

// request decodes a request and runs its operation. It returns a refusal if the
// operation does not run.
func (r *run) request(a *answer, req *http.Request) *refusal {
	media, ok := negotiate(req.Header["Accept"])
	a.media = media
	if !ok {
		return notAcceptable()
	}
	params, refused := readRequest(req, &a.body)
	if refused != nil {
		return refused
	}
	op, cost, refused := r.prepare(req.Method, params)
	if refused != nil {
		return refused
	}
	req, end := r.trace(req, op)
	defer end()
	finish, err := r.config.Admit(req, op, cost)
	if err != nil {
		return notAdmitted(err)
	}
	if finish != nil { // also after a panic: it releases what Admit took
		defer func() { r.unavailable = finish() || r.unavailable }()
	}
	r.traceResolvers(op)
	r.execute(req.Context(), op)
	return nil
}

// prepare returns the operation of a request and its cost, or a refusal.
func (h *Handler) prepare(method string, p params) (*graphql.OperationContext, Cost, *refusal) {
	doc, refused := h.documents.get(p.query)
	if refused != nil {
		return nil, Cost{}, refused
	}
	op, refused := doc.operation(p.operationName)
	if refused != nil {
		return nil, Cost{}, refused
	}
	if method == http.MethodGet && op.Operation != ast.Query {
		return nil, Cost{}, notOverGET()
	}
	variables, refused := h.variableValues(op, p.variables)
	if refused != nil {
		return nil, Cost{}, refused
	}
	cost, refused := h.price(op, variables)
	if refused != nil {
		return nil, Cost{}, refused
	}
	query, definition := doc.QueryDocument, op.OperationDefinition
	if op.leavesOut(variables) {
		o := omission{variables}
		query, definition = o.document(query), o.operation(definition)
	}
	return &graphql.OperationContext{
		RawQuery:               p.query,
		OperationName:          p.operationName,
		Variables:              variables,
		Doc:                    query,
		Operation:              definition,
		ResolverMiddleware:     func(ctx context.Context, next graphql.Resolver) (any, error) { return next(ctx) },
		RootResolverMiddleware: h.rootMiddleware(op),
	}, cost, nil
}

// rootMiddleware returns the middleware for the root fields of an operation.
func (h *Handler) rootMiddleware(op *operation) graphql.RootFieldMiddleware {
	if op.introspects {
		return h.introspections.middleware()
	}
	return func(ctx context.Context, next graphql.RootResolver) graphql.Marshaler { return next(ctx) }
}

func (r *run) execute(ctx context.Context, op *graphql.OperationContext) {
	r.op = op.Operation
	recovered := r.recovered
	op.RecoverFunc = recovered
	ctx = graphql.WithOperationContext(ctx, op)
	ctx = graphql.WithResponseContext(ctx, present, recovered)
	r.data = r.config.Schema.Run(ctx, op)
	r.problems = r.explain(ctx, graphql.GetErrors(ctx))
}
