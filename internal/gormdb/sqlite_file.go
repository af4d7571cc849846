package gormdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"latchkey/internal/fault"
)

const (
	// fileInterval is how often the database file is looked at.
	fileInterval = 250 * time.Millisecond
	// fullFor is how long writing counts as failing after the disk was full: the
	// row that readiness checks write fits where others do not.
	fullFor = 5 * time.Second
	// sqliteHeader is what a database file begins with (SQLite, "Database File
	// Format").
	sqliteHeader = "SQLite format 3\x00"
)

// databaseFile watches the file that the connections of one DB have open. The
// connections themselves do not notice that the path leads to another file by
// now, or to none: what they commit then is lost. It is safe for concurrent use.
type databaseFile struct {
	path string
	log  *slog.Logger
	main *sharedFile
	// broken is what is wrong with the file; nil while it is in order.
	broken atomic.Pointer[string]
	// damage is what a statement found; it stays until the program starts anew.
	damage atomic.Pointer[string]
	// full is when the disk was full last, as returned by time.Now; nil if never.
	full atomic.Pointer[time.Time]

	mu sync.Mutex
	// begun says that the file has had a header: a new one is empty at first.
	begun bool
	// beside are the WAL and its index, as they were first seen: connections keep
	// them open as long as there are any.
	beside [2]os.FileInfo
}

var besideSuffixes = [2]string{"-wal", "-shm"}

func openDatabaseFile(path string, log *slog.Logger) (*databaseFile, error) {
	shared, err := openShared(path)
	if err != nil {
		return nil, err
	}
	return &databaseFile{path: path, log: log, main: shared}, nil
}

// check looks at the file and returns fault.Internal, because of
// fault.ErrUnavailable, if it is not in order. The message is for operators: it
// names the file. What changes is logged once.
func (f *databaseFile) check(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	problem := f.problem()
	was := f.broken.Load()
	switch {
	case problem == "" && was == nil:
		return nil
	case problem == "":
		f.broken.Store(nil)
		f.log.InfoContext(ctx, "the database file is in order again", "file", f.path)
		return nil
	case was == nil || *was != problem:
		f.broken.Store(&problem)
		f.log.ErrorContext(ctx, "the database file is not in order; writes are refused", "file", f.path, "problem", problem)
	}
	return fault.Wrap(fault.ErrUnavailable, fault.Internal,
		"The database file %s %s. Writes are refused. Stop the server, restore the file and start it again.", f.path, problem)
}

// problem says what is wrong with the file; empty for nothing.
func (f *databaseFile) problem() string {
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "was deleted"
	case err != nil:
		return "cannot be reached"
	case !os.SameFile(info, f.main.info):
		return "was replaced by another one"
	}
	header := make([]byte, len(sqliteHeader))
	switch n, _ := f.main.ReadAt(header, 0); { // an error is a short read
	case string(header[:n]) == sqliteHeader:
		f.begun = true
	case f.begun && n == 0:
		return "was emptied"
	case f.begun:
		return "was overwritten"
	}
	if problem := f.besideProblem(); problem != "" {
		return problem
	}
	if damage := f.damage.Load(); damage != nil {
		return *damage
	}
	return ""
}

func (f *databaseFile) besideProblem() string {
	for i, suffix := range besideSuffixes {
		info, err := os.Stat(f.path + suffix)
		switch {
		case f.beside[i] == nil && err == nil:
			f.beside[i] = info
		case f.beside[i] == nil:
		case err != nil:
			return "lost its file " + suffix
		case !os.SameFile(info, f.beside[i]):
			return "got another file " + suffix
		}
	}
	return ""
}

// note keeps what the error of a statement says about the file or its disk.
func (f *databaseFile) note(err error) {
	switch sqliteCode(err) & 0xff {
	case sqliteCorrupt, sqliteNoDatabase:
		damage := "is damaged"
		f.damage.CompareAndSwap(nil, &damage)
	case sqliteFull:
		now := time.Now()
		f.full.Store(&now)
	}
}

// refuse returns an error because of fault.ErrUnavailable if nothing may be
// written to the file. It costs a look at the memory.
func (f *databaseFile) refuse() error {
	problem := f.broken.Load()
	if problem == nil {
		problem = f.damage.Load()
	}
	if problem == nil {
		return nil
	}
	return fmt.Errorf("the database file %s %s: %w", f.path, *problem, fault.ErrUnavailable)
}

// wasFull returns an error if the disk was full a moment ago.
func (f *databaseFile) wasFull() error {
	full := f.full.Load()
	if full == nil || time.Since(*full) > fullFor {
		return nil
	}
	return fault.Wrap(fault.ErrUnavailable, fault.Internal, "A write failed because the disk of the database is full.")
}

// watch checks the file until ctx ends.
func (f *databaseFile) watch(ctx context.Context) {
	ticker := time.NewTicker(fileInterval)
	defer ticker.Stop()
	for {
		_ = f.check(ctx) // it logs, and writes ask refuse
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (f *databaseFile) close() error { return f.main.release() }

// sharedFile is an open file that every DB of this process on the same file
// shares. Closing a descriptor of a file frees all POSIX locks that the process
// holds on it, those of SQLite's own descriptors included, so it is closed only
// after the connections of the last DB.
type sharedFile struct {
	*os.File
	info  os.FileInfo
	users int
}

var sharedFiles struct {
	sync.Mutex
	open []*sharedFile
}

func openShared(path string) (*sharedFile, error) {
	sharedFiles.Lock()
	defer sharedFiles.Unlock()
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	for _, f := range sharedFiles.open {
		if os.SameFile(info, f.info) {
			f.users++
			return f, nil
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err = file.Stat(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	f := &sharedFile{File: file, info: info, users: 1}
	sharedFiles.open = append(sharedFiles.open, f)
	return f, nil
}

func (f *sharedFile) release() error {
	sharedFiles.Lock()
	defer sharedFiles.Unlock()
	if f.users--; f.users > 0 {
		return nil
	}
	for i, other := range sharedFiles.open {
		if other == f {
			sharedFiles.open = append(sharedFiles.open[:i], sharedFiles.open[i+1:]...)
			break
		}
	}
	return f.Close()
}
