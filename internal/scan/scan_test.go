package scan_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"latchkey/internal/scan"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

func generate(t testing.TB) secret.Secret {
	t.Helper()
	s, err := secret.Generate(rand.Reader, secret.AccountAccessToken)
	noError(t, err)
	return s
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scanned returns the findings in a path.
func scanned(t testing.TB, path string) *scan.Scanner {
	t.Helper()
	s := &scan.Scanner{}
	noError(t, s.Path(t.Context(), path))
	for _, f := range s.Findings {
		if fmt.Sprint(f) != secret.Redact(fmt.Sprint(f)) {
			t.Errorf("the finding %s shows the secret", f.Hint)
		}
	}
	return s
}

func write(t testing.TB, path, content string) {
	t.Helper()
	noError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	noError(t, os.WriteFile(path, []byte(content), 0o600))
}

func TestPlaces(t *testing.T) {
	s := generate(t)
	for _, c := range []struct {
		name, before string
		line, column int
	}{
		{"at the start", "", 1, 1},
		{"in a line", "a\nb\n  token: ", 3, 10},
		{"in a long line", "a\n" + strings.Repeat("x", 3<<20), 2, 3<<20 + 1},
		{"after many lines", strings.Repeat("line\n", 1<<18), 1<<18 + 1, 1},
		{"in binary data", "\x00\x01\n\xff", 2, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := &scan.Scanner{}
			noError(t, got.Reader(t.Context(), strings.NewReader(c.before+s.Reveal()+"\n"), "a.txt"))
			check.Equal(t, got.Findings, []scan.Finding{{File: "a.txt", Line: c.line, Column: c.column,
				Kind: secret.AccountAccessToken, Hint: s.Hint()}}, "findings")
		})
	}
}

// A text is read in parts. A secret that is in two of them is found once.
func TestEveryPlaceOfAPart(t *testing.T) {
	const part = 256 << 10
	webhook, err := secret.GenerateWebhook(rand.Reader)
	noError(t, err)
	two := generate(t).Reveal() + webhook.Reveal()
	for _, around := range []int{part, 2*part - secret.LongestFound + 1} {
		for at := around - 2*len(two); at < around+2*secret.LongestFound; at++ {
			text := bytes.Repeat([]byte("."), at)
			text = append(text, two...)
			got := &scan.Scanner{}
			noError(t, got.Reader(t.Context(), bytes.NewReader(text), ""))
			if len(got.Findings) != 2 || got.Findings[0].Column != at+1 || got.Findings[1].Column != at+54 {
				t.Fatalf("secrets at %d: got %d findings, want 2, at their places", at, len(got.Findings))
			}
		}
	}
}

func TestReadersThatFail(t *testing.T) {
	broken := errors.New("broken")
	s := &scan.Scanner{}
	err := s.Reader(t.Context(), io.MultiReader(strings.NewReader("a"), iotest.ErrReader(broken)), "")
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the reader's error", err)
	}
}

func TestTooMany(t *testing.T) {
	line := []byte(generate(t).Reveal() + "\n")
	s := &scan.Scanner{}
	err := s.Reader(t.Context(), bytes.NewReader(bytes.Repeat(line, scan.MaxFindings+1)), "")
	if !errors.Is(err, scan.ErrTooMany) || len(s.Findings) != scan.MaxFindings {
		t.Errorf("got %v and %d findings, want ErrTooMany and %d", err, len(s.Findings), scan.MaxFindings)
	}
}

