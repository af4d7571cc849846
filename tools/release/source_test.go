package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/internal/test/check"
)

// repository changes to a new repository with one commit and returns its folder.
func repository(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	t.Chdir(folder)
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	for name, value := range map[string]string{"NAME": "A", "EMAIL": "a@example.com", "DATE": "@1700000000 +0300"} {
		t.Setenv("GIT_AUTHOR_"+name, value)
		t.Setenv("GIT_COMMITTER_"+name, value)
	}
	mustGit(t, "init", "--quiet")
	if err := write("file", []byte("content")); err != nil {
		t.Fatal(err)
	}
	mustGit(t, "add", "file")
	mustGit(t, "commit", "--quiet", "-m", "first")
	return folder
}

func mustGit(t *testing.T, args ...string) string {
	t.Helper()
	out, err := git(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func mustHead(t *testing.T) source {
	t.Helper()
	s, err := head()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A release has the version and the time of its commit, and is built from a clone of it.
func TestHead(t *testing.T) {
	repository(t)
	commit := mustGit(t, "rev-parse", "HEAD")
	s := mustHead(t)
	check.Equal(t, s.commit, commit, "commit")
	check.Equal(t, s.name(), "latchkey_"+commit[:12], "name of a commit without a tag")
	check.Equal(t, s.at.Unix(), int64(1_700_000_000), "time")

	mustGit(t, "tag", "v1.2.3")
	mustGit(t, "tag", "elsewhere")
	check.Equal(t, mustHead(t).version, "v1.2.3", "version of a tag")
	check.Equal(t, mustHead(t).name(), "latchkey_1.2.3", "name of a tag")

	mustGit(t, "commit", "--quiet", "--allow-empty", "-m", "second")
	s = mustHead(t)
	check.Equal(t, strings.HasPrefix(s.version, "v1.2.3-1-g"), true, "whether %s is behind the tag", s.version)
	clone := filepath.Join(t.TempDir(), "clone")
	if err := s.clone(clone); err != nil {
		t.Fatal(err)
	}
	check.Equal(t, mustGit(t, "-C", clone, "rev-parse", "HEAD"), s.commit, "commit of the clone")
	check.Equal(t, mustGit(t, "-C", clone, "status", "--porcelain"), "", "changes in the clone")
	check.Equal(t, mustGit(t, "-C", clone, "tag"), "elsewhere\nv1.2.3", "tags of the clone")
}

// What a release would not contain, or what would change its bytes, is refused.
func TestHeadRefuses(t *testing.T) {
	origin := repository(t)
	mustGit(t, "commit", "--quiet", "--allow-empty", "-m", "second")
	shallow := filepath.Join(t.TempDir(), "shallow")
	mustGit(t, "clone", "--quiet", "--depth=1", "file://"+origin, shallow)
	if err := write("file", []byte("changed")); err != nil {
		t.Fatal(err)
	}
	_, err := head()
	check.Equal(t, err != nil && strings.Contains(err.Error(), "commit them first"), true, "refusal of changes")
	t.Chdir(shallow)
	_, err = head()
	check.Equal(t, err != nil && strings.Contains(err.Error(), "shallow"), true, "refusal of a shallow clone")
}
