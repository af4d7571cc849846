// Package scan finds Latchkey's secrets in files and in the history of git repositories, by their form and their check
// parts. It needs neither a database nor a network, and never shows a secret.
package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"latchkey/internal/secret"
)

// Finding is a secret that was found.
type Finding struct {
	// Repository is the directory of the git repository whose history has the secret. It is empty for a file.
	Repository string
	// Commit is the oldest commit that has the secret. Object is the object with the secret if no commit has it,
	// such as a staged file, a tag or an abandoned commit's file.
	Commit, Object string
	// File is the path of the file. In history it is relative to the repository, and empty for the message of a
	// commit. It never contains a secret.
	File string
	// Line and Column count from 1, Column in bytes. They are 0 if the name of the file has the secret.
	Line, Column int
	Kind         secret.Kind
	// Hint identifies the secret to its holder.
	Hint string
}

// Stats counts what was read.
type Stats struct {
	Files, Objects, Bytes int64
}

// MaxFindings is the maximum number of findings of a Scanner.
const MaxFindings = 10_000

// ErrTooMany reports that a scanner stopped at MaxFindings.
var ErrTooMany = errors.New("the scan stopped: there are too many secrets to list")

// Scanner scans and collects the findings. It must not be used concurrently.
type Scanner struct {
	// Findings are the secrets that were found, at most MaxFindings.
	Findings []Finding
	// Unreadable are the errors for files and repositories that could not be read.
	Unreadable []error
	Stats      Stats

	buffer []byte
}

// part is how much is read at once, in bytes.
const part = 256 << 10

// add records a finding.
func (s *Scanner) add(f Finding) error {
	if len(s.Findings) == MaxFindings {
		return ErrTooMany
	}
	f.File = secret.Redact(f.File)
	s.Findings = append(s.Findings, f)
	return nil
}

// unread records what could not be read.
func (s *Scanner) unread(name string, err error) {
	var onPath *fs.PathError
	if errors.As(err, &onPath) {
		err = onPath.Err
	}
	s.Unreadable = append(s.Unreadable, fmt.Errorf("%s: %w", secret.Redact(name), err))
}

// Reader scans a text that is called name in findings. It returns the reader's error, the context's, or ErrTooMany.
func (s *Scanner) Reader(ctx context.Context, r io.Reader, name string) error {
	s.Stats.Files++
	return s.read(ctx, r, Finding{File: name}, s.add)
}

// read passes a finding for each secret of a text to found. place has the fields that do not depend on the text.
func (s *Scanner) read(ctx context.Context, r io.Reader, place Finding, found func(Finding) error) error {
	if s.buffer == nil {
		s.buffer = make([]byte, part)
	}
	var (
		kept    int                 // bytes at the start of the buffer that were read before
		start   int64               // where the buffer starts in the text
		past    int64               // the end of the last secret in the text
		counted = position{line: 1} // never after a secret that is still to be found
	)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(r, s.buffer[kept:])
		s.Stats.Bytes += int64(n)
		text := s.buffer[:kept+n]
		for _, f := range secret.Find(text) {
			at := start + int64(f.Start)
			if at < past {
				continue // in the part before, too
			}
			past = start + int64(f.End)
			counted.advance(text[counted.at-start : f.Start])
			place.Line, place.Column, place.Kind, place.Hint = counted.line, int(at-counted.lineStart)+1, f.Kind, f.Hint
			if err := found(place); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
		kept = secret.LongestFound - 1
		if rest := start + int64(len(text)-kept); rest > counted.at {
			counted.advance(text[counted.at-start : rest-start])
		}
		start += int64(len(text) - kept)
		copy(s.buffer, text[len(text)-kept:])
	}
}

// position is a place in a text up to which lines were counted.
type position struct {
	line          int
	at, lineStart int64
}

// advance moves the position past the text, which begins there.
func (p *position) advance(text []byte) {
	if n := bytes.Count(text, []byte{'\n'}); n > 0 {
		p.line += n
		p.lineStart = p.at + int64(bytes.LastIndexByte(text, '\n')) + 1
	}
	p.at += int64(len(text))
}