func TestDirectory(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	inside, hidden, name := generate(t), generate(t), generate(t)
	write(t, filepath.Join(outside, "secret.txt"), generate(t).Reveal())
	write(t, filepath.Join(dir, "a", "b.env"), "X="+inside.Reveal())
	write(t, filepath.Join(dir, ".hidden", "objects", "c"), hidden.Reveal())
	write(t, filepath.Join(dir, "z", name.Reveal()), "")
	for link, to := range map[string]string{"file": filepath.Join(outside, "secret.txt"), "all": outside, "loop": "."} {
		noError(t, os.Symlink(to, filepath.Join(dir, link)))
	}
	noError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600)) // reading it would block
	got, kind := scanned(t, dir), secret.AccountAccessToken
	check.Equal(t, got.Findings, []scan.Finding{
		{File: filepath.Join(dir, ".hidden/objects/c"), Line: 1, Column: 1, Kind: kind, Hint: hidden.Hint()},
		{File: filepath.Join(dir, "a/b.env"), Line: 1, Column: 3, Kind: kind, Hint: inside.Hint()},
		{File: filepath.Join(dir, "z", name.Hint()), Kind: kind, Hint: name.Hint()},
	}, "findings")
	check.Equal(t, len(got.Unreadable), 0, "unreadable")
	check.Equal(t, got.Stats.Files, 3, "files")
}

// repository is a git repository for a test.
type repository struct {
	t   testing.TB
	dir string
}

func newRepository(t testing.TB) repository {
	t.Helper()
	r := repository{t, t.TempDir()}
	r.git("init", "--quiet", "--initial-branch=main")
	return r
}

func (r repository) git(args ...string) string {
	r.t.Helper()
	c := exec.CommandContext(r.t.Context(), "git", args...)
	c.Dir = r.dir
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=A",
		"GIT_AUTHOR_EMAIL=a@b.example", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@b.example")
	out, err := c.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v: %s", args[0], err, secret.Redact(string(out)))
	}
	return strings.TrimSpace(string(out))
}

// commit commits all files and returns the commit.
func (r repository) commit(message string) string {
	r.t.Helper()
	r.git("add", "--all")
	r.git("commit", "--quiet", "--allow-empty", "-m", message)
	return r.git("rev-parse", "HEAD")
}

func TestHistory(t *testing.T) {
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprintf("packed %t", packed), func(t *testing.T) {
			r := newRepository(t)
			removed, quoted, inMessage, abandoned, merged, tagged, staged := generate(t), generate(t), generate(t),
				generate(t), generate(t), generate(t), generate(t)
			write(t, filepath.Join(r.dir, "config", "a.env"), "\nTOKEN="+removed.Reveal())
			first := r.commit("first")
			write(t, filepath.Join(r.dir, "config", "a.env"), "\nTOKEN="+removed.Reveal()+" # again")
			write(t, filepath.Join(r.dir, "ü \"x\".txt"), quoted.Reveal())
			second := r.commit("second")
			r.git("rm", "--quiet", "-r", "config", "ü \"x\".txt")
			third := r.commit("remove it\n\nit was " + inMessage.Reveal())
			write(t, filepath.Join(r.dir, "b"), abandoned.Reveal())
			lost := r.commit("abandoned")
			r.git("reset", "--quiet", "--hard", "HEAD~1")
			r.git("checkout", "--quiet", "-b", "side")
			r.commit("side")
			r.git("checkout", "--quiet", "main")
			r.commit("main")
			r.git("merge", "--quiet", "--no-ff", "--no-commit", "side")
			write(t, filepath.Join(r.dir, "m"), merged.Reveal())
			merge := r.commit("merge")
			r.git("tag", "-a", "v1", "-m", tagged.Reveal())
			tag := r.git("rev-parse", "v1")
			r.git("rm", "--quiet", "m")
			r.commit("after")
			if packed {
				r.git("gc", "--quiet", "--prune=now")
			}
			write(t, filepath.Join(r.dir, "s"), staged.Reveal())
			r.git("add", "s")
			blob := r.git("rev-parse", ":s")
			noError(t, os.Remove(filepath.Join(r.dir, "s")))

			got := scanned(t, r.dir)
			check.Equal(t, got.Unreadable, nil, "unreadable")
			in := func(commit, file string, line, column int, s secret.Secret) scan.Finding {
				return scan.Finding{Repository: filepath.Join(r.dir, ".git"), Commit: commit, File: file, Line: line,
					Column: column, Kind: secret.AccountAccessToken, Hint: s.Hint()}
			}
			inTag, inIndex := in("", "", 6, 1, tagged), in("", "", 1, 1, staged)
			inTag.Object, inIndex.Object = tag, blob
			want := []scan.Finding{
				in(first, "config/a.env", 2, 7, removed),
				in(second, "config/a.env", 2, 7, removed),
				in(second, "ü \"x\".txt", 1, 1, quoted),
				in(third, "", 8, 8, inMessage),
				in(lost, "b", 1, 1, abandoned),
				in(merge, "m", 1, 1, merged),
				inTag, inIndex,
			}
			byPlace := func(a, b scan.Finding) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
			slices.SortFunc(want, byPlace)
			slices.SortFunc(got.Findings, byPlace)
			check.Equal(t, got.Findings, want, "findings")
		})
	}
}

