package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/internal/fault"
)

// variableValues coerces the variables of a request to their declared types,
// before the operation runs (GraphQL, "Coercing Variable Values"). A variable that
// was not sent has its default, or is missing from the result if it has none. It
// reports all errors, up to maxErrors, and changes the values in sent.
func (h *Handler) variableValues(op *operation, sent map[string]any) (map[string]any, *refusal) {
	if len(op.VariableDefinitions) == 0 {
		return nil, nil
	}
	c := coercion{schema: h.schema, scalar: h.config.Coerce}
	values := make(map[string]any, len(op.VariableDefinitions))
	for _, v := range op.VariableDefinitions {
		c.path = append(c.path[:0], v.Variable)
		c.secret = op.secret[v.Variable]
		value, ok := sent[v.Variable]
		switch {
		case ok && value == nil && op.notNull[v.Variable]:
			c.fail("cannot be null. Omit it for its default.")
		case ok:
			values[v.Variable] = c.value(v.Type, value)
		case v.DefaultValue != nil:
			value, err := v.DefaultValue.Value(nil)
			if err != nil { // cannot happen: the document was validated
				c.fail("has an invalid default.")
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

// coercion coerces the variables of one request.
type coercion struct {
	schema *ast.Schema
	scalar func(name string, v any) (any, error)
	// path leads from the variable to the value being coerced.
	path []string
	// secret reports whether error messages must not contain the value.
	secret   bool
	problems []problem
}

// fail records an error on the value at c.path.
func (c *coercion) fail(format string, args ...any) {
	if len(c.problems) == maxErrors {
		return
	}
	field := shorten(strings.Join(c.path, "."))
	c.problems = append(c.problems, problem{
		Error: fault.Errorf(fault.Invalid, "Variable $%s: %s", field, fmt.Sprintf(format, args...)).On(field),
	})
}

// value coerces a value to a type (GraphQL, "Input Coercion" of each kind of
// type). Its result is meaningless if it recorded an error.
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
		coerced, err := c.scalar(def.Name, v)
		if err != nil {
			c.fail("%s is not of type %s. %s", c.shown(def, v), def.Name, fault.Flatten(err)[0].Message)
		}
		return coerced
	}
}

// list coerces a list. Any other value becomes a list with one element.
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
		// __typename is ignored: clients send back objects that they have received.
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

// shown returns a value for an error message, truncated if it is long. It does
// not return a secret, or a value for an input object that has one.
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
