package graph

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"latchkey/graph/generated"
	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/bulkhead"
	"latchkey/internal/fault"
	"latchkey/internal/offboard"
	"latchkey/internal/scope"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Config is what the API is made of.
type Config struct {
	Accounts  *account.Service
	Users     *user.Service
	Tokens    *token.Service
	Offboard  *offboard.Service
	Audit     audit.Reader
	Replicas  Replicas
	Catalogue *scope.Catalogue
	// PublicURL is how clients reach the service, without a slash at its end.
	PublicURL string
	Limits    Limits
	Log       *slog.Logger
	// OnError is called with each error of an answer, from the goroutine of its
	// request: the kind of its operation, the root field that it is under, and
	// its code. The first two are empty for a request that was not run, the second
	// for an operation that was refused as a whole. Nil ignores errors.
	OnError func(operation, group string, code fault.Kind)
	// Charge is called with the price of each operation before it runs: how many
	// fields it could answer, walks through users included. With an error the
	// operation is refused. Nil charges nothing.
	Charge func(ctx context.Context, fields int) error
}

// Replicas are the servers that share the database.
type Replicas interface {
	// Confirm asks all of them whether they refuse what was revoked before,
	// and returns what they say. It returns an error if they cannot be asked.
	Confirm(context.Context) (access.Receipt, error)
}

// NewHandler returns the handler of the Account API. It expects requests with
// their principal in the context (package auth), the account they are about as
// the path's value "account_uuid", and X-Request-Id in the answer's header. It
// refuses mutations where the context is read-only (auth.ReadOnly). It returns
// an error for a schema whose fields do not all say who may read them.
func NewHandler(c Config) (http.Handler, error) {
	schema := withoutDefer(generated.NewExecutableSchema(generated.Config{}).Schema())
	rules, err := NewRules(schema)
	if err != nil {
		return nil, err
	}
	documents, err := newDocuments(schema, c.Limits.orDefault())
	if err != nil {
		return nil, err
	}
	introspections, err := newIntrospections()
	if err != nil {
		return nil, err
	}
	if c.Charge == nil {
		c.Charge = func(context.Context, int) error { return nil }
	}
	executable, ok := generated.NewExecutableSchema(generated.Config{Schema: schema, Resolvers: newResolver(c, rules)}).(executable)
	if !ok {
		return nil, errors.New("make GraphQL handler: the generated code has no Run")
	}
	return &handler{
		schema: schema, documents: documents, authorize: NewAuthorization(rules), executable: executable, introspections: introspections, expensive: bulkhead.New(),
		users: c.Users, charge: c.Charge, log: c.Log, onError: c.OnError,
	}, nil
}

// executable runs operations of the schema. The code for it is generated.
type executable interface {
	Run(ctx context.Context, op *graphql.OperationContext) graphql.Marshaler
}

// withoutDefer returns the schema without the directive @defer: gqlgen knows
// it, but its answers in parts are not offered here.
func withoutDefer(schema *ast.Schema) *ast.Schema {
	s := *schema
	s.Directives = make(map[string]*ast.DirectiveDefinition, len(schema.Directives))
	for name, d := range schema.Directives {
		if name != "defer" {
			s.Directives[name] = d
		}
	}
	return &s
}

// handler answers GraphQL over HTTP.
type handler struct {
	schema         *ast.Schema
	documents      *documents
	authorize      Authorization
	executable     executable
	introspections *introspections
	expensive      *bulkhead.Bulkhead
	users          *user.Service
	charge         func(ctx context.Context, fields int) error
	log            *slog.Logger
	onError        func(operation, group string, code fault.Kind)
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	by, err := auth.From(r.Context())
	if err != nil {
		WriteError(w, r, err)
		return
	}
	a := newAnswer(w)
	defer a.release()
	run := &run{handler: h, started: started, requestID: a.requestID}
	if refused := run.request(a, r, by); refused != nil {
		run.count(refused.problems)
		a.refuse(refused)
		return
	}
	run.count(run.problems)
	if run.writes.unavailable() {
		// As for a credential that cannot be looked up: errors, and no data.
		w.Header()["Retry-After"] = []string{"1"}
		a.write(http.StatusServiceUnavailable, run.problems, nil)
		return
	}
	a.write(http.StatusOK, run.problems, run.data)
}

