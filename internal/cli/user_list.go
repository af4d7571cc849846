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
	"latchkey/internal/config"
	"latchkey/internal/export"
	"latchkey/internal/user"
)

// userListCommand is the flags of "user list".
type userListCommand struct {
	*program

	in     inputs
	remote *remote
	// What the flags say.
	accountID, store, search, updatedAfter string
	withoutStores                          bool
}

func (p *program) userListCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "list --account UUID", Short: "List everybody in an account, with their stores, newest first", Args: cobra.NoArgs,
		Example: "  latchkey user list --account 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01 --output csv > people.csv",
	}
	l := &userListCommand{program: p, remote: p.remote(c)}
	c.Flags().StringVar(&l.accountID, "account", "", "the account's UUID")
	c.Flags().StringVar(&l.store, "store", "", "only people of the store with this hash")
	c.Flags().StringVar(&l.search, "search", "", "only people of whose address or name this is a part, 2 to 100 characters")
	c.Flags().StringVar(&l.updatedAfter, "updated-after", "", "only people who were changed after this time, such as 2027-01-31T00:00:00Z")
	c.Flags().BoolVar(&l.withoutStores, "without-stores", false, "only people who are in no store")
	must(c.MarkFlagRequired("account"))
	offer(c, false)
	c.RunE = p.runsAs(append([]string{"text"}, export.Formats()...), func(c *cobra.Command, _ []string) error { return l.act(c) })
	return c
}

func (l *userListCommand) act(c *cobra.Command) error {
	accountID := l.in.id("--account", l.accountID)
	over := l.remote.given(c, &l.in)
	var after time.Time
	if c.Flags().Changed("updated-after") {
		after = l.in.moment("--updated-after", l.updatedAfter)
	}
	for _, flag := range []struct{ name, value string }{{"store", l.store}, {"search", l.search}} {
		if c.Flags().Changed(flag.name) && strings.TrimSpace(flag.value) == "" {
			l.in.wrong("--"+flag.name, "must not be empty.")
		}
	}
	if err := l.in.faults.Err(); err != nil {
		return err
	}
	if over {
		return l.fromServer(c.Context(), accountID, after)
	}
	return l.fromDatabase(c, accountID, after)
}

func (l *userListCommand) fromServer(ctx context.Context, accountID uuid.UUID, after time.Time) error {
	client, err := l.remote.client(accountID)
	if err != nil {
		return err
	}
	f := export.Filter{Search: l.search, StoreID: l.store, UpdatedAfter: given(after), WithoutStores: l.withoutStores}
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
		_, s, err := b.accounts.StoreOfPeople(ctx, by, account.StoreRef{Hash: l.store})
		if err != nil {
			return about("--store", err)
		}
		f.StoreID = s.ID
	}
	return l.list(ctx, export.FromDatabase(b.users, by, f), func() (int64, error) { return b.users.CountUsers(ctx, by, f) })
}

// list writes everybody down. To count those whom a search finds takes as long
// as to find them, so of those nobody knows how many they are.
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
	n, err := export.Copy(ctx, from, export.NewWriter(l.format, unwrittenTo{l.stdout}), func(people int64) {
		shown.at(people, fmt.Sprintf("%d people", people))
	})
	shown.hide()
	if err != nil {
		return err
	}
	l.say("%d people in %s", n, time.Since(begun).Round(time.Millisecond))
	return nil
}

// unwrittenTo is a standard output whose errors say what they are of.
type unwrittenTo struct{ to io.Writer }

// Write writes.
func (w unwrittenTo) Write(text []byte) (int, error) {
	n, err := w.to.Write(text)
	if err != nil {
		err = unwritten(err)
	}
	return n, err
}
