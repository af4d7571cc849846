package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
)

// list is the value of a flag that may be repeated. Each value has one or more
// entries, separated by commas. list implements pflag.Value.
type list struct{ to *[]string }

// listFlag adds a list flag to a command.
func listFlag(c *cobra.Command, to *[]string, name, usage string) {
	c.Flags().Var(list{to}, name, usage)
}

// Set adds the entries of text. It refuses an empty entry: it usually comes
// from an unset variable of a script, not from the intention to use the
// default.
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
