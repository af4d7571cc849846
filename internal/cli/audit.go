package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/chain"
	"latchkey/internal/clock"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
)

// auditCommands are the commands for the audit log as evidence (docs/audit.md).
type auditCommands struct{ *program }

func (p auditCommands) group() *cobra.Command {
	return group("audit", "The audit log as evidence", p.verify(), p.head(), p.export(), p.begin())
}

// auditFlags are the flags of the commands.
type auditFlags struct {
	in               inputs
	accountID, since string
	begun            string
}

func (f *auditFlags) offer(c *cobra.Command) {
	c.Flags().StringVar(&f.accountID, "account", "", "the account's UUID (default: all accounts)")
	offer(c, config.Storage)
}

// withBackend calls work with the account of --account, which is zero if the flag is not set.
func (f *auditFlags) withBackend(p *program, c *cobra.Command, needs config.Needs,
	work func(*backend, uuid.UUID) error) error {
	var accountID uuid.UUID
	if c.Flags().Changed("account") {
		accountID = f.in.id("--account", f.accountID)
	}
	if err := f.in.faults.Err(); err != nil {
		return err
	}
	return p.withBackend(c, needs, func(b *backend) error {
		if err := b.requireAccount(c.Context(), accountID); err != nil {
			return err
		}
		return work(b, accountID)
	})
}

func (p auditCommands) verify() *cobra.Command {
	c := &cobra.Command{
		Use: "verify", Short: "Find events that were changed, added or removed in the database", Args: cobra.NoArgs,
		Long: "Compute the hash chains of all accounts again, and list every event that was changed, added or removed after it was sealed. " +
			"The exit status is 5 if there is a finding. Nothing is changed.",
	}
	var f auditFlags
	c.Flags().StringVar(&f.begun, "begun", "",
		"when the chains began, as \"audit begin\" or an earlier verification printed it: another time is a finding, and a beginning by the operator at this time is none")
	f.offer(c)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		var begun time.Time
		if c.Flags().Changed("begun") {
			begun = f.in.time("--begun", f.begun)
		}
		return f.withBackend(p.program, c, config.Needs{Keys: true}, func(b *backend, accountID uuid.UUID) error {
			return p.verifyChains(c.Context(), b, accountID, begun)
		})
	})
	return c
}

func (p auditCommands) begin() *cobra.Command {
	c := &cobra.Command{
		Use: "begin", Short: "Begin the hash chains of an existing database", Args: cobra.NoArgs,
		Long: "Remove the hash chains of all accounts, and begin new ones, in which servers seal all events with their present content. " +
			"Servers begin the chains of an empty database themselves. Run this after the upgrade of an older database, or after \"latchkey audit verify\" has found what cannot be mended, " +
			"and make a backup before, since the old chains are evidence. \"latchkey audit verify\" reports from then on that an operator began the chains, unless --begun has the time that this command prints.",
	}
	again := c.Flags().Bool("again", false, "also if the chains have begun and the server's keys have signed them")
	offer(c, config.Storage)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		return p.withBackend(c, config.Needs{Keys: true}, func(b *backend) error {
			return p.beginChains(c.Context(), b, *again)
		})
	})
	return c
}

// begunView is the result of audit begin as JSON.
type begunView struct {
	BegunAt  time.Time `json:"begunAt"`
	Restarts int64     `json:"restarts"`
}

func (p auditCommands) beginChains(ctx context.Context, b *backend, again bool) error {
	repo := gormdb.Chain(b.db)
	state, err := repo.State(ctx)
	if err != nil {
		return err
	}
	if state.Totals.Signed(b.keys) && !again {
		return fault.Errorf(fault.Conflict,
			"The audit chains began at %s, and this server's keys have signed them. Run \"latchkey audit verify\". With --again they begin again.",
			state.Totals.BegunAt.Format(time.RFC3339Nano))
	}
	totals, _, err := repo.Begin(ctx, b.keys, clock.Timestamp(clock.System()), true)
	if err != nil {
		return err
	}
	return p.printed(begunView{totals.BegunAt, totals.Restarts}, "", func() {
		p.say("the audit chains began at %s; servers seal all events now. Store this time elsewhere, for latchkey audit verify --begun",
			totals.BegunAt.Format(time.RFC3339Nano))
	})
}

