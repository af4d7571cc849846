package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"latchkey/internal/fault"
)

// sourceDateEpoch is the variable in which builds give their date, in seconds
// since 1970 (reproducible-builds.org).
const sourceDateEpoch = "SOURCE_DATE_EPOCH"

// manCommand writes the manual pages that releases contain. Only
// packagers need it, so help does not list it.
func (p *program) manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the manual pages of all commands to a folder", Hidden: true,
		Args: takes("folder", 1, 1),
		RunE: p.runs(func(c *cobra.Command, args []string) error {
			date, err := buildDate(p.env)
			if err != nil {
				return err
			}
			n, err := writeManual(c.Root(), args[0], date)
			if err != nil {
				return err
			}
			return p.printed(map[string]int{"pages": n}, "", func() { p.say("wrote %d pages to %s", n, args[0]) })
		}),
	}
}

// buildDate returns the date of the manual pages: that of SOURCE_DATE_EPOCH, or
// else of the commit that the program was built from, or else today. It returns
// fault.Invalid if the variable is not a number.
func buildDate(env func(string) (string, bool)) (time.Time, error) {
	if text, ok := env(sourceDateEpoch); ok && text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return time.Time{}, fault.Errorf(fault.Invalid, "must be seconds since 1970, and not %q", text).
				On(sourceDateEpoch)
		}
		return time.Unix(seconds, 0).UTC(), nil
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, s := range build.Settings {
			if at, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
				return at, nil
			}
		}
	}
	return time.Now().UTC(), nil
}

// writeManual writes a page for each command to the folder, which it creates,
// and returns their number.
func writeManual(root *cobra.Command, folder string, date time.Time) (int, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // manual pages are public
		return 0, fmt.Errorf("create the folder: %w", err)
	}
	pages := 0
	var write func(*cobra.Command) error
	write = func(c *cobra.Command) error {
		file := filepath.Join(folder, pageName(c)+".1")
		if err := os.WriteFile(file, []byte(manPage(c, date)), 0o644); err != nil { //nolint:gosec // the same
			return fmt.Errorf("write a page: %w", err)
		}
		pages++
		for _, sub := range documented(c) {
			if err := write(sub); err != nil {
				return err
			}
		}
		return nil
	}
	return pages, write(root)
}

// documented returns the subcommands that have a page.
func documented(c *cobra.Command) []*cobra.Command {
	return slices.DeleteFunc(slices.Clone(c.Commands()), func(sub *cobra.Command) bool {
		return !sub.IsAvailableCommand()
	})
}

func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// manPage returns the page of a command in the macros of man(7): its own flags
// first, then the settings that it uses, as printUsage writes them. cobra has a
// package that writes pages, by way of Markdown, which takes the variable and
// the default of a setting for a link and knows no groups.
func manPage(c *cobra.Command, date time.Time) string {
	c.InitDefaultHelpFlag()
	var page strings.Builder
	fmt.Fprintf(&page, ".TH %s 1 %s %s %s\n", quoted(strings.ToUpper(pageName(c))), date.Format(time.DateOnly),
		quoted("Latchkey "+programVersion()), quoted("Latchkey manual"))
	fmt.Fprintf(&page, ".SH NAME\n%s \\- %s\n", roff(pageName(c)), roff(c.Short))
	fmt.Fprintf(&page, ".SH SYNOPSIS\n.B %s\n", roff(c.CommandPath()))
	if c.HasAvailableSubCommands() {
		page.WriteString("COMMAND [flags]\n")
	} else if rest := strings.TrimPrefix(c.UseLine(), c.CommandPath()); rest != "" {
		page.WriteString(roff(strings.TrimSpace(rest)) + "\n")
	}
	page.WriteString(".SH DESCRIPTION\n" + paragraphs(longText(c)))
	if subs := documented(c); len(subs) > 0 {
		page.WriteString(".SH COMMANDS\n")
		for _, sub := range subs {
			fmt.Fprintf(&page, ".TP\n.BR %s (1)\n%s\n", roff(pageName(sub)), roff(sub.Short))
		}
	}
	own, groups := flagsOf(c)
	writeOptions(&page, ".SH OPTIONS", own)
	if len(groups) > 0 {
		page.WriteString(".SH SETTINGS\nA setting can also be given as the environment variable in brackets.\n")
	}
	for _, g := range groups {
		writeOptions(&page, ".SS "+quoted(g.title), g.flags)
	}
	if c.HasExample() {
		page.WriteString(".SH EXAMPLES\n.nf\n" + roffLines(c.Example) + ".fi\n")
	}
	if c.HasParent() {
		fmt.Fprintf(&page, ".SH SEE ALSO\n.BR %s (1)\n", roff(pageName(c.Parent())))
	}
	return page.String()
}

func longText(c *cobra.Command) string {
	if c.Long != "" {
		return c.Long
	}
	return c.Short + "."
}

func writeOptions(page *strings.Builder, heading string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	page.WriteString(heading + "\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := `\fB` + roff("--"+f.Name) + `\fR`
		if f.Shorthand != "" {
			name = `\fB` + roff("-"+f.Shorthand) + `\fR, ` + name
		}
		if value != "" {
			name += ` \fI` + roff(value) + `\fR`
		}
		if !slices.Contains([]string{"", "false", "0", "0s", "[]"}, f.DefValue) {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(page, ".TP\n%s\n%s\n", name, roff(usage))
	})
}

// paragraphs returns a text of cobra in roff. Indented lines are commands and
// keep their line breaks.
func paragraphs(text string) string {
	var page strings.Builder
	for i, part := range strings.Split(strings.TrimSpace(text), "\n\n") {
		part = strings.TrimPrefix(strings.Trim(part, "\n"), "#### ") // a heading of cobra's texts
		switch {
		case part == "":
			continue
		case strings.HasPrefix(part, "\t") || strings.HasPrefix(part, "  "):
			page.WriteString(".PP\n.nf\n" + roffLines(part) + ".fi\n")
			continue
		case i > 0:
			page.WriteString(".PP\n")
		}
		page.WriteString(roffLines(part))
	}
	return page.String()
}

func roffLines(text string) string {
	var page strings.Builder
	for line := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
		page.WriteString(roff(strings.TrimSpace(line)) + "\n")
	}
	return page.String()
}

// special are the characters that roff would interpret, and the hyphen, which
// it would print as one that cannot be pasted to a shell.
var special = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", `\(ga`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`, "\n", " ")

// roff returns a text for a line of its own or within one.
func roff(text string) string {
	text = special.Replace(text)
	if strings.HasPrefix(text, ".") {
		return `\&` + text // not a macro
	}
	return text
}

// quoted returns the argument of a macro.
func quoted(text string) string { return `"` + strings.ReplaceAll(roff(text), `"`, `\(dq`) + `"` }
