package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// revokeFlags are the flags of token revoke.
type revokeFlags struct {
	*tokenCommand

	reason, since, from   string
	issued, sessions, dry bool
}

func newRevokeFlags(p *program, c *cobra.Command) *revokeFlags {
	r := &revokeFlags{tokenCommand: &tokenCommand{program: p}}
	c.Flags().StringVar(&r.accountID, "account", "",
		"the account's UUID (with --all-active-since by default all accounts)")
	c.Flags().StringVar(&r.reason, "reason", "", "the reason, for the audit log")
	c.Flags().BoolVar(&r.issued, "issued", false, "also revoke the API tokens that these issued, at every depth")
	c.Flags().StringVar(&r.from, "from", "", "a file with the IDs to revoke, one a line; - is standard input")
	c.Flags().StringVar(&r.since, "all-active-since", "",
		"revoke all active API tokens that were created at this time or before, such as 2026-11-30T09:30:00Z")
	c.Flags().BoolVar(&r.sessions, "sessions", false,
		"with --all-active-since: also end the sessions that were started at that time or before; users sign in again")
	c.Flags().BoolVar(&r.dry, "dry-run", false, "with --all-active-since or --from: count and change nothing")
	c.MarkFlagsMutuallyExclusive("all-active-since", "from", "issued")
	c.Args = r.checkUse
	offer(c, config.Storage)
	return r
}

// checkUse checks which flags and arguments are used together.
func (r *revokeFlags) checkUse(c *cobra.Command, args []string) error {
	all, list := c.Flags().Changed("all-active-since"), c.Flags().Changed("from")
	if !all {
		must(c.MarkFlagRequired("account"))
	}
	switch {
	case (all || list) && len(args) > 0:
		return errors.New("give IDs, --from or --all-active-since: " + c.UseLine())
	case r.sessions && !all:
		return errors.New("--sessions needs --all-active-since")
	case r.dry && !all && !list:
		return errors.New("--dry-run needs --all-active-since or --from")
	case all || list:
		return nil
	}
	return takes("ID", 1, math.MaxInt)(c, args)
}

func (r *revokeFlags) run(c *cobra.Command, args []string) error {
	if c.Flags().Changed("all-active-since") {
		return r.revokeAll(c)
	}
	req := token.RevokeRequest{Reason: r.reason, Issued: r.issued}
	for _, text := range args {
		req.IDs = append(req.IDs, r.in.tokenID(text))
	}
	if c.Flags().Changed("from") {
		ids, err := r.readIDs(r.from)
		if err != nil {
			return err
		}
		req.IDs = ids
	}
	return r.act(c, func(b *backend, by *auth.Principal) error {
		if c.Flags().Changed("from") {
			return r.revokeListed(c.Context(), b, by, req)
		}
		return r.revoke(c.Context(), b, by, req)
	})
}

// aheadMost is how far in the future --all-active-since may be, for tokens of a server whose clock was ahead.
const aheadMost = 24 * time.Hour

func (r *revokeFlags) revokeAll(c *cobra.Command) error {
	all := largeRevocation{program: r.program, now: time.Now(), sessions: r.sessions, dry: r.dry,
		since: r.in.time("--all-active-since", r.since), reason: r.reason}
	if all.since.After(all.now.Add(aheadMost)) {
		r.in.wrong("--all-active-since", "must not be more than a day in the future.")
	}
	if c.Flags().Changed("account") {
		all.accountID = r.in.id("--account", r.accountID)
	}
	if all.reason == "" {
		all.reason = "all tokens that were active at " + all.since.UTC().Format(time.RFC3339)
	}
	if err := r.in.faults.Err(); err != nil {
		return err
	}
	return r.withBackend(c, config.Needs{Keys: true}, func(b *backend) error {
		all.b = b
		if err := b.requireAccount(c.Context(), all.accountID); err != nil {
			return err
		}
		return all.run(c.Context())
	})
}

// revokedAtOnce is how many tokens or sessions one transaction of a large revocation revokes. More would exclude all
// API tokens of the account meanwhile (docs/architecture.md: "Where rights are judged").
const revokedAtOnce = 16