// beginChains begins the audit chains of an empty database.
func (b *backend) beginChains(ctx context.Context) error {
	_, _, err := gormdb.Chain(b.db).Begin(ctx, b.keys, clock.Timestamp(clock.System()), false)
	if chain.IsBroken(err) {
		return nil // servers report it
	}
	return err
}

// beginWithKeys begins the audit chains of an empty database if the keys are those of the database.
func (b *backend) beginWithKeys(ctx context.Context) error {
	if b.keys == nil {
		return nil
	}
	err := b.db.AgreeOnKeys(ctx, b.keys.IDs(), clock.Timestamp(clock.System()))
	if fault.KindOf(err) == fault.Conflict {
		return nil // the next command that needs the keys says so
	}
	if err != nil {
		return err
	}
	return b.beginChains(ctx)
}

// requireChains returns fault.Invalid if a command without keys would write the first events of a new database, whose
// chains could not begin afterwards.
func (b *backend) requireChains(ctx context.Context) error {
	if b.keys != nil {
		return nil
	}
	state, err := gormdb.Chain(b.db).State(ctx)
	if err == nil && state.Totals.Mark.Key == "" && state.FirstAccount.IsZero() {
		err = fault.Errorf(fault.Invalid,
			"This database is new, and its audit log begins with the server's key. Set --key-file, or start a server before.").
			On(config.Called("key-file"))
	}
	return err
}

// chainFinding is a finding as JSON.
type chainFinding struct {
	AccountID *uuid.UUID `json:"accountId"`
	Kind      chain.Kind `json:"kind"`
	Number    *int64     `json:"number"`
	EventID   *uuid.UUID `json:"eventId"`
	Problem   string     `json:"problem"`
}

func newChainFinding(f chain.Finding) chainFinding {
	return chainFinding{nilIfZero(f.AccountID), f.Kind, nilIfZero(f.Number), nilIfZero(f.EventID), f.Problem}
}

func nilIfZero[T comparable](value T) *T {
	if value == *new(T) {
		return nil
	}
	return &value
}

func (f chainFinding) text() string {
	where := "all accounts"
	if f.AccountID != nil {
		where = "account " + f.AccountID.String()
	}
	if f.Number != nil {
		where += fmt.Sprintf(", number %d", *f.Number)
	}
	if f.EventID != nil {
		where += ", event " + f.EventID.String()
	}
	return fmt.Sprintf("%s: %s: %s\n", f.Kind, where, f.Problem)
}

// chainReport is the result of audit verify as JSON.
type chainReport struct {
	Findings []chainFinding `json:"findings"`
	Accounts int64          `json:"accounts"`
	Events   int64          `json:"events"`
	// Complete is false while the events of an older database are being sealed.
	Complete bool `json:"complete"`
	// BegunAt is when the chains began; null if no key of the server has signed that.
	BegunAt *time.Time `json:"begunAt"`
}

// mostFindings bounds the findings of the JSON output, which is printed at the end.
const mostFindings = 10_000

func (p auditCommands) verifyChains(ctx context.Context, b *backend, accountID uuid.UUID, begun time.Time) error {
	ctx, stop := stoppable(ctx)
	defer stop()
	report := chainReport{Findings: []chainFinding{}}
	var unprinted error
	v := chain.NewVerifier(gormdb.Chain(b.db), b.keys, func(f chain.Finding) {
		view := newChainFinding(f)
		switch {
		case p.format == "json" && len(report.Findings) < mostFindings:
			report.Findings = append(report.Findings, view)
		case p.format != "json" && unprinted == nil:
			unprinted = p.print(view.text())
		}
	})
	v.ExpectBegun(begun)
	result, err := v.Verify(ctx, accountID, time.Now())
	switch {
	case ctx.Err() != nil:
		return errIncomplete
	case err != nil:
		return err
	case unprinted != nil:
		return unprinted
	}
	report.Accounts, report.Events, report.Complete = result.Accounts, result.Events, !result.Backlog
	report.BegunAt = nilIfZero(result.Begun)
	if err := p.printed(report, "", func() {
		p.say("verified %d events of %d accounts, findings: %d", result.Events, result.Accounts, result.Findings)
		if !result.Begun.IsZero() {
			p.say("the chains began at %s", result.Begun.Format(time.RFC3339Nano))
		}
		if result.Backlog {
			p.say("events from before the chains began are still being sealed, by the server")
		}
	}); err != nil {
		return err
	}
	if result.Findings > 0 {
		return errBroken{result.Findings}
	}
	return nil
}

