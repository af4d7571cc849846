package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
	"pgregory.net/rapid"

	"latchkey/graph/server"
)

// zoo is a schema with all that fields can conflict in.
const zoo = `
	type Query { pet: Pet  pets: [Pet!]!  dog(name: String, like: Like): Dog!  cat: Cat  any: Any }
	interface Pet { name: String  friend: Pet  age: Int! }
	type Dog implements Pet { name: String  friend: Pet  age: Int!  size: Int!  barks(at: String, times: Int): Boolean  tag: String }
	type Cat implements Pet { name: String  friend: Pet  age: Int!  size: String!  barks: String  tag: [String] }
	union Any = Dog | Cat
	input Like { a: Int  b: [Int] }`

func loadZoo() *ast.Schema { return gqlparser.MustLoadSchema(&ast.Source{Input: zoo}) }

func TestConflict(t *testing.T) {
	s := loadZoo()
	tests := []struct{ name, query, want string }{
		{"the same field twice", `{ pet { name name } pet { name } }`, ""},
		{"arguments in another order", `{ dog { barks(at: "x", times: 1) barks(times: 1, at: "x") } }`, ""},
		{"an input in another order", `{ dog(like: {a: 1, b: [2]}) { name } dog(like: {b: [2], a: 1}) { age } }`, ""},
		{"different fields of different objects, alike", `{ pet { ... on Dog { x: tag } ... on Cat { x: name } } }`,
			""},
		{"different fields", `{ pet { x: name x: age } }`,
			`Fields "x" conflict because "name" and "age" are different fields.`},
		{"different arguments", `{ dog { barks(at: "x") barks } }`,
			`Fields "barks" conflict because they have differing arguments.`},
		{"a variable and its value", `query($v: String) { dog { barks(at: "v") barks(at: $v) } }`,
			"differing arguments"},
		{"lists of other lengths", `{ dog(like: {b: [1]}) { name } dog(like: {b: [1, 2]}) { name } }`,
			"differing arguments"},
		{"different types in objects that exclude each other", `{ pet { ... on Dog { size } ... on Cat { size } } }`,
			`they return conflicting types "Int!" and "String!"`},
		{"a list and none", `{ pet { ... on Dog { tag } ... on Cat { tag } } }`,
			`conflicting types "String" and "[String]"`},
		{"a leaf and an object", `{ pet { ... on Dog { x: name } ... on Cat { x: friend { name } } } }`,
			`conflicting types "String" and "Pet"`},
		{"an interface's field and an object's", `{ pet { x: name ... on Dog { x: tag } } }`,
			`"tag" and "name" are different fields`},
		{"below fields of the same name", `{ pet { friend { x: name } } pet { friend { x: age } } }`,
			`"name" and "age" are different fields`},
		{"below, in objects that exclude each other",
			`{ pet { ... on Dog { friend { x: name } } ... on Cat { friend { x: age } } } }`,
			`conflicting types "String" and "Int!"`},
		{"in fragments", `{ pet { ...A ...B } } fragment A on Pet { x: name } fragment B on Pet { x: age }`,
			`"name" and "age" are different fields`},
		{"in a fragment of a fragment",
			`{ pet { x: name ...A } } fragment A on Pet { ...B } fragment B on Pet { ... { x: age } }`,
			`"name" and "age" are different fields`},
		{"in the second operation", `query a { pet { name } } query b { x: pet { name } x: cat { name } }`,
			`"pet" and "cat" are different fields`},
		{"type names", `{ any { __typename ... on Dog { __typename } } }`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := parser.ParseQuery(&ast.Source{Input: tt.query})
			if err != nil {
				t.Fatal(err)
			}
			all := rules.NewDefaultRules()
			all.RemoveRule(rules.OverlappingFieldsCanBeMergedRule.Name)
			if errs := validator.ValidateWithRules(s, doc, all); len(errs) > 0 {
				t.Fatalf("%s: got %v, want it valid", tt.query, errs)
			}
			got := server.Conflict(s, doc)
			if tt.want == "" && got != nil || tt.want != "" &&
				(got == nil || !strings.Contains(got.Message, tt.want) || len(got.Locations) != 2) {
				t.Errorf("got %v, want %q", got, tt.want)
			}
		})
	}
}

