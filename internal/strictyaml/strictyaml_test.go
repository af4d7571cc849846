package strictyaml_test

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"latchkey/internal/fault"
	"latchkey/internal/strictyaml"
	"latchkey/internal/test/check"
)

func TestRead(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"one document", "a: 1\n", ""},
		{"the largest", "a: " + strings.Repeat("x", 97), ""},
		{"too large", "a: " + strings.Repeat("x", 98), "The list has more than 100 bytes."},
		{"nothing", "", "The list is empty."},
		{"a comment", "# nothing\n", "The list is empty."},
		{"two documents", "a: 1\n---\nb: 2\n", "line 2: a second document; a list must hold one document only"},
		{"not YAML", "a: [\n", "The list is not YAML: line 1: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root, err := strictyaml.Read(strings.NewReader(tc.text), "list", 100)
			switch {
			case tc.want == "" && (err != nil || root == nil):
				t.Errorf("got %v", err)
			case tc.want != "" && (fault.KindOf(err) != fault.Invalid || !strings.HasPrefix(err.Error(), tc.want)):
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
	broken := errors.New("disk is gone")
	if _, err := strictyaml.Read(iotest.ErrReader(broken), "list", 100); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestMapping(t *testing.T) {
	root, err := strictyaml.Read(strings.NewReader("name: x\nmany: [a]\nnone: []\nyes: true\nodd: 1\nname: y\n"),
		"list", 100)
	if err != nil {
		t.Fatal(err)
	}
	var faults strictyaml.Faults
	m := faults.Mapping(root, "a list", "name", "many", "none", "yes", "missing")
	short := func(text string) bool { return len(text) < 2 }
	if m.Text("name", short, "is too long") != "x" || m.OptionalText("missing", short, "") != "" ||
		len(m.Some("many")) != 1 ||
		!m.Boolean("yes", false) || !m.Boolean("missing", true) ||
		strictyaml.Choice(m, "name", map[string]int{"x": 7}) != 7 {
		t.Error("a value that is present was not read")
	}
	m.Required("missing")
	m.Some("none")
	m.Boolean("name", false)
	m.List("name")
	strictyaml.Choice(m, "name", map[string]int{"y": 1, "z": 2})
	faults.Mapping(m.Value("name"), "a name", "first", "last")
	var got []string
	for _, f := range fault.Flatten(faults.Err()) {
		got = append(got, f.Message)
	}
	want := []string{
		`line 1: a list needs "missing"`, "line 1: name must be true or false", "line 1: name must be a list",
		`line 1: name "x" is unknown; it can be y or z`, "line 1: a name has the keys first, last",
		"line 3: none must be a list with at least one element",
		`line 5: unknown key "odd"; a list has name, many, none, yes, missing`,
		`line 6: key "name" is on line 1 already`,
	}
	check.Equal(t, strings.Join(got, "\n"), strings.Join(want, "\n"), "strings.Join(got, \"\\n\")")
}