func TestKindsOfRepositories(t *testing.T) {
	s := generate(t)
	r := newRepository(t)
	write(t, filepath.Join(r.dir, "a"), s.Reveal())
	commit := r.commit("a")
	r.git("rm", "--quiet", "a")
	r.commit("b")
	bare, tree := filepath.Join(t.TempDir(), "bare"), filepath.Join(t.TempDir(), "tree")
	r.git("clone", "--quiet", "--bare", r.dir, bare)
	r.git("worktree", "add", "--quiet", tree)
	for _, c := range []struct{ name, path, in string }{
		{"a work tree", r.dir, filepath.Join(r.dir, ".git")},
		{"a directory above", filepath.Dir(r.dir), filepath.Join(r.dir, ".git")},
		{"bare", bare, bare},
		{"a linked work tree", tree, filepath.Join(tree, ".git")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []scan.Finding
			for _, f := range scanned(t, c.path).Findings {
				if f.Repository == c.in {
					got = append(got, f)
				}
			}
			check.Equal(t, got, []scan.Finding{{Repository: c.in, Commit: commit, File: "a", Line: 1, Column: 1,
				Kind: secret.AccountAccessToken, Hint: s.Hint()}}, "findings")
		})
	}
}

// A repository cannot make the scan run a program, and one that is broken is reported.
func TestHostileRepositories(t *testing.T) {
	r := newRepository(t)
	write(t, filepath.Join(r.dir, "a"), generate(t).Reveal())
	write(t, filepath.Join(r.dir, "d", "b"), "x")
	r.commit("a")
	ran := filepath.Join(t.TempDir(), "ran")
	program := filepath.Join(t.TempDir(), "program")
	noError(t, os.WriteFile(program, []byte("#!/bin/sh\ntouch "+ran+"\n"), 0o700)) //nolint:gosec // a program
	for _, setting := range []string{"core.pager", "core.fsmonitor", "core.sshCommand", "gpg.program", "diff.external",
		"diff.x.textconv", "diff.x.command", "filter.x.smudge", "core.editor", "core.askPass"} {
		r.git("config", setting, program)
	}
	r.git("config", "log.showSignature", "true")
	// What is missing would be fetched by a program.
	for setting, value := range map[string]string{"core.repositoryFormatVersion": "1",
		"extensions.partialClone": "origin", "remote.origin.promisor": "true", "remote.origin.url": "ext::" + program,
		"protocol.ext.allow": "always"} {
		r.git("config", setting, value)
	}
	tree := r.git("rev-parse", "HEAD:d")
	noError(t, os.Remove(filepath.Join(r.dir, ".git", "objects", tree[:2], tree[2:])))
	write(t, filepath.Join(r.dir, ".git", "info", "attributes"), "* diff=x filter=x\n")
	for _, hook := range []string{"post-checkout", "reference-transaction", "fsmonitor-watchman"} {
		noError(t, os.Symlink(program, filepath.Join(r.dir, ".git", "hooks", hook)))
	}
	t.Setenv("GIT_DIR", filepath.Join(t.TempDir(), "elsewhere")) // as in a hook
	check.Equal(t, len(scanned(t, r.dir).Findings), 2, "findings")
	if _, err := os.Stat(ran); err == nil {
		t.Error("the scan ran a program that the repository names")
	}

	noError(t, os.RemoveAll(filepath.Join(r.dir, ".git", "objects")))
	write(t, filepath.Join(r.dir, ".git", "objects", "pack", "pack-1.idx"), "broken")
	write(t, filepath.Join(r.dir, ".git", "HEAD"), "broken")
	got := scanned(t, r.dir)
	check.Equal(t, len(got.Findings), 1, "findings in the files of a broken repository")
	check.Equal(t, len(got.Unreadable), 1, "unreadable")
}

