package cli

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"latchkey/internal/bulk/run"
	"latchkey/internal/fault"
)

// userCommands are the commands for users.
type userCommands struct{ *program }

func (p userCommands) group() *cobra.Command {
	return group("user", "Users of an account", p.list(), p.invite(), p.provision(), p.deprovision(), p.resetFactors())
}

func (p userCommands) provision() *cobra.Command {
	c := &cobra.Command{
		Use: "provision --account UUID --file FILE", Short: "Add the users of a file to an account, or update them",
		Args: cobra.NoArgs,
		Example: "  latchkey user provision --account 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01 --file users.csv --dry-run\n" +
			"  latchkey user provision --account … --file users.csv --server https://keys.example.com --token-file token --report failed.csv",
	}
	r := newBulkCommand(p.program, c)
	removeOthers := c.Flags().Bool("remove-others", false,
		"remove all users from the account who are not in the file, unless a row fails")
	yes := c.Flags().Bool("yes", false, "remove them without first printing how many there are")
	must(c.MarkFlagRequired("file"))
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		if *yes && !*removeOthers {
			r.in.wrong("--yes", "must be used with --remove-others.")
		}
		return r.act(c, nil, func(ctx context.Context, j *run.Job, from run.Source) error {
			if err := j.Provision(ctx, from, r.dryRun); err != nil || !*removeOthers {
				return err
			}
			return r.removeOthers(ctx, j, *yes)
		})
	})
	return c
}

// removeOthers removes all users from the account who are not in the file.
func (r *bulkCommand) removeOthers(ctx context.Context, j *run.Job, yes bool) error {
	if j.Counts.Failed > 0 {
		return fault.Errorf(fault.Invalid,
			"%s No user was removed: a mistyped row could be a user who would be removed by mistake.",
			r.failures(j.Counts))
	}
	leaving, owners, err := j.Others(ctx)
	if err != nil {
		return err
	}
	r.keptOwners = owners
	if len(leaving) > 0 && !yes && !r.dryRun {
		return errUnconfirmed(leaving, owners)
	}
	return j.Deprovision(ctx, run.Emails(leaving), run.Leave{DryRun: r.dryRun})
}

// errUnconfirmed returns the error that describes what --yes would do.
func errUnconfirmed(leaving, owners []string) error {
	const mostNamed = 5
	others, stay := slices.Concat(leaving, owners), ""
	if len(owners) > 0 {
		stay = fmt.Sprintf(" Of these, owners who stay: %d.", len(owners))
	}
	return fault.Errorf(fault.Conflict,
		"In the account and not in the file: %d (%s).%s No user was removed; --yes removes %d.",
		len(others), some(others, mostNamed), stay, len(leaving)).On("--remove-others")
}

// some joins the first of the names.
func some(names []string, most int) string {
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "…")
	}
	return strings.Join(names, ", ")
}

func (p userCommands) deprovision() *cobra.Command {
	c := &cobra.Command{
		Use:     "deprovision --account UUID (--file FILE | EMAIL…)",
		Short:   "Remove users from an account and its stores, and list the API tokens that they may know",
		Args:    cobra.MaximumNArgs(math.MaxInt),
		Example: "  latchkey user deprovision --account 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01 leaver@acme.example --revoke-api-tokens",
	}
	r := newBulkCommand(p.program, c)
	r.addresses = true
	revokes := c.Flags().Bool("revoke-api-tokens", false,
		"revoke the API tokens that they may know, or keep them with =false; by default the account's off-boarding policy decides")
	c.RunE = p.runs(func(c *cobra.Command, emails []string) error {
		if (len(emails) > 0) == c.Flags().Changed("file") {
			r.in.wrong("--file", "give either --file or email addresses.")
		}
		return r.act(c, emails, func(ctx context.Context, j *run.Job, from run.Source) error {
			leave := run.Leave{DryRun: r.dryRun}
			if c.Flags().Changed("revoke-api-tokens") {
				leave.RevokeAPITokens = revokes
			}
			return j.Deprovision(ctx, from, leave)
		})
	})
	return c
}
