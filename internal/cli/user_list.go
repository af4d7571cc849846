package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/account"
	"latchkey/internal/bulk/export"
	"latchkey/internal/config"
	"latchkey/internal/user"
)

// list has the flags of "user list".
type userListCommand struct {
	*program

	in     inputs
	remote *remote
	// Values of flags.
	accountID, store, search, updatedAfter string
	withoutStores                          bool
}

func (p userCommands) list() *cobra.Command {
	c := &cobra.Command{
		Use: "list --account UUID", Short: "List the users of an account with their stores, newest first",
		Args:    cobra.NoArgs,
		Example: "  latchkey user list --account 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01 --output csv > users.csv",
	}
	l := &userListCommand{program: p.program, remote: newRemote(p.program, c)}
	c.Flags().StringVar(&l.accountID, "account", "", "the account's UUID")
	c.Flags().StringVar(&l.store, "store", "", "only users of the store with this hash")
	c.Flags().StringVar(&l.search, "search", "",
		"only users whose email address or name contains this text of 2 to 100 characters")
	c.Flags().StringVar(&l.updatedAfter, "updated-after", "",
		"only users changed after this time, such as 2027-01-31T00:00:00Z")
	c.Flags().BoolVar(&l.withoutStores, "without-stores", false, "only users without a store")
	must(c.MarkFlagRequired("account"))
	offer(c, config.Storage)
	c.RunE = p.runsAs(append([]string{"text"}, export.Formats()...),
		func(c *cobra.Command, _ []string) error { return l.act(c) })
	return c
}

func (l *userListCommand) act(c *cobra.Command) error {
	accountID := l.in.id("--account", l.accountID)
	useServer := l.remote.used(c, &l.in)
	var after time.Time
	if c.Flags().Changed("updated-after") {
		after = l.in.time("--updated-after", l.updatedAfter)
	}
	for _, flag := range []struct{ name, value string }{{"store", l.store}, {"search", l.search}} {
		if c.Flags().Changed(flag.name) && strings.TrimSpace(flag.value) == "" {
			l.in.wrong("--"+flag.name, "must not be empty.")
		}
	}
	if err := l.in.faults.Err(); err != nil {
		return err
	}
	if useServer {
		return l.fromServer(c.Context(), accountID, after)
	}
	return l.fromDatabase(c, accountID, after)
}

func (l *userListCommand) fromServer(ctx context.Context, accountID uuid.UUID, after time.Time) error {
	client, err := l.remote.client(accountID)
	if err != nil {
		return err
	}
	f := export.Filter{Search: l.search, StoreID: l.store, UpdatedAfter: timeOrNil(after),
		WithoutStores: l.withoutStores}
	return l.list(ctx, export.FromServer(client, f), func() (int64, error) { return export.Count(ctx, client, f) })
}

func (l *userListCommand) fromDatabase(c *cobra.Command, accountID uuid.UUID, after time.Time) error {
	cfg, err := l.settings(c, config.Needs{})
	if err != nil {
		return err
	}
	ctx := c.Context()
	b, err := open(ctx, cfg, config.Needs{}, l.commandLog())
	if err != nil {
		return err
	}
	defer b.Close()
	by := operator(accountID)
	if _, err := b.accounts.Account(ctx, by); err != nil {
		return about("--account", err)
	}
	f := user.Filter{Search: l.search, UpdatedAfter: after, WithoutStores: l.withoutStores}
	if l.store != "" {
		_, s, err := b.accounts.StoreForUsers(ctx, by, account.StoreRef{Hash: l.store})
		if err != nil {
			return about("--store", err)
		}
		f.StoreID = s.ID
	}
	return l.list(ctx, export.FromDatabase(b.users, by, f),
		func() (int64, error) { return b.users.CountUsers(ctx, by, f) })
}

// list writes all users. It does not count the users of a search, which takes
// as long as the search itself.
func (l *userListCommand) list(ctx context.Context, from export.Source, count func() (int64, error)) error {
	var total int64
	if l.search == "" {
		var err error
		if total, err = count(); err != nil {
			return err
		}
	}
	shown := l.progress(total)
	begun := time.Now()
	n, err := export.Copy(ctx, from, export.NewWriter(l.format, unwrittenTo{l.stdout}), func(users int64) {
		shown.at(users, fmt.Sprintf("%d users", users))
	})
	shown.hide()
	if err != nil {
		return err
	}
	l.say("%d users in %s", n, time.Since(begun).Round(time.Millisecond))
	return nil
}

// unwrittenTo is standard output. Its errors name it.
type unwrittenTo struct{ to io.Writer }

// Write writes text.
func (w unwrittenTo) Write(text []byte) (int, error) {
	n, err := w.to.Write(text)
	if err != nil {
		err = unwritten(err)
	}
	return n, err
}
