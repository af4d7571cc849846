package server

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"latchkey/internal/fault"
)

// usage is how an operation uses its variables.
type usage struct {
	// nested are variables within input objects and lists. gqlgen reads null
	// for such a variable if the client does not send it.
	nested map[string]bool
	// notNull are variables whose declared type allows null but whose place
	// in the document does not.
	notNull map[string]bool
	// secret are variables whose values are secrets.
	secret map[string]bool
}

// readArguments walks the arguments of an operation of a valid document and
// returns how the operation uses its variables. It also returns the problems
// with literals that the validator's rules do not check: those of custom scalars,
// and numbers and strings of the right kind that are invalid for their type.
func readArguments(op *ast.OperationDefinition, coerce func(string, any) (any, error)) (usage, []problem) {
	r := argumentReader{
		op: op, coerce: coerce, seen: map[*ast.FragmentDefinition]bool{},
		use: usage{nested: map[string]bool{}, notNull: map[string]bool{}, secret: map[string]bool{}},
	}
	for _, v := range op.VariableDefinitions {
		r.directives(v.Directives)
		if v.DefaultValue != nil {
			r.value([]string{v.Variable}, v.DefaultValue)
		}
	}
	r.directives(op.Directives)
	r.set(op.SelectionSet)
	return r.use, r.problems
}

type argumentReader struct {
	op       *ast.OperationDefinition
	coerce   func(scalar string, v any) (any, error)
	seen     map[*ast.FragmentDefinition]bool
	use      usage
	problems []problem
}

func (r *argumentReader) set(set ast.SelectionSet) {
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			r.arguments(s.Arguments)
			r.directives(s.Directives)
			r.set(s.SelectionSet)
		case *ast.InlineFragment:
			r.directives(s.Directives)
			r.set(s.SelectionSet)
		case *ast.FragmentSpread:
			r.directives(s.Directives)
			if !r.seen[s.Definition] {
				r.seen[s.Definition] = true
				r.directives(s.Definition.Directives)
				r.set(s.Definition.SelectionSet)
			}
		}
	}
}

func (r *argumentReader) directives(list ast.DirectiveList) {
	for _, d := range list {
		r.arguments(d.Arguments)
	}
}

func (r *argumentReader) arguments(list ast.ArgumentList) {
	for _, a := range list {
		r.value([]string{a.Name}, a.Value)
	}
}

// value reads the value at the path, which begins with the argument's name.
func (r *argumentReader) value(path []string, v *ast.Value) {
	isScalar := v.Definition.Kind == ast.Scalar
	switch {
	case v.Kind == ast.Variable:
		r.variable(path, v)
	case v.Kind == ast.NullValue:
	case v.Kind == ast.ListValue && v.ExpectedType.Elem != nil:
		for i, child := range v.Children {
			r.value(append(path, strconv.Itoa(i)), child.Value)
		}
	case v.Kind == ast.ObjectValue && !isScalar:
		for _, child := range v.Children {
			r.value(append(path, child.Name), child.Value)
		}
	case isScalar:
		r.literal(path, v)
	}
}

func (r *argumentReader) variable(path []string, v *ast.Value) {
	if len(path) > 1 {
		r.use.nested[v.Raw] = true
	}
	if slices.ContainsFunc(path, isSecretInput) {
		r.use.secret[v.Raw] = true
	}
	if def := r.op.VariableDefinitions.ForName(v.Raw); v.ExpectedType.NonNull && !def.Type.NonNull {
		r.use.notNull[v.Raw] = true
	}
}

// literal checks a scalar literal. The error has its location instead of its
// value, which may be a secret. A number that the scalar reads in all its digits
// becomes a string, because gqlparser would read it as a float64.
func (r *argumentReader) literal(path []string, v *ast.Value) {
	read, err := r.coerce(v.Definition.Name, literalValue(v))
	if _, exact := read.(json.Number); exact && err == nil {
		v.Kind = ast.StringValue
	}
	if err == nil || len(r.problems) == maxErrors {
		return
	}
	field := shorten(strings.Join(path, "."))
	p := problem{Error: fault.Flatten(err)[0].On(field)}
	if v.Position != nil {
		p.locations = []gqlerror.Location{{Line: v.Position.Line, Column: v.Position.Column}}
	}
	r.problems = append(r.problems, p)
}

// literalValue returns a literal as encoding/json decodes it, with UseNumber.
func literalValue(v *ast.Value) any {
	switch v.Kind {
	case ast.IntValue, ast.FloatValue:
		return json.Number(v.Raw)
	case ast.BooleanValue:
		return v.Raw == "true"
	case ast.EnumValue, ast.ListValue, ast.ObjectValue: // no scalar accepts them
		return nil
	default:
		return v.Raw
	}
}

// leavesOut reports whether a variable within an input object or list has
// neither a value nor a default.
func (u *usage) leavesOut(values map[string]any) bool {
	for name := range u.nested {
		if _, ok := values[name]; !ok {
			return true
		}
	}
	return false
}

// omission copies documents without the input object fields whose value is a
// variable that is not in values (GraphQL, "Input Objects: Input Coercion"). It
// does not change the original.
type omission struct{ values map[string]any }

func (o omission) document(doc *ast.QueryDocument) *ast.QueryDocument {
	d := *doc
	d.Fragments = make(ast.FragmentDefinitionList, len(doc.Fragments))
	for i, f := range doc.Fragments {
		fragment := *f
		fragment.SelectionSet = o.set(f.SelectionSet)
		d.Fragments[i] = &fragment
	}
	return &d
}

func (o omission) operation(op *ast.OperationDefinition) *ast.OperationDefinition {
	c := *op
	c.SelectionSet = o.set(op.SelectionSet)
	return &c
}

func (o omission) set(set ast.SelectionSet) ast.SelectionSet {
	written := make(ast.SelectionSet, len(set))
	for i, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			f := *s
			f.Arguments = o.arguments(s.Arguments)
			f.SelectionSet = o.set(s.SelectionSet)
			written[i] = &f
		case *ast.InlineFragment:
			f := *s
			f.SelectionSet = o.set(s.SelectionSet)
			written[i] = &f
		default:
			written[i] = s
		}
	}
	return written
}

func (o omission) arguments(list ast.ArgumentList) ast.ArgumentList {
	written := make(ast.ArgumentList, len(list))
	for i, a := range list {
		argument := *a
		argument.Value = o.value(a.Value)
		written[i] = &argument
	}
	return written
}

func (o omission) value(v *ast.Value) *ast.Value {
	if v.Kind != ast.ObjectValue && v.Kind != ast.ListValue {
		return v
	}
	c := *v
	c.Children = nil
	for _, child := range v.Children {
		_, ok := o.values[child.Value.Raw]
		switch {
		case child.Value.Kind != ast.Variable || ok:
			c.Children = append(c.Children, &ast.ChildValue{Name: child.Name, Value: o.value(child.Value)})
		case v.Kind == ast.ListValue:
			c.Children = append(c.Children, &ast.ChildValue{Value: &ast.Value{Kind: ast.NullValue}})
		}
	}
	return &c
}
