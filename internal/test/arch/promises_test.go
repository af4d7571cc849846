package arch_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/promises.md and docs/security.md name exists.
func TestPromisesNameTestsThatExist(t *testing.T) {
	for _, page := range []string{"docs/promises.md", "docs/security.md"} {
		t.Run(page, func(t *testing.T) { namesTests(t, page) })
	}
}

func namesTests(t *testing.T, page string) {
	text, err := os.ReadFile("../../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 20 {
		t.Fatalf("%s names %d tests, want at least 20", page, len(named))
	}
	var tests strings.Builder
	for _, root := range []string{"../../../internal", "../../../graph"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			tests.Write(source)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range named {
		if !strings.Contains(tests.String(), "func "+name[1]+"(t *testing.T)") {
			t.Errorf("%s names %s, want a test that exists", page, name[1])
		}
	}
}
