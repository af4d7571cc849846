// Package cli implements the program's commands and wires its parts: wire.go
// builds the services from the settings, serve.go the server around them.
//
// A command prints its result on standard output, and only that; where the
// result is a secret, only the secret. Everything else goes to standard error
// (docs/commands.md: "What goes where").
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// program is one run of the program with its environment.
type program struct {
	env            func(string) (string, bool)
	stdin          io.Reader
	stdout, stderr io.Writer
	// noReader reports that stdout was closed when the program started, so that
	// output is lost.
	noReader bool
	// format is "text" or "json".
	format string
}

// Main runs the command that args name and returns the exit status
// (docs/commands.md: "Exit status"). It reads the environment only through env,
// and returns early if ctx ends.
func Main(ctx context.Context, args []string, env func(string) (string, bool), stdin io.Reader, stdout,
	stderr io.Writer) int {
	out := &output{to: stdout}
	p := &program{env: env, stdin: stdin, stdout: out, stderr: stderr, noReader: isClosed(stdout), format: "text"}
	root := p.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(out)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil && out.err != nil {
		err = failure{out.err}
	}
	return p.report(err)
}

func (p *program) root() *cobra.Command {
	root := group("latchkey", "Issue, verify, rotate and revoke API credentials for multi-store merchants",
		p.serveCommand(), p.migrateCommand(), p.backupCommand(), p.restoreCommand(), p.applyCommand(),
		sessionCommands{p}.group(), tokenCommands{p}.group(), userCommands{p}.group(), gatewayCommands{p}.group(),
		legacyCommands{p}.group(), webhookCommands{p}.group(), eventCommands{p}.group(),
		auditCommands{p}.group(), billingCommands{p}.group(),
		group("key", "Server keys", p.keyCreateCommand()),
		scanCommand{p}.command(), p.scopeCommands(), p.schemaCommands(),
		p.healthCommand(), p.versionCommand(), p.manCommand(),
	)
	version := root.Flags().Bool("version", false, "print the version")
	withoutCommand := root.RunE
	root.RunE = func(c *cobra.Command, args []string) error {
		if *version {
			return p.runs(func(*cobra.Command, []string) error { return p.printVersion() })(c, args)
		}
		return withoutCommand(c, args)
	}
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetUsageFunc(printUsage)
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().StringVar(&p.format, "output", "text",
		"output format: text or json; user list also supports csv, ndjson and table, event list, audit head and audit export ndjson, billing export csv")
	p.completeFlags(root)
	return root
}

// group returns a command that only holds subcommands, and prints its help
// if it is called without one.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: noUnknownCommand, SuggestionsMinimumDistance: 2,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(commands...)
	return c
}

// noUnknownCommand returns an error for an argument that is not a subcommand.
func noUnknownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q for %q", args[0], c.CommandPath())
	if like := c.SuggestionsFor(args[0]); len(like) > 0 {
		text += fmt.Sprintf("; did you mean %q?", strings.Join(like, `" or "`))
	}
	return errors.New(text)
}

// flagError returns the error for wrong flags. After an unknown subcommand it
// reports the subcommand, because its flags are unknown for that reason only.
func flagError(c *cobra.Command, err error) error {
	if c.HasSubCommands() {
		if unknown := noUnknownCommand(c, c.Flags().Args()); unknown != nil {
			return unknown
		}
	}
	return err
}

// takes returns a command's Args, which accepts least to most arguments. what
// is the name of the argument.
func takes(what string, least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return fmt.Errorf("give the %s: %s", what, c.UseLine())
		case len(args) > most:
			return fmt.Errorf("give one %s and not %d: %s", what, len(args), c.UseLine())
		}
		return nil
	}
}

// failure is an error of a command that was called correctly. Errors of cobra
// itself are usage errors.
type failure struct{ error }

// Unwrap supports errors.As.
func (f failure) Unwrap() error { return f.error }

// runs returns the RunE of a command that prints text or JSON.
func (p *program) runs(work func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return p.runsAs([]string{"text", "json"}, work)
}

// runsAs is runs for a command with other output formats.
func (p *program) runsAs(forms []string, work func(*cobra.Command, []string) error) func(*cobra.Command,
	[]string) error {
	return func(c *cobra.Command, args []string) error {
		if !slices.Contains(forms, p.format) {
			last := len(forms) - 1
			return errors.New("--output must be " + strings.Join(forms[:last], ", ") + " or " + forms[last])
		}
		if err := work(c, args); err != nil {
			return failure{err}
		}
		return nil
	}
}
