package panel

import (
	"fmt"
	"html/template"
	"maps"
	"slices"
	"testing"
	"text/template/parse"

	"github.com/jba/templatecheck"
)

// Every template of a page fits the type of the page's data, also in branches that no other test executes. Values
// that a shared template reads from the map of args have no type and are not checked; the arguments of args are.
func TestTemplatesFitTheirData(t *testing.T) {
	l, err := newViews()
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(l.pages))
	if registered := slices.Sorted(maps.Keys(pageData)); !slices.Equal(names, registered) {
		t.Fatalf("templates: got %q, want the registered pages %q", names, registered)
	}
	for _, name := range names {
		page, err := l.pages[name]()
		if err != nil {
			t.Fatal(err)
		}
		if err := fits(page, pageData[name]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The check finds templates that would fail when a page is shown.
func TestTemplatesThatDoNotFitAreFound(t *testing.T) {
	type row struct{ ID string }
	type data struct {
		Tokens []row
		Count  int
		Large  int64
	}
	l, err := newViews()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		main string
		fits bool
	}{
		{`{{range .Data.Tokens}}{{.ID}}{{end}}{{tn "k" .Data.Count}}{{.Email}}`, true},
		{`{{if .Refused}}{{tn "k" .Data.Large}}{{end}}`, false},
		{`{{range .Data.Tokens}}{{$.In}}{{end}}`, false},
		{`{{range .Data.Tokens}}{{.Name}}{{end}}`, false},
		{`{{template "kept" .Data.Tokens}}`, false},
		{`{{template "a" (args "n" .Data.Count)}}{{template "a" (args "n" .Data.Missing)}}`, false},
		{`{{template "b" .Data}}{{template "b" .}}`, false},
	} {
		page := template.Must(template.New("").Funcs(l.functions()).ParseFS(files, "templates/shared/*.html"))
		page = template.Must(
			page.Parse(`{{define "title"}}{{end}}{{define "a"}}{{.n}}{{end}}{{define "b"}}{{.Count}}{{end}}` +
				`{{define "main"}}` + tc.main + `{{end}}`))
		if err := fits(page, contentOf[data]{}); (err == nil) != tc.fits {
			t.Errorf("%s: got %v, want it to fit %t", tc.main, err, tc.fits)
		}
	}
}

// fits returns an error if the layout of page cannot be executed with data of the type. It modifies page.
func fits(page *template.Template, data any) error {
	if err := separate(page, page.Lookup("layout").Tree.Root); err != nil {
		return err
	}
	return templatecheck.CheckHTML(page.Lookup("layout"), data)
}

// separate gives each call of a template in list a copy of that template, and puts the call's argument before it as
// a separate action. templatecheck checks only the first call of a template.
func separate(page *template.Template, list *parse.ListNode) error {
	if list == nil {
		return nil
	}
	var nodes []parse.Node
	for _, node := range list.Nodes {
		var err error
		switch n := node.(type) {
		case *parse.TemplateNode:
			if n.Pipe != nil {
				nodes = append(nodes, &parse.ActionNode{NodeType: parse.NodeAction, Pos: n.Pos, Line: n.Line,
					Pipe: n.Pipe})
			}
			err = copyCalled(page, n)
		case *parse.IfNode:
			err = separateBoth(page, n.BranchNode)
		case *parse.RangeNode:
			err = separateBoth(page, n.BranchNode)
		case *parse.WithNode:
			err = separateBoth(page, n.BranchNode)
		}
		if err != nil {
			return err
		}
		nodes = append(nodes, node)
	}
	list.Nodes = nodes
	return nil
}

func separateBoth(page *template.Template, branch parse.BranchNode) error {
	if err := separate(page, branch.List); err != nil {
		return err
	}
	return separate(page, branch.ElseList)
}

// copyCalled replaces the template of a call by a copy.
func copyCalled(page *template.Template, call *parse.TemplateNode) error {
	called := page.Lookup(call.Name)
	if called == nil {
		return fmt.Errorf("there is no template %s", call.Name)
	}
	name := fmt.Sprintf("%s (call %d)", call.Name, len(page.Templates()))
	copied, err := page.AddParseTree(name, called.Tree.Copy())
	if err != nil {
		return err
	}
	call.Name = name
	return separate(page, copied.Tree.Root)
}
