package secret_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

func TestKeyFileRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	ring := ringOf(t, 3, 1, 2)
	if err := ring.WriteNew(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	check.Equal(t, info.Mode(), 0o600, "mode")
	read, err := secret.ReadKeyring(path)
	if err != nil {
		t.Fatal(err)
	}
	s := generate(t, secret.AccountAccessToken)
	for i, want := range ring.Candidates(s) {
		if got := read.Candidates(s)[i]; got != want {
			t.Errorf("candidate %d is %x, want %x", i, got, want)
		}
	}
}

func TestWriteNewNeverOverwrites(t *testing.T) {
	for _, test := range []struct {
		name string
		put  func(path string) error
	}{
		{"a file", func(path string) error { return os.WriteFile(path, []byte("precious"), 0o600) }},
		{"a directory", func(path string) error { return os.Mkdir(path, 0o700) }},
		{"a dangling link", func(path string) error { return os.Symlink("nowhere", path) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys")
			if err := test.put(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(path)
			err := ringOf(t, 1).WriteNew(path)
			if fault.KindOf(err) != fault.Conflict || !errors.Is(err, fs.ErrExist) {
				t.Errorf("WriteNew over a file: got error %v, want kind %s", err, fault.Conflict)
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) ||
				before.Size() != after.Size() {
				t.Errorf("the existing file was changed, want it unchanged: %v", err)
			}
			wantOnlyFile(t, path)
		})
	}
}

// wantOnlyFile checks that path is the only file in its directory: no temporary file
// remains.
func wantOnlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory contains %v, %v, want only %s", entries, err, filepath.Base(path))
	}
}

func TestOneOfManyWritersWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	s := generate(t, secret.AccountAccessToken)
	var winner atomic.Pointer[secret.Keyring]
	var wins atomic.Int32
	var running sync.WaitGroup
	for i := range 16 {
		ring := ringOf(t, byte(i))
		running.Go(func() {
			err := ring.WriteNew(path)
			if err == nil {
				wins.Add(1)
				winner.Store(ring)
			} else if fault.KindOf(err) != fault.Conflict {
				t.Errorf("a caller that comes second: got error %v, want kind %s", err, fault.Conflict)
			}
			// The second caller finds a complete file.
			if _, err := secret.ReadKeyring(path); err != nil {
				t.Errorf("read after the race: %v", err)
			}
		})
	}
	running.Wait()
	read, err := secret.ReadKeyring(path)
	if err != nil || wins.Load() != 1 || read.Digest(s) != winner.Load().Digest(s) {
		t.Errorf("WriteNew succeeded %d times, want once, with the ring that is in the file: %v", wins.Load(), err)
	}
	wantOnlyFile(t, path)
}

func TestWriteNewFailsClearly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "keys")
	err := ringOf(t, 1).WriteNew(path)
	if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), path+": no such file or directory") {
		t.Errorf("WriteNew: got error %v, want it to name %s and the cause", err, path)
	}
}

