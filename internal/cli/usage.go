package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// printUsage writes the usage of a command: its own flags first, then the
// settings that it uses, by group.
func printUsage(c *cobra.Command) error {
	var text strings.Builder
	text.WriteString("Usage:\n")
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&text, "  %s COMMAND [flags]\n", c.CommandPath())
	} else {
		fmt.Fprintf(&text, "  %s\n", c.UseLine())
	}
	if c.HasExample() {
		fmt.Fprintf(&text, "\nExample:\n%s\n", c.Example)
	}
	if c.HasAvailableSubCommands() {
		writeCommands(&text, c)
	}
	own, groups := flagsOf(c)
	writeFlags(&text, "Flags", own)
	for _, g := range groups {
		writeFlags(&text, "Settings: "+g.title, g.flags)
	}
	if len(groups) > 0 {
		text.WriteString("\nA setting can also be given as the environment variable in brackets.\n")
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&text, "\n\"%s COMMAND --help\" describes a command.\n", c.CommandPath())
	}
	_, err := io.WriteString(c.OutOrStderr(), text.String())
	return err
}

func writeCommands(text *strings.Builder, c *cobra.Command) {
	text.WriteString("\nCommands:\n")
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			fmt.Fprintf(text, "  %-*s  %s\n", sub.NamePadding(), sub.Name(), sub.Short)
		}
	}
}

// flagGroup is the settings of a command under one heading.
type flagGroup struct {
	title string
	flags *pflag.FlagSet
}

// flagsOf returns a command's own flags, --help and --output last, and the
// flags of its settings by group.
func flagsOf(c *cobra.Command) (own *pflag.FlagSet, groups []flagGroup) {
	own = pflag.NewFlagSet("own", pflag.ContinueOnError)
	own.SortFlags = false
	general := []string{"help", "version"}
	add := func(f *pflag.Flag) {
		title := f.Annotations[settingGroup]
		if len(title) == 0 {
			if !slices.Contains(general, f.Name) {
				own.AddFlag(f)
			}
			return
		}
		place := slices.IndexFunc(groups, func(g flagGroup) bool { return g.title == title[0] })
		if place < 0 {
			set := pflag.NewFlagSet(title[0], pflag.ContinueOnError)
			set.SortFlags = false
			place, groups = len(groups), append(groups, flagGroup{title[0], set})
		}
		groups[place].flags.AddFlag(f)
	}
	c.NonInheritedFlags().VisitAll(add)
	c.InheritedFlags().VisitAll(add)
	for _, name := range general {
		if f := c.Flags().Lookup(name); f != nil {
			own.AddFlag(f)
		}
	}
	return own, groups
}

func writeFlags(text *strings.Builder, title string, flags *pflag.FlagSet) {
	if usages := flags.FlagUsages(); usages != "" {
		fmt.Fprintf(text, "\n%s:\n%s", title, usages)
	}
}
