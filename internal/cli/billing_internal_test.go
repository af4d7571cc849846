package cli

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/billing"
	"latchkey/internal/test/check"
)

// The age is that of the charge that is due longest, and never negative: something may be
// due in the future only.
func TestOldestDue(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name string
		due  time.Time
		err  error
		want string
	}{
		{name: "two minutes late", due: now.Add(-2 * time.Minute), want: "120"},
		{name: "nothing", want: "0"},
		{name: "in the future", due: now.Add(time.Hour), want: "0"},
		{name: "no database", err: errors.New("no database"), want: "NaN"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newBillingMetrics(func(context.Context) (time.Time, error) { return now, nil },
				func(context.Context) (time.Time, error) { return tc.due, tc.err })
			check.Equal(t, scraped(m.oldest), "latchkey_billing_oldest_due_seconds "+tc.want+"\n", "the metric")
		})
	}
}

// storing is a ledger that stores the charges whose source keys it does not
// have.
type storing struct {
	billing.Ledger

	has map[string]bool
}

func (s storing) Bill(_ context.Context, _ time.Time, c billing.Changes) (added int64, _ error) {
	for _, charge := range c.Charges {
		if !s.has[charge.SourceKey] {
			s.has[charge.SourceKey] = true
			_ = c.ChargeEvent(charge)
			_ = c.ChargeEvent(charge) // the transaction is repeated
			added++
		}
	}
	return added, nil
}

func (storing) Issue(_ context.Context, _ billing.OpenMonth, compose func(time.Time, int64, []billing.Charge) (
	billing.Invoice, []billing.Charge, []audit.Event, error)) error {
	_, _, _, err := compose(time.Time{}, 1, nil)
	return err
}

// Only what is stored is counted, once and by kind.
func TestBillingIsCounted(t *testing.T) {
	m := newBillingMetrics(nil, nil)
	ledger := countedLedger{storing{has: map[string]bool{"b": true}}, m}
	changes := billing.Changes{ChargeEvent: func(billing.Charge) audit.Event { return audit.Event{} }}
	for _, key := range []string{"a", "b", "c"} {
		changes.Charges = append(changes.Charges,
			billing.Charge{ID: uuid.New(), SourceKey: key, Kind: billing.Recurring})
	}
	if added, err := ledger.Bill(t.Context(), time.Time{}, changes); err != nil || added != 2 {
		t.Errorf("got %d, %v, want 2 charges", added, err)
	}
	failed := errors.New("failed")
	for _, result := range []error{nil, failed} {
		err := ledger.Issue(t.Context(), billing.OpenMonth{}, func(time.Time, int64, []billing.Charge) (billing.Invoice,
			[]billing.Charge, []audit.Event, error) {
			return billing.Invoice{}, []billing.Charge{{Kind: billing.Carried}}, nil, result
		})
		if !errors.Is(err, result) {
			t.Errorf("got %v, want %v", err, result)
		}
	}
	check.Equal(t, scraped(m.invoices), "latchkey_billing_invoices_total 1\n", "the invoices")
	check.Equal(t, scraped(m.charges), `latchkey_billing_charges_total{kind="CARRIED"} 1
latchkey_billing_charges_total{kind="CREDIT"} 0
latchkey_billing_charges_total{kind="ONE_TIME"} 0
latchkey_billing_charges_total{kind="PRORATION"} 0
latchkey_billing_charges_total{kind="RECURRING"} 2
`, "the charges")
}
