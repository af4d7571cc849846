package cli

import (
	"context"
	"errors"
	"fmt"
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

// tokenCommands are the commands for API tokens.
type tokenCommands struct{ *program }

func (p tokenCommands) group() *cobra.Command {
	return group("token", "API tokens of an account and its stores", p.create(), p.list(), p.rotate(), p.revoke())
}

// tokenCommand is the common part of the commands that act on the tokens of one
// account.
type tokenCommand struct {
	*program
	in        inputs
	accountID string
	store     string
}

// issuing are the purposes of commands that issue an API token.
const issuing = config.Scopes | config.Issuing | config.Links

// newTokenCommand adds the common flags to a command. purposes are those of its
// settings beside config.Storage.
func newTokenCommand(p *program, c *cobra.Command, purposes config.Purpose) *tokenCommand {
	t := &tokenCommand{program: p}
	c.Flags().StringVar(&t.accountID, "account", "", "the account's UUID")
	must(c.MarkFlagRequired("account"))
	offer(c, config.Storage|purposes)
	return t
}

// forStore adds the flag --store.
func (t *tokenCommand) forStore(c *cobra.Command) {
	c.Flags().StringVar(&t.store, "store", "",
		"the store's hash, for store-level tokens (default: account-level tokens)")
}

// act opens the backend and calls work for the account. It reports errors of
// the flags first.
func (t *tokenCommand) act(c *cobra.Command, work func(*backend, *auth.Principal) error) error {
	by := t.operator(c)
	if err := t.in.faults.Err(); err != nil {
		return err
	}
	return t.withBackend(c, config.Needs{Keys: true}, func(b *backend) error { return work(b, by) })
}

// operator returns the operator acting in the account of the flag.
func (t *tokenCommand) operator(c *cobra.Command) *auth.Principal {
	if store := c.Flags().Lookup("store"); store != nil && store.Changed && t.store == "" {
		t.in.wrong("--store", "must be a store's hash.")
	}
	return operator(t.in.id("--account", t.accountID))
}

// owner returns the owner of the tokens: the account, or the store of the flag.
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

// about sets the flag that err is about, unless err names one.
func about(flag string, err error) error {
	var f *fault.Error
	if errors.As(err, &f) && f.Field == "" {
		return f.On(flag)
	}
	return err
}

func (p tokenCommands) create() *cobra.Command {
	var req token.Request
	var expiresAt, expiresIn, chargeLimit string
	c := &cobra.Command{
		Use: "create --account UUID --name N --scope S", Short: "Issue an API token and print its credentials",
		Args:    cobra.NoArgs,
		Example: "  latchkey token create --account 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01 --name \"HR sync\" --scope account_users_read --expires-in 90d",
	}
	t := newTokenCommand(p.program, c, issuing)
	t.forStore(c)
	c.Flags().StringVar(&req.Name, "name", "", "the token's name, 4 to 100 characters")
	listFlag(c, &req.Scopes, "scope", "a scope; repeatable, or several separated by commas")
	c.Flags().StringVar(&expiresAt, "expires-at", "",
		"when the token expires, such as 2027-01-31T00:00:00Z (default: never)")
	c.Flags().StringVar(&expiresIn, "expires-in", "", "how long the token lasts, such as 90d")
	listFlag(c, &req.AllowedIPRanges, "allow-ip",
		"a CIDR or address that the token may be used from; repeatable (default: anywhere)")
	c.Flags().StringVar(&chargeLimit, "charge-limit", "",
		"the most that the token may charge in a month, in USD, such as 100.00 (default: no limit)")
	must(c.MarkFlagRequired("name"))
	must(c.MarkFlagRequired("scope"))
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		at, in := c.Flags().Changed("expires-at"), c.Flags().Changed("expires-in")
		if at && in {
			t.in.wrong("--expires-in", "must not be used with --expires-at.")
		}
		if at {
			req.ExpiresAt = t.in.time("--expires-at", expiresAt)
		}
		if in {
			req.ExpiresAt = time.Now().Add(t.in.duration("--expires-in", expiresIn))
			t.in.instead = map[string]string{"--expires-at": "--expires-in"}
		}
		if c.Flags().Changed("charge-limit") {
			req.ChargeLimit = &token.Amount{Value: chargeLimit, Currency: token.ChargeCurrency}
		}
		return t.issue(c, req)
	})
	return c
}

