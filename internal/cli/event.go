package cli

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/bulk/export"
	"latchkey/internal/config"
)

// eventCommands are the commands for the log of events.
type eventCommands struct{ *program }

func (p eventCommands) group() *cobra.Command {
	return group("event", "The log of events of an account", p.list())
}

// eventListCommand has the flags of "event list".
type eventListCommand struct {
	*program

	in               inputs
	remote           *remote
	accountID, after string
	types            []string
	follow           bool
}

func (p eventCommands) list() *cobra.Command {
	c := &cobra.Command{
		Use: "list --account UUID", Short: "List the events of an account in the order of their commits, one JSON object a line",
		Args: cobra.NoArgs,
		Long: "List the events of an account, oldest first, one JSON object a line. The cursor to continue after is printed on standard error at the end. " +
			"With --follow the command waits for further events until SIGINT, SIGTERM or SIGHUP, and then exits with 0.",
		Example: "  latchkey event list --account 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01 --type api_token.revoked,user.removed --follow",
	}
	l := &eventListCommand{program: p.program, remote: newRemote(p.program, c)}
	c.Flags().StringVar(&l.accountID, "account", "", "the account's UUID")
	c.Flags().StringVar(&l.after, "after", "", "only events after this cursor, which an earlier run printed")
	listFlag(c, &l.types, "type", "only events of this type; repeatable, or several separated by commas")
	c.Flags().BoolVar(&l.follow, "follow", false, "wait for further events at the end of the log")
	must(c.MarkFlagRequired("account"))
	offer(c, config.Storage)
	c.RunE = p.runsAs([]string{"text", "json", "ndjson"}, func(c *cobra.Command, _ []string) error { return l.act(c) })
	return c
}

func (l *eventListCommand) act(c *cobra.Command) error {
	f := export.LogFilter{Types: l.types}
	accountID := l.in.id("--account", l.accountID)
	useServer := l.remote.used(c, &l.in)
	if c.Flags().Changed("after") && l.after == "" {
		l.in.wrong("--after", "must not be empty.")
	}
	if err := l.in.faults.Err(); err != nil {
		return err
	}
	if !useServer {
		return l.fromDatabase(c, accountID, f)
	}
	client, err := l.remote.client(accountID)
	if err != nil {
		return err
	}
	return l.list(c.Context(), export.LogFromServer(client, f))
}

func (l *eventListCommand) fromDatabase(c *cobra.Command, accountID uuid.UUID, f export.LogFilter) error {
	return l.withBackend(c, config.Needs{}, func(b *backend) error {
		if err := b.requireAccount(c.Context(), accountID); err != nil {
			return err
		}
		return l.list(c.Context(), export.LogFromDatabase(b.events, operator(accountID), f))
	})
}

// followInterval is the interval at which --follow reads the log at its end.
const followInterval = 500 * time.Millisecond

// errIncomplete reports a list that a signal ended early.
var errIncomplete = errors.New("interrupted: the list is not complete")

// list writes the events and then the cursor to continue after, also if it
// fails. A cursor that was given and not used is not repeated: it may be wrong.
func (l *eventListCommand) list(ctx context.Context, from export.Log) error {
	ctx, stop := stoppable(ctx)
	defer stop()
	f := export.Follow{After: l.after}
	if l.follow {
		f.Wait = sleepUntilNext
	}
	after, err := export.CopyLog(ctx, from, unwrittenTo{l.stdout}, f)
	switch {
	case err == nil || ctx.Err() == nil:
	case l.follow:
		err = nil
	default:
		err = errIncomplete
	}
	if err == nil || after != l.after {
		l.sayCursor(after)
	}
	return err
}

// sayCursor prints the cursor on standard error.
func (l *eventListCommand) sayCursor(after string) {
	switch {
	case after == "":
	case l.format == "json":
		_ = writeJSON(l.stderr, map[string]string{"endCursor": after}) // there is nowhere to report this error
	default:
		l.say("continue with --after %s", after)
	}
}

func sleepUntilNext(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(followInterval):
		return nil
	}
}