// Path scans a file, or a directory with everything in it and the history of the git repositories in it. It returns an
// error if path does not exist or cannot be opened, the context's error, or ErrTooMany. What it cannot read below a
// directory is in Unreadable.
func (s *Scanner) Path(ctx context.Context, name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return s.directory(ctx, name)
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	return s.Reader(ctx, file, name)
}

// directory scans a directory. It opens files through an os.Root and follows no symbolic link.
func (s *Scanner) directory(ctx context.Context, name string) error {
	root, err := os.OpenRoot(name)
	if err != nil {
		return err
	}
	defer root.Close()
	t := tree{s, root, name}
	if err := t.linked(ctx); err != nil {
		return err
	}
	return fs.WalkDir(root.FS(), ".", func(inside string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			s.unread(t.shown(inside), err)
			return nil
		}
		return t.visit(ctx, inside, entry)
	})
}

// tree is a directory that is scanned.
type tree struct {
	*Scanner

	root *os.Root
	name string
}

// shown returns the path of a file in the tree.
func (t tree) shown(inside string) string { return filepath.Join(t.name, filepath.FromSlash(inside)) }

// linked scans the history of a repository whose directory is elsewhere: that of a work tree or a submodule.
func (t tree) linked(ctx context.Context) error {
	if info, err := t.root.Lstat(".git"); err != nil || !info.Mode().IsRegular() {
		return nil //nolint:nilerr // there is no such repository
	}
	return t.repository(ctx, ".git")
}

// repository scans the history of the repository whose directory, or the file that names it, is inside.
func (t tree) repository(ctx context.Context, inside string) error {
	dir, err := t.shown(inside), t.ordinary(inside)
	if err == nil {
		err = t.history(ctx, dir)
	}
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrTooMany) {
		return err
	}
	t.unread(dir, err)
	return nil
}

// ordinary returns an error if a directory has others than regular files and directories in it, also behind links. git
// would wait for a named pipe without end.
func (t tree) ordinary(inside string) error {
	return fs.WalkDir(t.root.FS(), inside, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := entry.Type()
		if mode&fs.ModeSymlink != 0 {
			info, err := os.Stat(t.shown(name)) // may lead out of the tree, as for an object directory that is shared
			if err != nil {
				return nil //nolint:nilerr // git reads nothing there
			}
			mode = info.Mode().Type()
		}
		if mode.IsRegular() || mode.IsDir() {
			return nil
		}
		return fmt.Errorf("its history was not scanned: %s is not a regular file", secret.Redact(name))
	})
}

// visit scans an entry of the tree, other than what a directory contains.
func (t tree) visit(ctx context.Context, inside string, entry fs.DirEntry) error {
	for _, f := range secret.Find([]byte(entry.Name())) {
		if err := t.add(Finding{File: t.shown(inside), Kind: f.Kind, Hint: f.Hint}); err != nil {
			return err
		}
	}
	switch {
	case entry.IsDir() && path.Base(inside) == "objects" && t.isRepository(path.Dir(inside)):
		return fs.SkipDir // its objects are compressed, and history scans them
	case entry.IsDir() && t.isRepository(inside):
		return t.repository(ctx, inside)
	case !entry.Type().IsRegular():
		return nil
	}
	file, err := t.root.Open(inside)
	if err != nil {
		t.unread(t.shown(inside), err)
		return nil
	}
	defer file.Close()
	err = t.Reader(ctx, file, t.shown(inside))
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrTooMany) {
		return err
	}
	t.unread(t.shown(inside), err)
	return nil
}

// isRepository reports whether a directory is that of a git repository, such as .git.
func (t tree) isRepository(inside string) bool {
	for _, part := range []string{"HEAD", "objects", "refs"} {
		if _, err := t.root.Lstat(filepath.Join(filepath.FromSlash(inside), part)); err != nil {
			return false
		}
	}
	return true
}
