package cli

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"latchkey/internal/config"
	"latchkey/internal/test/check"
)

// docs/commands.md documents every command and every flag that is not a
// setting.
func TestCommandsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	manual := string(text)
	settings := map[string]bool{"help": true}
	for _, s := range config.Settings() {
		settings[s.Flag] = true
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.HasSubCommands() {
			return
		}
		if !strings.Contains(manual, "latchkey "+c.Name()) &&
			!strings.Contains(manual, c.Parent().Name()+" "+c.Name()) {
			t.Errorf("%s: got no documentation, want it in docs/commands.md", c.CommandPath())
		}
		for _, flag := range regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(c.LocalFlags().FlagUsages(), -1) {
			if name := flag[1]; !settings[name] && !strings.Contains(manual, "--"+name) {
				t.Errorf("--%s of %s: got no documentation, want it in docs/commands.md", name, c.CommandPath())
			}
		}
	}
	walk((&program{}).root())
}

// docs/settings.md names the commands that have the flag of each setting.
func TestSettingsNameTheirCommands(t *testing.T) {
	text, err := os.ReadFile("../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	rows := regexp.MustCompile("(?m)^\\| `--([a-z-]+)` .* \\| ([^|]+) \\|$")
	for _, row := range rows.FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = row[2]
	}
	offering := map[string][]string{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, s := range config.Settings() {
			if f := c.Flags().Lookup(s.Flag); f != nil && len(f.Annotations[settingGroup]) > 0 {
				offering[s.Flag] = append(offering[s.Flag], "`"+strings.TrimPrefix(c.CommandPath(), "latchkey ")+"`")
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&program{}).root())
	for _, s := range config.Settings() {
		if s.For == config.Storage {
			check.Equal(t, documented[s.Flag], "all that use the database", "commands of --%s", s.Flag)
			check.Equal(t, strings.Join(offering[s.Flag], ", "), strings.Join(offering["database"], ", "),
				"commands with --%s, as with --database", s.Flag)
			continue
		}
		got := strings.Split(documented[s.Flag], ", ")
		slices.Sort(got)
		slices.Sort(offering[s.Flag])
		check.Equal(t, strings.Join(got, ", "), strings.Join(offering[s.Flag], ", "), "commands of --%s", s.Flag)
	}
}
