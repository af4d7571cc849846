//go:build unix

package regularfile_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"latchkey/internal/regularfile"
	"latchkey/internal/test/check"
)

// Only regular files are opened, also by links. A named pipe without a writer does not keep the caller waiting.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(path("file"), []byte("text"), 0o600))
	must(syscall.Mkfifo(path("pipe"), 0o600))
	must(os.Symlink("file", path("link")))
	must(os.Symlink("pipe", path("link to a pipe")))
	for _, name := range []string{"file", "link"} {
		file, info, err := regularfile.Open(path(name))
		must(err)
		text, err := io.ReadAll(file)
		check.Equal(t, string(text), "text", "content of a %s", name)
		check.Equal(t, info.Size(), 4, "size of a %s", name)
		must(errors.Join(err, file.Close()))
	}
	for name, want := range map[string]string{"pipe": "not a regular file", "link to a pipe": "not a regular file",
		"/dev/null": "not a regular file", "/": "is a directory", "none": "no such file"} {
		if !filepath.IsAbs(name) {
			name = path(name)
		}
		_, _, err := regularfile.Open(name)
		var onPath *fs.PathError
		if !errors.As(err, &onPath) || onPath.Path != name || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q and the path", name, err, want)
		}
	}
}
