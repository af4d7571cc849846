package arch_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sources are where error codes are written: the files, and what surrounds a code there.
var sources = []struct {
	files string
	code  string
}{
	{"internal/fault/fault.go", `\bKind = "([A-Z_]+)"`},
	{"internal/cli/*.go", `problem\{\{Code: "([A-Z_]+)"`},
	{"internal/access/access.go", `\bReason\s*= "([a-z ]+)"`},
	{"internal/httpserver/endpoint.go", `\breason[A-Z]\w+\s*= "([a-z ]+)"`},
	{"internal/httpserver/*.go", `oauthError\{http\.\w+, "([a-z_]+)"`},
	{"internal/httpserver/*.go", `oauthError\{http\.\w+,\s*"([a-z_]+)"`},
	{"internal/httpserver/*.go", `known :?= "([a-z_]+)"`},
	{"internal/httpserver/*.go", `[ ,]error="([a-z_]+)"`},
	{"internal/scim/*.go", `\binvalid\("(\w+)"`},
	{"internal/scim/*.go", `\bType: "(\w+)"`},
	{"internal/httpserver/scimapi/*.go", `\bType: "(\w+)"`},
}

// docs/errors.md documents every error code and every reason of a refusal, and no others.
func TestErrorCodesAreDocumented(t *testing.T) {
	const root = "../../../"
	written := map[string]string{}
	for _, s := range sources {
		files, err := filepath.Glob(root + s.files)
		if err != nil {
			t.Fatal(err)
		}
		code, found := regexp.MustCompile(s.code), false
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range code.FindAllStringSubmatch(string(text), -1) {
				written[match[1]], found = strings.TrimPrefix(file, root), true
			}
		}
		if !found {
			t.Errorf("%s: got no code that matches %s, want at least one", s.files, s.code)
		}
	}
	text, err := os.ReadFile(root + "docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		if documented[row[1]] {
			t.Errorf("docs/errors.md has two rows for %s, want one", row[1])
		}
		documented[row[1]] = true
	}
	for _, code := range slices.Sorted(maps.Keys(written)) {
		if !documented[code] {
			t.Errorf("docs/errors.md has no row for %s of %s, want one", code, written[code])
		}
		delete(documented, code)
	}
	for code := range documented {
		t.Errorf("docs/errors.md has a row for %s, want only codes that exist", code)
	}
}

// Error codes are written as constants: a code in another place would escape TestErrorCodesAreDocumented.
func TestErrorCodesAreConstants(t *testing.T) {
	literal := regexp.MustCompile(`fault\.Kind\("|extensions\{"|"code":"[A-Z]`)
	for _, root := range []string{"../../../internal", "../../../graph"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
				strings.Contains(path, "/generated/") {
				return err
			}
			text, err := os.ReadFile(path)
			if found := literal.Find(text); found != nil {
				t.Errorf("%s: got %q, want a constant of package fault", path, found)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
