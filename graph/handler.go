package graph

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"
	"go.opentelemetry.io/otel/trace"

	"latchkey/graph/generated"
	"latchkey/graph/scalar"
	"latchkey/graph/server"
	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/bulkhead"
	"latchkey/internal/eventsource"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/token"
	"latchkey/internal/user"
	"latchkey/internal/webhook"
)

// Config holds the dependencies and settings of the API.
type Config struct {
	Accounts    *account.Service
	Users       *user.Service
	Tokens      *token.Service
	Memberships *membership.Service
	Audit       audit.Reader
	Webhooks    *webhook.Service
	Events      *webhook.Events
	// EventSources are the event sources of apps.
	EventSources *eventsource.Service
	Billing      *billing.Service
	// Runner moves the test clock of billing.
	Runner    *billing.Runner
	Replicas  Replicas
	Catalogue *scope.Catalogue
	// PublicURL is the base URL of the service, without a trailing slash.
	PublicURL string
	Limits    server.Limits
	Log       *slog.Logger
	// OnError is called with each error of a response; see server.Config.
	OnError func(operation, group string, code fault.Kind)
	// OnOperation is called with the type of each executed operation; see server.Config.
	OnOperation func(operation string)
	// Traces records operations and resolvers; see server.Config.
	Traces trace.TracerProvider
	// Charge is called with the cost of each operation before it runs: the number
	// of fields that it could return, plus the cost of scans. If it returns an
	// error, the operation does not run. Nil charges nothing.
	Charge func(ctx context.Context, fields int) error
}

// Replicas are the replicas of the service that share the database.
type Replicas interface {
	// Confirm asks all replicas whether they refuse the tokens that were revoked
	// before the call, and returns their acknowledgements. It returns an error
	// if the replicas cannot be asked.
	Confirm(context.Context) (access.Receipt, error)
}

// NewHandler returns the handler of the Account API. Requests must have their
// principal in the context (package auth), the account's UUID as the path value
// "account_uuid", and X-Request-Id in the response header. The handler refuses
// mutations if the context is read-only (auth.ReadOnly). NewHandler returns an
// error if a field of the schema has no authorization rule.
func NewHandler(c Config) (http.Handler, error) {
	schema, rules, err := newSchema(c)
	if err != nil {
		return nil, err
	}
	runs, ok := schema.(server.Schema)
	if !ok {
		return nil, errors.New("make GraphQL handler: the generated code has no Run")
	}
	a := admission{
		authorization: NewAuthorization(rules), users: c.Users, charge: c.Charge,
		complexity: c.Limits.WithDefaults().Complexity, expensive: bulkhead.New(bulkhead.HalfTheProcessors()),
		operations: bulkhead.Bounded(1, mostExpensive, 0),
	}
	handler, err := server.New(server.Config{
		Schema: runs, Limits: c.Limits, PageSize: paging.DefaultSize, MaxPageSize: paging.MaxSize,
		Coerce: scalar.Coerce, Surcharge: surcharge, Items: bulkItems, Loads: loads,
		Lists: lists, Admit: a.admit, Log: c.Log, OnError: c.OnError, OnOperation: c.OnOperation,
		Traces: c.Traces,
	})
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := auth.From(r.Context()); err != nil {
			server.WriteError(w, r, err)
			return
		}
		handler.ServeHTTP(w, r)
	}), nil
}

// newSchema returns the executable schema and its authorization rules.
func newSchema(c Config) (graphql.ExecutableSchema, *Rules, error) {
	definitions := withoutDefer(generated.NewExecutableSchema(generated.Config{}).Schema())
	rules, err := NewRules(definitions)
	if err != nil {
		return nil, nil, err
	}
	return generated.NewExecutableSchema(generated.Config{
		Schema: definitions, Resolvers: newResolver(c, rules),
	}), rules, nil
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

// admission decides which operations run, and adds middleware to them.
type admission struct {
	authorization Authorization
	users         *user.Service
	charge        func(ctx context.Context, fields int) error
	// complexity is the complexity limit.
	complexity int
	// operations holds the expensive operations, and expensive their resolvers.
	operations, expensive *bulkhead.Bulkhead
}

// admit is server.Config.Admit.
func (a *admission) admit(
	r *http.Request, op *graphql.OperationContext, cost server.Cost,
) (finish func() (unavailable bool), err error) {
	ctx := r.Context()
	by, err := auth.From(ctx)
	if err != nil {
		return nil, err
	}
	isQuery := op.Operation.Operation == ast.Query
	if !isQuery {
		if err := auth.MayWrite(ctx); err != nil {
			return nil, err
		}
	}
	stranger := isStranger(by, r.PathValue("account_uuid"))
	if stranger {
		cost.Scans = 0 // it reads no data of the account
	}
	total, err := a.afford(ctx, by, cost)
	if err != nil {
		return nil, err
	}
	if isQuery && total > expensive {
		op.ResolverMiddleware = a.inTurn(by.AccountID)
	}
	if !isQuery {
		w := &writes{}
		op.ResolverMiddleware, finish = w.run, w.finish
	}
	if stranger {
		refuseAll(op)
		return finish, nil
	}
	if err := a.authorization.MutateOperationContext(ctx, op); err != nil {
		return nil, err
	}
	if total <= expensive {
		return finish, nil
	}
	leave, err := a.alone(ctx, by.AccountID)
	if err != nil {
		return nil, err
	}
	end := finish
	return func() bool {
		defer leave()
		return end != nil && end()
	}, nil
}

// isStranger reports whether the principal cannot use the account's API: it
// belongs to another account, or it is a store-level token.
func isStranger(by *auth.Principal, accountUUID string) bool {
	const canonical = len("00000000-0000-0000-0000-000000000000")
	if by.StoreID != uuid.Nil || by.AccountID == uuid.Nil || len(accountUUID) != canonical {
		return true
	}
	id, err := uuid.Parse(accountUUID)
	return err != nil || id != by.AccountID
}
