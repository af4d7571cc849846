package scan

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"latchkey/internal/secret"
)

// history scans the objects of a git repository: the files and messages of all commits, also of those that no branch
// has any more, tags, and staged files. Memory does not grow with the repository. It returns an error if the history is
// not complete, after it has scanned the rest.
func (s *Scanner) history(ctx context.Context, dir string) error {
	if err := probe(ctx, dir); err != nil {
		return err
	}
	inFiles := map[string][]Finding{} // by object
	found := 0
	err := git(ctx, dir, nil, func(objects *bufio.Reader) error {
		return s.objects(ctx, objects, Finding{Repository: dir}, func(kind string, f Finding) error {
			switch kind {
			case "blob":
				if found++; found > MaxFindings {
					return ErrTooMany
				}
				inFiles[f.Object] = append(inFiles[f.Object], f)
				return nil
			case "commit":
				f.Commit, f.Object = f.Object, ""
			case "tree": // the name of a file
				f.Line, f.Column = 0, 0
			}
			return s.add(f)
		})
	}, "cat-file", "--batch-all-objects", "--batch", "--buffer", "--unordered")
	var places map[string]origin
	if len(inFiles) > 0 && err == nil {
		places, err = locate(ctx, dir, inFiles)
	}
	for object, all := range inFiles {
		for _, f := range all {
			if p, is := places[object]; is {
				f.Commit, f.File, f.Object = p.commit, p.file, ""
			}
			if err := s.add(f); err != nil {
				return err
			}
		}
	}
	return cmp.Or(err, complete(ctx, dir))
}

// probeTime is how long git may take to read the configuration of a repository.
const probeTime = 10 * time.Second

// probe reads the configuration of a repository. It may include a file that never ends, such as a named pipe.
func probe(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTime, errors.New("git does not finish reading its configuration"))
	defer cancel()
	err := git(ctx, dir, nil, func(output *bufio.Reader) error {
		_, err := io.Copy(io.Discard, output)
		return err
	}, "rev-parse", "--git-dir")
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// complete returns an error if commits or other objects of the history are not in the repository: in a shallow clone,
// a partial one or a damaged one.
func complete(ctx context.Context, dir string) error {
	shallow, missing := false, 0
	err := git(ctx, dir, nil, func(answer *bufio.Reader) error {
		line, err := answer.ReadString('\n')
		shallow = line == "true\n"
		return err
	}, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return err
	}
	err = git(ctx, dir, nil, func(objects *bufio.Reader) error {
		for {
			line, err := objects.ReadSlice('\n')
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil && !errors.Is(err, bufio.ErrBufferFull): // a long name
				return err
			case len(line) > 0 && line[0] == '?':
				missing++
			}
		}
	}, "rev-list", "--all", "--reflog", "--objects", "--missing=print")
	switch {
	case err != nil:
		return err
	case shallow:
		return errors.New("the clone is shallow, so earlier commits were not scanned: run git fetch --unshallow")
	case missing > 0:
		return fmt.Errorf("%d objects of the history are missing and were not scanned: scan a clone without --filter",
			missing)
	}
	return nil
}

// objects scans the output of git cat-file --batch.
func (s *Scanner) objects(ctx context.Context, objects *bufio.Reader, place Finding,
	found func(kind string, f Finding) error) error {
	for {
		header, err := objects.ReadString('\n')
		if errors.Is(err, io.EOF) && header == "" {
			return nil
		}
		if err != nil {
			return err
		}
		words := strings.Fields(header)
		if len(words) == 2 && words[1] == "missing" { // of a partial clone
			continue
		}
		if len(words) != 3 {
			return fmt.Errorf("git cat-file: got %.80q", header)
		}
		size, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			return fmt.Errorf("git cat-file: %w", err)
		}
		place.Object = words[0]
		s.Stats.Objects++
		content := io.LimitReader(objects, size)
		err = s.read(ctx, content, place, func(f Finding) error { return found(words[1], f) })
		if err != nil {
			return err
		}
		if _, err := objects.Discard(1); err != nil { // the line feed after the object
			return fmt.Errorf("git cat-file ended within an object: %w", err)
		}
	}
}

// origin is a file in a commit.
type origin struct{ commit, file string }

// locate finds the oldest commit of each object, with the name of the file there.
func locate(ctx context.Context, dir string, objects map[string][]Finding) (map[string]origin, error) {
	places := map[string]origin{}
	commits, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	listed := make(chan error, 1)
	go func() {
		// The newest commit is first.
		err := gitCommand(ctx, dir, nil, out, "rev-list", "--all", "--reflog", "--date-order")
		listed <- errors.Join(err, out.Close())
	}()
	err = git(ctx, dir, commits, func(changes *bufio.Reader) error {
		commit := ""
		for {
			line, err := changes.ReadString('\n')
			if errors.Is(err, io.EOF) && line == "" {
				return nil
			}
			if err != nil {
				return err
			}
			if !strings.HasPrefix(line, ":") {
				commit = strings.TrimSpace(line)
				continue
			}
			about, file, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			words := strings.Fields(about) // :mode mode object object status
			if len(words) != 5 {
				return fmt.Errorf("git diff-tree: got %.80q", about)
			}
			if _, is := objects[words[3]]; is {
				places[words[3]] = origin{commit, unquoted(file)}
			}
		}
	}, "diff-tree", "--stdin", "-r", "--root", "-m", "--raw", "--no-renames", "--no-abbrev")
	_ = commits.Close() // it was only read
	return places, errors.Join(err, <-listed)
}

// unquoted returns a path as git prints it, which is quoted if it has special characters.
func unquoted(file string) string {
	if text, err := strconv.Unquote(file); err == nil {
		return text
	}
	return file
}

// git runs git on the repository in dir, and passes its output to read.
func git(ctx context.Context, dir string, input *os.File, read func(*bufio.Reader) error, args ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	output, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer output.Close()
	ended := make(chan error, 1)
	go func() {
		err := gitCommand(ctx, dir, input, out, args...)
		ended <- errors.Join(err, out.Close())
	}()
	if err := read(bufio.NewReaderSize(output, part)); err != nil {
		cancel()
		_ = output.Close() // so that git does not wait
		<-ended            //nolint:errcheck // read's error is the cause
		return err
	}
	return <-ended
}

// gitCommand runs git. A repository may belong to an attacker: only commands are run that execute nothing which the
// repository configures, and nothing is fetched.
func gitCommand(ctx context.Context, dir string, input, output *os.File, args ...string) error {
	all := append([]string{"--no-pager", "--no-replace-objects", "--git-dir=" + dir, "-c", "protocol.allow=never",
		"-c", "core.fsmonitor=false", "-c", "core.quotePath=true"}, args...)
	c := exec.CommandContext(ctx, "git", all...)
	// A hook has variables of git for its own repository, so that git gets no variables of this program. The list of
	// protocols is empty: no configuration of the repository can allow one, as it could with protocol.allow alone.
	c.Env = []string{"GIT_ALLOW_PROTOCOL=", "GIT_NO_LAZY_FETCH=1", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0",
		"LC_ALL=C"}
	if input != nil {
		c.Stdin = input
	}
	c.Stdout = output
	var complaint complaint
	c.Stderr = &complaint
	if err := c.Run(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, secret.Redact(strings.TrimSpace(string(complaint))))
	}
	return nil
}

// complaint is the beginning of an error message.
type complaint []byte

// Write implements io.Writer.
func (c *complaint) Write(text []byte) (int, error) {
	const most = 300
	*c = append(*c, text[:min(len(text), most-len(*c))]...)
	return len(text), nil
}
