package graph

import (
	"context"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"latchkey/graph/plain"
	"latchkey/internal/auth"
)

// Authorization is the gqlgen extension that checks every operation against the
// rules of the schema before it runs.
//
// It collects the rules of all selected fields once, independent of the length
// of lists. If the principal meets all of them, which is the common case, it does
// nothing more, and the operation can use the fast path of package plain.
// Otherwise a middleware checks each field as it runs: a denied field returns an
// error, and the other fields are resolved.
//
// A mutation is denied as a whole, before it has an effect, if any selected
// field of its result is denied. Otherwise a token could be issued and its secrets
// lost because the result cannot be returned.
type Authorization struct{ rules *Rules }

var _ graphql.OperationContextMutator = Authorization{}

// NewAuthorization returns the extension for the rules of the served schema.
func NewAuthorization(rules *Rules) Authorization { return Authorization{rules} }

// ExtensionName returns the name that gqlgen uses in its messages.
func (Authorization) ExtensionName() string { return "Authorization" }

// Validate returns nil: NewRules has checked the schema.
func (Authorization) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext returns an error for an operation without a principal,
// and installs the middleware if a field is denied. Mutations always have the
// middleware: each one is authorized when it runs, with the principal's
// permissions at that time.
func (a Authorization) MutateOperationContext(ctx context.Context, op *graphql.OperationContext) *gqlerror.Error {
	by, err := auth.From(ctx)
	if err != nil {
		return gqlerror.Wrap(err)
	}
	selected := a.rules.selected(op)
	allowed := a.rules.denied(selected, by) == 0
	if allowed {
		plain.Allow(op)
	}
	if op.Operation.Operation == ast.Mutation {
		a.rules.guardMutations(op, selected)
		return nil
	}
	if allowed {
		return nil
	}
	check := a.rules.fieldCheck(by)
	next := op.ResolverMiddleware
	op.ResolverMiddleware = func(ctx context.Context, resolve graphql.Resolver) (any, error) {
		if err := check(graphql.GetFieldContext(ctx)); err != nil {
			return nil, err
		}
		return next(ctx, resolve)
	}
	return nil
}

// refuseAll denies every root field, as for a missing scope, so that no field
// below them runs. Introspection fields are always allowed.
func refuseAll(op *graphql.OperationContext) {
	next := op.ResolverMiddleware
	op.ResolverMiddleware = func(ctx context.Context, resolve graphql.Resolver) (any, error) {
		fc := graphql.GetFieldContext(ctx)
		if strings.HasPrefix(fc.Field.Name, "__") || strings.HasPrefix(fc.Object, "__") {
			return next(ctx, resolve)
		}
		return nil, auth.Denied()
	}
}

// selected returns the rules of every field that the operation selects,
// including those that @skip and @include omit from this response.
func (r *Rules) selected(op *graphql.OperationContext) ruleSet {
	w := walk{rules: r, doc: op.Doc}
	w.add(op.Operation.SelectionSet)
	return w.found
}

// walk collects the rules of the fields in selection sets. It visits each
// fragment once, so nested fragments cannot make it slow.
type walk struct {
	rules *Rules
	doc   *ast.QueryDocument
	seen  map[string]bool
	found ruleSet
}

func (w *walk) add(set ast.SelectionSet) {
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			w.found |= w.rules.of(s)
			w.add(s.SelectionSet)
		case *ast.InlineFragment:
			w.add(s.SelectionSet)
		case *ast.FragmentSpread:
			w.addFragment(s.Name)
		}
	}
}

func (w *walk) addFragment(name string) {
	if w.seen[name] {
		return
	}
	if w.seen == nil {
		w.seen = map[string]bool{}
	}
	w.seen[name] = true
	if f := w.doc.Fragments.ForName(name); f != nil {
		w.add(f.SelectionSet)
	}
}

// fieldCheck returns the check of a query's fields. A field is checked by its
// rules in the concrete object type.
func (r *Rules) fieldCheck(by *auth.Principal) func(*graphql.FieldContext) error {
	return func(fc *graphql.FieldContext) error {
		if fc.Field.Name == "__typename" {
			return nil
		}
		set := unknown
		if def := r.schema.Types[fc.Object]; def != nil {
			if known, ok := r.fields[def.Fields.ForName(fc.Field.Name)]; ok {
				set = known
			}
		}
		return r.refusal(set, by)
	}
}

// guardMutations installs the middleware of a mutation operation. Before each
// mutation field it verifies the credential again, because an earlier field or
// another request may have revoked or changed it. The field is denied by its own
// rules and by those of the selected fields of its result. The result is resolved
// with the same principal.
func (r *Rules) guardMutations(op *graphql.OperationContext, selected ruleSet) {
	next := op.ResolverMiddleware
	op.ResolverMiddleware = func(ctx context.Context, resolve graphql.Resolver) (any, error) {
		fc := graphql.GetFieldContext(ctx)
		if !r.groups[fc.Object] {
			return next(ctx, resolve)
		}
		ctx, err := auth.Renew(ctx)
		if err != nil {
			return nil, err
		}
		by, err := auth.From(ctx)
		if err != nil {
			return nil, err
		}
		if r.denied(selected, by) != 0 {
			if err := r.refusal(r.of(fc.Field.Field)|r.answered(op, fc.Field), by); err != nil {
				return nil, err
			}
		}
		return next(ctx, resolve)
	}
}

// answered returns the rules of an object's fields in the response, without
// those that @skip and @include omit.
func (r *Rules) answered(op *graphql.OperationContext, of graphql.CollectedField) ruleSet {
	var set ruleSet
	def := r.schema.Types[of.Definition.Type.Name()]
	if def == nil || !def.IsCompositeType() {
		return 0
	}
	for _, object := range r.schema.GetPossibleTypes(def) {
		conditions := append([]string{object.Name}, object.Interfaces...)
		for _, f := range graphql.CollectFields(op, of.Selections, conditions) {
			set |= r.of(f.Field) | r.answered(op, f)
		}
	}
	return set
}
