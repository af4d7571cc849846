package graph

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/graph/scalar"
	"latchkey/internal/fault"
)

// variableValues coerces the variables of a request to the types that the
// operation declares, before any of it runs (GraphQL, "Coercing Variable
// Values"). It returns them with the defaults of those that were not sent, and
// without those that have none. It reports every fault it finds, mostErrors at
// most, and changes the values it is given.
func variableValues(schema *ast.Schema, op *operation, given map[string]any) (map[string]any, *refusal) {
	if len(op.VariableDefinitions) == 0 {
		return nil, nil
	}
	c := coercion{schema: schema}
	values := make(map[string]any, len(op.VariableDefinitions))
	for _, v := range op.VariableDefinitions {
		c.path = append(c.path[:0], v.Variable)
		c.secret = op.secret[v.Variable]
		value, sent := given[v.Variable]
		switch {
		case sent && value == nil && op.notNull[v.Variable]:
			c.fail("cannot be null. Leave it out for its default.")
		case sent:
			values[v.Variable] = c.value(v.Type, value)
		case v.DefaultValue != nil:
			value, err := v.DefaultValue.Value(nil)
			if err != nil { // the document was validated
				c.fail("has a default that cannot be read.")
			}
			values[v.Variable] = value
		case v.Type.NonNull:
			c.fail("must be defined.")
		}
	}
	if len(c.problems) > 0 {
		return nil, &refusal{problems: c.problems}
	}
	return values, nil
}

// coercion is the coercion of one request's variables.
type coercion struct {
	schema *ast.Schema
	// path leads from the variable to the value being coerced.
	path []string
	// secret reports that the variable's value must not be repeated.
	secret   bool
	problems []problem
}

// fail records a fault of the value at c.path.
func (c *coercion) fail(format string, args ...any) {
	if len(c.problems) == mostErrors {
		return
	}
	field := shorten(strings.Join(c.path, "."))
	c.problems = append(c.problems, problem{
		Error: fault.Errorf(fault.Invalid, "Variable $%s: %s", field, fmt.Sprintf(format, args...)).On(field),
	})
}

// value coerces a value to a type (GraphQL, "Input Coercion" of each kind of
// type). After a fault the value it returns means nothing.
func (c *coercion) value(t *ast.Type, v any) any {
	if v == nil {
		if t.NonNull {
			c.fail("cannot be null.")
		}
		return nil
	}
	if t.Elem != nil {
		return c.list(t.Elem, v)
	}
	switch def := c.schema.Types[t.NamedType]; def.Kind {
	case ast.Enum:
		return c.enum(def, v)
	case ast.InputObject:
		return c.object(def, v)
	default:
		coerced, err := scalar.Coerce(def.Name, v)
		if err != nil {
			c.fail("%s is not of type %s. %s", c.shown(def, v), def.Name, fault.Flatten(err)[0].Message)
		}
		return coerced
	}
}

// list coerces a list; any other value stands for a list of one.
func (c *coercion) list(elem *ast.Type, v any) any {
	list, is := v.([]any)
	if !is {
		return []any{c.value(elem, v)}
	}
	depth := len(c.path)
	for i := range list {
		c.path = append(c.path, strconv.Itoa(i))
		list[i] = c.value(elem, list[i])
		c.path = c.path[:depth]
	}
	return list
}

func (c *coercion) enum(def *ast.Definition, v any) any {
	if name, is := v.(string); is && def.EnumValues.ForName(name) != nil {
		return name
	}
	c.fail("%s is not a valid %s (%s).", c.shown(def, v), def.Name, enumNames(def))
	return nil
}

func (c *coercion) object(def *ast.Definition, v any) any {
	object, is := v.(map[string]any)
	if !is {
		c.fail("%s is not of type %s. It must be an object.", c.shown(def, v), def.Name)
		return nil
	}
	depth := len(c.path)
	at := func(name string) { c.path = append(c.path[:depth], name) }
	for name := range object {
		// Clients send back what they were answered; the name of its type is ignored.
		if def.Fields.ForName(name) == nil && name != "__typename" {
			at(name)
			c.fail("unknown field.")
		}
	}
	for _, f := range def.Fields {
		at(f.Name)
		value, sent := object[f.Name]
		switch {
		case sent:
			object[f.Name] = c.value(f.Type, value)
		case f.Type.NonNull && f.DefaultValue == nil:
			c.fail("must be defined.")
		}
	}
	c.path = c.path[:depth]
	return object
}

// shown is a value as it was sent, cut where it is long. A secret is not shown,
// nor what stands in the place of an object that has one.
func (c *coercion) shown(def *ast.Definition, v any) string {
	if c.secret || slices.ContainsFunc(c.path, isSecretInput) || hasSecret(c.schema, def) {
		return "the value"
	}
	const longest = 100
	text, err := json.Marshal(v)
	if err != nil {
		return "the value"
	}
	if len(text) > longest {
		return strings.ToValidUTF8(string(text[:longest]), "") + "…"
	}
	return string(text)
}

// isSecretInput reports whether an input field of the name holds a secret.
func isSecretInput(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "password") || strings.Contains(name, "secret")
}

// hasSecret reports whether an input object has a field that holds a secret,
// itself or in an object within it.
func hasSecret(schema *ast.Schema, def *ast.Definition) bool {
	return def.Kind == ast.InputObject && slices.ContainsFunc(def.Fields, func(f *ast.FieldDefinition) bool {
		return isSecretInput(f.Name) || hasSecret(schema, schema.Types[f.Type.Name()])
	})
}

func enumNames(def *ast.Definition) string {
	names := make([]string, len(def.EnumValues))
	for i, v := range def.EnumValues {
		names[i] = v.Name
	}
	return strings.Join(names, ", ")
}
