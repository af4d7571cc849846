package cli

import (
	"context"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/audit"
	"latchkey/internal/billing"
)

// billingMetrics counts what a server's billing runs do, and reads how late they are at each scrape.
type billingMetrics struct {
	charges  *prometheus.CounterVec
	invoices prometheus.Counter
	runs     *prometheus.CounterVec
	last     prometheus.Gauge
	oldest   oldestDue
}

// Results of billing runs as metric labels.
const (
	runCompleted = "completed"
	runFailed    = "failed"
	runElsewhere = "elsewhere"
)

// newBillingMetrics returns metrics. now is billing time, and nextDue the earliest time at which something is due.
func newBillingMetrics(now, nextDue func(context.Context) (time.Time, error)) *billingMetrics {
	m := &billingMetrics{
		charges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_billing_charges_total",
			Help: "Charges that this server's billing runs stored, by kind.",
		}, []string{"kind"}),
		invoices: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "latchkey_billing_invoices_total", Help: "Invoices that this server's billing runs issued.",
		}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_billing_runs_total",
			Help: "Billing runs of this server, by result: completed, failed, or elsewhere if another process was billing.",
		}, []string{"result"}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "latchkey_billing_last_run_timestamp_seconds",
			Help: "When this server last completed a billing run, in seconds since 1970; 0 before the first.",
		}),
		oldest: oldestDue{now: now, nextDue: nextDue, desc: prometheus.NewDesc("latchkey_billing_oldest_due_seconds",
			"Time since the oldest charge or invoice fell due that is not stored; 0 if there is none; NaN if the database does not answer.",
			nil, nil)},
	}
	for _, kind := range []billing.ChargeKind{billing.Recurring, billing.Proration, billing.Credit, billing.OneTime,
		billing.Carried} {
		m.charges.WithLabelValues(string(kind)) // 0 and not absent before the first charge
	}
	for _, result := range []string{runCompleted, runFailed, runElsewhere} {
		m.runs.WithLabelValues(result)
	}
	return m
}

func (m *billingMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.charges, m.invoices, m.runs, m.last, m.oldest}
}

// oldestDue implements prometheus.Collector.
type oldestDue struct {
	now, nextDue func(context.Context) (time.Time, error)
	desc         *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (o oldestDue) Describe(to chan<- *prometheus.Desc) { to <- o.desc }

// Collect implements prometheus.Collector.
func (o oldestDue) Collect(to chan<- prometheus.Metric) {
	to <- prometheus.MustNewConstMetric(o.desc, prometheus.GaugeValue, o.age())
}

func (o oldestDue) age() float64 {
	ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
	defer cancel()
	now, err := o.now(ctx)
	if err != nil {
		return math.NaN()
	}
	due, err := o.nextDue(ctx)
	switch {
	case err != nil:
		return math.NaN()
	case due.IsZero():
		return 0
	}
	return max(0, now.Sub(due).Seconds())
}

// countedLedger counts what billing runs store.
type countedLedger struct {
	billing.Ledger

	metrics *billingMetrics
}

// Bill implements billing.Ledger.
func (l countedLedger) Bill(ctx context.Context, now time.Time, changes billing.Changes) (int64, error) {
	stored := map[uuid.UUID]billing.ChargeKind{}
	if event := changes.ChargeEvent; event != nil {
		// It is called again for charges of a transaction that is repeated.
		changes.ChargeEvent = func(c billing.Charge) audit.Event {
			stored[c.ID] = c.Kind
			return event(c)
		}
	}
	added, err := l.Ledger.Bill(ctx, now, changes)
	if err == nil {
		for _, kind := range stored {
			l.metrics.charges.WithLabelValues(string(kind)).Inc()
		}
	}
	return added, err
}

// Issue implements billing.Ledger.
func (l countedLedger) Issue(ctx context.Context, m billing.OpenMonth, compose func(now time.Time, number int64,
	charges []billing.Charge) (billing.Invoice, []billing.Charge, []audit.Event, error)) error {
	var added []billing.Charge
	err := l.Ledger.Issue(ctx, m, func(now time.Time, number int64, charges []billing.Charge) (billing.Invoice,
		[]billing.Charge, []audit.Event, error) {
		invoice, carried, events, err := compose(now, number, charges)
		added = carried
		return invoice, carried, events, err
	})
	if err == nil {
		l.metrics.invoices.Inc()
		for _, c := range added {
			l.metrics.charges.WithLabelValues(string(c.Kind)).Inc()
		}
	}
	return err
}
