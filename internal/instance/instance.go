// Package instance identifies a server across restarts by a file that it keeps locked while it runs.
package instance

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"

	"latchkey/internal/fault"
)

// File is an instance file, locked by this process. While it is locked, no other process with the same ID runs.
type File struct {
	file *os.File
	id   uuid.UUID
}

// flag is the setting that names the file.
const flag = "--instance-file"

// header is the first line of an instance file.
const header = "latchkey-instance 1\n"

// Open locks the instance file at path and creates it if necessary. It returns fault.Conflict while another process has
// it locked, and fault.Invalid for a file with other content. A copy of an instance file gets a new ID: the file
// records its own inode number.
func Open(path string) (*File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	f := &File{file: file}
	if err := f.load(path); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return f, nil
}

// ID returns the ID, which stays the same across restarts.
func (f *File) ID() string { return f.id.String() }

// Close releases the lock. The end of the process releases it as well.
func (f *File) Close() error { return f.file.Close() }

func (f *File) load(path string) error {
	if err := lock(f.file); err != nil {
		return err
	}
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	number := fileNumber(info)
	const longest = 1024
	text, err := io.ReadAll(io.LimitReader(f.file, longest))
	if err != nil {
		return err
	}
	if len(text) == 0 {
		return f.renew(number)
	}
	id, of, err := parse(string(text))
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "The file %s is not an instance file. Name one that does not exist yet.",
			path).On(flag)
	}
	if of != number { // a copy
		return f.renew(number)
	}
	f.id = id
	return nil
}

// parse returns the ID, and the file number that the ID was made for.
func parse(text string) (id uuid.UUID, of uint64, err error) {
	var first string
	if _, err := fmt.Sscanf(text, header+"%s %d\n", &first, &of); err != nil {
		return uuid.Nil, 0, err
	}
	id, err = uuid.Parse(first)
	return id, of, err
}

// renew writes a new ID.
func (f *File) renew(number uint64) error {
	f.id = uuid.New()
	if err := f.file.Truncate(0); err != nil {
		return err
	}
	if _, err := f.file.WriteAt(fmt.Appendf(nil, header+"%s %d\n", f.id, number), 0); err != nil {
		return err
	}
	return f.file.Sync()
}
