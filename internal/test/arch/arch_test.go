package arch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/internal/test/arch"
)

func TestRules(t *testing.T) {
	module, err := arch.Load("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range arch.Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			for _, finding := range rule.Check(module) {
				t.Errorf("%s, want none (%s)", finding, rule.Reason)
			}
		})
	}
}

// Every rule must be able to fail: the test takes a small module that follows all rules and breaks one at a time.
func TestRulesCanBeBroken(t *testing.T) {
	methods := func(n int) string {
		text := "package fault\n\ntype kind[T any] struct{}\n"
		for i := range n {
			text += fmt.Sprintf("\nfunc (k *kind[T]) method%d() {}\n", i)
		}
		return text
	}
	long := "\nfunc long() {\n" + strings.Repeat("\t_ = 0\n", 99) + "}\n"
	tests := []struct {
		name string
		rule string
		path string
		text string
		want string // the finding; "" if there must be none
	}{
		{"nothing broken", "imports", "internal/fault/more.go", "package fault\n", ""},
		{"below the vocabulary", "imports", "internal/fault/more.go", importing("fault", "latchkey/internal/scope"),
			"internal/fault must not import latchkey/internal/scope"},
		{"vocabulary and capability", "imports", "internal/scope/more.go",
			importing("scope", "latchkey/internal/token"),
			"internal/scope must not import latchkey/internal/token"},
		{"event and secret", "imports", "internal/audit/more.go", importing("audit", "latchkey/internal/secret"),
			"internal/audit must not import latchkey/internal/secret"},
		{"two capabilities", "imports", "internal/token/more.go", importing("token", "latchkey/internal/user"),
			"internal/token must not import latchkey/internal/user"},
		{"capability and account", "imports", "internal/token/more.go", importing("token", "latchkey/internal/account"),
			""},
		{"capability and a part of itself", "imports", "internal/token/more.go",
			importing("token", "latchkey/internal/token/part"), ""},
		{"capability and part of another", "imports", "internal/token/part/more.go",
			importing("part", "latchkey/internal/user"),
			"internal/token/part must not import latchkey/internal/user"},
		{"capability and database", "imports", "internal/token/more.go", importing("token", "gorm.io/gorm"),
			"internal/token must not import gorm.io/gorm"},
		{"capability and HTTP", "imports", "internal/access/more.go", importing("access", "net/http"),
			"internal/access must not import net/http"},
		{"capability and GraphQL", "imports", "internal/account/more.go",
			importing("account", "github.com/99designs/gqlgen/graphql"),
			"internal/account must not import github.com/99designs/gqlgen/graphql"},
		{"transport and database", "imports", "graph/more.go", importing("graph", "latchkey/internal/gormdb"),
			"graph must not import latchkey/internal/gormdb"},
		{"database and transport", "imports", "internal/gormdb/more.go", importing("gormdb", "latchkey/graph/model"),
			"internal/gormdb must not import latchkey/graph/model"},
		{"shipped test help", "imports", "internal/cli/more.go", importing("cli", "latchkey/internal/test/db"),
			"internal/cli must not import latchkey/internal/test/db"},
		{"main does more", "imports", "cmd/latchkey/more.go", importing("main", "latchkey/internal/config"),
			"cmd/latchkey must not import latchkey/internal/config"},
		{"tests import what they need", "imports", "internal/token/more_test.go",
			importing("token_test", "latchkey/internal/gormdb"), ""},
		{"another module's like-named package", "imports", "internal/token/more.go",
			importing("token", "example.com/internal/user"), ""},

		{"function", "documented", "internal/fault/more.go", "package fault\n\nfunc Bad() {}\n",
			"more.go:3: Bad is exported"},
		{"method", "documented", "internal/fault/more.go", "package fault\n\nfunc (k *Kind[T]) Bad() {}\n",
			"more.go:3: Bad is exported"},
		{"method of a hidden type", "documented", "internal/fault/more.go",
			"package fault\n\nfunc (k *kind[T]) Fine() {}\n", ""},
		{"type", "documented", "internal/fault/more.go", "package fault\n\ntype Bad int\n",
			"more.go:3: Bad is exported"},
		{"renamed", "documented", "internal/fault/more.go", "package fault\n\n// Good is fine.\nfunc Bad() {}\n",
			"more.go:4: the comment on Bad"},
		{"with an article", "documented", "internal/fault/more.go",
			"package fault\n\n// A Good is fine.\ntype Good int\n", ""},
		{"one of a group", "documented", "internal/fault/more.go",
			"package fault\n\nconst (\n\tA = 1 // fine\n\tBad = 2\n)\n", "more.go:5: Bad is exported"},
		{"a group with one comment", "documented", "internal/fault/more.go",
			"package fault\n\n// All of them.\nconst (\n\tA = 1\n\tB = 2\n)\n", ""},
		{"gqlgen's part of a shared file", "documented", "internal/fault/x.resolvers.go",
			"package fault\n\nfunc (r *Resolver) Fine() any { return r }\n", ""},
		{"our part of a shared file", "documented", "internal/fault/x.resolvers.go",
			"package fault\n\nfunc (r *Root) Bad() any { return r }\n", "x.resolvers.go:3: Bad"},
		{"generated code", "documented", "internal/fault/more.go",
			"// Code generated by a program. DO NOT EDIT.\n\npackage fault\n\nfunc Fine() {}\n", ""},
		{"package", "documented", "internal/bare/bare.go", "package bare\n",
			"internal/bare: the package has no comment"},

		{"long line", "columns", "internal/fault/more.go",
			"package fault\n\nvar x = 0" + strings.Repeat(" + 1", 28) + "\n",
			"more.go:3: 121 columns"},
		{"line of 120 columns", "columns", "internal/fault/more.go",
			"package fault\n\nvar x = 00" + strings.Repeat(" + 1", 27) + " \n", ""},
		{"line with tabs", "columns", "internal/fault/more.go",
			"package fault\n\nfunc x() {\n\t\t_ = 0" + strings.Repeat(" + 1", 27) + "\n}\n",
			"more.go:4: 121 columns"},
		{"line with a long string", "columns", "internal/fault/more.go",
			"package fault\n\nvar x = \"" + strings.Repeat("x", 150) + "\"\n", ""},
		{"long comment", "columns", "internal/fault/more.go", "package fault\n\n//" + strings.Repeat(" x", 60) + "\n",
			"more.go:3: 122 columns"},
		{"long directive", "columns", "internal/fault/more.go",
			"package fault\n\n//go:generate" + strings.Repeat(" x", 60) + "\n", ""},

		{"long function", "lengths", "internal/fault/more.go", "package fault\n" + long,
			"more.go:3: long has 101 lines"},
		{"long test", "lengths", "internal/fault/more_test.go", "package fault\n" + long, ""},
		{"long file", "lengths", "internal/fault/more.go", "package fault\n" + strings.Repeat("\n", 500),
			"more.go: 501 lines"},

		{"methods of one type", "methods", "internal/fault/more.go", methods(41),
			"internal/fault.kind has more than 40 methods"},
		{"fewer methods", "methods", "internal/fault/more.go", methods(40), ""},
		{"methods of a test's type", "methods", "internal/fault/more_test.go", methods(41), ""},

		{"folder", "package names", "internal/util/more.go", "// Package good is fine.\npackage good\n",
			"internal/util/more.go: the package's name"},
		{"package clause", "package names", "internal/good/more.go", "// Package helpers helps.\npackage helpers\n",
			"the package's name"},

		{"init", "no init", "internal/fault/more.go", "package fault\n\nfunc init() {}\n", "more.go:3: func init"},
		{"a method of that name", "no init", "internal/fault/more.go", "package fault\n\nfunc (k *kind) init() {}\n",
			""},

		{"log without a context", "logs with a context", "internal/cli/more.go",
			"package cli\n\nfunc f() { s.log.Warn(\"text\") }\n", "more.go:3: Warn instead of WarnContext"},
		{"log with a context", "logs with a context", "internal/cli/more.go",
			"package cli\n\nfunc f() { s.log.WarnContext(ctx, \"text\") }\n", ""},

		{"cheap hashes", "cheap hashes", "internal/cli/more.go",
			"package cli\n\nvar _ = password.LowerCost\n", "more.go:3: LowerCost outside of a test"},
		{"cheap hashes in tests", "cheap hashes", "internal/cli/more_test.go",
			"package cli\n\nvar _ = password.LowerCost\n", ""},

		{"skip", "no skipped tests", "internal/fault/more_test.go",
			"package fault\n\nfunc TestA(t *testing.T) {\n\tt.Skip()\n}\n", "more_test.go:4"},
		{"short", "no skipped tests", "internal/fault/more_test.go", "package fault\n\nvar _ = testing.Short()\n",
			"more_test.go:3"},
		{"another kind of skip", "no skipped tests", "internal/fault/more.go",
			"package fault\n\nvar _ = lexer.Skip()\n", ""},

		{"truncated", "one form of time", "internal/fault/more.go",
			"package fault\n\nvar at = now().UTC().Truncate(time.Microsecond)\n",
			"more.go:3: use clock.Timestamp"},
		{"truncated to seconds", "one form of time", "internal/fault/more.go",
			"package fault\n\nvar at = now().Truncate(time.Second)\n", ""},

		{"to do", "nothing left for later", "internal/fault/more.go",
			"package fault\n\n// TO" + "DO: finish.\nvar x int\n", "more.go:3"},

		{"registry", "no traces of a machine", "package-lock.json", `{"resolved": "https://registry.` + `npmjs.org/x"}`,
			"package-lock.json:1"},
		{"home", "no traces of a machine", "deploy/run.sh", "#!/bin/sh\ncd /ho" + "me/alice/latchkey\n",
			"deploy/run.sh:2"},
		{"like a home but not one", "no traces of a machine", "docs/api.md", "GET https://example.com/home/alice\n",
			""},

		{"a program", "no binaries", "cmd/latchkey/latchkey", "\x7fELF\x02", "cmd/latchkey/latchkey: is a program"},
		{"a program that is ignored", "no binaries", "latchkey", "\x7fELF\x02", ""},
		{"a program beside the one ignored", "no binaries", "latchkey2", "\x7fELF\x02", "latchkey2: is a program"},
		{"a large file", "no binaries", "docs/film.txt", strings.Repeat("x", 2<<20+1),
			"docs/film.txt: is a program, or larger"},
		{"a database that is ignored", "no binaries", "docs/mine.db", strings.Repeat("x", 2<<20+1), ""},
		{"unknown target", "make targets", "README.md", "Run `make coffee`.\n",
			"README.md:1: the Makefile has no target coffee"},
		{"unknown target in a block", "make targets", "docs/guide.md", "```sh\n$ make coffee\n```\n",
			"docs/guide.md:2"},
		{"known target", "make targets", "README.md", "Run `make test`, and do not make coffee.\n", ""},

		{"link to a file", "citations", "docs/guide.md",
			"See [code](../internal/fault/doc.go), [web](https://example.com/a.md).\n", ""},
		{"link to no file", "citations", "docs/guide.md", "\nSee [users](users.md).\n",
			"docs/guide.md:2: there is no docs/users.md"},
		{"link to a heading", "citations", "docs/guide.md", "# The `key` file, once\nSee [it](#the-key-file-once).\n",
			""},
		{"link to no heading", "citations", "docs/guide.md", "# One\nSee [it](guide.md#two).\n",
			"docs/guide.md:2: docs/guide.md has no heading for #two"},
		{"path", "citations", "docs/guide.md",
			"See `internal/fault`, `internal/fault/doc.go`, `internal/*/doc.go` and fault/doc.go.\n", ""},
		{"no path", "citations", "docs/guide.md", "See `internal/gone`.\n",
			"docs/guide.md:1: there is no internal/gone"},
		{"no Go file", "citations", "docs/guide.md", "See gone.go.\n", "docs/guide.md:1: there is no gone.go"},
		{"comment with no page", "citations", "internal/fault/more.go",
			"package fault\n\n// See docs/gone.md.\nvar x int\n",
			"more.go:3: there is no docs/gone.md"},
		{"comment with a page elsewhere", "citations", "internal/fault/more.go",
			"package fault\n\n// See here (notes.md:\n// Words).\nvar x int\n",
			"more.go:3: there is no notes.md"},
		{"comment with no file", "citations", "internal/fault/more.go",
			"package fault\n\n// Why (design:\n// \"Words\").\nvar x int\n",
			"more.go:3: cites design"},
		{"script with no page", "citations", "examples/run.sh", "# docs/gone.md\n",
			"examples/run.sh:1: there is no docs/gone.md"},
	}
	rules := map[string]arch.Rule{}
	for _, rule := range arch.Rules() {
		rules[rule.Name] = rule
	}
	broken := map[string]bool{}
	for _, test := range tests {
		t.Run(test.rule+"/"+test.name, func(t *testing.T) {
			module := loadFixture(t, test.path, test.text)
			got := fmt.Sprint(rules[test.rule].Check(module))
			if test.want == "" && got != "[]" || !strings.Contains(got, test.want) {
				t.Errorf("findings %s, want %q", got, test.want)
			}
		})
		broken[test.rule] = broken[test.rule] || test.want != ""
	}
	for name := range rules {
		if !broken[name] {
			t.Errorf("rule %q: got no test that breaks it, want one", name)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct{ name, path, text string }{
		{"invalid Go", "bad.go", "package"},
		{"a missing module line", "go.mod", "go 1.26\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := arch.Load(writeFixture(t, test.path, test.text)); err == nil {
				t.Errorf("Load of %s: got no error, want one", test.name)
			}
		})
	}
}

func importing(pkg, path string) string {
	return fmt.Sprintf("package %s\n\nimport _ %q\n", pkg, path)
}

// loadFixture writes a module that follows every rule, adds or replaces one file, and loads it.
func loadFixture(t *testing.T, path, text string) arch.Module {
	t.Helper()
	module, err := arch.Load(writeFixture(t, path, text))
	if err != nil {
		t.Fatal(err)
	}
	return module
}

func writeFixture(t *testing.T, path, text string) string {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"go.mod":                   "module latchkey\n",
		".gitignore":               "/latchkey\n*.db\n",
		"Makefile":                 "test: ## Test\n\ttrue\n",
		"internal/fault/doc.go":    "// Package fault is a fixture.\npackage fault\n",
		"node_modules/x/bad.go":    "package",
		"internal/x/testdata/a.go": "package",
	}
	files[path] = text
	for name, content := range files {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}
