// Package cli is the commands of the program and the place where everything
// is wired: wire.go builds the services once from the settings, serve.go the
// server around them.
//
// What a command was asked for goes to standard output, secrets alone where
// there are any; everything else goes to standard error (design: "Settings
// and commands").
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

// program is one run of the program: its surroundings, as values.
type program struct {
	env            func(string) (string, bool)
	stdin          io.Reader
	stdout, stderr io.Writer
	// noReader says that what is written to stdout is lost.
	noReader bool
	// format is "text" or "json".
	format string
}

// Main runs the command that args name and returns the exit status
// (docs/commands.md: "Exit status"). It reads the environment through env
// only, and ends early when ctx does.
func Main(ctx context.Context, args []string, env func(string) (string, bool), stdin io.Reader, stdout, stderr io.Writer) int {
	out := &output{to: stdout}
	p := &program{env: env, stdin: stdin, stdout: out, stderr: stderr, noReader: isNowhere(stdout), format: "text"}
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
	root := group("latchkey", "API credentials for multi-store merchants: issued, used, rotated, revoked",
		p.serveCommand(), p.migrateCommand(), p.applyCommand(),
		group("session", "Sessions of people", p.sessionCreateCommand(), p.sessionListCommand(), p.sessionEndCommand()),
		group("token", "API tokens of an account and its stores",
			p.tokenCreateCommand(), p.tokenListCommand(), p.tokenRotateCommand(), p.tokenRevokeCommand()),
		group("user", "People of an account", p.userListCommand(), p.userInviteCommand(), p.userProvisionCommand(), p.userDeprovisionCommand(),
			p.userResetFactorsCommand()),
		group("gateway", "Keys of gateways, which ask about tokens",
			p.gatewayCreateCommand(), p.gatewayListCommand(), p.gatewayRevokeCommand()),
		group("legacy", "Legacy API accounts of an account's stores",
			p.legacyListCommand(), p.legacyCreateCommand(), p.legacyConvertCommand(), p.legacyDeleteCommand()),
		group("key", "Server keys", p.keyCreateCommand()),
		p.versionCommand(),
	)
	version := root.Flags().Bool("version", false, "tell this program's version")
	withoutCommand := root.RunE
	root.RunE = func(c *cobra.Command, args []string) error {
		if *version {
			return p.runs(func(*cobra.Command, []string) error { return p.printVersion() })(c, args)
		}
		return withoutCommand(c, args)
	}
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().StringVar(&p.format, "output", "text", "form of the output: text or json, and for user list also csv, ndjson or table")
	return root
}

// group makes a command that does nothing but hold others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: noneUnknown, SuggestionsMinimumDistance: 2, RunE: func(c *cobra.Command, _ []string) error {
		return errors.New("name a command; \"" + c.CommandPath() + " --help\" lists them")
	}}
	c.AddCommand(commands...)
	return c
}

// noneUnknown refuses what follows a group and is none of its commands.
func noneUnknown(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q for %q", args[0], c.CommandPath())
	if like := c.SuggestionsFor(args[0]); len(like) > 0 {
		text += fmt.Sprintf("; did you mean %q?", strings.Join(like, `" or "`))
	}
	return errors.New(text)
}

// flagError says what is wrong with flags. Those of a command that there is
// not are unknown only because it is.
func flagError(c *cobra.Command, err error) error {
	if c.HasSubCommands() {
		if unknown := noneUnknown(c, c.Flags().Args()); unknown != nil {
			return unknown
		}
	}
	return err
}

// takes makes a command's Args: least to most of what.
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

// failure is an error of a command that was called rightly. What cobra itself
// finds wrong is wrong use.
type failure struct{ error }

// Unwrap serves errors.As.
func (f failure) Unwrap() error { return f.error }

// runs makes a command's RunE of a function that is given its settings.
func (p *program) runs(work func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return p.runsAs([]string{"text", "json"}, work)
}

// runsAs is runs for a command that has its own forms of the output.
func (p *program) runsAs(forms []string, work func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
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
