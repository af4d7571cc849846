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

// Authorization is the gqlgen extension that holds every operation against the
// rules of the schema, before any of it runs.
//
// The rules of all fields that an operation selects are gathered once, however
// long the lists are that it asks for. Where the principal meets them all, as
// it nearly always does, nothing more is done, and the operation may take the
// short way of package plain. Otherwise a middleware looks at every field as
// it runs: a refused one answers with an error, and the rest is answered.
//
// A mutation is refused as a whole, before it has an effect, when any field is
// refused that is selected of its result: a token must not be issued and its
// secrets then be lost because the result could not be shown.
type Authorization struct{ rules *Rules }

var _ graphql.OperationContextMutator = Authorization{}

// NewAuthorization returns the extension for the rules of the schema that is
// served.
func NewAuthorization(rules *Rules) Authorization { return Authorization{rules} }

// ExtensionName returns the extension's name in gqlgen's messages.
func (Authorization) ExtensionName() string { return "Authorization" }

// Validate accepts any schema: the rules were made from it.
func (Authorization) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext refuses an operation without a principal, and
// installs the middleware where some field is to be refused. Mutations always
// have one, since each is decided on the principal as it is when its turn comes.
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

// refuseAll answers every field of the operation's root with the refusal that
// a missing scope has, so that nothing below them runs. Introspection is for
// everyone.
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

// selected returns the rules of every field that the operation selects, those
// included that @skip and @include leave out this time.
func (r *Rules) selected(op *graphql.OperationContext) ruleSet {
	w := walk{rules: r, doc: op.Doc}
	w.add(op.Operation.SelectionSet)
	return w.found
}

// walk gathers the rules of the fields in selection sets. It goes through each
// fragment once, so that fragments of fragments cannot make it long.
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

// fieldCheck returns the check of a query's fields: each by the rules that it
// has in the type it is a field of.
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

// guardMutations installs the middleware of an operation of mutations. Before
// each mutation it verifies the credential again: the ones before it, or another
// request, may have revoked or changed it. The mutation is refused by the rules
// of all that is selected of its result, and its result is made for the same
// principal.
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

// answered returns the rules of the fields that will be answered of an object:
// those that @skip and @include leave.
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
