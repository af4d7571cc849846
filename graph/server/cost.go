package server

import (
	"slices"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
)

// Cost is the cost of an operation or of a field.
type Cost struct {
	// Fields is the largest number of fields in the response, or an equal amount
	// of other work.
	Fields int
	// Scans is the number of scans of whole tables. Only Config.Admit knows what
	// one of them costs.
	Scans int
}

// Total returns the cost in fields if each scan costs perScan of them.
func (c Cost) Total(perScan int) int { return add(c.Fields, multiply(c.Scans, perScan)) }

func (c Cost) plus(other Cost) Cost {
	return Cost{add(c.Fields, other.Fields), add(c.Scans, other.Scans)}
}

func (c Cost) times(n int) Cost { return Cost{multiply(n, c.Fields), multiply(n, c.Scans)} }

// operation is an operation of a valid document, with the data for the checks
// of each run.
type operation struct {
	*ast.OperationDefinition
	// cost is the cost of an operation without variables.
	cost Cost
	// introspects reports whether the operation selects __schema or __type.
	introspects bool
	usage
}

func newOperation(c *Config, def *ast.OperationDefinition, use usage) operation {
	op := operation{OperationDefinition: def, usage: use, introspects: Selects(def.SelectionSet, "__schema", "__type")}
	if len(def.VariableDefinitions) == 0 {
		op.cost = pricing{Config: c}.set(def.SelectionSet, c.PageSize)
	}
	return op
}

// price returns the cost of the operation with these variables, or a refusal if
// it is over the limit.
func (h *Handler) price(op *operation, variables map[string]any) (Cost, *refusal) {
	cost := op.cost
	if len(op.VariableDefinitions) > 0 {
		cost = pricing{Config: &h.config, variables: variables}.set(op.SelectionSet, h.config.PageSize)
	}
	if limit := h.config.Limits.Complexity; cost.Fields > limit {
		return cost, tooMuch("The operation could return %d fields, and the limit is %d. "+
			"Request smaller pages or fewer fields of each element.", cost.Fields, limit)
	}
	return cost, nil
}

// Introspection only reads the schema, and a validation rule bounds its lists.
// Each selection costs about as many fields as it returns: below __schema, about
// one for each type. GraphiQL's query has about 250 selections.
const (
	perSchemaSelection = 150
	perTypeSelection   = 10
)

// pricing adds up the cost of selections.
type pricing struct {
	*Config
	variables map[string]any
	// inItems reports whether the fields are those of an item of a bulk operation.
	// Lists in it are short on average, and count as one element.
	inItems bool
}

// set returns the cost of an object's fields. If the object is a connection or the
// result of a bulk operation, size is its number of edges or items.
func (p pricing) set(set ast.SelectionSet, size int) Cost {
	var sum Cost
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			sum = sum.plus(p.field(s, size))
		case *ast.InlineFragment:
			sum = sum.plus(p.set(s.SelectionSet, size))
		case *ast.FragmentSpread:
			sum = sum.plus(p.set(s.Definition.SelectionSet, size))
		}
	}
	return sum
}

func (p pricing) field(f *ast.Field, size int) Cost {
	switch {
	case f.Name == "__schema":
		return Cost{Fields: multiply(perSchemaSelection, expanded(f.SelectionSet))}
	case f.Name == "__type":
		return Cost{Fields: multiply(perTypeSelection, expanded(f.SelectionSet))}
	}
	surcharge := p.Surcharge(f, p.variables)
	elements := 1
	if len(f.SelectionSet) == 0 {
		if f.Definition.Type.Elem != nil {
			elements = p.PageSize
		}
		return Cost{Fields: elements}.plus(surcharge)
	}
	if f.Definition.Type.Elem != nil {
		elements = p.elements(f, size)
	}
	p.inItems = p.inItems || f.Name == "items"
	own := p.pageSize(f)
	below := p.set(f.SelectionSet, own).times(elements)
	below.Fields = max(below.Fields, multiply(own, p.Loads(f)))
	return Cost{Fields: 1}.plus(surcharge).plus(below)
}

// expanded counts selections, those of a fragment once for each spread.
func expanded(set ast.SelectionSet) int {
	sum := len(set)
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			sum = add(sum, expanded(s.SelectionSet))
		case *ast.InlineFragment:
			sum = add(sum, expanded(s.SelectionSet))
		case *ast.FragmentSpread:
			sum = add(sum, expanded(s.Definition.SelectionSet))
		}
	}
	return sum
}

// elements returns the number of elements of a list to charge: the size of the
// connection or result for edges, nodes and items, the number of requested IDs, or
// otherwise that of Config.Lists or the default page size. Within an item it is one.
func (p pricing) elements(f *ast.Field, size int) int {
	ids := f.Arguments.ForName("ids")
	if f.Name == "edges" || (f.Name == "nodes" || f.Name == "items") && ids == nil {
		return size
	}
	most, isListed := p.Lists[f.Name]
	switch {
	case ids == nil && p.inItems:
		return 1
	case ids == nil && isListed:
		return most
	case ids == nil:
		return p.PageSize
	}
	switch ids.Value.Kind {
	case ast.ListValue:
		return len(ids.Value.Children)
	case ast.Variable:
		list, _ := p.variables[ids.Value.Raw].([]any)
		return max(1, len(list))
	default:
		return 1 // a single ID is coerced to a list with one element
	}
}

// pageSize returns the requested page size, at most MaxPageSize. A larger
// request fails later, with its own error. For a bulk operation it is the number
// of items.
func (p pricing) pageSize(f *ast.Field) int {
	if n := p.Items(f, p.variables); n > 0 {
		return n
	}
	for _, name := range [...]string{"first", "last"} {
		if arg := f.Arguments.ForName(name); arg != nil {
			if n, ok := p.number(arg.Value); ok {
				return max(0, min(n, p.MaxPageSize))
			}
		}
	}
	return p.PageSize
}

// number returns the value of an Int argument. It reports false if the argument
// has none.
func (p pricing) number(v *ast.Value) (int, bool) {
	if v.Kind == ast.Variable {
		n, ok := p.variables[v.Raw].(int64)
		return int(n), ok
	}
	n, err := strconv.Atoi(v.Raw)
	return n, err == nil
}

// Selects reports whether the set selects one of the fields, directly or in a
// fragment.
func Selects(set ast.SelectionSet, names ...string) bool {
	return slices.ContainsFunc(set, func(selection ast.Selection) bool {
		switch s := selection.(type) {
		case *ast.Field:
			return slices.Contains(names, s.Name)
		case *ast.InlineFragment:
			return Selects(s.SelectionSet, names...)
		case *ast.FragmentSpread:
			return Selects(s.Definition.SelectionSet, names...)
		}
		return false
	})
}