func (p auditCommands) head() *cobra.Command {
	c := &cobra.Command{
		Use: "head", Short: "Print the signed end of each account's chain, to store it elsewhere", Args: cobra.NoArgs,
		Long: "Print the end of each account's chain, one JSON object a line, in the order of the accounts. A chain that was rewritten, even with the server's key, " +
			"has another hash than an earlier end that was stored elsewhere. A head that is not signed by the server's keys is an error.",
		Example: "  latchkey audit head > heads-$(date +%F).ndjson",
	}
	var f auditFlags
	f.offer(c)
	c.RunE = p.runsAs([]string{"text", "json", "ndjson"}, func(c *cobra.Command, _ []string) error {
		return f.withBackend(p.program, c, config.Needs{Keys: true}, func(b *backend, accountID uuid.UUID) error {
			return p.printHeads(c.Context(), b, accountID)
		})
	})
	return c
}

// headView is a head as JSON.
type headView struct {
	AccountID uuid.UUID `json:"accountId"`
	Number    int64     `json:"number"`
	Hash      string    `json:"hash"`
	SealedAt  time.Time `json:"sealedAt"`
}

func (p auditCommands) printHeads(ctx context.Context, b *backend, accountID uuid.UUID) error {
	repo := gormdb.Chain(b.db)
	if accountID != uuid.Nil {
		return p.printHead(ctx, b, accountID)
	}
	const size = 500
	for after := (uuid.UUID{}); ; {
		accounts, err := repo.Accounts(ctx, after, size)
		if err != nil || len(accounts) == 0 {
			return err
		}
		for _, id := range accounts {
			if err := p.printHead(ctx, b, id); err != nil && fault.KindOf(err) != fault.NotFound {
				return err
			}
		}
		after = accounts[len(accounts)-1]
	}
}

func (p auditCommands) printHead(ctx context.Context, b *backend, accountID uuid.UUID) error {
	head, err := gormdb.Chain(b.db).Head(ctx, accountID)
	if err != nil {
		return err
	}
	if !head.Signed(b.keys) {
		return fault.Errorf(fault.Conflict,
			"The head of the account %s is not signed by this server's keys. Run \"latchkey audit verify\".", accountID)
	}
	return p.printLine(headView{head.AccountID, head.Number, head.Hash.String(), head.SealedAt})
}

// printLine prints a value as one line of JSON.
func (p auditCommands) printLine(value any) error {
	line, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return p.print(string(line) + "\n")
}

func (p auditCommands) export() *cobra.Command {
	c := &cobra.Command{
		Use: "export --since TIME", Short: "Print the audit events of all accounts, one JSON object a line", Args: cobra.NoArgs,
		Long: "Print the sealed events since a time, of all accounts or of one, in the order in which they were committed, one JSON object a line. " +
			"Each has its number and hash in the chain of its account (docs/audit.md).",
		Example: "  latchkey audit export --since 2026-11-01T00:00:00Z > november.ndjson",
	}
	var f auditFlags
	c.Flags().StringVar(&f.since, "since", "", "only events that happened at this time or later, such as 2026-11-30T09:30:00Z")
	must(c.MarkFlagRequired("since"))
	f.offer(c)
	c.RunE = p.runsAs([]string{"text", "json", "ndjson"}, func(c *cobra.Command, _ []string) error {
		since := f.in.time("--since", f.since)
		return f.withBackend(p.program, c, config.Needs{}, func(b *backend, accountID uuid.UUID) error {
			return p.exportEvents(c.Context(), b, accountID, since)
		})
	})
	return c
}

// exportPage is how many events are read at once.
const exportPage = 500

func (p auditCommands) exportEvents(ctx context.Context, b *backend, accountID uuid.UUID, since time.Time) error {
	ctx, stop := stoppable(ctx)
	defer stop()
	repo := gormdb.Chain(b.db)
	after, err := repo.PlaceBefore(ctx, since)
	if err != nil {
		return err
	}
	var events int
	for {
		list, err := repo.Sealed(ctx, chain.Filter{AccountID: accountID, Since: since}, after, exportPage)
		switch {
		case ctx.Err() != nil:
			return errIncomplete
		case err != nil:
			return err
		}
		for _, e := range list {
			after = e.Place
			if err := p.printLine(e.Line()); err != nil {
				return err
			}
		}
		events += len(list)
		if len(list) < exportPage {
			p.say("%d events", events)
			return nil
		}
	}
}
