package graph

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// writes are the fields of a mutation that write: those of the root's objects,
// "createApiToken" of "apiToken" for example. It is safe for concurrent use.
type writes struct {
	mu sync.Mutex
	// succeeded counts fields without an error, and failed those for which the
	// database was unavailable.
	succeeded, failed int
	cancels           []context.CancelFunc
}

// bulks are the fields that make many changes, each slice of which has
// auth.WriteTimeout by itself (package offboard).
var bulks = []string{"provisionUsers", "deprovisionUsers"}

// run is a resolver middleware that bounds the fields that write by
// auth.WriteTimeout. Their results are read under the same bound.
func (w *writes) run(ctx context.Context, next graphql.Resolver) (any, error) {
	const root = "Mutation"
	fc := graphql.GetFieldContext(ctx)
	if fc.Object == root || fc.Parent == nil || fc.Parent.Object != root {
		return next(ctx)
	}
	limited, cancel := boundWrite(ctx, fc.Field.Name)
	result, err := next(limited)
	err = auth.Unconfirmed(ctx, limited, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancels = append(w.cancels, cancel)
	switch {
	case err == nil:
		w.succeeded++
	case errors.Is(err, fault.ErrUnavailable):
		w.failed++
	}
	return result, err
}

func boundWrite(ctx context.Context, field string) (context.Context, context.CancelFunc) {
	if slices.Contains(bulks, field) {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, auth.WriteTimeout)
}

// release frees the timers, once the results are read.
func (w *writes) release() {
	for _, cancel := range w.cancels {
		cancel()
	}
}

// unavailable reports whether the database was unavailable for a field, and no
// other field succeeded: the whole request can be sent again. Where one did, the
// answer tells which.
func (w *writes) unavailable() bool { return w.failed > 0 && w.succeeded == 0 }

// count reports the errors of an answer to Config.OnError.
func (r *run) count(problems []problem) {
	if r.onError == nil {
		return
	}
	for _, p := range problems {
		var operation, group string
		if r.op != nil {
			operation = string(r.op.Operation)
			if len(p.path) > 0 {
				group = rootField(r.op.SelectionSet, p.path[0])
			}
		}
		r.onError(operation, group, p.Kind)
	}
}

// rootField returns the name of the field that is answered under an alias. The
// alias is the client's choice, and the name one of the schema's.
func rootField(set ast.SelectionSet, alias ast.PathElement) string {
	for _, selection := range set {
		var name string
		switch s := selection.(type) {
		case *ast.Field:
			if ast.PathName(s.Alias) == alias {
				return s.Name
			}
		case *ast.InlineFragment:
			name = rootField(s.SelectionSet, alias)
		case *ast.FragmentSpread:
			name = rootField(s.Definition.SelectionSet, alias)
		}
		if name != "" {
			return name
		}
	}
	return ""
}
