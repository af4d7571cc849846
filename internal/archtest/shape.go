package archtest

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
)

// Limits on length, which keep a file and a function within what a reader can hold in mind.
const (
	maxFileLines     = 500
	maxFunctionLines = 100
)

func checkLengths(m Module) []Finding {
	var findings []Finding
	for _, f := range m.handWritten() {
		if f.Lines > maxFileLines {
			findings = append(findings, Finding{f.Path, 0, fmt.Sprintf("%d lines, at most %d", f.Lines, maxFileLines)})
		}
		for _, function := range functions(f) {
			if n := m.line(function.End()) - m.line(function.Pos()) + 1; n > maxFunctionLines {
				findings = append(findings, Finding{f.Path, m.line(function.Pos()),
					fmt.Sprintf("%s has %d lines, at most %d", function.Name, n, maxFunctionLines)})
			}
		}
	}
	return findings
}

// emptyNames say nothing about what a package is for, so everything ends up in it.
var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "base", "lib", "shared"}

func checkPackageNames(m Module) []Finding {
	var findings []Finding
	for _, f := range m.GoFiles {
		if slices.Contains(emptyNames, f.Syntax.Name.Name) || slices.Contains(emptyNames, path.Base(f.dir())) {
			findings = append(findings, Finding{f.Path, 0, "the package's name does not say what it is for"})
		}
	}
	return findings
}

func checkNoInit(m Module) []Finding {
	var findings []Finding
	for _, f := range m.handWritten() {
		for _, function := range functions(f) {
			if function.Recv == nil && function.Name.Name == "init" {
				findings = append(findings, Finding{f.Path, m.line(function.Pos()), "func init"})
			}
		}
	}
	return findings
}

// checkNoSkip looks for calls of testing's methods that end a test without a verdict, by name: nothing else here is
// called like them.
func checkNoSkip(m Module) []Finding {
	var findings []Finding
	for _, f := range m.GoFiles {
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			selector, ok := call.Fun.(*ast.SelectorExpr)
			if ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow", "Short"}, selector.Sel.Name) && isTestValue(selector.X) {
				findings = append(findings, Finding{f.Path, m.line(call.Pos()), "a test that can skip itself"})
			}
			return true
		})
	}
	return findings
}

// isTestValue reports whether x is called as values of testing's types, or the package itself, always are.
func isTestValue(x ast.Expr) bool {
	name, ok := x.(*ast.Ident)
	return ok && slices.Contains([]string{"t", "b", "f", "tb", "testing"}, name.Name)
}

var leftForLater = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

func checkNothingLeftForLater(m Module) []Finding {
	var findings []Finding
	for _, f := range m.GoFiles {
		if f.Generated {
			continue
		}
		for _, group := range f.Syntax.Comments {
			for _, comment := range group.List {
				if word := leftForLater.FindString(comment.Text); word != "" {
					findings = append(findings, Finding{f.Path, m.line(comment.Pos()), word})
				}
			}
		}
	}
	return findings
}

func functions(f GoFile) []*ast.FuncDecl {
	var functions []*ast.FuncDecl
	for _, declaration := range f.Syntax.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok {
			functions = append(functions, function)
		}
	}
	return functions
}