// tokensRead is how many tokens a large revocation reads at once.
const tokensRead = 256

// errRevokingInterrupted reports a revocation that a signal stopped.
var errRevokingInterrupted = errors.New("interrupted: what was revoked stays revoked; run the same command again to continue")

// largeRevocation revokes tokens that were selected and not named.
type largeRevocation struct {
	*program
	b *backend
	// since is the time at which the tokens were active. now is when the command began.
	since, now time.Time
	accountID  uuid.UUID
	sessions   bool
	dry        bool
	reason     string
	counts     []*revokedCount
}

// revokedCount counts what was revoked in an account.
type revokedCount struct {
	AccountID uuid.UUID `json:"accountId"`
	Tokens    int       `json:"apiTokens"`
	Sessions  int       `json:"sessions"`
}

// largeRevocationView is the JSON output.
type largeRevocationView struct {
	DryRun   bool            `json:"dryRun"`
	Tokens   int             `json:"apiTokens"`
	Sessions int             `json:"sessions"`
	Accounts []*revokedCount `json:"accounts"`
}

func (r *largeRevocation) of(accountID uuid.UUID) *revokedCount {
	i := slices.IndexFunc(r.counts, func(c *revokedCount) bool { return c.AccountID == accountID })
	if i < 0 {
		r.counts = append(r.counts, &revokedCount{AccountID: accountID})
		i = len(r.counts) - 1
	}
	return r.counts[i]
}

func (r *largeRevocation) run(ctx context.Context) error {
	stopping, stop := stoppable(ctx)
	defer stop()
	err := r.revokeTokens(stopping)
	if err == nil && r.sessions {
		err = r.endSessions(stopping)
	}
	if stopping.Err() != nil {
		err = errRevokingInterrupted
	}
	return errors.Join(err, r.report())
}

// report prints what was revoked, also if an error stopped it.
func (r *largeRevocation) report() error {
	view := largeRevocationView{DryRun: r.dry, Accounts: r.counts}
	if view.Accounts == nil {
		view.Accounts = []*revokedCount{}
	}
	for _, c := range r.counts {
		view.Tokens, view.Sessions = view.Tokens+c.Tokens, view.Sessions+c.Sessions
	}
	done := "revoked"
	if r.dry {
		done = "dry run: would revoke"
	}
	say := func(where string, tokens, sessions int) {
		ended := ""
		if r.sessions {
			ended = fmt.Sprintf(", sessions: %d", sessions)
		}
		r.say("%s %s, API tokens: %d%s", done, where, tokens, ended)
	}
	return r.printed(view, "", func() {
		for _, c := range r.counts {
			say("in the account "+c.AccountID.String(), c.Tokens, c.Sessions)
		}
		say("in all accounts", view.Tokens, view.Sessions)
	})
}

