package apitest_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// docs/compatibility.md has a row for every type of the original API, which lists its fields, arguments and enum
// values.
func TestCompatibilityIsDocumented(t *testing.T) {
	sdl, err := os.ReadFile("../testdata/account-api.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	// listed has the names in the rows of each type.
	listed := map[string]string{}
	quoted := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, " | ")
		if len(cells) != 3 {
			continue
		}
		for _, name := range quoted.FindAllStringSubmatch(cells[0], -1) {
			listed[name[1]] += cells[1]
		}
	}
	for _, def := range gqlparser.MustLoadSchema(&ast.Source{Input: string(sdl)}).Types {
		if def.BuiltIn || def.Kind == ast.Scalar {
			continue
		}
		for _, name := range namesOf(def) {
			if !strings.Contains(listed[def.Name], "`"+name+"`") {
				t.Errorf("docs/compatibility.md: got no %s in the rows of %s, want it listed", name, def.Name)
			}
		}
	}
}

// namesOf returns the names of a type's fields, arguments and enum values.
func namesOf(def *ast.Definition) []string {
	var names []string
	for _, f := range def.Fields {
		if strings.HasPrefix(f.Name, "__") {
			continue
		}
		names = append(names, f.Name)
		for _, argument := range f.Arguments {
			names = append(names, argument.Name)
		}
	}
	for _, value := range def.EnumValues {
		names = append(names, value.Name)
	}
	return names
}