// request reads a request and runs its operation, or says why it is not run.
func (r *run) request(a *answer, req *http.Request, by *auth.Principal) *refusal {
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
	if refused := heldBack(req.Context(), op); refused != nil {
		return refused
	}
	stranger := isStranger(by, req.PathValue("account_uuid"))
	if stranger {
		cost.walks = 0 // of an account that is not its own it looks at nothing
	}
	total, refused := r.afford(req.Context(), by, cost)
	if refused != nil {
		return refused
	}
	if total > expensive && op.Operation.Operation == ast.Query {
		op.ResolverMiddleware = r.inTurn(by.AccountID)
	}
	r.op = op.Operation
	r.execute(req.Context(), op, by, stranger)
	return nil
}

// heldBack refuses what changes something where nothing may be changed
// (auth.ReadOnly). It looks at the very operation that would run.
func heldBack(ctx context.Context, op *graphql.OperationContext) *refusal {
	if op.Operation.Operation == ast.Query {
		return nil
	}
	why := auth.MayWrite(ctx)
	if why == nil {
		return nil
	}
	return &refusal{status: statusOf(why.Kind), problems: []problem{{Error: why}}}
}

// isStranger reports whether the principal has no business at the account's
// API: it belongs to another account, or its token is for one store only.
func isStranger(by *auth.Principal, accountUUID string) bool {
	const canonical = len("00000000-0000-0000-0000-000000000000")
	if by.StoreID != uuid.Nil || by.AccountID == uuid.Nil || len(accountUUID) != canonical {
		return true
	}
	id, err := uuid.Parse(accountUUID)
	return err != nil || id != by.AccountID
}

// prepare turns a request into the operation to run and its price, or says why
// it is not run.
func (h *handler) prepare(method string, p params) (*graphql.OperationContext, price, *refusal) {
	doc, refused := h.documents.get(p.query)
	if refused != nil {
		return nil, price{}, refused
	}
	op, refused := doc.operation(p.operationName)
	if refused != nil {
		return nil, price{}, refused
	}
	if method == http.MethodGet && op.Operation != ast.Query {
		return nil, price{}, notOverGET()
	}
	variables, refused := variableValues(h.schema, op, p.variables)
	if refused != nil {
		return nil, price{}, refused
	}
	cost, refused := op.check(variables, h.documents.limits)
	if refused != nil {
		return nil, price{}, refused
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

// rootMiddleware returns the middleware of an operation's root fields.
func (h *handler) rootMiddleware(op *operation) graphql.RootFieldMiddleware {
	if op.introspects {
		return h.introspections.middleware()
	}
	return func(ctx context.Context, next graphql.RootResolver) graphql.Marshaler { return next(ctx) }
}

// run is one operation while it runs, and what came of it.
type run struct {
	*handler
	started   time.Time
	requestID string
	// op is the operation, nil until it runs.
	op *ast.OperationDefinition
	// writes are the fields of a mutation that ran.
	writes writes
	// logged are the causes of failures that the log has.
	logged []string

	data     graphql.Marshaler
	problems []problem
}

func (r *run) execute(ctx context.Context, op *graphql.OperationContext, by *auth.Principal, stranger bool) {
	recovered := r.recovered
	op.RecoverFunc = recovered
	ctx = graphql.WithOperationContext(ctx, op)
	if op.Operation.Operation == ast.Mutation {
		op.ResolverMiddleware = r.writes.run
		defer r.writes.release()
	}
	if stranger {
		refuseAll(op)
	} else if err := r.authorize.MutateOperationContext(ctx, op); err != nil {
		r.problems = r.explain(ctx, gqlerror.List{err})
		return
	}
	ctx = graphql.WithResponseContext(ctx, present, recovered)
	r.data = r.executable.Run(ctx, op)
	r.problems = r.explain(ctx, graphql.GetErrors(ctx))
}

// explain turns what went wrong into what is told of it, and logs what is our
// own failure.
func (r *run) explain(ctx context.Context, errs gqlerror.List) []problem {
	var told []problem
	for _, e := range errs {
		cause := e.Err
		if cause == nil {
			cause = e
		}
		for _, f := range fault.Flatten(cause) {
			if f.Kind == fault.Internal {
				f = r.internal(ctx, f, e.Path)
			}
			told = append(told, problem{f, e.Path, e.Locations})
		}
	}
	return told
}