// A history that is not complete is scanned as far as it is there, and reported.
func TestIncompleteHistories(t *testing.T) {
	s := generate(t)
	r := newRepository(t)
	r.git("config", "uploadpack.allowFilter", "true")
	write(t, filepath.Join(r.dir, "a"), s.Reveal())
	write(t, filepath.Join(r.dir, "d", "b"), "x")
	r.commit("a")
	r.git("rm", "--quiet", "a")
	r.commit("b")
	tree := r.git("rev-parse", "HEAD:d")
	for _, c := range []struct {
		name     string
		args     []string
		findings int
		says     string
	}{
		{"shallow", []string{"--depth=1"}, 0, "shallow"},
		{"without files", []string{"--filter=blob:none"}, 0, "1 objects of the history are missing"},
		{"without directories", []string{"--filter=tree:0"}, 0, "objects of the history are missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "clone")
			r.git(append([]string{"clone", "--quiet", "file://" + r.dir, dir}, c.args...)...)
			got := scanned(t, dir)
			check.Equal(t, len(got.Findings), c.findings, "findings")
			if len(got.Unreadable) != 1 || !strings.Contains(got.Unreadable[0].Error(), c.says) {
				t.Errorf("got %v, want one error with %q", got.Unreadable, c.says)
			}
		})
	}
	t.Run("damaged", func(t *testing.T) {
		noError(t, os.Remove(filepath.Join(r.dir, ".git", "objects", tree[:2], tree[2:])))
		got := scanned(t, r.dir)
		check.Equal(t, len(got.Findings), 1, "findings")
		check.Equal(t, len(got.Unreadable), 1, "unreadable")
	})
}

// git would wait for a named pipe without end.
func TestNamedPipesInRepositories(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"HEAD", "config", "packed-refs", "index", "objects/info/alternates", "shallow",
		"outside", "included"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t)
			write(t, filepath.Join(r.dir, "a"), generate(t).Reveal())
			r.commit("a")
			pipe := filepath.Join(r.dir, ".git", name)
			switch name {
			case "outside":
				outside := filepath.Join(t.TempDir(), "pipe")
				noError(t, os.Symlink(outside, pipe))
				pipe = outside
			case "included":
				pipe = filepath.Join(t.TempDir(), "pipe")
				r.git("config", "include.path", pipe)
			default:
				noError(t, os.RemoveAll(pipe))
			}
			noError(t, os.MkdirAll(filepath.Dir(pipe), 0o700))
			noError(t, syscall.Mkfifo(pipe, 0o600))
			got := scanned(t, r.dir)
			check.Equal(t, len(got.Findings), 1, "findings in files")
			check.Equal(t, len(got.Unreadable), 1, "unreadable")
		})
	}
}

func BenchmarkReader(b *testing.B) {
	text := bytes.Repeat([]byte("The quick brown fox walks over the key of a lazy dog, and likes it. return nil, err\n"), 120_000)
	b.SetBytes(int64(len(text)))
	s := &scan.Scanner{}
	for b.Loop() {
		noError(b, s.Reader(b.Context(), bytes.NewReader(text), ""))
	}
}
