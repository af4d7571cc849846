package cli_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"latchkey/internal/cli"
	dbtest "latchkey/internal/test/db"
)

// TestMain runs the program itself if the test binary is started as latchkey:
// the scripts and the server tests start it as a process.
func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){"latchkey": func() {
		os.Exit(cli.Main(context.Background(), os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr))
	}})
}

// tests are the tests of the package. They remove the programs that they built.
type tests struct{ *testing.M }

func (m tests) Run() int {
	code := m.M.Run()
	if programsFolder != "" {
		_ = os.RemoveAll(programsFolder)
	}
	return code
}

// TestScripts runs each script in testdata/script on a fresh SQLite and a fresh
// PostgreSQL database. A script with the command serving has a server at
// $SERVER.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("scripts: got %d, %v, want at least one", len(scripts), err)
	}
	useWithoutRace(t)
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			dbtest.EachURL(t, func(t *testing.T, url string) { runScript(t, script, url) })
		})
	}
}

func runScript(t *testing.T, script, url string) {
	key := filepath.Join(t.TempDir(), "test.key")
	run(t, nil, "key", "create", key)
	testscript.RunT(redactingT{t}, testscript.Params{
		Files: []string{script},
		Setup: func(env *testscript.Env) error {
			env.Setenv("LATCHKEY_DATABASE_URL", url)
			env.Setenv("LATCHKEY_KEY_FILE", key)
			env.Setenv("LATCHKEY_PUBLIC_URL", "https://keys.example")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": status, "first": first, "keep": keep,
			"serving": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Setenv("SERVER", serve(t, map[string]string{"LATCHKEY_DATABASE_URL": url,
					"LATCHKEY_KEY_FILE": key}).public)
			},
		},
	})
}

// redactingT is a test that redacts secrets in its output, because scripts print
// the output of their commands.
type redactingT struct{ *testing.T }

var secretPattern = regexp.MustCompile(`lk[a-z]_[0-9A-Za-z]{49}|whsec_[0-9A-Za-z+/]{43}=`)

func redacted(args []any) string {
	return secretPattern.ReplaceAllString(fmt.Sprint(args...), "[secret]")
}

func (d redactingT) Log(args ...any)   { d.T.Log(redacted(args)) }
func (d redactingT) Fatal(args ...any) { d.T.Fatal(redacted(args)) }
func (d redactingT) Skip(args ...any)  { d.T.Fatal("a script asks to be skipped: " + redacted(args)) }
func (d redactingT) Verbose() bool     { return testing.Verbose() }
func (d redactingT) Run(name string, f func(testscript.T)) {
	d.T.Run(name, func(t *testing.T) { f(redactingT{t}) })
}

// status runs a command and checks its exit status: status 2 latchkey …
func status(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// first stores the first match of a pattern in the last standard output in a
// variable:
// first ID '"id": "([^"]+)"'
func first(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if found == nil {
		ts.Fatalf("standard output: got no match, want one of %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}

// keep writes a variable to a file that only its owner can read: keep ID file
func keep(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(ts.Getenv(args[0])+"\n"), 0o600))
}

// run runs the program, which must succeed, and returns its standard output.
func run(t *testing.T, env map[string]string, args ...string) string {
	t.Helper()
	out, errs, code := attempt(t, env, args...)
	if code != 0 {
		t.Fatalf("latchkey %s: got exit status %d, want 0\n%s", strings.Join(args, " "), code, errs)
	}
	return out
}

func attempt(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs strings.Builder
	lookupEnv := func(name string) (string, bool) { text, ok := env[name]; return text, ok }
	code = cli.Main(t.Context(), args, lookupEnv, strings.NewReader(""), &out, &errs)
	return out.String(), errs.String(), code
}