func (r *largeRevocation) revokeTokens(ctx context.Context) error {
	var last token.Token
	for ctx.Err() == nil {
		page, err := gormdb.ActiveTokens(ctx, r.b.db, r.accountID, r.since, r.now, last, tokensRead)
		if err != nil || len(page) == 0 {
			return err
		}
		last = page[len(page)-1]
		for len(page) > 0 && ctx.Err() == nil {
			batch := page
			if i := slices.IndexFunc(page,
				func(t token.Token) bool { return t.AccountID != page[0].AccountID }); i > 0 {
				batch = page[:i]
			}
			batch = batch[:min(len(batch), revokedAtOnce)]
			page = page[len(batch):]
			if err := r.revokeBatch(ctx, batch[0].AccountID, idsOf(batch)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *largeRevocation) revokeBatch(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) error {
	if !r.dry {
		began := time.Now()
		_, err := r.b.tokens.Revoke(context.WithoutCancel(ctx), operator(accountID), token.RevokeRequest{IDs: ids,
			Reason: r.reason})
		if err != nil {
			return err
		}
		makeRoom(ctx, began)
	}
	r.of(accountID).Tokens += len(ids)
	return nil
}

// makeRoom waits as long as the last write took, so that half of the time is left for the writes of servers.
func makeRoom(ctx context.Context, began time.Time) {
	select {
	case <-ctx.Done():
	case <-time.After(min(time.Since(began), time.Second)):
	}
}

func (r *largeRevocation) endSessions(ctx context.Context) error {
	all, err := r.b.users.Sessions(ctx, operator(uuid.Nil), user.SessionFilter{AccountID: r.accountID})
	if err != nil {
		return err
	}
	byAccount := map[uuid.UUID][]uuid.UUID{}
	for _, s := range all {
		if !s.CreatedAt.After(r.since) {
			byAccount[s.AccountID] = append(byAccount[s.AccountID], s.ID)
		}
	}
	for accountID, ids := range byAccount {
		for batch := range slices.Chunk(ids, revokedAtOnce) {
			if ctx.Err() != nil {
				return nil
			}
			if err := r.endBatch(ctx, accountID, batch); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *largeRevocation) endBatch(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) error {
	if r.dry {
		r.of(accountID).Sessions += len(ids)
		return nil
	}
	began := time.Now()
	ended, err := r.b.users.EndSessions(context.WithoutCancel(ctx), operator(accountID),
		user.SessionFilter{IDs: ids, AccountID: accountID})
	if fault.KindOf(err) == fault.NotFound && len(ids) > 1 { // one was deleted meanwhile, and none ended
		for _, id := range ids {
			if err := r.endBatch(ctx, accountID, []uuid.UUID{id}); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return err
	}
	for _, s := range ended { // also those of other accounts to which these belong
		r.of(s.AccountID).Sessions++
	}
	makeRoom(ctx, began)
	return nil
}

// listedRevocation is the JSON output for a list of tokens.
type listedRevocation struct {
	DryRun     bool     `json:"dryRun"`
	RevokedIDs []string `json:"revokedIds"`
	// UnknownIDs are not tokens of the account: they may have been issued after the backup.
	UnknownIDs []string `json:"unknownIds"`
}

// revokeListed revokes the tokens of a list, of which some may not exist.
func (r *revokeFlags) revokeListed(ctx context.Context, b *backend, by *auth.Principal, req token.RevokeRequest) error {
	stopping, stop := stoppable(ctx)
	defer stop()
	view := listedRevocation{DryRun: r.dry, RevokedIDs: []string{}, UnknownIDs: []string{}}
	for _, id := range req.IDs {
		if stopping.Err() != nil {
			return errRevokingInterrupted
		}
		began := time.Now()
		var err error
		if r.dry {
			_, err = b.tokens.Get(ctx, by, id)
		} else {
			_, err = b.tokens.Revoke(ctx, by, token.RevokeRequest{IDs: []uuid.UUID{id}, Reason: req.Reason})
			makeRoom(stopping, began)
		}
		name := token.IDPrefix + id.String()
		switch {
		case err == nil:
			view.RevokedIDs = append(view.RevokedIDs, name)
		case fault.KindOf(err) == fault.NotFound:
			view.UnknownIDs = append(view.UnknownIDs, name)
		default:
			return err
		}
	}
	return r.printed(view, "", func() {
		done := "revoked"
		if r.dry {
			done = "dry run: would revoke"
		}
		r.say("%s API tokens: %d", done, len(view.RevokedIDs))
		for _, id := range view.UnknownIDs {
			r.say("%s is not in the account", id)
		}
	})
}

// readIDs reads IDs of API tokens, one a line. It ignores empty lines.
func (r *revokeFlags) readIDs(file string) ([]uuid.UUID, error) {
	from := r.stdin
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, cannotRead("--from", file, err)
		}
		defer opened.Close()
		from = opened
	}
	var ids []uuid.UUID
	lines := bufio.NewScanner(from)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		var one inputs
		id := one.tokenID(line)
		for _, f := range one.faults {
			r.in.wrong("--from", fmt.Sprintf("line %d: %s", n, f.Message))
		}
		ids = append(ids, id)
	}
	if err := lines.Err(); err != nil {
		return nil, cannotRead("--from", file, err)
	}
	return ids, nil
}
