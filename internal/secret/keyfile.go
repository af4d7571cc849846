package secret

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"latchkey/internal/fault"
	"latchkey/internal/regularfile"
)

const (
	keyFileHeader  = "latchkey-keys 1"
	keyFileLimit   = 64 << 10
	keyFileComment = `# The keys under which Latchkey stores the digests of secrets. Without them every
# credential stops working. An attacker who has them and the database can test
# guesses. Keep a copy in a safe place that only the service can read. The first key
# is the current one; the keys below it are still accepted. A line has the word
# "key", the ID of the key, and the key.
`
)

// ReadKeyring reads the keyring in the file at path. It returns fault.NotFound (and
// fs.ErrNotExist) if the file does not exist, and fault.Invalid if it cannot be
// read, other users may read it (exposed), or it is not a key file; in the last
// case it reports all invalid lines. Errors do not contain any of the file's
// content.
func ReadKeyring(path string) (*Keyring, error) {
	file, info, err := regularfile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, fault.NotFound,
			"There is no key file at %s. Name the right one, or make a new one with \"latchkey key create %s\".", path,
			path)
	}
	if err != nil {
		return nil, fileFault(err, "open", path)
	}
	defer file.Close()
	owner, known := ownerOf(info)
	if mode := info.Mode().Perm(); exposed(mode, known && owner == 0 && os.Geteuid() != 0) {
		return nil, fault.Errorf(fault.Invalid,
			"The key file %s is accessible to users other than its owner (mode %04o). Run \"chmod 600 %s\".", path,
			mode, path)
	}
	return parseKeyring(file, path)
}

// exposed reports whether too many users can access a key file. Its group may
// read a file of root's that a server of another user reads: container platforms
// mount secrets like this, since the server's user cannot own them.
func exposed(mode fs.FileMode, ofRoot bool) bool {
	allowed := fs.FileMode(0o700)
	if ofRoot {
		allowed = 0o740
	}
	return mode&^allowed != 0
}

// WriteNew writes the keyring to a new file at path that only its owner may read,
// and syncs it to disk. The file is created atomically. WriteNew never overwrites a
// file: it returns fault.Conflict (and fs.ErrExist) if path exists, and
// fault.Invalid if the file cannot be written.
func (k *Keyring) WriteNew(path string) error {
	directory := filepath.Dir(path)
	// CreateTemp opens with O_EXCL and mode 0600.
	draft, err := os.CreateTemp(directory, ".latchkey-key-*")
	if err != nil {
		return fileFault(err, "create", path)
	}
	defer os.Remove(draft.Name())
	if err := writeThrough(draft, k.text()); err != nil {
		return fileFault(err, "write", path)
	}
	// A link, unlike a rename, fails if the file exists.
	err = os.Link(draft.Name(), path)
	if errors.Is(err, fs.ErrExist) {
		return fault.Wrap(err, fault.Conflict,
			"%s exists already, and a key file is never overwritten: every token issued under its keys would be lost.",
			path)
	}
	if err != nil {
		return fileFault(err, "create", path)
	}
	if err := syncDirectory(directory); err != nil {
		return fileFault(err, "sync the directory of", path)
	}
	return nil
}

// writeThrough writes text to file, syncs it to disk and closes it.
func writeThrough(file *os.File, text string) error {
	_, err := file.WriteString(text)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncDirectory syncs the directory's entries to disk.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// fileFault returns the error for a failed operation on the key file at path. The
// operator may see the reason, since it is about the operator's file system.
func fileFault(err error, doing, path string) error {
	reason := err
	var onPath *fs.PathError
	var onLink *os.LinkError
	switch {
	case errors.As(err, &onPath):
		reason = onPath.Err
	case errors.As(err, &onLink):
		reason = onLink.Err
	}
	return fault.Wrap(err, fault.Invalid, "Could not %s the key file %s: %v.", doing, path, reason)
}

// text returns the keyring in the format of a key file.
func (k *Keyring) text() string {
	var b strings.Builder
	b.WriteString(keyFileComment)
	fmt.Fprintln(&b, keyFileHeader)
	for _, key := range k.keys {
		fmt.Fprintf(&b, "%s %s %x\n", serverKeyWord, key.id, *key.raw)
	}
	return b.String()
}

// keyFileParser collects the keys and the errors of a key file.
type keyFileParser struct {
	name   string
	line   int
	header bool
	keys   []serverKey
	lineOf map[KeyID]int
	faults fault.List
}

// parseKeyring parses a key file. Errors refer to it by name.
func parseKeyring(r io.Reader, name string) (*Keyring, error) {
	text, err := io.ReadAll(io.LimitReader(r, keyFileLimit+1))
	if err != nil {
		return nil, fileFault(err, "read", name)
	}
	if len(text) > keyFileLimit {
		return nil, fault.Errorf(fault.Invalid, "%s is larger than %d bytes; this is not a key file.", name,
			keyFileLimit)
	}
	p := &keyFileParser{name: name, lineOf: map[KeyID]int{}}
	for line := range strings.Lines(string(text)) {
		p.line++
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			p.read(line)
		}
	}
	if len(p.faults) == 0 && len(p.keys) == 0 {
		return nil, fault.Errorf(fault.Invalid, "%s holds no key.", name)
	}
	if err := p.faults.Err(); err != nil {
		return nil, err
	}
	return &Keyring{keys: p.keys}, nil
}

// read parses a line that is neither empty nor a comment.
func (p *keyFileParser) read(text string) {
	if !p.header {
		p.header = true
		if text != keyFileHeader {
			p.fail("is not %q; this is not a key file, or one of another version of Latchkey", keyFileHeader)
		}
		return
	}
	words := strings.Fields(text)
	if len(words) != 3 || words[0] != serverKeyWord {
		p.fail("is not of the form \"key ID KEY\"")
		return
	}
	var raw [keyLength]byte
	if len(words[2]) != hex.EncodedLen(keyLength) {
		p.fail("has a key that is not %d hexadecimal digits long", hex.EncodedLen(keyLength))
		return
	}
	if _, err := hex.Decode(raw[:], []byte(words[2])); err != nil {
		p.fail("has a key that is not hexadecimal")
		return
	}
	key := newServerKey(raw)
	if KeyID(words[1]) != key.id {
		p.fail("has an id that does not belong to its key; one of them was changed")
		return
	}
	if first, twice := p.lineOf[key.id]; twice {
		p.fail("repeats the key of line %d", first)
		return
	}
	p.lineOf[key.id] = p.line
	p.keys = append(p.keys, key)
}

// fail records an error in the current line, without the line's content.
func (p *keyFileParser) fail(format string, args ...any) {
	p.faults = append(p.faults, fault.Errorf(fault.Invalid, "%s, line %d %s.", p.name, p.line,
		fmt.Sprintf(format, args...)))
}
