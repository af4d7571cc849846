package billing_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// jump moves the test clock without billing anything on the way, as time does while no run is at work.
func (m *market) jump(at string) {
	m.t.Helper()
	if err := gormdb.Ledger(m.db).MoveClock(m.t.Context(), moment(at)); err != nil {
		m.t.Fatal(err)
	}
}

// run runs billing, which must get the lease.
func (m *market) run() billing.RunResult {
	m.t.Helper()
	result, err := m.Run(m.t.Context(), nil)
	if err != nil || result.Elsewhere {
		m.t.Fatalf("run: elsewhere %t, %v", result.Elsewhere, err)
	}
	return result
}

// A run that is late bills everything at once, month by month, and a run again adds nothing.
func TestRunIsLate(t *testing.T) {
	eachMarket(t, "2026-01-31T10:00:00", func(t *testing.T, m *market) {
		s := m.subscribe()
		m.subscribe(func(r *billing.ItemRequest) { r.Plan.Interval, r.Plan.Cap = billing.Once, nil })
		m.jump("2026-05-01T00:00:00")
		var seen []int64
		result, err := m.Run(t.Context(), func(done int64) { seen = append(seen, done) })
		if err != nil {
			t.Fatal(err)
		}
		check.Equal(t, result, billing.RunResult{Until: moment("2026-05-01"), Subscriptions: 1, Charges: 3,
			Invoices: 4},
			"the result")
		check.Equal(t, seen, []int64{1}, "the progress")
		again := m.run()
		check.Equal(t, again, billing.RunResult{Until: moment("2026-05-01")}, "the result of a run again")
		check.Equal(t, m.subscription(s.ID).NextDueAt, moment("2026-05-31"), "when something is due next")
		m.verify()
		var lines []billing.AccountingLine
		if err := m.Export(t.Context(), "2026-02", func(line billing.AccountingLine) error {
			lines = append(lines, line)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(lines) != 1 {
			t.Fatalf("the export has the lines %v, want one", lines)
		}
		c := lines[0].Charge
		check.Equal(t, []any{c.Kind, c.Amount.Decimal(), c.Period.Start.UTC(), lines[0].InvoiceNumber,
			lines[0].MerchantName, lines[0].PartnerName}, []any{billing.Recurring, "31.00", moment("2026-02-28"),
			int64(2), m.merchant.Account.Name, m.partner.Account.Name}, "the line of the export")
		refused(t, "export of no month", m.Export(t.Context(), "2026-2", nil),
			`INVALID : "2026-2" is not a month such as 2026-02.`)
	})
}

// A negative total is carried to the next month by one credit, and every event of it is in the merchant's log.
func TestRuleNegativeTotal(t *testing.T) {
	eachMarket(t, "2026-01-31T00:00:00", func(t *testing.T, m *market) {
		annual := m.subscribe(func(r *billing.ItemRequest) {
			r.Plan.Interval, r.Plan.Price = billing.Annual, dollars("365")
		})
		m.to("2026-02-10")
		if _, err := m.CancelSubscription(t.Context(), m.storeOwner, billing.Cancellation{ID: annual.ID,
			Immediately: true}); err != nil {
			t.Fatal(err)
		}
		m.to("2026-04-01")
		check.Equal(t, m.charges(owner(m.merchant)), []string{"RECURRING $365.00 INVOICED", "CREDIT -$355.00 INVOICED",
			"CARRIED $355.00 INVOICED", "CARRIED -$355.00 INVOICED", "CARRIED $355.00 INVOICED",
			"CARRIED -$355.00 PENDING"}, "what the merchant reads")
		check.Equal(t, m.charges(m.robot), []string{"RECURRING $365.00 INVOICED", "CREDIT -$355.00 INVOICED"},
			"what the partner reads")
		n := 0
		for _, line := range m.log(m.merchant) {
			if line == "charge.created by "+audit.ServiceName+" without an ID" {
				n++
			}
		}
		check.Equal(t, n, 4, "events of carried charges in the merchant's log")
		m.verify()
	})
}

// A run that is late carries a negative total to the next month also if nothing else fell due in that one.
func TestRuleNegativeTotalOfALateRun(t *testing.T) {
	eachMarket(t, "2026-01-31T00:00:00", func(t *testing.T, m *market) {
		annual := m.subscribe(func(r *billing.ItemRequest) {
			r.Plan.Interval, r.Plan.Price = billing.Annual, dollars("365")
		})
		m.subscribe(func(r *billing.ItemRequest) { r.Plan.Interval = billing.Quarter })
		m.to("2026-02-10")
		if _, err := m.CancelSubscription(t.Context(), m.storeOwner, billing.Cancellation{ID: annual.ID,
			Immediately: true}); err != nil {
			t.Fatal(err)
		}
		m.jump("2026-05-01")
		check.Equal(t, m.run().Invoices, int64(3), "invoices, of February, March and April")
		check.Equal(t, m.charges(owner(m.merchant))[2:], []string{"CREDIT -$355.00 INVOICED",
			"RECURRING $31.00 INVOICED", "CARRIED $355.00 INVOICED", "CARRIED -$355.00 INVOICED",
			"CARRIED $355.00 INVOICED", "CARRIED -$355.00 INVOICED", "CARRIED $324.00 INVOICED",
			"CARRIED -$324.00 PENDING"}, "what the merchant reads")
		m.verify()
	})
}

// Any number of runs at once do the same as one, with and without the lease.
func TestRunsAtOnce(t *testing.T) {
	eachMarket(t, "2026-01-31T10:00:00", func(t *testing.T, m *market) {
		for range 5 {
			m.subscribe()
		}
		m.jump("2026-04-15")
		ledger := unleased{gormdb.Ledger(m.db)}
		results := make([]billing.RunResult, 4)
		var all sync.WaitGroup
		for i := range results {
			all.Go(func() {
				r := billing.NewRunner(billing.RunnerConfig{Repository: gormdb.Billing(m.db), Ledger: ledger,
					Now: clock.System})
				var err error
				if results[i], err = r.Run(t.Context(), nil); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		sum := billing.RunResult{}
		for _, r := range results {
			sum.Charges += r.Charges
			sum.Invoices += r.Invoices
		}
		check.Equal(t, sum, billing.RunResult{Charges: 10, Invoices: 3}, "what all runs did together")
		m.verify()
	})
}

// unleased is a ledger whose lease every run gets.
type unleased struct{ billing.Ledger }

// Lease gives the lease.
func (unleased) Lease(context.Context, uuid.UUID, time.Duration) (bool, error) { return true, nil }

// A run beside another one leaves the work to it, and one after a process that died waits no longer than the lease.
func TestLease(t *testing.T) {
	eachMarket(t, "2026-01-31T10:00:00", func(t *testing.T, m *market) {
		m.subscribe()
		m.jump("2026-03-15")
		ledger := gormdb.Ledger(m.db)
		dead := uuid.New()
		const ttl = 2 * time.Second
		if got, err := ledger.Lease(t.Context(), dead, ttl); !got || err != nil {
			t.Fatalf("lease: %t, %v", got, err)
		}
		result, err := m.Run(t.Context(), nil)
		check.Equal(t, result, billing.RunResult{Elsewhere: true}, "the result of a run beside another one (%v)", err)
		began := time.Now()
		for result.Elsewhere && time.Since(began) < time.Minute {
			time.Sleep(50 * time.Millisecond)
			if result, err = m.Run(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		check.Equal(t, result.Charges, int64(1), "charges of the run after the lease ended")
		// It gave the lease back.
		if got, err := ledger.Lease(t.Context(), dead, ttl); !got || err != nil {
			t.Errorf("the lease after a run: %t, %v", got, err)
		}
	})
}

// A run whose lease another process takes stops, and says so.
func TestLeaseIsLost(t *testing.T) {
	eachMarket(t, "2026-01-31T10:00:00", func(t *testing.T, m *market) {
		m.subscribe()
		m.jump("2026-03-15")
		ledger := &stolen{Ledger: gormdb.Ledger(m.db)}
		r := billing.NewRunner(billing.RunnerConfig{Repository: gormdb.Billing(m.db), Ledger: ledger, Now: clock.System,
			LeaseTTL: 30 * time.Millisecond})
		result, err := r.Run(t.Context(), nil)
		check.Equal(t, result.Elsewhere, true, "the run was left to another one (%v)", err)
		check.Equal(t, result.Charges, int64(0), "charges of the run that stopped")
	})
}

// stolen is a ledger whose lease is not renewed, and which bills only until then.
type stolen struct {
	billing.Ledger

	leased bool
}

// Lease gives the lease once.
func (l *stolen) Lease(context.Context, uuid.UUID, time.Duration) (bool, error) {
	first := !l.leased
	l.leased = true
	return first, nil
}

// Due waits until the run is stopped.
func (l *stolen) Due(ctx context.Context, _ time.Time, _ int) ([]billing.Subscription, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Rule: a year in one call of advanceTime equals twelve calls of a month, for every amount and due time.
func TestAdvanceTimeInSteps(t *testing.T) {
	var first []string
	for name, steps := range map[string][]string{
		"at once": {"2027-01-20T08:00:00"},
		"in steps": {"2026-02-01", "2026-03-31T12:00:00", "2026-04-01", "2026-06-15", "2026-06-16",
			"2026-12-31T23:59:59", "2027-01-20T08:00:00"},
	} {
		dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
			m := newMarket(t, db, "2026-01-20T08:00:00")
			m.subscribe()
			m.subscribe(func(r *billing.ItemRequest) { r.Plan.TrialDays, r.Plan.Interval = 14, billing.Quarter })
			for _, at := range steps {
				m.to(at)
			}
			m.verify()
			m.wantInTime()
			now, err := m.Service.Now(t.Context())
			lines := append(m.charges(m.robot), fmt.Sprint(now, err))
			if first == nil {
				first = lines
			}
			check.Equal(t, lines, first, "the charges %s", name)
		})
	}
}

// wantInTime checks that every charge was stored when it fell due, and every invoice issued when its month ended.
func (m *market) wantInTime() {
	m.t.Helper()
	found, err := m.Charges(m.t.Context(), m.robot, billing.ChargeFilter{}, paging.Request{First: ptr(50)})
	if err != nil {
		m.t.Fatal(err)
	}
	for _, item := range found.Items {
		// The first day begins before the approval.
		if c := item.Node; !c.CreatedAt.Equal(c.DueAt) && c.DueAt.After(moment("2026-01-20")) {
			m.t.Errorf("a charge that fell due at %s was stored at %s", c.DueAt, c.CreatedAt)
		}
	}
	invoices, err := m.Invoices(m.t.Context(), owner(m.merchant), paging.Request{First: ptr(50)})
	if err != nil || len(invoices.Items) != 12 {
		m.t.Fatalf("%d invoices, %v, want 12", len(invoices.Items), err)
	}
	for _, item := range invoices.Items {
		if month, err := billing.MonthSpan(item.Node.Month); err != nil || !item.Node.IssuedAt.Equal(month.End) {
			m.t.Errorf("the invoice of %s was issued at %s (%v)", item.Node.Month, item.Node.IssuedAt, err)
		}
	}
}

// Who and what moves the test clock.
func TestAdvanceTimeIsChecked(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		r := billing.NewRunner(billing.RunnerConfig{Repository: gormdb.Billing(db), Ledger: gormdb.Ledger(db),
			Now: clock.System})
		operator := auth.OperatorPrincipal()
		_, err := r.AdvanceTime(t.Context(), &operator, 1)
		refused(t, "without a test clock", err,
			"FORBIDDEN : The server has no test clock. Start it with latchkey serve --test-clock.")
		m := newMarket(t, db, "2026-01-20")
		for name, seconds := range map[string]int64{"back": -1, "more than two years": 732*24*3600 + 1} {
			_, err := m.AdvanceTime(t.Context(), owner(m.partner), seconds)
			refused(t, name, err, "INVALID seconds: The test clock moves by 0 to 63244800 seconds.")
		}
		now, err := m.AdvanceTime(t.Context(), owner(m.partner), 0)
		check.Equal(t, now, moment("2026-01-20"), "the time after no move (%v)", err)
		for who, by := range map[string]*auth.Principal{"the merchant": owner(m.merchant), "a token": m.robot,
			"a store's owner": m.storeOwner} {
			if _, err := m.AdvanceTime(t.Context(), by, 1); fault.KindOf(err) != fault.Forbidden {
				t.Errorf("%s: %v, want FORBIDDEN", who, err)
			}
		}
		started, err := m.StartClock(t.Context(), moment("2030-01-01"))
		check.Equal(t, started, moment("2026-01-20"), "a clock that was started before (%v)", err)
	})
}
