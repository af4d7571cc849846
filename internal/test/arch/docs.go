package arch

import (
	"cmp"
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// checkDocumented requires a comment on every package and every exported name, including methods of exported types. A
// group may have one comment for all of its names.
func checkDocumented(m Module) []Finding {
	var findings []Finding
	documented := map[string]bool{}
	for _, f := range m.handWritten() {
		documented[f.dir()] = documented[f.dir()] || f.Syntax.Doc.Text() != ""
		for _, declaration := range f.Syntax.Decls {
			if strings.HasSuffix(f.Path, ".resolvers.go") && handsOutResolvers(declaration) {
				continue
			}
			for _, name := range undocumented(declaration) {
				findings = append(findings, Finding{f.Path, m.line(name.Pos()),
					name.Name + " is exported and not documented"})
			}
			if name := misnamed(declaration); name != nil {
				findings = append(findings, Finding{f.Path, m.line(name.Pos()),
					"the comment on " + name.Name + " does not begin with its name"})
			}
		}
	}
	for _, dir := range slices.SortedFunc(maps.Keys(documented), cmp.Compare) {
		if !documented[dir] {
			findings = append(findings, Finding{dir, 0, "the package has no comment"})
		}
	}
	return findings
}

// handsOutResolvers reports whether a declaration, in a file that gqlgen and programmers share, is one of gqlgen's
// one-line methods of Resolver. gqlgen rewrites those without comments.
func handsOutResolvers(declaration ast.Decl) bool {
	f, ok := declaration.(*ast.FuncDecl)
	if !ok || f.Recv == nil || len(f.Body.List) != 1 {
		return false
	}
	star, ok := f.Recv.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	name, ok := star.X.(*ast.Ident)
	return ok && name.Name == "Resolver"
}

// undocumented returns the exported names of a declaration that have no comment.
func undocumented(declaration ast.Decl) []*ast.Ident {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc.Text() == "" && receiverExported(d) {
			return []*ast.Ident{d.Name}
		}
	case *ast.GenDecl:
		if d.Doc.Text() == "" && d.Tok != token.IMPORT {
			return undocumentedSpecs(d.Specs)
		}
	}
	return nil
}

func undocumentedSpecs(specs []ast.Spec) []*ast.Ident {
	var names []*ast.Ident
	for _, spec := range specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && s.Doc.Text() == "" {
				names = append(names, s.Name)
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() && s.Doc.Text() == "" && s.Comment.Text() == "" {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// misnamed returns the exported name of a declaration whose comment begins with another name, as after a rename.
func misnamed(declaration ast.Decl) *ast.Ident {
	var name *ast.Ident
	var comment string
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		name, comment = d.Name, d.Doc.Text()
	case *ast.GenDecl:
		if d.Lparen.IsValid() || len(d.Specs) != 1 {
			return nil
		}
		s, ok := d.Specs[0].(*ast.TypeSpec)
		if !ok {
			return nil
		}
		name, comment = s.Name, d.Doc.Text()
	}
	words := strings.FieldsFunc(comment, func(r rune) bool {
		return unicode.IsSpace(r) ||
			strings.ContainsRune(".,:;()", r)
	})
	if len(words) > 1 && slices.Contains([]string{"A", "An", "The"}, words[0]) {
		words = words[1:]
	}
	if name == nil || !name.IsExported() || len(words) == 0 || strings.TrimSuffix(words[0], "'s") == name.Name {
		return nil
	}
	return name
}

// receiverExported reports whether a function has no receiver or an exported receiver type.
func receiverExported(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	name := receiverType(f)
	return name == nil || name.IsExported()
}

// receiverType returns the name of a method's receiver type, without its type parameters. It returns nil for code that
// does not compile.
func receiverType(f *ast.FuncDecl) *ast.Ident {
	receiver := f.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr: // one type parameter
			receiver = r.X
		case *ast.IndexListExpr: // several
			receiver = r.X
		case *ast.Ident:
			return r
		default:
			return nil
		}
	}
}
