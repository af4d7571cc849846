package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/clock"
	"latchkey/internal/config"
	"latchkey/internal/gormdb"
)

// newRunner returns what bills in a ledger.
func newRunner(b *backend, ledger billing.Ledger) *billing.Runner {
	return billing.NewRunner(billing.RunnerConfig{Repository: gormdb.Billing(b.db), Ledger: ledger, Now: clock.System})
}

// billingCommands are the operator's commands for automated billing.
type billingCommands struct{ *program }

func (p billingCommands) group() *cobra.Command {
	return group("billing", "Automated billing of all accounts", p.run(), p.verify(), p.export(), p.suspend(),
		p.resume())
}

// errRunInterrupted reports a billing run that a signal stopped.
var errRunInterrupted = errors.New("interrupted: what was billed is stored; run the same command again to continue")

func (p billingCommands) run() *cobra.Command {
	c := &cobra.Command{
		Use: "run", Short: "Store the charges that are due, and issue the invoices of months that have ended",
		Args: cobra.NoArgs,
		Long: "Store the charges that are due, and issue the invoices of months that have ended. Running servers do this every minute. " +
			"If another run is at work, the command does nothing and exits with 0.",
	}
	offer(c, config.Storage)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		ctx, stop := stoppable(c.Context())
		defer stop()
		return p.withBackend(c, config.Needs{}, func(b *backend) error { return p.runBilling(ctx, b) })
	})
	return c
}

// billingRunView is the result of a billing run as JSON.
type billingRunView struct {
	// Elsewhere reports that another run was at work, and this one did nothing or stopped.
	Elsewhere     bool       `json:"elsewhere"`
	Until         *time.Time `json:"until"`
	Subscriptions int64      `json:"subscriptions"`
	Charges       int64      `json:"charges"`
	Invoices      int64      `json:"invoices"`
}

func (v billingRunView) text() string {
	if v.Elsewhere {
		return "another billing run is at work\n"
	}
	return fmt.Sprintf("billed until %s: %d subscriptions, %d charges, %d invoices\n", v.Until.Format(time.RFC3339),
		v.Subscriptions, v.Charges, v.Invoices)
}

func (p billingCommands) runBilling(ctx context.Context, b *backend) error {
	shown := p.rate("subscriptions")
	result, err := b.runner.Run(ctx, shown.at)
	shown.hide()
	if ctx.Err() != nil {
		return errRunInterrupted
	}
	if err != nil {
		return err
	}
	view := billingRunView{Elsewhere: result.Elsewhere, Until: timeOrNil(result.Until),
		Subscriptions: result.Subscriptions, Charges: result.Charges, Invoices: result.Invoices}
	return p.printed(view, view.text(), func() {})
}

// rateInterval is the interval at which a rate is printed if standard error is not a terminal.
const rateInterval = 10 * time.Second

// rate shows how many things are done, and how many in a second: as a progress bar on a terminal, otherwise as lines
// on standard error.
type rate struct {
	*program

	bar           *progress
	what          string
	begun, spoken time.Time
}

// rate starts a rate. what names the things that are counted.
func (p *program) rate(what string) *rate {
	now := time.Now()
	return &rate{program: p, bar: p.progress(0), what: what, begun: now, spoken: now}
}

// at shows that so many are done.
func (r *rate) at(done int64) {
	now := time.Now()
	text := fmt.Sprintf("%d %s, %.0f/s", done, r.what, float64(done)/max(now.Sub(r.begun).Seconds(), 1e-3))
	r.bar.at(done, text)
	if r.bar.bar == nil && now.Sub(r.spoken) >= rateInterval {
		r.spoken = now
		r.say("%s", text)
	}
}

// hide clears the progress bar.
func (r *rate) hide() { r.bar.hide() }

// errBroken reports rows that break a rule.
type errBroken struct{ rows int64 }

// Error says how many there are.
func (e errBroken) Error() string { return fmt.Sprintf("findings: %d", e.rows) }

// findingView is a row that breaks a rule, as JSON.
type findingView struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Problem string `json:"problem"`
}

func (p billingCommands) verify() *cobra.Command {
	c := &cobra.Command{
		Use: "verify", Short: "Compare all charges and invoices with what was approved", Args: cobra.NoArgs,
		Long: "Compare all charges and invoices with what was approved, and list every row that breaks a rule. " +
			"The exit status is 5 if there is one. Nothing is changed.",
	}
	offer(c, config.Storage)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		return p.withBackend(c, config.Needs{}, func(b *backend) error { return p.verifyBilling(c.Context(), b) })
	})
	return c
}

func (p billingCommands) verifyBilling(ctx context.Context, b *backend) error {
	ctx, stop := stoppable(ctx)
	defer stop()
	found := []findingView{}
	var unprinted error
	rows := int64(0)
	err := b.runner.Verify(ctx, func(f billing.Finding) {
		rows++
		if p.format == "json" {
			found = append(found, findingView{f.Kind, account.IDPrefix + f.Kind + "/" + f.ID.String(), f.Problem})
		} else if unprinted == nil {
			unprinted = p.print(f.String() + "\n")
		}
	})
	switch {
	case ctx.Err() != nil:
		return errIncomplete
	case err != nil:
		return err
	case unprinted != nil:
		return unprinted
	}
	if err := p.printed(map[string][]findingView{"findings": found}, "", func() {
		if rows == 0 {
			p.say("every charge and invoice is right")
		}
	}); err != nil {
		return err
	}
	if rows > 0 {
		return errBroken{rows}
	}
	return nil
}

func (p billingCommands) suspend() *cobra.Command {
	return p.change("suspend", "Suspend a subscription: nothing is charged until it is resumed", "suspended",
		(*billing.Service).SuspendSubscription)
}

func (p billingCommands) resume() *cobra.Command {
	return p.change("resume", "Resume a suspended subscription; the rest of its current period is free", "resumed",
		(*billing.Service).ResumeSubscription)
}

// subscriptionPrefix begins the IDs of subscriptions.
const subscriptionPrefix = account.IDPrefix + "subscription/"

// change returns a command that changes a subscription.
func (p billingCommands) change(name, short, done string,
	act func(*billing.Service, context.Context, *auth.Principal, uuid.UUID) (billing.Subscription,
		error)) *cobra.Command {
	c := &cobra.Command{Use: name + " ID", Short: short, Args: takes("ID", 1, 1)}
	offer(c, config.Storage)
	c.RunE = p.runs(func(c *cobra.Command, args []string) error {
		var in inputs
		id := in.apiID("ID", subscriptionPrefix, args[0])
		if err := in.faults.Err(); err != nil {
			return err
		}
		return p.withBackend(c, config.Needs{}, func(b *backend) error {
			merchantID, err := b.runner.MerchantOf(c.Context(), id)
			if err != nil {
				return err
			}
			s, err := act(b.billing, c.Context(), operator(merchantID), id)
			if err != nil {
				return err
			}
			type view struct {
				ID          string     `json:"id"`
				SuspendedAt *time.Time `json:"suspendedAt"`
			}
			v := view{ID: subscriptionPrefix + s.ID.String()}
			if s.Suspended() {
				v.SuspendedAt = timeOrNil(s.Suspensions[len(s.Suspensions)-1].Start)
			}
			return p.printed(v, "", func() { p.say("%s subscription %s", done, v.ID) })
		})
	})
	return c
}
