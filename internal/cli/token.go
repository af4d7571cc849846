package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/token"
	"latchkey/internal/user"
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
	by := t.operator(c)
	if err := t.in.faults.Err(); err != nil {
		return err
	}
	return t.open(c, func(b *backend) error { return work(b, by) })
}

// operator acts in the account that was named.
func (t *tokenCommand) operator(c *cobra.Command) *auth.Principal {
	if store := c.Flags().Lookup("store"); store != nil && store.Changed && t.store == "" {
		t.in.wrong("--store", "must be a store's hash.")
	}
	return operator(t.in.id("--account", t.accountID))
}

func (t *tokenCommand) open(c *cobra.Command, work func(*backend) error) error {
	needs := config.Needs{Keys: true}
	cfg, err := t.settings(c, needs)
	if err != nil {
		return err
	}
	b, err := open(c.Context(), cfg, needs, t.commandLog())
	if err != nil {
		return err
	}
	defer b.Close()
	return work(b)
}

// owner is the account, or the store that was named.
func (t *tokenCommand) owner(ctx context.Context, b *backend, by *auth.Principal) (token.Owner, account.Store, error) {
	a, err := b.accounts.Account(ctx, by)
	if err != nil {
		return token.Owner{}, account.Store{}, about("--account", err)
	}
	if t.store == "" {
		return token.AccountOwner(a), account.Store{}, nil
	}
	a, s, err := b.accounts.StoreToIssueFor(ctx, by, account.StoreRef{Hash: t.store})
	if err != nil {
		return token.Owner{}, account.Store{}, about("--store", err)
	}
	owner, err := token.StoreOwner(a, s)
	return owner, s, err
}

// about says which flag a failure is about that names no input itself.
func about(flag string, err error) error {
	var f *fault.Error
	if errors.As(err, &f) && f.Field == "" {
		return f.On(flag)
	}
	return err
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
	listFlag(c, &req.Scopes, "scope", "a scope; give it several times, or several separated by commas")
	c.Flags().StringVar(&expiresAt, "expires-at", "", "when the token ends, such as 2027-01-31T00:00:00Z (default: never)")
	c.Flags().StringVar(&expiresIn, "expires-in", "", "the same counted from now, such as 90d")
	listFlag(c, &req.AllowedIPRanges, "allow-ip", "a CIDR or address that the token may be used from; several as with --scope (default: anywhere)")
	must(c.MarkFlagRequired("name"))
	must(c.MarkFlagRequired("scope"))
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		at, in := c.Flags().Changed("expires-at"), c.Flags().Changed("expires-in")
		if at && in {
			t.in.wrong("--expires-in", "give --expires-at or --expires-in, and not both.")
		}
		if at {
			req.ExpiresAt = t.in.moment("--expires-at", expiresAt)
		}
		if in {
			req.ExpiresAt = time.Now().Add(t.in.span("--expires-in", expiresIn))
			t.in.instead = map[string]string{"--expires-at": "--expires-in"}
		}
		return t.issue(c, req)
	})
	return c
}

// issue tells everything at once that is wrong with a request, or creates the
// token.
func (t *tokenCommand) issue(c *cobra.Command, req token.Request) error {
	by := t.operator(c)
	if by.AccountID == uuid.Nil {
		return t.in.with(nil) // no account, no rules
	}
	return t.in.with(t.open(c, func(b *backend) error {
		owner, _, err := t.owner(c.Context(), b, by)
		if err != nil {
			return err
		}
		req.Owner = owner
		if len(t.in.faults) > 0 {
			return b.tokens.Check(by, req)
		}
		return t.create(c.Context(), b, by, req)
	}))
}

func (t *tokenCommand) create(ctx context.Context, b *backend, by *auth.Principal, req token.Request) error {
	issued, err := b.tokens.Create(ctx, by, req)
	if err != nil {
		return err
	}
	baseURL := b.cfg.BaseURL(b.cfg.Addr)
	name, content := issued.File(baseURL)
	err = t.reveal(issuedView(issued, baseURL, b.tokens.Now(), name, content), content, func() {
		t.say("issued %s%s; these credentials cannot be shown again", tokenIDPrefix, issued.Token.ID)
	})
	if err != nil {
		return takeBack(context.WithoutCancel(ctx), b, by, issued.Token.ID, err)
	}
	return nil
}

// takeBack revokes a token whose credentials nobody got to see, and says so:
// it would live on, and count, for nobody.
func takeBack(ctx context.Context, b *backend, by *auth.Principal, id uuid.UUID, unwritten error) error {
	_, err := b.tokens.Revoke(ctx, by, token.RevokeRequest{IDs: []uuid.UUID{id}, Reason: "its credentials could not be written"})
	if err != nil {
		return fmt.Errorf("%w; the credentials are lost, and the token %s%s could not be revoked, so do it yourself: %s",
			unwritten, tokenIDPrefix, id, err.Error())
	}
	return fmt.Errorf("%w; the credentials are lost, so the token %s%s was revoked: issue another", unwritten, tokenIDPrefix, id)
}

