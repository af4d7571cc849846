package arch

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Limits on the length of files and functions.
const (
	maxFileLines     = 500
	maxFunctionLines = 100
)

// maxMethods is the limit on the methods of one type.
const maxMethods = 40

// largeTypes lists the types that have more, by directory and name.
var largeTypes = []string{"tools/bench.suite"}

// checkMethods counts the methods of each type, without those that gqlgen writes into the files of resolvers.
func checkMethods(m Module) []Finding {
	methods := map[string]int{}
	var findings []Finding
	for _, f := range m.handWritten() {
		for _, function := range functions(f) {
			if function.Recv == nil || receiverType(function) == nil || strings.HasSuffix(f.Path, ".resolvers.go") &&
				handsOutResolvers(function) {
				continue
			}
			name := f.dir() + "." + receiverType(function).Name
			methods[name]++
			if methods[name] == maxMethods+1 && !slices.Contains(largeTypes, name) {
				findings = append(findings, Finding{f.Path, m.line(function.Pos()),
					fmt.Sprintf("%s has more than %d methods", name, maxMethods)})
			}
		}
	}
	return findings
}

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

// emptyNames lists package names that do not say what the package is for.
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

// checkNoSkip finds calls of testing's methods that skip a test, by name, because no other methods here have these
// names.
func checkNoSkip(m Module) []Finding {
	var findings []Finding
	for _, f := range m.GoFiles {
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			selector, ok := call.Fun.(*ast.SelectorExpr)
			if ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow", "Short"}, selector.Sel.Name) &&
				isTestValue(selector.X) {
				findings = append(findings, Finding{f.Path, m.line(call.Pos()), "the test can skip itself"})
			}
			return true
		})
	}
	return findings
}

// isTestValue reports whether x has a name that is used only for values of testing's types or the package itself.
func isTestValue(x ast.Expr) bool {
	name, ok := x.(*ast.Ident)
	return ok && slices.Contains([]string{"t", "b", "f", "tb", "testing"}, name.Name)
}

// checkTimestamps finds times that are truncated to microseconds elsewhere than in internal/clock.
func checkTimestamps(m Module) []Finding {
	var findings []Finding
	for _, f := range m.GoFiles {
		if f.dir() == "internal/clock" {
			continue
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if ok && len(call.Args) == 1 && isSelector(call.Fun, "Truncate") &&
				isSelector(call.Args[0], "Microsecond") {
				findings = append(findings, Finding{f.Path, m.line(call.Pos()), "use clock.Timestamp"})
			}
			return true
		})
	}
	return findings
}

// checkCheapHashes finds uses of password.LowerCost outside of tests.
func checkCheapHashes(m Module) []Finding {
	var findings []Finding
	for _, f := range m.GoFiles {
		if f.dir() == "internal/secret/password" || strings.HasSuffix(f.Path, "_test.go") {
			continue
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok && name.Name == "LowerCost" {
				findings = append(findings, Finding{f.Path, m.line(name.Pos()), "LowerCost outside of a test"})
			}
			return true
		})
	}
	return findings
}

func isSelector(x ast.Expr, name string) bool {
	selector, ok := x.(*ast.SelectorExpr)
	return ok && selector.Sel.Name == name
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