// issue creates the token. If flags are wrong, it reports all errors of the
// request at once.
func (t *tokenCommand) issue(c *cobra.Command, req token.Request) error {
	by := t.operator(c)
	if by.AccountID == uuid.Nil {
		return t.in.with(nil) // without an account there are no rules to check
	}
	return t.in.with(t.withBackend(c, config.Needs{Keys: true}, func(b *backend) error {
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
	baseURL := b.baseURL
	name, content := issued.File(baseURL)
	err = t.reveal(issuedView(issued, baseURL, b.tokens.Now(), name, content), content, func() {
		t.say("issued %s%s; these credentials cannot be shown again", token.IDPrefix, issued.Token.ID)
		t.adviseOnURL(b)
	})
	if err != nil {
		return revokeUnprinted(context.WithoutCancel(ctx), b, by, issued.Token.ID, err)
	}
	return nil
}

// revokeUnprinted revokes a token whose credentials could not be printed, and returns
// the error for it. Otherwise a token that cannot be used would count toward
// the limit.
func revokeUnprinted(ctx context.Context, b *backend, by *auth.Principal, id uuid.UUID, unwritten error) error {
	_, err := b.tokens.Revoke(ctx, by, token.RevokeRequest{IDs: []uuid.UUID{id},
		Reason: "its credentials could not be written"})
	if err != nil {
		return fmt.Errorf("%w; the credentials are lost, and the token %s%s could not be revoked; revoke it: %s",
			unwritten, token.IDPrefix, id, err.Error())
	}
	return fmt.Errorf("%w; the credentials are lost and the token %s%s was revoked: issue another", unwritten,
		token.IDPrefix, id)
}

func (p tokenCommands) rotate() *cobra.Command {
	var overlap string
	c := &cobra.Command{
		Use: "rotate ID --account UUID", Short: "Replace the access token of an API token and print the new one",
		Args:    takes("ID", 1, 1),
		Example: "  NEW=$(latchkey token rotate bc/account/apiToken/… --account … --overlap 1h)",
	}
	t := newTokenCommand(p.program, c, 0)
	c.Flags().StringVar(&overlap, "overlap", token.DefaultOverlap.String(),
		"how long the previous access token keeps working, 0s to 30d")
	c.RunE = p.runs(func(c *cobra.Command, args []string) error {
		id, overlapTime := t.in.tokenID(args[0]), t.in.duration("--overlap", overlap)
		if overlapTime > token.MaxOverlap {
			t.in.wrong("--overlap", "must be 0s to 30d.")
		}
		return t.act(c, func(b *backend, by *auth.Principal) error {
			return t.rotate(c.Context(), b, by, id,
				overlapTime)
		})
	})
	return c
}

// rotation is the JSON output of token rotate.
type rotation struct {
	ID                string    `json:"id"`
	AccessToken       string    `json:"accessToken"`
	PreviousExpiresAt time.Time `json:"previousExpiresAt"`
}

func (t *tokenCommand) rotate(ctx context.Context, b *backend, by *auth.Principal, id uuid.UUID,
	overlap time.Duration) error {
	r, err := b.tokens.Rotate(ctx, by, id, &overlap)
	if err != nil {
		return err
	}
	ends := r.PreviousExpiresAt.Format(time.RFC3339)
	err = t.reveal(rotation{token.IDPrefix + id.String(), r.AccessToken.Reveal(), r.PreviousExpiresAt},
		r.AccessToken.Reveal()+"\n", func() {
			t.say("the previous access token of %q expires %s", r.Token.Name, ends)
		})
	if err != nil {
		return fmt.Errorf(
			"%w; the new access token of %q could not be printed and cannot be shown again: rotate again for another. "+
				"The previous one expires %s, or immediately when you rotate again", err, r.Token.Name, ends)
	}
	return nil
}

func (p tokenCommands) revoke() *cobra.Command {
	c := &cobra.Command{
		Use:        "revoke ID… --account UUID | --from FILE --account UUID | --all-active-since TIME",
		SuggestFor: []string{"delete", "remove"},
		Short:      "Revoke API tokens immediately: the named ones, all or none, or those of a list or a time",
		Long: "Revoke API tokens immediately: the named ones, all or none. " +
			"With --from, those of a file with one ID a line; IDs that are not in the account are reported and ignored. " +
			"With --all-active-since, every API token that exists since TIME or longer and is active, of all accounts or one. " +
			"Use that after a restore, with the time of the restore, if tokens may have been revoked, restricted or rotated " +
			"between the backup and the restore, since they work again. If a log of those revocations exists, revoke from that list instead.",
		Example: "  latchkey token revoke --all-active-since 2026-11-30T09:30:00Z --sessions --dry-run",
	}
	r := newRevokeFlags(p.program, c)
	c.RunE = p.runs(r.run)
	return c
}

// revocation is the JSON output of token revoke.
type revocation struct {
	RevokedIDs []string  `json:"revokedIds"`
	RevokedAt  time.Time `json:"revokedAt"`
	// IssuedTokensToReview are the working tokens that the revoked ones issued.
	IssuedTokensToReview []string `json:"issuedTokensToReview"`
	// UsersToReview is the number of users of the account that the revoked
	// tokens added or gave permissions.
	UsersToReview int64 `json:"usersToReview"`
}

func (t *tokenCommand) revoke(ctx context.Context, b *backend, by *auth.Principal, req token.RevokeRequest) error {
	revoked, err := b.tokens.Revoke(ctx, by, req)
	if err != nil {
		return withTokenIDs(req.IDs, err)
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
			t.say("review %s%s %q, which they issued", token.IDPrefix, one.ID, one.Name)
		}
		if users > 0 {
			t.say("review the users that they added or gave permissions: %d", users)
		}
	})
}

// review returns the working tokens that the tokens issued, and the number of
// users that they, or tokens that they issued, added or gave permissions.
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
		ids[i] = token.IDPrefix + key.String()
	}
	return ids
}

// withTokenIDs adds the token id to each fault of err about one of several ids, such
// as "ids.1".
func withTokenIDs(ids []uuid.UUID, err error) error {
	if fault.KindOf(err) == fault.Internal {
		return err
	}
	var all fault.List
	for _, f := range fault.Flatten(err) {
		place, one := strings.CutPrefix(f.Field, "ids.")
		if n, err := strconv.Atoi(place); one && err == nil && n < len(ids) {
			f = fault.Errorf(f.Kind, "%s (%s%s)", f.Message, token.IDPrefix, ids[n]).On("ID")
		}
		all = append(all, f)
	}
	return all.Err()
}
