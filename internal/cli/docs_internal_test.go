package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"latchkey/internal/config"
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