func (p *program) tokenRotateCommand() *cobra.Command {
	var overlap string
	c := &cobra.Command{
		Use: "rotate ID --account UUID", Short: "Give an API token a new access token, and print it", Args: takes("ID", 1, 1),
		Example: "  NEW=$(latchkey token rotate bc/account/apiToken/… --account … --overlap 1h)",
	}
	t := p.tokenCommand(c)
	c.Flags().StringVar(&overlap, "overlap", token.DefaultOverlap.String(), "how long the previous access token still works, 0s to 30d")
	c.RunE = p.runs(func(c *cobra.Command, args []string) error {
		id, lasts := t.in.tokenID(args[0]), t.in.span("--overlap", overlap)
		if lasts > token.MaxOverlap {
			t.in.wrong("--overlap", "must be 0s to 30d.")
		}
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
	ends := r.PreviousExpiresAt.Format(time.RFC3339)
	err = t.reveal(rotation{tokenIDPrefix + id.String(), r.AccessToken.Reveal(), r.PreviousExpiresAt}, r.AccessToken.Reveal()+"\n", func() {
		t.say("the previous access token of %q ends %s", r.Token.Name, ends)
	})
	if err != nil {
		return fmt.Errorf("%w; the new access token of %q could not be shown and cannot be had again: rotate again for another. "+
			"The previous one ends %s, and at once when you rotate again", err, r.Token.Name, ends)
	}
	return nil
}

func (p *program) tokenRevokeCommand() *cobra.Command {
	var reason string
	var issued bool
	c := &cobra.Command{
		Use: "revoke ID… --account UUID", Short: "End API tokens at once, all or none", Args: takes("ID", 1, math.MaxInt),
	}
	t := p.tokenCommand(c)
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.Flags().BoolVar(&issued, "issued", false, "also end the API tokens that these issued, at every depth")
	c.RunE = p.runs(func(c *cobra.Command, args []string) error {
		req := token.RevokeRequest{Reason: reason, Issued: issued}
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
	// IssuedTokensToReview are the tokens that they issued and that work.
	IssuedTokensToReview []string `json:"issuedTokensToReview"`
	// UsersToReview is how many users in the account they added or gave
	// permissions.
	UsersToReview int64 `json:"usersToReview"`
}

func (t *tokenCommand) revoke(ctx context.Context, b *backend, by *auth.Principal, req token.RevokeRequest) error {
	revoked, err := b.tokens.Revoke(ctx, by, req)
	if err != nil {
		return naming(req.IDs, err)
	}
	result := revocation{RevokedIDs: tokenIDs(append(revoked.IDs, revoked.Issued...)), RevokedAt: revoked.At}
	toReview, users, err := review(ctx, b, by, revoked.IDs)
	if err != nil {
		return fmt.Errorf("the API tokens are revoked, but what they issued could not be read: %w", err)
	}
	result.IssuedTokensToReview, result.UsersToReview = tokenIDs(idsOf(toReview)), users
	return t.printed(result, "", func() {
		for _, id := range result.RevokedIDs {
			t.say("revoked %s", id)
		}
		for _, one := range toReview {
			t.say("review %s%s %q, which they issued", tokenIDPrefix, one.ID, one.Name)
		}
		if users > 0 {
			t.say("review the users whom they added or gave permissions: %d", users)
		}
	})
}

// review returns the working tokens that tokens issued, and how many users
// they, or tokens they issued, added or gave permissions.
func review(ctx context.Context, b *backend, by *auth.Principal, ids []uuid.UUID) ([]token.Token, int64, error) {
	toReview, err := b.tokens.ToReview(ctx, by, ids, nil)
	if err != nil {
		return nil, 0, err
	}
	issued, err := b.tokens.IssuedBy(ctx, by, ids)
	if err != nil {
		return nil, 0, err
	}
	users, err := b.users.CountUsers(ctx, by, user.Filter{GrantedBy: append(ids, idsOf(issued)...)})
	return toReview, users, err
}

func idsOf(tokens []token.Token) []uuid.UUID {
	ids := make([]uuid.UUID, len(tokens))
	for i, t := range tokens {
		ids[i] = t.ID
	}
	return ids
}

func tokenIDs(keys []uuid.UUID) []string {
	ids := make([]string, len(keys))
	for i, key := range keys {
		ids[i] = tokenIDPrefix + key.String()
	}
	return ids
}

// naming returns err with the id in each failure that is about one of many,
// "ids.1" for example.
func naming(ids []uuid.UUID, err error) error {
	if fault.KindOf(err) == fault.Internal {
		return err
	}
	var all fault.List
	for _, f := range fault.Flatten(err) {
		place, one := strings.CutPrefix(f.Field, "ids.")
		if n, err := strconv.Atoi(place); one && err == nil && n < len(ids) {
			f = fault.Errorf(f.Kind, "%s (%s%s)", f.Message, tokenIDPrefix, ids[n]).On("ID")
		}
		all = append(all, f)
	}
	return all.Err()
}
