package graph

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator"
)

// notAValid is how the parser begins to say of which enum a value is none. It
// puts the value before it, which is not for telling.
const notAValid = "is not a valid "

// variableValues holds the variables of a request against what the operation
// declares, and returns them with the defaults of those left out.
func variableValues(schema *ast.Schema, op *ast.OperationDefinition, given map[string]any) (map[string]any, error) {
	values, err := validator.VariableValues(schema, op, given)
	if err != nil {
		return nil, err
	}
	for _, v := range op.VariableDefinitions {
		path := ast.Path{ast.PathName("variable"), ast.PathName(v.Variable)}
		if err := checkEnums(schema, v.Type, values[v.Variable], path); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// checkEnums demands the names of enum values as the schema has them. The
// parser takes them in any case, and the generated code as they are.
func checkEnums(schema *ast.Schema, t *ast.Type, value any, path ast.Path) error {
	switch v := value.(type) {
	case []any:
		return eachElement(v, func(i int) error {
			return checkEnums(schema, elementOf(t), v[i], append(path, ast.PathIndex(i)))
		})
	case []string: // what the parser makes of one value for a list
		return eachElement(v, func(i int) error { return checkEnums(schema, elementOf(t), v[i], path) })
	case map[string]any:
		for _, f := range schema.Types[t.Name()].Fields {
			if err := checkEnums(schema, f.Type, v[f.Name], append(path, ast.PathName(f.Name))); err != nil {
				return err
			}
		}
	case string:
		def := schema.Types[t.Name()]
		if def.Kind == ast.Enum && def.EnumValues.ForName(v) == nil {
			return gqlerror.ErrorPathf(slices.Clone(path), notAValid+"%s", def.Name)
		}
	}
	return nil
}

func eachElement[T any](list []T, check func(i int) error) error {
	for i := range list {
		if err := check(i); err != nil {
			return err
		}
	}
	return nil
}

// elementOf is the type of a list's elements: of what is no list, itself.
func elementOf(t *ast.Type) *ast.Type {
	if t.Elem == nil {
		return t
	}
	return t.Elem
}
