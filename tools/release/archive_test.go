package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

var commitTime = time.Unix(1_700_000_000, 0)

// An archive has the same bytes for the same files, in any time zone, and its entries say nothing of
// the machine.
func TestArchive(t *testing.T) {
	files := map[string][]byte{"latchkey": []byte("program"), "man/man1/latchkey.1": []byte("page"),
		"LICENSE": []byte("text"), "man/man1/latchkey-serve.1": nil}
	first, err := archive("latchkey_1_linux_amd64", files, commitTime.UTC())
	if err != nil {
		t.Fatal(err)
	}
	second, err := archive("latchkey_1_linux_amd64", files, commitTime.In(time.FixedZone("east", 3600)))
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("archive: got other bytes for the same files, %v", err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	check.Equal(t, zip.Name+zip.Comment, "", "name in the header of gzip")
	check.Equal(t, zip.ModTime.IsZero(), true, "whether the header of gzip has no time")
	var got []string
	reader := tar.NewReader(zip)
	for {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%o %d:%d%s%s %d %s", h.Mode, h.Uid, h.Gid, h.Uname, h.Gname, h.ModTime.Unix(),
			h.Name))
	}
	check.Equal(t, strings.Join(got, "\n"), `755 0:0 1700000000 latchkey_1_linux_amd64/
644 0:0 1700000000 latchkey_1_linux_amd64/LICENSE
755 0:0 1700000000 latchkey_1_linux_amd64/latchkey
755 0:0 1700000000 latchkey_1_linux_amd64/man/
755 0:0 1700000000 latchkey_1_linux_amd64/man/man1/
644 0:0 1700000000 latchkey_1_linux_amd64/man/man1/latchkey-serve.1
644 0:0 1700000000 latchkey_1_linux_amd64/man/man1/latchkey.1`, "entries")

	content, err := programOf(first)
	if err != nil || string(content) != "program" {
		t.Errorf("programOf: got %q, %v, want the program", content, err)
	}
	without, err := archive("x", map[string][]byte{"README.md": nil}, commitTime)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := programOf(without); err == nil {
		t.Error("programOf an archive without a program: got no error, want one")
	}
}

// sha256sum accepts the checksums, and both it and checkSums notice a changed, a missing and an additional file.
func TestSums(t *testing.T) {
	folder := t.TempDir()
	put := func(name, content string) {
		t.Helper()
		if err := write(filepath.Join(folder, name), []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	put("a.tar.gz", "a")
	put("b.cdx.json", "b")
	all, err := sums(folder)
	if err != nil {
		t.Fatal(err)
	}
	put(sumsFile, all)
	tool := func() error {
		c := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", sumsFile)
		c.Dir = folder
		return c.Run()
	}
	if err := errors.Join(checkSums(folder), tool()); err != nil {
		t.Errorf("checksums of unchanged files: %v", err)
	}
	put("a.tar.gz", "changed")
	if checkSums(folder) == nil || tool() == nil {
		t.Error("checksums: got no error for a changed file, want one")
	}
	put("a.tar.gz", "a")
	put("c.tar.gz", "c")
	if checkSums(folder) == nil {
		t.Error("checkSums: got no error for a file without a sum, want one")
	}
	if err := os.Remove(filepath.Join(folder, "c.tar.gz")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(folder, "a.tar.gz")); err != nil {
		t.Fatal(err)
	}
	if checkSums(folder) == nil || tool() == nil {
		t.Error("checksums: got no error for a missing file, want one")
	}
}

func TestDifferences(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for file, content := range map[string]string{a + "/same": "1", b + "/same": "1", a + "/other": "1",
		b + "/other": "2", a + "/only-a": "1", b + "/only-b": ""} {
		if err := write(file, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := differences(a, b)
	if err != nil {
		t.Fatal(err)
	}
	check.Equal(t, got, []string{"only-a", "only-b", "other"}, "differences")
}

func TestPlatforms(t *testing.T) {
	all, err := parsePlatforms(platforms)
	check.Equal(t, len(all), 4, "platforms of a release")
	own, err2 := parsePlatforms("host")
	check.Equal(t, own, []platform{host()}, "platform of this machine")
	if err := errors.Join(err, err2); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{"", "linux", "linux/", "linux/amd64,"} {
		if _, err := parsePlatforms(wrong); err == nil {
			t.Errorf("parsePlatforms(%q): got no error, want one", wrong)
		}
	}
}
