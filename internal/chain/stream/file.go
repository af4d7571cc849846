package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// file is a file to which events are appended. It is opened again after it was renamed or removed, as programs that
// rotate logs do.
type file struct {
	name, path string
	open       *os.File
}

// NewFile returns a file as a target. server is the name of the server, which other servers do not have.
func NewFile(path, server string) Target {
	return &file{name: "file:" + path + " of " + server, path: path}
}

func (f *file) Name() string { return f.name }

func (f *file) Arrived() time.Duration { return 0 }

func (f *file) Check() error { return nil }

func (f *file) Close() {
	if f.open != nil {
		_ = f.open.Close() // everything was synced
		f.open = nil
	}
}

// Write appends lines and syncs the file.
func (f *file) Write(_ context.Context, lines []Line) error {
	if err := f.reopen(); err != nil {
		return err
	}
	var text bytes.Buffer
	for _, l := range lines {
		text.Write(l.JSON)
		text.WriteByte('\n')
	}
	if _, err := f.open.Write(text.Bytes()); err != nil {
		return err
	}
	return f.open.Sync()
}

func (f *file) reopen() error {
	there, err := os.Stat(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if f.open != nil && err == nil {
		if opened, err := f.open.Stat(); err == nil && os.SameFile(there, opened) {
			return nil
		}
	}
	f.Close()
	if f.open, err = os.OpenFile(f.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600); err != nil {
		f.open = nil
		return err
	}
	return f.endLine()
}

// endLine ends a line that was not written completely, because the disk was full or the machine stopped.
func (f *file) endLine() error {
	size, err := f.open.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := f.open.ReadAt(last, size-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = f.open.Write([]byte{'\n'})
	return err
}
