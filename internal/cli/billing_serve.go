package cli

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"latchkey/internal/billing"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
)

// billingInterval is the interval of the billing runs of a server.
const billingInterval = time.Minute

// startClock starts the test clock if the settings ask for one. It returns fault.Conflict if the database has one and
// the settings do not ask for it: such a server would never bill.
func startClock(ctx context.Context, runner *billing.Runner, set config.TestClock, log *slog.Logger) error {
	if set.On {
		now, err := runner.StartClock(ctx, set.Start)
		if err != nil {
			return fmt.Errorf("start the test clock: %w", err)
		}
		log.WarnContext(ctx, "billing goes by a test clock, which stands still until it is moved", "now", now)
		return nil
	}
	has, err := runner.HasClock(ctx)
	if err == nil && has {
		err = fault.Errorf(fault.Conflict,
			"The database has a test clock, by which its billing goes. Set --test-clock, or use another database.").On(
			config.Called("test-clock"))
	}
	return err
}

// billingRuns are the billing runs of a server.
type billingRuns struct {
	runner  *billing.Runner
	metrics *billingMetrics
	traces  trace.TracerProvider // nil if runs are not recorded
	log     *slog.Logger
}

// newBillingRuns returns the billing runs of a server, with the test clock that the settings ask for (startClock).
func newBillingRuns(ctx context.Context, b *backend, log *slog.Logger) (*billingRuns, error) {
	ledger := gormdb.Ledger(b.db)
	r := &billingRuns{metrics: newBillingMetrics(gormdb.Billing(b.db).Now, ledger.NextDue), traces: b.traces.Provider(),
		log: log}
	r.runner = newRunner(b, countedLedger{ledger, r.metrics})
	b.runner = r.runner // what advances the test clock counts, too
	return r, startClock(ctx, r.runner, b.cfg.TestClock, log)
}

// start begins to bill, at once and then every minute. stop ends a run that is at work, which leaves nothing half-done.
func (r *billingRuns) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		next := time.NewTicker(billingInterval)
		defer next.Stop()
		for {
			recordRun(ctx, r.traces, "billing run", r.bill)
			select {
			case <-ctx.Done():
				return
			case <-next.C:
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// bill bills what is due. It logs an error before it returns it: the next run does the same work.
func (r *billingRuns) bill(ctx context.Context) error {
	begun := time.Now()
	result, err := r.runner.Run(ctx, nil)
	switch {
	case ctx.Err() != nil:
		return nil //nolint:nilerr // the server is stopping
	case err != nil:
		r.metrics.runs.WithLabelValues(runFailed).Inc()
		r.log.ErrorContext(ctx, "a billing run failed", "error", err)
		return err
	case result.Elsewhere:
		r.metrics.runs.WithLabelValues(runElsewhere).Inc()
		return nil
	}
	r.metrics.runs.WithLabelValues(runCompleted).Inc()
	r.metrics.last.Set(float64(time.Now().Unix()))
	if result.Subscriptions > 0 || result.Invoices > 0 {
		r.log.InfoContext(ctx, "billed", "until", result.Until, "subscriptions", result.Subscriptions, "charges",
			result.Charges, "invoices", result.Invoices, "duration", time.Since(begun).Round(time.Millisecond))
	}
	return nil
}
