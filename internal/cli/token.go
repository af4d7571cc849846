package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/token"
)

// tokenIDPrefix leads the ids of API tokens in the API, which the commands
// take and print, too.
const tokenIDPrefix = "bc/account/apiToken/"

// tokenCommand is what all commands about tokens share: they act in one
// account.
type tokenCommand struct {
	*program
	in        inputs
	accountID string
	store     string
}

func (p *program) tokenCommand(c *cobra.Command) *tokenCommand {
	t := &tokenCommand{program: p}
	c.Flags().StringVar(&t.accountID, "account", "", "the account's UUID")
	must(c.MarkFlagRequired("account"))
	offer(c, false)
	return t
}

// forStore adds the flag that names one store.
func (t *tokenCommand) forStore(c *cobra.Command) {
	c.Flags().StringVar(&t.store, "store", "", "the store's hash, for store-level tokens; without it account-level ones")
}

// act opens the services and lets work act in the account. What is wrong with
// the inputs is told first.
func (t *tokenCommand) act(c *cobra.Command, work func(*backend, *auth.Principal) error) error {
	needs := config.Needs{Keys: true}
	by := operator(t.in.id("--account", t.accountID))
	if err := t.in.faults.Err(); err != nil {
		return err
	}
	cfg, err := t.settings(c, needs)
	if err != nil {
		return err
	}
	b, err := open(c.Context(), cfg, needs, t.commandLog())
	if err != nil {
		return err
	}
	defer b.Close()
	return work(b, by)
}

// owner is the account, or the store that was named.
func (t *tokenCommand) owner(ctx context.Context, b *backend, by *auth.Principal) (token.Owner, account.Store, error) {
	a, err := b.accounts.Account(ctx, by)
	if err != nil {
		return token.Owner{}, account.Store{}, err
	}
	if t.store == "" {
		return token.AccountOwner(a), account.Store{}, nil
	}
	a, s, err := b.accounts.StoreToIssueFor(ctx, by, account.StoreRef{Hash: t.store})
	if err != nil {
		return token.Owner{}, account.Store{}, err
	}
	owner, err := token.StoreOwner(a, s)
	return owner, s, err
}

func (p *program) tokenCreateCommand() *cobra.Command {
	var req token.Request
	var expiresAt, expiresIn string
	c := &cobra.Command{
		Use: "create --account UUID --name N --scope S", Short: "Issue an API token, and print its credentials", Args: cobra.NoArgs,
		Example: "  latchkey token create --account 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01 --name \"HR sync\" --scope account_users_read --expires-in 90d",
	}
	t := p.tokenCommand(c)
	t.forStore(c)
	c.Flags().StringVar(&req.Name, "name", "", "the token's name, 4 to 100 characters")
	c.Flags().StringSliceVar(&req.Scopes, "scope", nil, "a scope; give it several times, or several separated by commas")
	c.Flags().StringVar(&expiresAt, "expires-at", "", "when the token ends, such as 2027-01-31T00:00:00Z (default: never)")
	c.Flags().StringVar(&expiresIn, "expires-in", "", "the same counted from now, such as 90d")
	c.Flags().StringSliceVar(&req.AllowedIPRanges, "allow-ip", nil, "a CIDR or address that the token may be used from; several as with --scope (default: anywhere)")
	must(c.MarkFlagRequired("name"))
	must(c.MarkFlagRequired("scope"))
	c.MarkFlagsMutuallyExclusive("expires-at", "expires-in")
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		req.ExpiresAt = t.in.moment("--expires-at", expiresAt)
		if expiresIn != "" {
			req.ExpiresAt = time.Now().Add(t.in.span("--expires-in", expiresIn))
		}
		return t.act(c, func(b *backend, by *auth.Principal) error { return t.create(c.Context(), b, by, req) })
	})
	return c
}

func (t *tokenCommand) create(ctx context.Context, b *backend, by *auth.Principal, req token.Request) error {
	owner, _, err := t.owner(ctx, b, by)
	if err != nil {
		return err
	}
	req.Owner = owner
	issued, err := b.tokens.Create(ctx, by, req)
	if err != nil {
		return err
	}
	baseURL := b.cfg.BaseURL(b.cfg.Addr)
	name, content := issued.File(baseURL)
	t.printed(issuedView(issued, baseURL, b.tokens.Now(), name, content), func() {
		_, _ = io.WriteString(t.stdout, content)
		t.say("issued %s%s; these credentials cannot be shown again", tokenIDPrefix, issued.Token.ID)
	})
	return nil
}

func (p *program) tokenRotateCommand() *cobra.Command {
	var overlap string
	c := &cobra.Command{
		Use: "rotate ID --account UUID", Short: "Give an API token a new access token, and print it", Args: cobra.ExactArgs(1),
		Example: "  NEW=$(latchkey token rotate bc/account/apiToken/… --account … --overlap 1h)",
	}
	t := p.tokenCommand(c)
	c.Flags().StringVar(&overlap, "overlap", token.DefaultOverlap.String(), "how long the previous access token still works, 0s to 30d")
	c.RunE = p.runs(func(c *cobra.Command, args []string) error {
		id, lasts := t.in.tokenID(args[0]), t.in.span("--overlap", overlap)
		return t.act(c, func(b *backend, by *auth.Principal) error { return t.rotate(c.Context(), b, by, id, lasts) })
	})
	return c
}

// rotation is what token rotate prints as JSON.
type rotation struct {
	ID                string    `json:"id"`
	AccessToken       string    `json:"accessToken"`
	PreviousExpiresAt time.Time `json:"previousExpiresAt"`
}

func (t *tokenCommand) rotate(ctx context.Context, b *backend, by *auth.Principal, id uuid.UUID, overlap time.Duration) error {
	r, err := b.tokens.Rotate(ctx, by, id, &overlap)
	if err != nil {
		return err
	}
	t.printed(rotation{tokenIDPrefix + id.String(), r.AccessToken.Reveal(), r.PreviousExpiresAt}, func() {
		fmt.Fprintln(t.stdout, r.AccessToken.Reveal())
		t.say("the previous access token of %q ends %s", r.Token.Name, r.PreviousExpiresAt.Format(time.RFC3339))
	})
	return nil
}

func (p *program) tokenRevokeCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "revoke ID… --account UUID", Short: "End API tokens at once, all or none", Args: cobra.MinimumNArgs(1),
	}
	t := p.tokenCommand(c)
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.RunE = p.runs(func(c *cobra.Command, args []string) error {
		req := token.RevokeRequest{Reason: reason}
		for _, text := range args {
			req.IDs = append(req.IDs, t.in.tokenID(text))
		}
		return t.act(c, func(b *backend, by *auth.Principal) error { return t.revoke(c.Context(), b, by, req) })
	})
	return c
}

// revocation is what token revoke prints as JSON.
type revocation struct {
	RevokedIDs []string  `json:"revokedIds"`
	RevokedAt  time.Time `json:"revokedAt"`
}

func (t *tokenCommand) revoke(ctx context.Context, b *backend, by *auth.Principal, req token.RevokeRequest) error {
	at, err := b.tokens.Revoke(ctx, by, req)
	if err != nil {
		return err
	}
	result := revocation{RevokedAt: at}
	for _, id := range req.IDs {
		result.RevokedIDs = append(result.RevokedIDs, tokenIDPrefix+id.String())
	}
	t.printed(result, func() {
		for _, id := range result.RevokedIDs {
			t.say("revoked %s", id)
		}
	})
	return nil
}
