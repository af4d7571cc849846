package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// source is the commit that a release is built from.
type source struct {
	commit string
	// version is the tag of the commit, or else its place behind the last tag, or
	// else the beginning of its hash.
	version string
	// at is the time of the commit. All times in a release are this one.
	at time.Time
}

// name returns the beginning of the names of files, such as latchkey_1.2.3.
func (s source) name() string { return "latchkey_" + strings.TrimPrefix(s.version, "v") }

// head returns the commit that is checked out. It returns an error if files
// differ from it, because they would not be in the release, and for a shallow
// clone: the Go toolchain derives the module's version from the history.
func head() (source, error) {
	changed, err := git("status", "--porcelain")
	if err != nil {
		return source{}, err
	}
	if changed != "" {
		return source{}, fmt.Errorf("these files differ from the last commit; commit them first:\n%s", changed)
	}
	if shallow, err := git("rev-parse", "--is-shallow-repository"); err != nil || shallow == "true" {
		return source{}, errors.Join(err, errors.New("the clone is shallow: run git fetch --unshallow --tags first"))
	}
	// The length of an abbreviated hash is given, because git's own choice depends on the number of objects.
	version, err := git("describe", "--tags", "--always", "--abbrev=12", "--match", "v[0-9]*")
	if err != nil {
		return source{}, err
	}
	shown, err := git("show", "--no-patch", "--format=%H %ct", "HEAD")
	if err != nil {
		return source{}, err
	}
	commit, seconds, _ := strings.Cut(shown, " ")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return source{}, fmt.Errorf("the time of the commit: %w", err)
	}
	return source{commit, version, time.Unix(at, 0).UTC()}, nil
}

// clone checks the commit out in a new folder.
func (s source) clone(folder string) error {
	origin, err := git("rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	if _, err := git("clone", "--quiet", "--no-checkout", origin, folder); err != nil {
		return err
	}
	_, err = git("-C", folder, "checkout", "--quiet", "--detach", s.commit)
	return err
}

func git(args ...string) (string, error) {
	return output(exec.Command("git", args...))
}

// output runs a command and returns what it prints, without the last line end.
func output(c *exec.Cmd) (string, error) {
	var out, complaints bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaints
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, &complaints)
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

// buildEnv has the variables that change what the Go toolchain writes. A build
// has these values and ignores those of the user.
var buildEnv = []string{"CGO_ENABLED=0", "GOFLAGS=-trimpath", "GOWORK=off", "GOAMD64=v1", "GOARM64=v8.0",
	"GOEXPERIMENT=", "GOFIPS140=off"}

// compile builds the program for a platform in a clone. With a cache it
// compiles what is not in that build cache, otherwise in the user's.
func (s source) compile(clone, program string, p platform, cache string) error {
	c := exec.Command("go", "build", "-trimpath", "-buildvcs=true", "-ldflags",
		"-s -w -X latchkey/internal/cli.version="+s.version, "-o", program, "./cmd/latchkey")
	c.Dir = clone
	c.Env = append(append(os.Environ(), buildEnv...), "GOOS="+p.os, "GOARCH="+p.arch)
	if cache != "" {
		c.Env = append(c.Env, "GOCACHE="+cache)
	}
	_, err := output(c)
	return err
}

// manual writes the manual pages and the completions of a program that runs on
// this machine, and returns them by their names in the archive.
func (s source) manual(program, scratch string) (map[string][]byte, error) {
	files := map[string][]byte{}
	pages := exec.Command(program, "man", scratch)
	pages.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(s.at.Unix(), 10))
	if _, err := output(pages); err != nil {
		return nil, err
	}
	written, err := filepath.Glob(filepath.Join(scratch, "*.1"))
	if err != nil {
		return nil, err
	}
	for _, file := range written {
		if files["man/man1/"+filepath.Base(file)], err = os.ReadFile(file); err != nil {
			return nil, err
		}
	}
	for shell, file := range map[string]string{"bash": "latchkey.bash", "zsh": "_latchkey", "fish": "latchkey.fish",
		"powershell": "latchkey.ps1"} {
		script, err := output(exec.Command(program, "completion", shell))
		if err != nil {
			return nil, err
		}
		files["completions/"+file] = []byte(script + "\n")
	}
	return files, nil
}
