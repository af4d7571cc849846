package graph_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/graph"
	"latchkey/graph/generated"
	"latchkey/graph/scalar"
	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

func schema() *ast.Schema { return generated.NewExecutableSchema(generated.Config{}).Schema() }

// ours are the definitions of the schema without those of GraphQL itself.
func ours(s *ast.Schema) []*ast.Definition {
	var defs []*ast.Definition
	for _, def := range s.Types {
		if !def.BuiltIn && !strings.HasPrefix(def.Name, "__") {
			defs = append(defs, def)
		}
	}
	slices.SortFunc(defs, func(a, b *ast.Definition) int { return strings.Compare(a.Name, b.Name) })
	return defs
}

func ownFields(def *ast.Definition) ast.FieldList {
	return slices.DeleteFunc(slices.Clone(def.Fields),
		func(f *ast.FieldDefinition) bool { return strings.HasPrefix(f.Name, "__") })
}

func TestEverythingIsDescribed(t *testing.T) {
	check := func(name, description string) {
		if d := strings.TrimSpace(description); len(d) < 5 || !strings.HasSuffix(d, ".") {
			t.Errorf("%s has the description %q, want a sentence", name, description)
		}
	}
	s := schema()
	for _, def := range ours(s) {
		check(def.Name, def.Description)
		for _, f := range ownFields(def) {
			check(def.Name+"."+f.Name, f.Description)
			for _, arg := range f.Arguments {
				check(def.Name+"."+f.Name+"("+arg.Name+")", arg.Description)
			}
		}
		for _, v := range def.EnumValues {
			check(def.Name+"."+v.Name, v.Description)
		}
	}
	for _, name := range []string{"requires", "node"} {
		check("@"+name, s.Directives[name].Description)
		for _, arg := range s.Directives[name].Arguments {
			check("@"+name+"("+arg.Name+")", arg.Description)
		}
	}
}

// Directives are not in introspection, so the scopes that a field or type
// declares must be in its description as well.
func TestScopesAreDescribed(t *testing.T) {
	check := func(name, description string, directives ast.DirectiveList) {
		for _, directive := range []string{"requires", "node"} {
			d := directives.ForName(directive)
			if d == nil {
				continue
			}
			for _, scope := range d.Arguments.ForName("scopes").Value.Children {
				if !strings.Contains(description, "`"+scope.Value.Raw+"`") {
					t.Errorf("description of %s: got %q, want the scope %s in it", name, description, scope.Value.Raw)
				}
			}
		}
	}
	for _, def := range ours(schema()) {
		check(def.Name, def.Description, def.Directives)
		for _, f := range ownFields(def) {
			check(def.Name+"."+f.Name, f.Description, f.Directives)
		}
	}
}

func TestEveryFieldHasARule(t *testing.T) {
	if _, err := graph.NewRules(schema()); err != nil {
		t.Error(err)
	}
}

func TestNewRulesNamesWhatIsNotCovered(t *testing.T) {
	const directives = `
		directive @requires(scopes: [String!]!, ownStore: Boolean! = false, ownAccount: Boolean! = false,
			permission: String) on FIELD_DEFINITION | OBJECT
		directive @node(scopes: [String!]!, ownStore: Boolean! = false) on OBJECT
		interface Node { id: ID! @requires(scopes: []) }
	`
	tests := []struct{ name, sdl, want string }{
		{"field", `type Query { a: Int @requires(scopes: ["x"]) b: Int }`, "Query.b"},
		{"field of a group of mutations",
			`type Query @requires(scopes: []) { a: Int } type Mutation @requires(scopes: []) { things: ThingMutations! } type ThingMutations { make: Int }`, "ThingMutations.make"},
		{"node", `type Query @requires(scopes: []) { a: A } type A implements Node @requires(scopes: []) { id: ID! }`,
			"A: a Node"},
		{"permission", `type Query { a: Int @requires(scopes: ["x"], permission: "Add_Usr") }`, "Add_Usr"},
		{"field of an interface", `type Query @requires(scopes: []) { a: Other } interface Other { c: Int }`,
			"Other.c"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := graph.NewRules(gqlparser.MustLoadSchema(&ast.Source{Input: directives + tt.sdl}))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error about %s", err, tt.want)
			}
		})
	}
}

// The fields under the root of mutations are groups, whose own fields are the
// mutations: authorization refuses those as a whole.
func TestMutationsAreGrouped(t *testing.T) {
	s := schema()
	for _, f := range s.Mutation.Fields {
		if group := s.Types[f.Type.Name()]; !strings.HasSuffix(group.Name, "Mutations") || len(f.Arguments) > 0 {
			t.Errorf("Mutation.%s: got %s, want a group of mutations without arguments", f.Name, group.Name)
		}
	}
}

