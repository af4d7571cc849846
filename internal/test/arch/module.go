// Package arch checks the project's conventions: which package may import which, that every exported name is
// documented, that files and functions stay short, and that no file depends on the machine it was written on. Each rule
// states its reason.
package arch

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Module is the source of a Go module, parsed but not type-checked, and the text of its other files.
type Module struct {
	Path    string // as in go.mod
	GoFiles []GoFile
	Texts   []Text
	// Heavy lists the paths of executables and of files that are too large for source.
	Heavy []string
	fset  *token.FileSet
}

// GoFile is one parsed Go file.
type GoFile struct {
	Path      string // relative to the module's root, with slashes
	Syntax    *ast.File
	Lines     int
	Test      bool // named *_test.go
	Generated bool // has Go's standard comment ("Code generated … DO NOT EDIT.")
}

// Text is a file that is not binary, including Go files.
type Text struct {
	Path    string
	Content string
}

// Finding is one violation of a rule.
type Finding struct {
	Path    string
	Line    int // 0: the file or package as a whole
	Message string
}

// String returns the finding in the format that editors understand: path:line: message.
func (f Finding) String() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: %s", f.Path, f.Message)
	}
	return fmt.Sprintf("%s:%d: %s", f.Path, f.Line, f.Message)
}

// notSource lists directories of generated, downloaded or private files.
var notSource = []string{".git", "bin", "tmp", "node_modules"}

// mostBytes is the maximum size of a source file. The bundle of GraphiQL is the largest.
const mostBytes = 2 << 20

// Load reads the module at root. It returns an error for a file that cannot be read or is not valid Go.
func Load(root string) (Module, error) {
	m := Module{fset: token.NewFileSet()}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(notSource, entry.Name()):
			return filepath.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		return m.add(filepath.ToSlash(relative), file)
	})
	if err == nil && m.Path == "" {
		err = errors.New("no go.mod with a module line")
	}
	return m, err
}

// add reads one file into the module.
func (m *Module) add(relative, file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if len(content) > mostBytes || bytes.HasPrefix(content, []byte("\x7fELF")) {
		m.Heavy = append(m.Heavy, relative)
	}
	if bytes.IndexByte(content, 0) >= 0 {
		return nil
	}
	m.Texts = append(m.Texts, Text{Path: relative, Content: string(content)})
	if relative == "go.mod" {
		m.Path = modulePath(string(content))
	}
	if !strings.HasSuffix(relative, ".go") || slices.Contains(strings.Split(relative, "/"), "testdata") {
		return nil
	}
	syntax, err := parser.ParseFile(m.fset, relative, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	m.GoFiles = append(m.GoFiles, GoFile{
		Path:      relative,
		Syntax:    syntax,
		Lines:     bytes.Count(content, []byte("\n")),
		Test:      strings.HasSuffix(relative, "_test.go"),
		Generated: ast.IsGenerated(syntax),
	})
	return nil
}

func modulePath(gomod string) string {
	for line := range strings.Lines(gomod) {
		if name, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}

// handWritten returns the shipped files that are neither tests nor generated.
func (m Module) handWritten() []GoFile {
	var files []GoFile
	for _, f := range m.GoFiles {
		if !f.Test && !f.Generated {
			files = append(files, f)
		}
	}
	return files
}

// line returns the line of a position in a file of the module.
func (m Module) line(p token.Pos) int { return m.fset.Position(p).Line }

// dir returns the directory of the file's package, relative to the module's root.
func (f GoFile) dir() string { return path.Dir(f.Path) }

// imports returns the paths that the file imports, with the line of each.
func (m Module) imports(f GoFile) map[string]int {
	imports := map[string]int{}
	for _, spec := range f.Syntax.Imports {
		if name, err := strconv.Unquote(spec.Path.Value); err == nil {
			imports[name] = m.line(spec.Pos())
		}
	}
	return imports
}