func TestReadKeyringRefusesFilesOpenToOthers(t *testing.T) {
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o660, 0o644, 0o666, 0o610, 0o601, 0o777} {
		t.Run(fmt.Sprintf("%04o", mode), func(t *testing.T) {
			path := writeKeyFile(t, ringOf(t, 1).Text())
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			_, err := secret.ReadKeyring(path)
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "chmod 600 "+path) {
				t.Errorf("a file of mode %o: got error %v, want it to say chmod 600 %s", mode, err, path)
			}
		})
	}
	for _, mode := range []fs.FileMode{0o600, 0o400} {
		path := writeKeyFile(t, ringOf(t, 1).Text())
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := secret.ReadKeyring(path); err != nil {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

func TestReadKeyringFindsNoFile(t *testing.T) {
	directory := t.TempDir()
	_, err := secret.ReadKeyring(filepath.Join(directory, "keys"))
	if fault.KindOf(err) != fault.NotFound || !errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(err.Error(), "latchkey key create") {
		t.Errorf("a missing file: got error %v, want kind %s and the command that creates it", err, fault.NotFound)
	}
	if _, err := secret.ReadKeyring(directory); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a directory: got error %v, want kind %s", err, fault.Invalid)
	}
}

func TestKeyFileFaults(t *testing.T) {
	one, two := keyLine(t, 1), keyLine(t, 2)
	words := strings.Fields(one)
	const header = "latchkey-keys 1\n"
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", []string{"keys holds no key."}},
		{"only comments", "# nothing\n\n", []string{"keys holds no key."}},
		{"only a header", header, []string{"keys holds no key."}},
		{"other version", "latchkey-keys 2\n" + one, []string{`keys, line 1 is not "latchkey-keys 1"`}},
		{"no header", one + two, []string{`keys, line 1 is not "latchkey-keys 1"`}},
		{"too few words", header + "key " + words[1], []string{`line 2 is not of the form "key ID KEY"`}},
		{"too many words", header + "key x " + words[1] + " " + words[2], []string{"line 2 is not of the form"}},
		{"wrong first word", header + "kee" + one[3:], []string{"line 2 is not of the form"}},
		{"truncated key", header + one[:len(one)-3],
			[]string{"line 2 has a key that is not 64 hexadecimal digits long"}},
		{"key with an invalid letter", header + one[:len(one)-2] + "g",
			[]string{"line 2 has a key that is not hexadecimal"}},
		{"key mistyped", header + one[:len(one)-2] + "2", []string{"line 2 has an id that does not belong to its key"}},
		{"ID and key swapped", header + "key " + words[2] + " " + words[1],
			[]string{"line 2 has a key that is not 64"}},
		{"repeated key", header + one + "# again\n" + one, []string{"line 4 repeats the key of line 2"}},
		{"several faults", header + "key\n" + one + one + "nonsense\n", []string{"line 2", "line 4", "line 5"}},
		{"too large", header + strings.Repeat("# padding\n", 7000) + one, []string{"larger than 65536 bytes"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ring, err := secret.ParseKeyring(strings.NewReader(test.text), "keys")
			if ring != nil || fault.KindOf(err) != fault.Invalid {
				t.Fatalf("ParseKeyring() = %v, %v, want no ring and kind %s", ring, err, fault.Invalid)
			}
			faults := fault.Flatten(err)
			if len(faults) != len(test.want) {
				t.Fatalf("faults: got %v, want %d: %q", err, len(test.want), test.want)
			}
			for i, want := range test.want {
				if !strings.Contains(faults[i].Error(), want) {
					t.Errorf("fault %d is %q, want %q", i, faults[i], want)
				}
			}
			for i := 0; i+8 <= len(words[2]); i++ {
				if strings.Contains(err.Error(), words[2][i:i+8]) {
					t.Fatalf("the error: got %v, want it without the key", err)
				}
			}
		})
	}
}

func TestKeyFileWhitespace(t *testing.T) {
	text := "\r\n # mine\r\nlatchkey-keys 1\r\n\r\n  " + strings.TrimSpace(keyLine(t, 1)) + "  \r\n#" + keyLine(t, 2)
	ring, err := secret.ParseKeyring(strings.NewReader(text), "keys")
	if err != nil || ring.Text() != ringOf(t, 1).Text() {
		t.Errorf("ParseKeyring: another ring or error %v, want the ring of the first key", err)
	}
}

// writeKeyFile writes text to a new key file and returns its path.
func writeKeyFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func FuzzKeyring(f *testing.F) {
	f.Add(ringOf(f, 1, 2).Text())
	f.Add("latchkey-keys 1\nkey a b\n" + keyLine(f, 3))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		ring, err := secret.ParseKeyring(strings.NewReader(text), "keys")
		if err != nil {
			if ring != nil || fault.KindOf(err) != fault.Invalid {
				t.Fatalf("ParseKeyring() = %v, %v, want no ring and kind %s", ring, err, fault.Invalid)
			}
			return
		}
		again, err := secret.ParseKeyring(strings.NewReader(ring.Text()), "keys")
		if err != nil || again.Text() != ring.Text() {
			t.Errorf("written and read again: another ring or error %v, want the same ring", err)
		}
	})
}