// selections draws what is selected of an object of the type.
func selections(t *rapid.T, s *ast.Schema, def *ast.Definition, depth int) string {
	var b strings.Builder
	b.WriteString("{ __typename ")
	for range rapid.IntRange(1, 4).Draw(t, "fields") {
		if depth > 0 && rapid.IntRange(0, 3).Draw(t, "inline") == 0 {
			on := rapid.SampledFrom(s.GetPossibleTypes(def)).Draw(t, "on")
			fmt.Fprintf(&b, "... on %s %s ", on.Name, selections(t, s, on, depth-1))
			continue
		}
		if def.Name == "Pet" && rapid.IntRange(0, 5).Draw(t, "spread") == 0 {
			fmt.Fprintf(&b, "...P%d ", rapid.IntRange(0, 1).Draw(t, "which"))
			continue
		}
		var fields ast.FieldList
		for _, f := range def.Fields {
			if !strings.HasPrefix(f.Name, "__") && (depth > 0 || !s.Types[f.Type.Name()].IsCompositeType()) {
				fields = append(fields, f)
			}
		}
		if len(fields) == 0 {
			continue
		}
		f := rapid.SampledFrom(fields).Draw(t, "field")
		b.WriteString(rapid.SampledFrom([]string{"", "", "x: ", "y: "}).Draw(t, "alias") + f.Name)
		if len(f.Arguments) > 0 {
			b.WriteString(rapid.SampledFrom([]string{"", "(" + f.Arguments[0].Name + `: "a")`,
				"(" + f.Arguments[0].Name + `: "b")`}).Draw(t, "argument"))
		}
		if of := s.Types[f.Type.Name()]; of.IsCompositeType() {
			b.WriteString(" " + selections(t, s, of, depth-1))
		}
		b.WriteByte(' ')
	}
	b.WriteString("}")
	return b.String()
}

// byResponseName collects fields, those of fragments included.
func byResponseName(sets ...ast.SelectionSet) map[string][]*ast.Field {
	byName := map[string][]*ast.Field{}
	for _, set := range sets {
		for _, selection := range set {
			var inner map[string][]*ast.Field
			switch s := selection.(type) {
			case *ast.Field:
				byName[s.Alias] = append(byName[s.Alias], s)
			case *ast.InlineFragment:
				inner = byResponseName(s.SelectionSet)
			case *ast.FragmentSpread:
				inner = byResponseName(s.Definition.SelectionSet)
			}
			for name, fields := range inner {
				byName[name] = append(byName[name], fields...)
			}
		}
	}
	return byName
}

// specified is the text of the specification, word by word: every pair.
type specified struct{ schema *ast.Schema }

func (r specified) canMerge(sets ...ast.SelectionSet) bool {
	for _, fields := range byResponseName(sets...) {
		for i, a := range fields {
			if !r.canMerge(a.SelectionSet) {
				return false
			}
			for _, b := range fields[:i] {
				if !r.pair(a, b) {
					return false
				}
			}
		}
	}
	return true
}

func (r specified) pair(a, b *ast.Field) bool {
	if !r.sameShape(a, b) {
		return false
	}
	if x, y := a.ObjectDefinition, b.ObjectDefinition; x != y && x.Kind == ast.Object && y.Kind == ast.Object {
		return true
	}
	arguments := func(f *ast.Field) string {
		var texts []string
		for _, arg := range f.Arguments {
			texts = append(texts, arg.Name+arg.Value.String())
		}
		slices.Sort(texts)
		return strings.Join(texts, " ")
	}
	return a.Name == b.Name && arguments(a) == arguments(b) && r.canMerge(a.SelectionSet, b.SelectionSet)
}

func (r specified) sameShape(a, b *ast.Field) bool {
	of, other := a.Definition.Type, b.Definition.Type
	composite := func(t *ast.Type) bool { return r.schema.Types[t.Name()].IsCompositeType() }
	if !composite(of) || !composite(other) {
		return of.String() == other.String()
	}
	if strings.Replace(of.String(), of.Name(), "", 1) != strings.Replace(other.String(), other.Name(), "", 1) {
		return false // lists and nulls differ
	}
	for _, fields := range byResponseName(a.SelectionSet, b.SelectionSet) {
		for i, x := range fields {
			for _, y := range fields[:i] {
				if !r.sameShape(x, y) {
					return false
				}
			}
		}
	}
	return true
}

// On documents of any form the verdict is the one of the specification. That
// of the parser's rule is not: it overlooks conflicts where a fragment is
// spread in several places.
func TestConflictIsWhereTheSpecificationHasOne(t *testing.T) {
	s := loadZoo()
	verdicts := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		query := selections(t, s, s.Query, 3) +
			" fragment P0 on Pet { x: name friend { ...P1 } } fragment P1 on Pet { " +
			rapid.SampledFrom([]string{"name", "x: age", "y: name", "friend { x: name }"}).Draw(t, "P1") + " }"
		doc, err := parser.ParseQuery(&ast.Source{Input: query})
		if err != nil {
			t.Fatalf("%v in %s", err, query)
		}
		found := false
		for _, e := range validator.ValidateWithRules(s, doc, nil) {
			switch e.Rule {
			case rules.OverlappingFieldsCanBeMergedRule.Name:
				found = true
			case rules.NoUnusedFragmentsRule.Name:
			default:
				t.Fatalf("got %v, want conflicts and unused fragments only, in %s", e, query)
			}
		}
		want := !specified{s}.canMerge(doc.Operations[0].SelectionSet)
		verdicts[want]++
		got := server.Conflict(s, doc)
		if (got != nil) != want {
			t.Errorf("got %v, want a conflict: %t, in %s", got, want, query)
		}
		if found && got == nil {
			t.Errorf("got no conflict, want one as by gqlparser's rule, in %s", query)
		}
	})
	if verdicts[true] == 0 || verdicts[false] == 0 {
		t.Errorf("got %d documents with and %d without a conflict, want at least one of each", verdicts[true],
			verdicts[false])
	}
}
