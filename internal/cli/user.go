package cli

import (
	"context"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"latchkey/internal/fault"
	"latchkey/internal/provision"
)

func (p *program) userProvisionCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "provision --account UUID --file FILE", Short: "Put the people of a file into an account, or make them as the file says", Args: cobra.NoArgs,
		Example: "  latchkey user provision --account 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01 --file people.csv --dry-run\n" +
			"  latchkey user provision --account … --file people.csv --server https://keys.example.com --token-file token --report failed.csv",
	}
	r := p.rosterCommand(c)
	removeOthers := c.Flags().Bool("remove-others", false, "take everybody out of the account whom the file does not name, unless a row fails")
	yes := c.Flags().Bool("yes", false, "remove them without being told first how many they are")
	must(c.MarkFlagRequired("file"))
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		if *yes && !*removeOthers {
			r.in.wrong("--yes", "goes with --remove-others alone.")
		}
		return r.act(c, nil, func(ctx context.Context, j *provision.Job, from provision.Source) error {
			if err := j.Provision(ctx, from, r.dryRun); err != nil || !*removeOthers {
				return err
			}
			return r.removeOthers(ctx, j, *yes)
		})
	})
	return c
}

// removeOthers takes everybody out of the account whom the job was not told of.
func (r *rosterCommand) removeOthers(ctx context.Context, j *provision.Job, yes bool) error {
	if failed := j.Counts.Failed; failed > 0 {
		return fault.Errorf(fault.Invalid, "%d of %d failed; the others are done. Nobody was removed: what is mistyped there may be somebody "+
			"who would be removed for it.", failed, j.Counts.All())
	}
	others, err := j.Others(ctx)
	if err != nil || len(others) == 0 {
		return err
	}
	if !yes && !r.dryRun {
		const mostNamed = 5
		return fault.Errorf(fault.Conflict, "In the account and not in the file: %d (%s%s). Nobody was removed; with --yes they are.",
			len(others), strings.Join(others[:min(len(others), mostNamed)], ", "), map[bool]string{true: ", …"}[len(others) > mostNamed]).On("--remove-others")
	}
	return j.Deprovision(ctx, provision.Emails(others), provision.Leave{DryRun: r.dryRun})
}

func (p *program) userDeprovisionCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "deprovision --account UUID (--file FILE | EMAIL…)", Short: "Take people out of an account and all its stores, and list the API tokens that they know",
		Args:    cobra.MaximumNArgs(math.MaxInt),
		Example: "  latchkey user deprovision --account 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01 leaver@acme.example --revoke-api-tokens",
	}
	r := p.rosterCommand(c)
	revokes := c.Flags().Bool("revoke-api-tokens", false, "end the API tokens at once that they know")
	c.RunE = p.runs(func(c *cobra.Command, emails []string) error {
		if (len(emails) > 0) == c.Flags().Changed("file") {
			r.in.wrong("--file", "give it, or e-mail addresses.")
		}
		return r.act(c, emails, func(ctx context.Context, j *provision.Job, from provision.Source) error {
			return j.Deprovision(ctx, from, provision.Leave{DryRun: r.dryRun, RevokeAPITokens: *revokes})
		})
	})
	return c
}