// A query written for the API that this one is compatible with stays valid,
// and so does one written for what is added to it.
func TestSchemaHasTheWholeAccountAPI(t *testing.T) {
	var sources []*ast.Source
	for _, name := range []string{"account-api", "additions"} {
		sdl, err := os.ReadFile("testdata/" + name + ".graphqls")
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, &ast.Source{Name: name, Input: string(sdl)})
	}
	want, have := gqlparser.MustLoadSchema(sources...), schema()
	for _, def := range ours(want) {
		compareDefinition(t, have.Types[def.Name], def)
	}
	for _, def := range ours(have) {
		noteUnknown(t, def, want.Types[def.Name])
	}
	if have.Subscription != nil {
		t.Error("Subscription: got the root of subscriptions, want a type of object")
	}
}

func compareDefinition(t *testing.T, have, want *ast.Definition) {
	t.Helper()
	if have == nil {
		t.Errorf("%s: got no definition, want a %s", want.Name, want.Kind)
		return
	}
	if have.Kind != want.Kind || !slices.Equal(have.Interfaces, want.Interfaces) {
		t.Errorf("%s: got a %s with the interfaces %q, want a %s with %q", want.Name, have.Kind, have.Interfaces,
			want.Kind, want.Interfaces)
		return
	}
	for _, v := range want.EnumValues {
		if have.EnumValues.ForName(v.Name) == nil {
			t.Errorf("enum %s: got no value %s, want it", want.Name, v.Name)
		}
	}
	for _, f := range ownFields(want) {
		check.Equal(t, signature(have.Fields.ForName(f.Name), addedArguments[have.Name+"."+f.Name]), signature(f, ""),
			"%s.%s", have.Name, f.Name)
	}
	if want.Kind == ast.InputObject && len(have.Fields) != len(want.Fields) {
		t.Errorf("%s has %d fields, want %d as in testdata (additions.graphqls has ours)", want.Name, len(have.Fields),
			len(want.Fields))
	}
}

// noteUnknown fails for what the schema has and testdata has not: a promise is
// made on purpose.
func noteUnknown(t *testing.T, have, promised *ast.Definition) {
	t.Helper()
	if promised == nil {
		t.Errorf("type %s: got it in neither file of testdata, want it in testdata/additions.graphqls", have.Name)
		return
	}
	for _, f := range ownFields(have) {
		if promised.Fields.ForName(f.Name) == nil {
			t.Errorf("%s.%s: got it in neither file of testdata, want it in testdata/additions.graphqls", have.Name,
				f.Name)
		}
	}
	for _, v := range have.EnumValues {
		if promised.EnumValues.ForName(v.Name) == nil && have.Name != "CurrencyCode" { // the list is that of ISO 4217
			t.Errorf("value %s.%s: got it in neither file of testdata, want it in additions.graphqls", have.Name,
				v.Name)
		}
	}
}

// addedArguments are arguments that may be left out, of fields that the
// Account API has without them: none of its clients sends them.
var addedArguments = map[string]string{"Account.users": "filter: UserFilterInput"}

// signature is the field's arguments, but for one that was added, type and
// deprecation, as written in the schema.
func signature(f *ast.FieldDefinition, added string) string {
	if f == nil {
		return "missing"
	}
	var args []string
	for _, arg := range f.Arguments {
		if text := arg.Name + ": " + arg.Type.String(); text != added {
			args = append(args, text)
		}
	}
	slices.Sort(args)
	return fmt.Sprintf("(%s): %s, deprecated %t", strings.Join(args, ", "), f.Type,
		f.Directives.ForName("deprecated") != nil)
}

// Where a field may be left out, null means the same unless the field says that
// it clears: only there does the code tell the two apart.
func TestNullMeansAbsentUnlessTheFieldSaysOtherwise(t *testing.T) {
	clears := map[string]bool{}
	for _, def := range ours(schema()) {
		if def.Kind != ast.InputObject {
			continue
		}
		for _, f := range def.Fields {
			if strings.Contains(f.Description, "Null removes it") {
				clears[def.Name+"."+f.Name] = true
			}
			if f.Type.NonNull && f.DefaultValue != nil {
				t.Errorf("%s.%s: got a default and NonNull, want at most one of them", def.Name, f.Name)
			}
		}
	}
	if len(clears) == 0 {
		t.Error("fields that null clears: got none, want some")
	}
	check.Equal(t, omittables(t), clears, "the code tells null from absent, the schema says so")
}

// omittables are the fields of inputs in which the code tells null from absent.
func omittables(t *testing.T) map[string]bool {
	t.Helper()
	source, err := os.ReadFile("model/models.generated.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	of := ""
	for line := range strings.Lines(string(source)) {
		if name, ok := strings.CutPrefix(line, "type "); ok {
			of, _, _ = strings.Cut(name, " ")
		}
		if strings.Contains(line, "graphql.Omittable[") {
			_, name, _ := strings.Cut(line, `json:"`)
			name, _, _ = strings.Cut(name, ",")
			found[of+"."+name] = true
		}
	}
	return found
}

func TestEveryScalarIsCoerced(t *testing.T) {
	for name, def := range schema().Types {
		if _, err := scalar.Coerce(name, "x"); def.Kind == ast.Scalar && fault.KindOf(err) == fault.Internal {
			t.Errorf("Coerce %s: got %v, want no internal error", name, err)
		}
	}
}
