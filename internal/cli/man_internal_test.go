package cli

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"latchkey/internal/config"
	"latchkey/internal/test/check"
)

// manual runs the command man with SOURCE_DATE_EPOCH and returns the folder, the
// exit status and what it wrote on standard error.
func manual(t *testing.T, epoch string) (folder string, status int, said string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "man1")
	env := func(name string) (string, bool) { return epoch, name == sourceDateEpoch }
	var out, err bytes.Buffer
	status = Main(context.WithoutCancel(t.Context()), []string{"man", folder}, env, strings.NewReader(""), &out, &err)
	check.Equal(t, out.String(), "", "standard output of man")
	return folder, status, err.String()
}

// Each command that help lists has a page, which mandoc accepts without a
// warning. The page of serve has all settings.
func TestManual(t *testing.T) {
	folder, status, said := manual(t, "1700000000")
	check.Equal(t, status, 0, "status of man")
	pages, err := filepath.Glob(filepath.Join(folder, "*.1"))
	if err != nil || !strings.Contains(said, "pages to "+folder) {
		t.Fatalf("got %q, %v, want the number of pages", said, err)
	}
	if out, err := exec.CommandContext(t.Context(), "mandoc",
		append([]string{"-Tlint", "-Wwarning"}, pages...)...).CombinedOutput(); err != nil {
		t.Errorf("mandoc: %v\n%s", err, out)
	}
	commands := 0
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		commands++
		page, err := os.ReadFile(filepath.Join(folder, strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"))
		if err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(page), " 1 2023-11-14 ") {
			t.Errorf("page of %s: got another date, want that of SOURCE_DATE_EPOCH", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				walk(sub)
			}
		}
	}
	root := (&program{}).root()
	root.InitDefaultCompletionCmd()
	walk(root)
	check.Equal(t, len(pages), commands, "pages, one for each command")

	serve, err := os.ReadFile(filepath.Join(folder, "latchkey-serve.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range config.Settings() {
		if want := "\n\\fB" + roff("--"+s.Flag) + "\\fR"; !strings.Contains(string(serve), want) {
			t.Errorf("page of serve: got no --%s, want every setting", s.Flag)
		}
	}
}

// The text of a page is what the command says, with any characters.
func TestManualEscapes(t *testing.T) {
	c := &cobra.Command{Use: `odd`, Short: `It's a \back-slash, "quotes", ^~ and x`,
		Long: ".not a macro [A] (default b)\n\n  odd --flag 'x'\n  .odd\n\n#### Heading:"}
	c.Flags().String("flag", "left", "the `SIDE`, as in\ntwo lines")
	page := filepath.Join(t.TempDir(), "odd.1")
	date, err := buildDate(func(string) (string, bool) { return "0", true })
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(page, []byte(manPage(c, date)), 0o600); err != nil {
		t.Fatal(err)
	}
	shown, err := exec.CommandContext(t.Context(), "mandoc", "-Tascii", "-Owidth=200", page).Output()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(strings.ReplaceAll(string(shown), "\b", "")), " ")
	for _, want := range []string{`It's a \back-slash, "quotes", ^~ and x`, ".not a macro [A] (default b)",
		"odd --flag 'x' .odd Heading:", "as in two lines (default left)", "1970-01-01"} {
		if !strings.Contains(text, want) {
			t.Errorf("got %s, want it to contain %q", text, want)
		}
	}
}

func TestManualRefusesAWrongDate(t *testing.T) {
	_, status, said := manual(t, "today")
	check.Equal(t, status, 2, "status of man")
	check.Equal(t, strings.Contains(said, "SOURCE_DATE_EPOCH"), true, "whether %q names the variable", said)
}
