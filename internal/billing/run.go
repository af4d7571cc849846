package billing

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
)

const (
	// DefaultLeaseTTL is for how long a run holds its lease after it was last renewed. So long does a run that was
	// killed keep others from running.
	DefaultLeaseTTL = 30 * time.Second
	// batch is how many subscriptions are read, and then billed, at a time.
	batch = 2000
	// maxIdle is how often in a row a subscription may stay due because other processes change it.
	maxIdle = 100
)

// Runner bills what is due, and reads the data of all accounts. It serves the operator, and moves the test clock.
type Runner struct {
	repo     Repository
	ledger   Ledger
	clock    clock.Clock
	leaseTTL time.Duration
}

// RunnerConfig has the dependencies of a Runner.
type RunnerConfig struct {
	Repository Repository
	Ledger     Ledger
	// Now is the time of events. Billing time is Repository.Now.
	Now clock.Clock
	// LeaseTTL is for how long a run holds its lease after it was last renewed; 0 means DefaultLeaseTTL.
	LeaseTTL time.Duration
}

// NewRunner returns a runner.
func NewRunner(c RunnerConfig) *Runner {
	r := &Runner{repo: c.Repository, ledger: c.Ledger, clock: c.Now, leaseTTL: c.LeaseTTL}
	if r.leaseTTL == 0 {
		r.leaseTTL = DefaultLeaseTTL
	}
	return r
}

// RunResult is what a run did.
type RunResult struct {
	// Elsewhere reports that another run holds the lease, or took it, so that this one did nothing more.
	Elsewhere bool
	// Until is the time until which everything is billed.
	Until time.Time
	// Subscriptions is how many were due, Charges how many charges were added, and Invoices how many were issued.
	Subscriptions, Charges, Invoices int64
}

// Run bills what is due: it stores the charges of all subscriptions, and issues the invoices of every month that has
// ended. It does so under a lease, and leaves it to another run that has it. progress, which can be nil, is called with
// the number of subscriptions done so far.
func (r *Runner) Run(ctx context.Context, progress func(done int64)) (RunResult, error) {
	var result RunResult
	got, err := r.leased(ctx, func(ctx context.Context) error {
		now, err := r.repo.Now(ctx)
		if err != nil {
			return err
		}
		return r.runUntil(ctx, now, &result, progress)
	})
	result.Elsewhere = !got
	return result, err
}

// leased runs work with the lease, which it renews, and reports whether it had it until the end. It stops work if
// another process took the lease.
func (r *Runner) leased(ctx context.Context, work func(context.Context) error) (bool, error) {
	holder := uuid.New()
	got, err := r.ledger.Lease(ctx, holder, r.leaseTTL)
	if !got || err != nil {
		return got, err
	}
	working, stop := context.WithCancel(ctx)
	var lost atomic.Bool
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		ticker := time.NewTicker(r.leaseTTL / 3)
		defer ticker.Stop()
		for {
			select {
			case <-working.Done():
				return
			case <-ticker.C:
			}
			// A renewal that fails is tried again: until then, another process may begin, and does the same.
			if still, err := r.ledger.Lease(working, holder, r.leaseTTL); err == nil && !still {
				lost.Store(true)
				stop()
			}
		}
	}()
	err = work(working)
	stop()
	<-renewed
	if lost.Load() {
		return false, nil
	}
	// The lease ends by itself if it cannot be released. A run that was interrupted releases it all the same.
	releasing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if released := r.ledger.Release(releasing, holder); err == nil {
		err = released
	}
	return true, err
}

// runUntil bills everything that is due by now, and issues the invoices of all months that ended by then.
func (r *Runner) runUntil(ctx context.Context, now time.Time, result *RunResult, progress func(done int64)) error {
	result.Until = now
	for first, idle := uuid.Nil, 0; ; {
		due, err := r.ledger.Due(ctx, now, batch)
		if err != nil {
			return err
		}
		if len(due) == 0 {
			break
		}
		added, err := r.ledger.Bill(ctx, now, rollAll(due, theService(r.clock), now))
		if err != nil {
			return err
		}
		// A subscription that was changed meanwhile is due again, unless the change billed it.
		if idle++; due[0].ID != first {
			first, idle = due[0].ID, 0
		}
		if idle == maxIdle {
			return fmt.Errorf("billing: subscription %s stays due after %d attempts to bill it", first, idle)
		}
		result.Subscriptions += int64(len(due))
		result.Charges += added
		if progress != nil {
			progress(result.Subscriptions)
		}
	}
	return r.invoice(ctx, now, result)
}

// rollAll returns the changes that bill subscriptions.
func rollAll(due []Subscription, service author, now time.Time) Changes {
	changes := Changes{
		Subscriptions: make([]Subscription, len(due)),
		ChargeEvent:   func(c Charge) audit.Event { return service.charge(audit.ChargeCreated, c) },
	}
	for i, each := range due {
		step := Roll(each, now)
		changes.Subscriptions[i] = step.Subscription
		changes.Charges = append(changes.Charges, complete(step.Overdue, now)...)
		if each.EndedAt.IsZero() && !step.Subscription.EndedAt.IsZero() {
			changes.Events = append(changes.Events,
				service.subscription(audit.SubscriptionEnded, step.Subscription, now)...)
		}
	}
	return changes
}

// invoice issues the invoices of all months that ended before now, the earliest month first: what one carries is on the
// next.
func (r *Runner) invoice(ctx context.Context, now time.Time, result *RunResult) error {
	for {
		open, err := r.ledger.Uninvoiced(ctx, now, batch)
		if err != nil || len(open) == 0 {
			return err
		}
		issued := false
		for _, m := range open {
			err := r.ledger.Issue(ctx, m, func(now time.Time, number int64, charges []Charge) (Invoice, []Charge,
				[]audit.Event, error) {
				return issue(m, number, charges, theService(r.clock), now)
			})
			if fault.KindOf(err) == fault.Conflict {
				continue // Another run issued it.
			}
			if err != nil {
				return err
			}
			issued = true
			result.Invoices++
		}
		if issued {
			continue
		}
		again, err := r.ledger.Uninvoiced(ctx, now, batch)
		if err != nil || len(again) == 0 {
			return err
		}
		if again[0] == open[0] {
			return fmt.Errorf("billing: account %s has pending charges of %s, whose invoice was issued before",
				open[0].MerchantID, open[0].Month)
		}
	}
}

// issue composes the invoice of a month with its events.
func issue(m OpenMonth, number int64, charges []Charge, service author, now time.Time) (Invoice, []Charge,
	[]audit.Event, error) {
	invoice, carried, err := Compose(m, uuid.Must(uuid.NewV7()), number, charges, now)
	if err != nil {
		return Invoice{}, nil, nil, err
	}
	events := []audit.Event{service.invoice(invoice)}
	for _, c := range charges {
		c.Status, c.InvoiceID = ChargeInvoiced, invoice.ID
		events = append(events, service.charge(audit.ChargeInvoiced, c))
	}
	for i := range carried {
		carried[i].ID = uuid.Must(uuid.NewV7())
		events = append(events, service.charge(audit.ChargeCreated, carried[i]))
		if carried[i].Status == ChargeInvoiced {
			events = append(events, service.charge(audit.ChargeInvoiced, carried[i]))
		}
	}
	return invoice, carried, events, nil
}
