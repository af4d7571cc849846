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
	// fileInterval is the time between two checks of the database file.
	fileInterval = 250 * time.Millisecond
	// failedFor is how long writing counts as failing after the disk was full or failed. The row that readiness
	// checks write may still fit when others do not.
	failedFor = 5 * time.Second
	// sqliteHeader is the start of every database file (SQLite, "Database File Format").
	sqliteHeader = "SQLite format 3\x00"
)

// databaseFile watches the file that the connections of one DB have open. The connections themselves do not notice
// when the path leads to another file or to none: what they commit then is lost. It is safe for concurrent use.
type databaseFile struct {
	path string
	log  *slog.Logger
	main *sharedFile
	// broken describes what is wrong with the file, or is nil.
	broken atomic.Pointer[string]
	// damage describes damage that a statement or a check of the content found. It stays until the program restarts.
	damage atomic.Pointer[string]
	// failed is when the disk was last full or failed, or nil.
	failed atomic.Pointer[time.Time]

	mu sync.Mutex
	// begun is true once the file has had a header: a new one is empty at first.
	begun bool
	// beside are the WAL and its index as they were first seen: while there are connections, they keep these files
	// open.
	beside [2]os.FileInfo
	// besideFiles are the same files, open for reading, or nil before they were seen.
	besideFiles [2]*os.File
	// seen is the index as it was last seen.
	seen walIndex
	// copied is the state of the file after the last checkpoint that was seen.
	copied copied
}

// replaced is the problem of a path that leads to another file now.
const replaced = "was replaced by another one"

var besideSuffixes = [2]string{"-wal", "-shm"}

func openDatabaseFile(path string, log *slog.Logger) (*databaseFile, error) {
	shared, err := openShared(path)
	if err != nil {
		return nil, err
	}
	return &databaseFile{path: path, log: log, main: shared}, nil
}

// check checks the file. If something is wrong with it, check returns fault.Internal that wraps fault.ErrUnavailable.
// The message is for operators: it contains the path of the file. Changes are logged once.
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
		f.log.ErrorContext(ctx, "the database file is not in order; writes are refused", "file", f.path, "problem",
			problem)
	}
	return fault.Wrap(fault.ErrUnavailable, fault.Internal,
		"The database file %s %s. Writes are refused. Stop the server, restore the file and start it again.", f.path,
		problem)
}

// problem describes what is wrong with the file, or returns "".
func (f *databaseFile) problem() string {
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "was deleted"
	case err != nil:
		return "cannot be reached"
	case !os.SameFile(info, f.main.info):
		return replaced
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
	if f.damage.Load() == nil {
		if problem := f.contentProblem(); problem != "" {
			f.damage.CompareAndSwap(nil, &problem)
		}
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
			f.beside[i], f.besideFiles[i] = info, f.main.openBeside(i, f.path+suffix, info)
		case f.beside[i] == nil:
		case err != nil:
			return "lost its file " + suffix
		case !os.SameFile(info, f.beside[i]):
			return "got another file " + suffix
		}
	}
	return ""
}

// note records what the error of a statement reveals about the file or its disk.
func (f *databaseFile) note(err error) {
	switch sqliteCode(err) & 0xff {
	case sqliteCorrupt, sqliteNoDatabase:
		damage := "is damaged"
		f.damage.CompareAndSwap(nil, &damage)
	case sqliteFull, sqliteIOError: // exceeding a file size limit is an I/O error
		now := time.Now()
		f.failed.Store(&now)
	}
}

// refuse returns an error that wraps fault.ErrUnavailable if the file must not be written to. It only reads memory.
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

// refuseReplaced is refuse for reads: what the open file says of a credential is not what the database says that has
// taken its place, such as a restored one. Other problems do not make the open file wrong.
func (f *databaseFile) refuseReplaced() error {
	if problem := f.broken.Load(); problem == nil || *problem != replaced {
		return nil
	}
	return f.refuse()
}

// diskFailed returns an error if the disk was full or failed within failedFor.
func (f *databaseFile) diskFailed() error {
	failed := f.failed.Load()
	if failed == nil || time.Since(*failed) > failedFor {
		return nil
	}
	return fault.Wrap(fault.ErrUnavailable, fault.Internal,
		"The disk of the database is full, or reading it or writing to it failed.")
}

// watch checks the file until ctx ends.
func (f *databaseFile) watch(ctx context.Context) {
	ticker := time.NewTicker(fileInterval)
	defer ticker.Stop()
	for {
		_ = f.check(ctx) // it logs, and writes call refuse
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (f *databaseFile) close() error { return f.main.release() }

// sharedFile is an open file that every DB of this process on the same file shares. Closing a descriptor of a file
// releases all POSIX locks that the process holds on it, including those of SQLite's own descriptors. Therefore it is
// closed only after the connections of the last DB.
type sharedFile struct {
	*os.File
	info  os.FileInfo
	users int
	// beside are the WAL and its index, once opened.
	beside [2]*os.File
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

// openBeside returns the file beside f that info describes, open until the last release of f, because the index has
// locks, too. It returns nil if it cannot open that file.
func (f *sharedFile) openBeside(i int, path string, info os.FileInfo) *os.File {
	sharedFiles.Lock()
	defer sharedFiles.Unlock()
	if f.beside[i] == nil {
		f.beside[i], _ = os.Open(path) // nil on an error
	}
	if f.beside[i] == nil {
		return nil
	}
	if opened, err := f.beside[i].Stat(); err != nil || !os.SameFile(opened, info) {
		return nil
	}
	return f.beside[i]
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
	errs := []error{f.Close()}
	for _, beside := range f.beside {
		if beside != nil {
			errs = append(errs, beside.Close())
		}
	}
	return errors.Join(errs...)
}
