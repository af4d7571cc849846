package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/internal/secret"
	"latchkey/internal/test/leak"
)

// The fixtures are packages that go test really runs, so that the events are go's own and not this test's idea of them.
func TestSummary(t *testing.T) {
	const passing = `
func TestBoth(t *testing.T) {
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			t.Run("insert", func(t *testing.T) {})
			t.Run("delete", func(t *testing.T) {})
		})
	}
}`
	tests := []struct {
		name     string
		source   string
		required []string
		wantErr  string   // part of the error; "" for none
		want     []string // in the output
		wantNot  []string
	}{
		{name: "all pass on both databases", source: passing, required: []string{"sqlite", "postgres"},
			want: []string{"ok  \tfixture\t", "databases: 2 on sqlite, 2 on postgres\n",
				"\n4 passed, 0 failed, 0 skipped\n"},
			wantNot: []string{"RUN", "PASS"}},
		{name: "a database is missing", source: passing, required: []string{"sqlite", "oracle"},
			wantErr: "no test ran on oracle", want: []string{"2 on sqlite, 0 on oracle", "4 passed"}},
		{name: "one subtest fails", source: `
func TestParent(t *testing.T) {
	t.Log("parent's words")
	t.Run("good", func(t *testing.T) { t.Log("not wanted") })
	t.Run("bad", func(t *testing.T) { t.Error("the reason") })
}`, wantErr: "1 failed", want: []string{"the reason", "parent's words", "FAIL\tfixture", "failed fixture TestParent/bad", "1 passed, 1 failed, 0 skipped"},
			wantNot: []string{"not wanted"}},
		{name: "a parent fails after its subtests", source: `
func TestParent(t *testing.T) {
	t.Run("good", func(t *testing.T) {})
	t.Error("the reason")
}`, wantErr: "1 failed", want: []string{"the reason", "failed fixture TestParent\n", "1 passed, 1 failed, 0 skipped"}},
		{name: "a skipped test", source: "func TestGood(t *testing.T) {}\nfunc TestLazy(t *testing.T) { t.Skip() }",
			wantErr: "1 skipped", want: []string{"skipped fixture TestLazy", "1 passed, 0 failed, 1 skipped"}},
		{name: "a panic", source: `func TestPanic(t *testing.T) { panic("boom") }`,
			wantErr: "1 failed", want: []string{"panic: boom", "0 passed, 1 failed, 0 skipped"}},
		{name: "the test binary exits", source: "func TestExit(t *testing.T) { os.Exit(1) }\nvar _ = os.Args",
			wantErr: "1 failed", want: []string{"0 passed, 1 failed, 0 skipped"}},
		{name: "exits outside of any test",
			source:  "func TestGood(t *testing.T) {}\nfunc TestMain(m *testing.M) { m.Run(); os.Exit(3) }",
			wantErr: "1 failed", want: []string{"failed fixture\n", "1 passed, 1 failed, 0 skipped"}},
		{name: "does not compile", source: `func TestBad(t *testing.T) { nonsense }`,
			wantErr: "1 failed", want: []string{"undefined: nonsense", "0 passed, 1 failed, 0 skipped"}},
		{name: "nothing to run", source: "",
			wantErr: "no test passed", want: []string{"0 passed, 0 failed, 0 skipped"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFixture(t, test.source)
			var out strings.Builder
			err := run(&out, test.required, []string{"go", "test", "-json", "."})
			if (err == nil) != (test.wantErr == "") || err != nil && !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("error %v, want %q", err, test.wantErr)
			}
			for _, want := range test.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output: got\n%s\nwant %q in it", &out, want)
				}
			}
			for _, unwanted := range test.wantNot {
				if strings.Contains(out.String(), unwanted) {
					t.Errorf("output: got\n%s\nwant it without %q", &out, unwanted)
				}
			}
		})
	}
}

// A secret in the output of any test, even of one that passed, is reported by its hint only.
func TestSecretsInTheOutput(t *testing.T) {
	value, err := secret.Generate(rand.Reader, secret.ClientSecret)
	if err != nil {
		t.Fatal(err)
	}
	s := value.Reveal()
	for _, tc := range []struct{ name, source string }{
		{"logged by a test that passed", `func TestA(t *testing.T) { t.Log("the client secret is %s!") }`},
		{"logged by a test that failed", `func TestA(t *testing.T) { t.Error("the client secret is %s!") }`},
		{"printed by the program", `func TestA(t *testing.T) { os.Stderr.WriteString("level=INFO token=%s\n") }`},
		{"printed piece by piece", `func TestA(t *testing.T) { os.Stdout.WriteString("` + s[:20] +
			`"); os.Stdout.WriteString("` + s[20:] + `\n") }`},
		{"in a compiler error", `func TestA(t *testing.T) { var %s int }`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inFixture(t, strings.ReplaceAll(tc.source, "%s", s))
			var out strings.Builder
			err := run(&out, nil, []string{"go", "test", "-json", "."})
			if err == nil || !strings.Contains(err.Error(), "secrets in the output") {
				t.Errorf("error %v, want secrets in the output", err)
			}
			if !strings.Contains(out.String(), "secret lkc_…"+s[49:]) || strings.Contains(out.String(), s) {
				t.Errorf("got %s, want the hint of the secret only", leak.Redact(out.String()))
			}
		})
	}
}

// The exit status of the command counts even if its output shows no failure.
func TestCommandThatFailsSilently(t *testing.T) {
	script := `echo '{"Action":"run","Package":"p","Test":"T"}'; echo '{"Action":"pass","Package":"p","Test":"T"}'; exit 7`
	var out strings.Builder
	if err := run(&out, nil, []string{"sh", "-c", script}); err == nil ||
		!strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("error %v, want the command's exit status", err)
	}
	if !strings.Contains(out.String(), "1 passed") {
		t.Errorf("summary: got %q, want 1 passed", &out)
	}
}

// Tests of both commands count, and either command's status does.
func TestTwoCommands(t *testing.T) {
	passing := func(pkg, test string) []string {
		return []string{"sh", "-c", strings.NewReplacer("P", pkg, "NAME", test).Replace(
			`for i in $(seq 200); do echo '{"Action":"run","Package":"P","Test":"TestNAME'$i'"}'; echo '{"Action":"pass","Package":"P","Test":"TestNAME'$i'"}'; done`)}
	}
	var out strings.Builder
	if err := run(&out, nil, passing("p", "One"), passing("q", "Two")); err != nil ||
		!strings.Contains(out.String(), "400 passed, 0 failed") {
		t.Errorf("error %v, and the summary %q, want 400 passed, 0 failed", err, &out)
	}
	for _, commands := range [][][]string{
		{passing("p", "One"), {"sh", "-c", "exit 7"}}, {{"sh", "-c", "exit 7"}, passing("p", "One")},
	} {
		if err := run(&out, nil, commands...); err == nil || !strings.Contains(err.Error(), "exit status 7") {
			t.Errorf("error %v, want the exit status of the failed command", err)
		}
	}
}

// inFixture makes a module with one test file of this source and goes there.
func inFixture(t *testing.T, source string) {
	t.Helper()
	imports := "import \"testing\"\n"
	if strings.Contains(source, "os.") {
		imports += "import \"os\"\n"
	}
	if source == "" {
		imports = ""
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":          "module fixture\n\ngo 1.26\n",
		"fixture.go":      "package fixture\n",
		"fixture_test.go": "package fixture\n\n" + imports + source + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}
