//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package instance_test

import (
	"os"
	"path/filepath"
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/instance"
)

func open(t *testing.T, path string) *instance.File {
	t.Helper()
	f, err := instance.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// The ID is stable across restarts, and two processes never have the same one.
func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "instance")
	first := open(t, path)
	if _, err := instance.Open(path); fault.KindOf(err) != fault.Conflict {
		t.Errorf("Open while it is locked: got error %v, want kind %s", err, fault.Conflict)
	}
	id := first.ID()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if second := open(t, path); second.ID() != id {
		t.Errorf("the ID after a restart: got %s, want %s", second.ID(), id)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file: got mode %v, %v, want %o", info.Mode(), err, 0o600)
	}
}

// A copy is not locked together with the original, so it gets a new ID and keeps it.
func TestCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "instance")
	original := open(t, path)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(copied, text, 0o600); err != nil {
		t.Fatal(err)
	}
	first := open(t, copied)
	if first.ID() == original.ID() {
		t.Errorf("the copy has the original's ID %s, want another", original.ID())
	}
	_ = first.Close()
	if second := open(t, copied); second.ID() != first.ID() {
		t.Errorf("the copy's ID after a restart: got %s, want %s", second.ID(), first.ID())
	}
}

// Files with other content are not overwritten. A file that a crash left empty is used.
func TestOtherContent(t *testing.T) {
	for _, text := range []string{"latchkey-keys 1\nkey", "latchkey-instance 1\n", "latchkey-instance 1\nnone 7\n",
		"x"} {
		path := filepath.Join(t.TempDir(), "instance")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := instance.Open(path); fault.KindOf(err) != fault.Invalid {
			t.Errorf("Open of a file with %q: got error %v, want kind %s", text, err, fault.Invalid)
		}
		if content, err := os.ReadFile(path); err != nil || string(content) != text {
			t.Errorf("the file: got %q, %v, want %q", content, err, text)
		}
	}
	empty := filepath.Join(t.TempDir(), "instance")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, empty)
	if _, err := instance.Open(t.TempDir()); err == nil {
		t.Error("Open of a directory: got no error, want one")
	}
}
