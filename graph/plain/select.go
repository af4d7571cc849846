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
	// Conditions are the type conditions that an object of this type meets:
	// its own name and its interfaces'.
	Conditions []string
	// Fields are the plain fields by name. A field that is not here needs a
	// resolver.
	Fields map[string]Field
}

// Field describes a plain field.
type Field struct {
	// Number is what generated code knows the field by; from 1.
	Number int
	// Object is the type of the object or objects in the field, empty for a
	// scalar or an enum.
	Object string
}

// Typename is the number of the field __typename, which every type has.
const Typename = 0

// Selection is what was asked for of one object, in the order of the answer.
type Selection []Selected

// Selected is one field asked for.
type Selected struct {
	// Key is what stands before the value: brace or comma, name and colon.
	Key []byte
	// Number is the field's.
	Number int
	// Sub is what was asked for of the object or objects in the field.
	Sub Selection
}

// Select returns what the operation asks for of an object of the named type.
// It reports false when that takes more than plain fields, or when the
// operation may not take the short way.
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
		asked := &collected[i]
		if slices.ContainsFunc(collected[:i], func(f graphql.CollectedField) bool { return f.Alias == asked.Alias }) {
			continue // gqlgen answers the first of two that it could not merge
		}
		if len(asked.Deferrables) > 0 {
			return nil, false
		}
		field, ok := typ.Fields[asked.Name]
		if !ok && asked.Name != "__typename" {
			return nil, false
		}
		selected := Selected{Key: key(len(out) == 0, asked.Alias), Number: field.Number}
		if field.Object != "" {
			if selected.Sub, ok = t.compile(op, field.Object, asked.Selections); !ok {
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

// Close ends the object that sel was written for.
func (sel Selection) Close(b []byte) []byte {
	if len(sel) == 0 { // everything was skipped by directives
		b = append(b, '{')
	}
	return append(b, '}')
}
