package arch

import (
	"go/ast"
	"slices"
	"strings"
)

// checkLogs finds log lines that are written without a context: calls of Debug, Info, Warn and Error on a value named
// log, and of the functions of package slog.
func checkLogs(m Module) []Finding {
	var findings []Finding
	for _, f := range m.handWritten() {
		if f.Test {
			continue
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if ok && slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, method.Sel.Name) && isLog(method.X) {
				findings = append(findings, Finding{f.Path, m.line(call.Pos()),
					method.Sel.Name + " instead of " + method.Sel.Name + "Context"})
			}
			return true
		})
	}
	return findings
}

func isLog(x ast.Expr) bool {
	name := ""
	switch x := x.(type) {
	case *ast.Ident:
		name = x.Name
	case *ast.SelectorExpr:
		name = x.Sel.Name
	}
	return slices.Contains([]string{"log", "logger", "slog"}, strings.ToLower(name))
}
