package graph_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"latchkey/graph"
	"latchkey/graph/generated"
)

// Every GraphQL document in docs is valid. Those in shell commands are run by tests of internal/cli.
func TestDocumentsInDocsAreValid(t *testing.T) {
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)\n```graphql\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			found++
			if _, errs := gqlparser.LoadQueryWithRules(schema, block[1], rules.NewDefaultRules()); errs != nil {
				t.Errorf("%s: %v, want a valid document:\n%s", page, errs, block[1])
			}
		}
	}
	if found < 3 {
		t.Errorf("got %d documents, want at least 3", found)
	}
}

// The schema that is printed and downloaded is the one that runs, for the tools that read it.
func TestSDL(t *testing.T) {
	read, err := gqlparser.LoadSchema(&ast.Source{Name: "printed", Input: graph.SDL()})
	if err != nil {
		t.Fatal(err)
	}
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	if len(read.Types) != len(schema.Types) {
		t.Errorf("the printed schema has %d types, want %d", len(read.Types), len(schema.Types))
	}
	for name, want := range schema.Types {
		got := read.Types[name]
		if got == nil || len(got.Fields) != len(want.Fields) || len(got.EnumValues) != len(want.EnumValues) ||
			got.Description != want.Description {
			t.Errorf("%s: the printed schema has another definition than the one that runs", name)
		}
	}
}
