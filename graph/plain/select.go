package plain

import (
	"slices"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// Types describes the plain fields of every object type, by the type's name.
type Types map[string]Type

// Type describes the plain fields of one object type.
type Type struct {
	// Conditions are the type conditions that match the type: its own name and
	// those of its interfaces.
	Conditions []string
	// Fields are the plain fields by name. Other fields need a resolver.
	Fields map[string]Field
}

// Field describes a plain field.
type Field struct {
	// Number identifies the field in generated code. Numbers begin at 1.
	Number int
	// Object is the type of the object or objects in the field, empty for a
	// scalar or an enum.
	Object string
}

// Typename is the number of the field __typename, which every type has.
const Typename = 0

// Selection is the selected fields of an object, in the order of the response.
type Selection []Selected

// Selected is one selected field.
type Selected struct {
	// Key is the text before the value: brace or comma, name and colon.
	Key []byte
	// Number is the number of the field.
	Number int
	// Sub is the selection of the object or objects in the field.
	Sub Selection
}

// Select returns the operation's selection of an object of the named type. It
// reports false if the selection has other than plain fields, or if the operation
// is not allowed on the fast path.
func (t Types) Select(op *graphql.OperationContext, name string, set ast.SelectionSet) (Selection, bool) {
	if op.Stats.GetExtension(extension) == nil {
		return nil, false
	}
	return t.compile(op, name, set)
}

func (t Types) compile(op *graphql.OperationContext, name string, set ast.SelectionSet) (Selection, bool) {
	typ := t[name]
	collected := graphql.CollectFields(op, set, typ.Conditions)
	out := make(Selection, 0, len(collected))
	for i := range collected {
		f := &collected[i]
		if slices.ContainsFunc(collected[:i],
			func(other graphql.CollectedField) bool { return other.Alias == f.Alias }) {
			continue // like gqlgen, use the first of two fields that were not merged
		}
		if len(f.Deferrables) > 0 {
			return nil, false
		}
		field, ok := typ.Fields[f.Name]
		if !ok && f.Name != "__typename" {
			return nil, false
		}
		selected := Selected{Key: key(len(out) == 0, f.Alias), Number: field.Number}
		if field.Object != "" {
			if selected.Sub, ok = t.compile(op, field.Object, f.Selections); !ok {
				return nil, false
			}
		}
		out = append(out, selected)
	}
	return out, true
}

// key needs no escaping: a name in GraphQL is letters, digits and underscores.
func key(first bool, name string) []byte {
	k := make([]byte, 0, len(name)+4)
	if first {
		k = append(k, '{', '"')
	} else {
		k = append(k, ',', '"')
	}
	k = append(k, name...)
	return append(k, '"', ':')
}

// Close appends the end of the object.
func (sel Selection) Close(b []byte) []byte {
	if len(sel) == 0 { // everything was skipped by directives
		b = append(b, '{')
	}
	return append(b, '}')
}
