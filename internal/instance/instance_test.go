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

// The id stays across restarts, and two never have it at the same time.
func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "instance")
	first := open(t, path)
	if _, err := instance.Open(path); fault.KindOf(err) != fault.Conflict {
		t.Errorf("while it is locked: %v", err)
	}
	id := first.ID()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if second := open(t, path); second.ID() != id {
		t.Errorf("the id was %s and is %s", id, second.ID())
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
}

// A copy would be locked by another process while the original is: it gets an id of its own, and keeps that.
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
		t.Error("the copy has the id of the original")
	}
	_ = first.Close()
	if second := open(t, copied); second.ID() != first.ID() {
		t.Errorf("the copy's id was %s and is %s", first.ID(), second.ID())
	}
}

// What is in other files is not overwritten; a file that a crash left empty is used.
func TestOtherContent(t *testing.T) {
	for _, text := range []string{"latchkey-keys 1\nkey", "latchkey-instance 1\n", "latchkey-instance 1\nnone 7\n", "x"} {
		path := filepath.Join(t.TempDir(), "instance")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := instance.Open(path); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v", text, err)
		}
		if kept, err := os.ReadFile(path); err != nil || string(kept) != text {
			t.Errorf("%q became %q, %v", text, kept, err)
		}
	}
	empty := filepath.Join(t.TempDir(), "instance")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, empty)
	if _, err := instance.Open(t.TempDir()); err == nil {
		t.Error("a directory was opened")
	}
}
