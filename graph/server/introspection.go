package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/99designs/gqlgen/graphql"
	"github.com/maypok86/otter/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// maxIntrospections bounds the size of the cache, in bytes. The response to
// GraphiQL's query has about 200 KB.
const maxIntrospections = 4 << 20

// introspections caches the results of __schema and __type. The schema does not
// change while the process runs, so the same selection has the same result. It is
// safe for concurrent use.
type introspections struct {
	cache *otter.Cache[selectionKey, introspected]
}

// selectionKey is the digest of a field's selection in normal form, with
// variables replaced by their values.
type selectionKey [sha256.Size]byte

// introspected is a result in JSON. It must not be changed.
type introspected []byte

// MarshalGQL writes the result.
func (i introspected) MarshalGQL(w io.Writer) {
	// A Marshaler cannot return an error; the caller checks w.
	_, _ = w.Write(i)
}

func newIntrospections() (*introspections, error) {
	cache, err := otter.New(&otter.Options[selectionKey, introspected]{
		MaximumWeight: maxIntrospections,
		Weigher:       func(key selectionKey, answer introspected) uint32 { return uint32(len(key) + len(answer)) },
	})
	return &introspections{cache}, err
}

// middleware returns the middleware for the root fields of one request. It
// resolves each introspection selection once and caches the result. The
// introspection fields of the root are resolved one after the other.
func (i *introspections) middleware() graphql.RootFieldMiddleware {
	resolved := map[selectionKey]introspected{}
	return func(ctx context.Context, resolve graphql.RootResolver) graphql.Marshaler {
		field := graphql.GetRootFieldContext(ctx).Field
		if !isIntrospection(field.Name) {
			return resolve(ctx)
		}
		key := keyOf(field, graphql.GetOperationContext(ctx).Variables)
		answer, ok := resolved[key]
		if !ok {
			answer, ok = i.cache.GetIfPresent(key)
		}
		if ok {
			return answer
		}
		before := len(graphql.GetErrors(ctx))
		m := resolve(ctx)
		if m == graphql.Null || m == graphql.RequiredNull || len(graphql.GetErrors(ctx)) > before {
			return m
		}
		var out bytes.Buffer
		m.MarshalGQL(&out)
		answer = bytes.Clone(out.Bytes())
		resolved[key] = answer
		i.cache.Set(key, answer)
		return answer
	}
}

// keyOf returns the cache key of a field: its name, arguments and selection, but
// not its alias. Limits.Complexity bounds the number of selections with fragments
// expanded.
func keyOf(field graphql.CollectedField, variables map[string]any) selectionKey {
	h := sha256.New()
	normal{h, variables}.field(field.Name, field.Arguments, field.Selections)
	return selectionKey(h.Sum(nil))
}

// normal writes selections in normal form: without white space, comments and
// fragment names, and with values instead of variables.
type normal struct {
	io.Writer
	variables map[string]any
}

func (n normal) set(selections ast.SelectionSet) {
	n.text("{")
	for _, selection := range selections {
		switch s := selection.(type) {
		case *ast.Field:
			n.text(s.Alias + ":")
			n.directives(s.Directives)
			n.field(s.Name, s.Arguments, s.SelectionSet)
		case *ast.InlineFragment:
			n.text("..." + s.TypeCondition)
			n.directives(s.Directives)
			n.set(s.SelectionSet)
		case *ast.FragmentSpread:
			n.text("..." + s.Definition.TypeCondition)
			n.directives(s.Directives)
			n.set(s.Definition.SelectionSet)
		}
	}
	n.text("}")
}

func (n normal) field(name string, arguments ast.ArgumentList, selections ast.SelectionSet) {
	n.text(name)
	n.arguments(arguments)
	n.set(selections)
}

func (n normal) directives(list ast.DirectiveList) {
	for _, d := range list {
		n.text("@" + d.Name)
		n.arguments(d.Arguments)
	}
}

func (n normal) arguments(list ast.ArgumentList) {
	n.text("(")
	for _, a := range list {
		value, _ := a.Value.Value(n.variables) // the document is valid; the resolver reports any error
		_, _ = fmt.Fprintf(n, "%s:%#v,", a.Name, value)
	}
	n.text(")")
}

// text writes to a hash, which does not fail.
func (n normal) text(s string) { _, _ = io.WriteString(n, s) }
