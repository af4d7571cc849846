package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
)

// list is the value of a flag that may be given several times, each time with
// one or several entries separated by commas and spaces. It implements
// pflag.Value.
type list struct{ to *[]string }

// listFlag adds such a flag to a command.
func listFlag(c *cobra.Command, to *[]string, name, usage string) {
	c.Flags().Var(list{to}, name, usage)
}

// Set adds the entries of text. An empty one is refused: it is an unset
// variable of a script, and not the wish for what the flag's absence means.
func (l list) Set(text string) error {
	for entry := range strings.SplitSeq(text, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			return errors.New("must not have an empty entry")
		}
		*l.to = append(*l.to, entry)
	}
	return nil
}

// String implements pflag.Value.
func (l list) String() string {
	if l.to == nil {
		return ""
	}
	return strings.Join(*l.to, ",")
}

// Type implements pflag.Value.
func (list) Type() string { return "strings" }
