// Package regularfile opens the files that settings name. Others, such as named pipes, could keep a reader waiting
// without end.
package regularfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// errOther is the reason of an error for a file that is not regular.
var errOther = errors.New("it is not a regular file")

// Open opens a regular file, or one that the path links to, for reading. Other files are refused before they are
// opened, which can wait for another process or have an effect on a device. The error is a *fs.PathError.
func Open(path string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err == nil {
		err = check(path, info)
	}
	if err != nil {
		return nil, nil, err
	}
	// The file can be replaced in between, so opening does not wait, and the open file is checked.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = file.Stat(); err == nil {
		err = check(path, info)
	}
	if err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

func check(path string, info fs.FileInfo) error {
	switch {
	case info.Mode().IsRegular():
		return nil
	case info.IsDir():
		return &fs.PathError{Op: "open", Path: path, Err: syscall.EISDIR}
	}
	return &fs.PathError{Op: "open", Path: path, Err: errOther}
}
