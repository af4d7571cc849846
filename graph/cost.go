package graph

import (
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/internal/page"
)

// operation is an operation of a valid document, with what has to be checked
// each time it is run.
type operation struct {
	*ast.OperationDefinition
	// cost is that of the operation, unless variables decide.
	cost      price
	variables bool
	// introspects reports whether the operation asks for __schema or __type.
	introspects bool
	usage
}

func newOperation(def *ast.OperationDefinition, use usage) operation {
	w := costs{}
	op := operation{OperationDefinition: def, usage: use, cost: w.price(def)}
	op.variables, op.introspects = w.variable, w.introspects
	return op
}

// price is what an operation costs.
type price struct {
	// fields is how many fields it could answer.
	fields int
	// walks is how often it looks at all users of the account.
	walks int
}

func (c *costs) price(def *ast.OperationDefinition) price {
	fields := c.set(def.SelectionSet, page.DefaultSize)
	return price{fields, c.walked}
}

// check holds an operation with these variables against the limits, and
// returns what it costs.
func (op *operation) check(variables map[string]any, limits Limits) (price, *refusal) {
	cost := op.cost
	if op.variables {
		w := costs{values: variables}
		cost = w.price(op.OperationDefinition)
	}
	if cost.fields > limits.Complexity {
		return cost, tooMuch("The operation could answer %d fields, and %d are the most. Ask for smaller pages, or for less of each element.", cost.fields, limits.Complexity)
	}
	return cost, nil
}

// Introspection reads nothing but the schema, and a rule of validation bounds
// the lists in it. Every selection counts for the times it is answered: those
// below __schema for about every type that there is. The query of GraphiQL has
// some 250.
const (
	perSchemaSelection = 150
	perTypeSelection   = 10
)

// costs counts the fields that selections can make the server answer.
type costs struct {
	values map[string]any
	// variable reports that the count depends on a variable.
	variable bool
	// walked counts the walks through all users.
	walked int
	// introspects reports whether the schema is asked for.
	introspects bool
}

// set counts the fields of an object. Size is how many edges it has, if it is
// a connection.
func (c *costs) set(set ast.SelectionSet, size int) int {
	sum := 0
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			sum = add(sum, c.field(s, size))
		case *ast.InlineFragment:
			sum = add(sum, c.set(s.SelectionSet, size))
		case *ast.FragmentSpread:
			sum = add(sum, c.set(s.Definition.SelectionSet, size))
		}
	}
	return sum
}

func (c *costs) field(f *ast.Field, size int) int {
	c.introspects = c.introspects || isIntrospection(f.Name)
	switch {
	case f.Name == "__schema":
		return multiply(perSchemaSelection, written(f.SelectionSet))
	case f.Name == "__type":
		return multiply(perTypeSelection, written(f.SelectionSet))
	case len(f.SelectionSet) == 0:
		return 1
	}
	elements := 1
	if f.Definition.Type.Elem != nil {
		elements = c.elements(f, size)
	}
	before := c.walked
	fields := c.set(f.SelectionSet, c.pageSize(f))
	c.walked = add(before, add(c.walksOf(f), multiply(elements, c.walked-before)))
	return add(1, add(multiply(auditWalks(f), perAuditWalk), multiply(elements, fields)))
}

// written counts selections, those of fragments wherever they stand.
func written(set ast.SelectionSet) int {
	sum := len(set)
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			sum = add(sum, written(s.SelectionSet))
		case *ast.InlineFragment:
			sum = add(sum, written(s.SelectionSet))
		case *ast.FragmentSpread:
			sum = add(sum, written(s.Definition.SelectionSet))
		}
	}
	return sum
}

// elements is how many elements a list has: the edges of a connection, one for
// each id asked for, or else as many as a page has by default.
func (c *costs) elements(f *ast.Field, size int) int {
	if f.Name == "edges" {
		return size
	}
	ids := f.Arguments.ForName("ids")
	if ids == nil {
		return page.DefaultSize
	}
	switch ids.Value.Kind {
	case ast.ListValue:
		return len(ids.Value.Children)
	case ast.Variable:
		c.variable = true
		list, _ := c.values[ids.Value.Raw].([]any)
		return max(1, len(list))
	default:
		return 1 // one id stands for a list of one
	}
}

// pageSize is the size of the page that is asked for. One that is larger than
// pages can be is refused later, with an error of its own.
func (c *costs) pageSize(f *ast.Field) int {
	for _, name := range [...]string{"first", "last"} {
		if arg := f.Arguments.ForName(name); arg != nil {
			if n, ok := c.number(arg.Value); ok {
				return max(0, min(n, page.MaxSize))
			}
		}
	}
	return page.DefaultSize
}

// number is the value of an argument that is an Int, if it has one.
func (c *costs) number(v *ast.Value) (int, bool) {
	if v.Kind == ast.Variable {
		c.variable = true
		n, ok := c.values[v.Raw].(int64)
		return int(n), ok
	}
	n, err := strconv.Atoi(v.Raw)
	return n, err == nil
}
