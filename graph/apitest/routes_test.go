package apitest_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/graph/generated"
)

// schema is the one that is served.
var schema = generated.NewExecutableSchema(generated.Config{}).Schema()

// step is a field on the way from a root of the schema to something below.
type step struct {
	parent *ast.Definition
	field  *ast.FieldDefinition
	// as is the object type that an interface's object is taken as, nil otherwise.
	as *ast.Definition
}

// name is the field's, with its type: "Store.users".
func (s step) name() string { return s.parent.Name + "." + s.field.Name }

// below is the type whose fields can come next, nil for a leaf.
func (s step) below() *ast.Definition {
	if s.as != nil {
		return s.as
	}
	if def := schema.Types[s.field.Type.Name()]; def.IsCompositeType() {
		return def
	}
	return nil
}

// requires are the scopes that the step needs, by the directives of the schema, and whether a store's owner may do
// without them, if not every member of the store.
func (s step) requires() (scopes []string, ownStore bool) {
	declared := []*ast.Directive{s.field.Directives.ForName("requires")}
	if declared[0] == nil {
		declared[0] = s.parent.Directives.ForName("requires")
	}
	if s.as != nil {
		declared = append(declared, s.as.Directives.ForName("node"))
	}
	ownStore = true
	for _, d := range declared {
		if d == nil { // the default
			continue
		}
		for _, scope := range d.Arguments.ForName("scopes").Value.Children {
			scopes = append(scopes, scope.Value.Raw)
		}
		own := d.Arguments.ForName("ownStore")
		if (own == nil || own.Value.Raw != "true") && d.Arguments.ForName("permission") == nil {
			ownStore = false
		}
	}
	return scopes, ownStore
}

// open reports whether every session passes without scopes in the stores that its user is a member of.
func (s step) open() bool {
	scopes, _ := s.requires()
	if len(scopes) == 0 {
		return true
	}
	declared := s.field.Directives.ForName("requires")
	if s.as != nil {
		declared = s.as.Directives.ForName("node")
	}
	if declared == nil {
		declared = s.parent.Directives.ForName("requires")
	}
	permission := declared.Arguments.ForName("permission")
	return permission != nil && permission.Value.Raw == "No_Permission_Required"
}

// route is the way from a root to a field.
type route []step

func (r route) String() string { return r.pathTo(len(r) - 1) }

// pathTo is the path of step i in an answer whose lists have one entry each.
func (r route) pathTo(i int) string {
	var path []string
	for n, s := range r[:i+1] {
		path = append(path, s.field.Name)
		if n < i && s.field.Type.Elem != nil {
			path = append(path, "0")
		}
	}
	return strings.Join(path, ".")
}

// first is the index of the first step that refuses, -1 if none does.
func (r route) first(refuses func(step) bool) int { return slices.IndexFunc(r, refuses) }

// needs are all scopes that the steps need.
func (r route) needs() []string {
	var all []string
	for _, s := range r {
		scopes, _ := s.requires()
		all = append(all, scopes...)
	}
	return all
}

// query is the operation that selects the route's last field and nothing beside it. Arguments are those that given has
// for a step, and of connections a page of the size.
func (r route) query(size int, given func(step) string) string {
	var text strings.Builder
	if r[0].parent == schema.Mutation {
		text.WriteString("mutation ")
	}
	for _, s := range r {
		text.WriteString("{ " + s.field.Name + arguments(s, size, given) + " ")
		if s.as != nil {
			text.WriteString("{ ... on " + s.as.Name + " ")
		}
	}
	braces := len(r)
	for _, s := range r {
		if s.as != nil {
			braces++
		}
	}
	if last := r[len(r)-1]; last.below() != nil {
		text.WriteString("{ __typename }")
	}
	return text.String() + strings.Repeat("}", braces)
}

func arguments(s step, size int, given func(step) string) string {
	if text := given(s); text != "" {
		return "(" + text + ")"
	}
	if s.field.Arguments.ForName("first") != nil {
		return fmt.Sprintf("(first: %d)", size)
	}
	var written []string
	for _, arg := range s.field.Arguments {
		if arg.Type.NonNull {
			written = append(written, arg.Name+": "+value(arg.Type))
		}
	}
	if written == nil {
		return ""
	}
	return "(" + strings.Join(written, ", ") + ")"
}

// value is a value of the type, with nothing in it that may be left out.
func value(t *ast.Type) string {
	if t.Elem != nil {
		return "[" + value(t.Elem) + "]"
	}
	def := schema.Types[t.NamedType]
	switch {
	case def.Kind == ast.Enum:
		return def.EnumValues[0].Name
	case def.Kind == ast.InputObject:
		var fields []string
		for _, f := range def.Fields {
			if f.Type.NonNull {
				fields = append(fields, f.Name+": "+value(f.Type))
			}
		}
		return "{" + strings.Join(fields, ", ") + "}"
	case def.Name == "Int", def.Name == "Long", def.Name == "BigDecimal":
		return "1"
	case def.Name == "Boolean":
		return "true"
	case def.Name == "DateTime":
		return `"2026-03-04T12:00:00Z"`
	default:
		return `"text"`
	}
}

// objects are the object types that fields of the API are on, in alphabetical order.
func objects() []*ast.Definition {
	var defs []*ast.Definition
	for _, def := range schema.Types {
		if def.Kind == ast.Object && !strings.HasPrefix(def.Name, "__") {
			defs = append(defs, def)
		}
	}
	slices.SortFunc(defs, func(a, b *ast.Definition) int { return strings.Compare(a.Name, b.Name) })
	return defs
}

// fieldsOf are the fields of the type that its own schema text has.
func fieldsOf(def *ast.Definition) []*ast.FieldDefinition {
	return slices.DeleteFunc(slices.Clone(def.Fields),
		func(f *ast.FieldDefinition) bool { return strings.HasPrefix(f.Name, "__") })
}

// isMutation says whether the step is a mutation: a field of one of the groups.
func isMutation(s step) bool {
	return slices.ContainsFunc(schema.Mutation.Fields,
		func(group *ast.FieldDefinition) bool { return group.Type.Name() == s.parent.Name })
}

// routeTo is the shortest route from the root to the field that takes no step to avoid, nil if there is none.
func routeTo(root *ast.Definition, field step, avoid func(step) bool) route {
	if avoid(field) {
		return nil
	}
	type place struct {
		def *ast.Definition
		way route
	}
	seen := map[*ast.Definition]bool{root: true}
	for places := []place{{def: root}}; len(places) > 0; places = places[1:] {
		at := places[0]
		if at.def == field.parent {
			return append(slices.Clone(at.way), field)
		}
		for _, s := range stepsFrom(at.def) {
			next := s.below()
			if next == nil || seen[next] || avoid(s) {
				continue
			}
			seen[next] = true
			places = append(places, place{next, append(slices.Clone(at.way), s)})
		}
	}
	return nil
}

// stepsFrom are the steps that can be taken from a type: its fields, and those of an interface once for each object
// type.
func stepsFrom(def *ast.Definition) []step {
	var steps []step
	for _, f := range fieldsOf(def) {
		next := schema.Types[f.Type.Name()]
		if !next.IsAbstractType() {
			steps = append(steps, step{parent: def, field: f})
			continue
		}
		for _, object := range schema.GetPossibleTypes(next) {
			steps = append(steps, step{parent: def, field: f, as: object})
		}
	}
	return steps
}

// throughNode avoids the steps that find objects by their ids.
func throughNode(s step) bool { return s.as != nil }
