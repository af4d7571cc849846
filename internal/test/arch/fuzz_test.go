package arch_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// parsers are the packages that read text of clients, files or other programs. A package that begins to do so belongs
// here.
var parsers = []string{
	"graph/scalar", "graph/server", "internal/audit", "internal/billing", "internal/bulk/export", "internal/bulk/file",
	"internal/config", "internal/gateway/routes", "internal/httpserver", "internal/leaks", "internal/manifest",
	"internal/paging", "internal/panel", "internal/scim", "internal/scope", "internal/secret",
	"internal/secret/password", "internal/signin/openid", "internal/tlsfiles", "internal/webhook/deliver/egress",
}

var fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)

// Every parser of text from outside has a fuzz target, and every fuzz target a corpus in the repository, which
// `go test` runs.
func TestParsersAreFuzzed(t *testing.T) {
	const root = "../../.."
	fuzzed := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && slices.Contains([]string{".git", "node_modules"}, entry.Name()) {
			return errorOrSkip(err)
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, found := range fuzzTarget.FindAllStringSubmatch(string(text), -1) {
			fuzzed[dir] = true
			corpus := filepath.Join(root, dir, "testdata", "fuzz", found[1])
			if inputs, err := os.ReadDir(corpus); err != nil || len(inputs) == 0 {
				t.Errorf("%s has no corpus: want an input in %s/testdata/fuzz/%s", found[1], dir, found[1])
			}
			if !slices.Contains(parsers, dir) {
				t.Errorf("%s is in %s, which is not among the parsers", found[1], dir)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range parsers {
		if !fuzzed[dir] {
			t.Errorf("%s has no fuzz target, want one", dir)
		}
	}
}

// errorOrSkip returns the error of a directory, or that it is skipped.
func errorOrSkip(err error) error {
	if err != nil {
		return err
	}
	return fs.SkipDir
}
