package cli

import (
	"context"
	"fmt"
	"math"
	"slices"
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
	if j.Counts.Failed > 0 {
		return fault.Errorf(fault.Invalid, "%s Nobody is removed: what is mistyped there may be somebody who would be removed for it.", r.failures(j.Counts))
	}
	leaving, owners, err := j.Others(ctx)
	if err != nil {
		return err
	}
	r.staying = owners
	if len(leaving) > 0 && !yes && !r.dryRun {
		return asked(leaving, owners)
	}
	return j.Deprovision(ctx, provision.Emails(leaving), provision.Leave{DryRun: r.dryRun})
}

// asked says what --yes would do.
func asked(leaving, owners []string) error {
	const mostNamed = 5
	others, stay := slices.Concat(leaving, owners), ""
	if len(owners) > 0 {
		stay = fmt.Sprintf(" Of these, owners who stay: %d.", len(owners))
	}
	return fault.Errorf(fault.Conflict, "In the account and not in the file: %d (%s).%s Nobody was removed; with --yes %d are.",
		len(others), some(others, mostNamed), stay, len(leaving)).On("--remove-others")
}

// some names the first of many.
func some(names []string, most int) string {
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "…")
	}
	return strings.Join(names, ", ")
}

func (p *program) userDeprovisionCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "deprovision --account UUID (--file FILE | EMAIL…)", Short: "Take people out of an account and all its stores, and list the API tokens that they know",
		Args:    cobra.MaximumNArgs(math.MaxInt),
		Example: "  latchkey user deprovision --account 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01 leaver@acme.example --revoke-api-tokens",
	}
	r := p.rosterCommand(c)
	r.addresses = true
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
