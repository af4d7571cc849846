package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/legacy"
	"latchkey/internal/token"
)

// legacyCommands are the commands for legacy API accounts.
type legacyCommands struct{ *program }

func (p legacyCommands) group() *cobra.Command {
	return group("legacy", "Legacy API accounts of an account's stores", p.list(), p.create(), p.convert(), p.delete())
}

// legacyView is a legacy API account as JSON.
type legacyView struct {
	ID         uuid.UUID  `json:"id"`
	StoreHash  string     `json:"storeHash"`
	Username   string     `json:"username"`
	CreatedAt  time.Time  `json:"createdAt"`
	LastUsedAt *time.Time `json:"lastUsedAt"`
	LastUsedIP string     `json:"lastUsedIp,omitempty"`
	// Token is the secret. Only legacy create sets it.
	Token string `json:"token,omitempty"`
}

func legacyViewOf(a legacy.Account) legacyView {
	v := legacyView{ID: a.ID, StoreHash: a.StoreHash, Username: a.Username, CreatedAt: a.CreatedAt,
		LastUsedAt: timeOrNil(a.LastUsedAt)}
	if a.LastUsedIP.IsValid() {
		v.LastUsedIP = a.LastUsedIP.String()
	}
	return v
}

func (p legacyCommands) list() *cobra.Command {
	c := &cobra.Command{Use: "list --account UUID", Short: "List the legacy API accounts, by store and name",
		Args: cobra.NoArgs}
	t := newTokenCommand(p.program, c, 0)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		return t.act(c, func(b *backend, by *auth.Principal) error {
			if err := b.requireAccount(c.Context(), by.AccountID); err != nil {
				return err
			}
			all, err := b.legacy.List(c.Context(), by)
			if err != nil {
				return err
			}
			views := []legacyView{}
			for _, a := range all {
				views = append(views, legacyViewOf(a))
			}
			return p.printed(map[string][]legacyView{"legacyAccounts": views},
				table("ID\tSTORE\tUSER NAME\tCREATED\tLAST USED", views), func() {})
		})
	})
	return c
}

func (v legacyView) row() []string {
	return []string{v.ID.String(), v.StoreHash, v.Username, dayOf(&v.CreatedAt), dayOf(v.LastUsedAt)}
}

func (p legacyCommands) create() *cobra.Command {
	var username string
	c := &cobra.Command{
		Use:   "create --account UUID --store HASH --username NAME --allow-legacy",
		Short: "Create a legacy API account and print its token", Args: cobra.NoArgs,
		Long: "Create a legacy API account for a store and print its token. Legacy API accounts are deprecated and have no scopes, so this needs --allow-legacy.",
	}
	t := newTokenCommand(p.program, c, config.LegacyAccounts)
	c.Flags().StringVar(&t.store, "store", "", "the store's hash")
	c.Flags().StringVar(&username, "username", "", "the user name, unique in the store")
	must(c.MarkFlagRequired("store"))
	must(c.MarkFlagRequired("username"))
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		return t.act(c, func(b *backend, by *auth.Principal) error {
			return t.createLegacy(c.Context(), b, by,
				username)
		})
	})
	return c
}

func (t *tokenCommand) createLegacy(ctx context.Context, b *backend, by *auth.Principal, username string) error {
	_, store, err := b.accounts.StoreToIssueFor(ctx, by, account.StoreRef{Hash: t.store})
	if err != nil {
		return about("--store", err)
	}
	a, value, err := b.legacy.Create(ctx, by, store, username)
	if err != nil {
		return err
	}
	view := legacyViewOf(a)
	view.Token = value
	err = t.reveal(view, value+"\n", func() {
		t.say("created legacy API account %s, user name %q, of store %s; the token cannot be shown again", a.ID,
			a.Username, a.StoreHash)
	})
	if err == nil {
		return nil
	}
	// The token was not shown, so it is of no use. Delete the account.
	if _, failed := b.legacy.Delete(context.WithoutCancel(ctx), by, a.ID); failed != nil {
		return fmt.Errorf("%w; the token is lost, and legacy API account %s could not be deleted; delete it: %s", err,
			a.ID, failed.Error())
	}
	return fmt.Errorf("%w; the token is lost, so the legacy API account was deleted: create another", err)
}

func (p legacyCommands) delete() *cobra.Command {
	c := &cobra.Command{Use: "delete ID --account UUID", Short: "Delete a legacy API account immediately",
		Args: takes("ID", 1, 1)}
	t := newTokenCommand(p.program, c, 0)
	c.RunE = p.runs(func(c *cobra.Command, args []string) error {
		id := t.in.id("ID", args[0])
		return t.act(c, func(b *backend, by *auth.Principal) error {
			a, err := b.legacy.Delete(c.Context(), by, id)
			if err != nil {
				return err
			}
			return p.printed(legacyViewOf(a), "", func() {
				p.say("deleted legacy API account %s, user name %q, of store %s", a.ID, a.Username, a.StoreHash)
			})
		})
	})
	return c
}

func (p legacyCommands) convert() *cobra.Command {
	var req token.Request
	c := &cobra.Command{
		Use:   "convert ID --account UUID --name N --scope S",
		Short: "Replace a legacy API account by an API token, and print its credentials", Args: takes("ID", 1, 1),
		Long: "Issue an API token for the store of a legacy API account, print its credentials, and then delete the legacy API account. " +
			"If the credentials cannot be printed, the legacy API account is not deleted.",
	}
	t := newTokenCommand(p.program, c, issuing)
	c.Flags().StringVar(&req.Name, "name", "", "the token's name, 4 to 100 characters")
	listFlag(c, &req.Scopes, "scope", "a scope; repeatable, or several separated by commas")
	must(c.MarkFlagRequired("name"))
	must(c.MarkFlagRequired("scope"))
	c.RunE = p.runs(func(c *cobra.Command, args []string) error {
		id := t.in.id("ID", args[0])
		return t.act(c, func(b *backend, by *auth.Principal) error {
			return t.convert(c.Context(), b, by, id, req)
		})
	})
	return c
}

func (t *tokenCommand) convert(ctx context.Context, b *backend, by *auth.Principal, id uuid.UUID,
	req token.Request) error {
	old, err := b.legacy.Find(ctx, by, id)
	if err != nil {
		return err
	}
	t.store = old.StoreHash
	if req.Owner, _, err = t.owner(ctx, b, by); err != nil {
		return err
	}
	if err := t.create(ctx, b, by, req); err != nil {
		return err
	}
	// The new credentials have been printed.
	if _, err := b.legacy.Delete(context.WithoutCancel(ctx), by, id); err != nil {
		return fmt.Errorf("the new credentials work, and legacy API account %s could not be deleted; delete it: %w", id,
			err)
	}
	if t.format != "json" {
		t.say("deleted legacy API account %s, user name %q", old.ID, old.Username)
	}
	return nil
}
