package gormdb_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/billing"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// run bills everything that is due, and returns how many charges it added.
func (m market) run(ctx context.Context, limit int) (added int64, err error) {
	now, err := m.bills().Now(ctx)
	if err != nil {
		return 0, err
	}
	for {
		due, err := m.ledger().Due(ctx, now, limit)
		if err != nil || len(due) == 0 {
			return added, err
		}
		n, err := m.ledger().Bill(ctx, now, rolled(due, now))
		if err != nil {
			return added, err
		}
		added += n
	}
}

// rolled returns what a billing run stores for subscriptions.
func rolled(due []billing.Subscription, now time.Time) billing.Changes {
	changes := billing.Changes{ChargeEvent: chargeEvent}
	for _, s := range due {
		step := billing.Roll(s, now)
		changes.Subscriptions = append(changes.Subscriptions, step.Subscription)
		changes.Charges = append(changes.Charges, named(step.Charges(), now)...)
		if s.EndedAt.IsZero() && !step.Subscription.EndedAt.IsZero() {
			changes.Events = append(changes.Events, about(s.MerchantID, "subscription.ended", "subscription", s.ID))
		}
	}
	return changes
}

// invoice issues every invoice that is missing.
func (m market) invoice(ctx context.Context) (issued int, err error) {
	now, err := m.bills().Now(ctx)
	if err != nil {
		return 0, err
	}
	open, err := m.ledger().Uninvoiced(ctx, now, 100)
	for _, o := range open {
		err := m.issue(ctx, o)
		if err != nil && fault.KindOf(err) != fault.Conflict {
			return issued, err
		}
		if err == nil {
			issued++
		}
	}
	return issued, err
}

// issue issues an invoice.
func (m market) issue(ctx context.Context, o billing.OpenMonth) error {
	return m.ledger().Issue(ctx, o, func(now time.Time, number int64, charges []billing.Charge) (billing.Invoice,
		[]billing.Charge, []audit.Event, error) {
		i, carried, err := billing.Compose(o, uuid.Must(uuid.NewV7()), number, charges, now)
		for n := range carried {
			carried[n].ID = uuid.Must(uuid.NewV7())
		}
		events := []audit.Event{about(o.MerchantID, "invoice.issued", "invoice", i.ID)}
		return i, carried, events, err
	})
}

// verify checks everything that is stored.
func (m market) verify(t *testing.T) (subscriptions, invoices int) {
	t.Helper()
	var found []billing.Finding
	for after, done := uuid.Nil, false; !done; {
		now, list, err := m.ledger().Statements(t.Context(), after, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			found = append(found, billing.VerifySubscription(s.Subscription, s.Charges, now)...)
			after = s.Subscription.ID
		}
		subscriptions += len(list)
		done = len(list) == 0
	}
	for after, done := uuid.Nil, false; !done; {
		list, err := m.ledger().Issued(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range list {
			found = append(found, billing.VerifyInvoice(i.Invoice, i.Charges)...)
			after = i.Invoice.ID
		}
		invoices += len(list)
		done = len(list) == 0
	}
	carried, err := m.ledger().CarriedCharges(t.Context(), uuid.Nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	found = append(found, billing.VerifyCarried(carried)...)
	check.Equal(t, found, nil, "findings")
	return subscriptions, invoices
}

func TestBill(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		ctx := t.Context()
		var subscriptions []billing.Subscription
		for range 5 {
			subscriptions = append(subscriptions, m.subscribe(t))
		}
		next, err := m.ledger().NextDue(ctx)
		check.Equal(t, next, day("2026-02-01"), "the end of the month is next (%v)", err)
		m.to(t, "2026-03-31")
		due, err := m.ledger().Due(ctx, day("2026-03-31"), 3)
		if err != nil || len(due) != 3 {
			t.Fatalf("%d are due, %v", len(due), err)
		}
		alike(t, "what is due first", due[0], subscriptions[0])

		// Bill leaves out what changed meanwhile, with its events.
		stale := rolled(due, day("2026-03-31"))
		stale.Subscriptions[1].Version++
		stale.Events = []audit.Event{about(m.merchant.Account.ID, "subscription.ended", "subscription", due[1].ID)}
		before := m.events(t)
		added, err := m.ledger().Bill(ctx, day("2026-03-31"), stale)
		check.Equal(t, added, int64(4), "charges without those of a subscription that changed (%v)", err)
		check.Equal(t, m.events(t)-before, int64(4), "events without those of a subscription that changed")
		again, err := m.ledger().Bill(ctx, day("2026-03-31"), stale)
		check.Equal(t, again, int64(0), "charges of the same run (%v)", err)

		rest, err := m.run(ctx, 2)
		check.Equal(t, rest, int64(6), "charges of the rest (%v)", err)
		again, err = m.run(ctx, 2)
		check.Equal(t, again, int64(0), "charges of another run (%v)", err)
		next, err = m.ledger().NextDue(ctx)
		check.Equal(t, next, day("2026-02-01"), "an invoice is late (%v)", err)

		issued, err := m.invoice(ctx)
		check.Equal(t, issued, 2, "invoices of January and February (%v)", err)
		s, i := m.verify(t)
		check.Equal(t, []int{s, i}, []int{5, 2}, "subscriptions and invoices")
		next, err = m.ledger().NextDue(ctx)
		check.Equal(t, next, day("2026-04-01"), "the end of March is next (%v)", err)
	})
}

// More subscriptions than one transaction bills.
func TestBillMany(t *testing.T) {
	eachMarket(t, "2026-01-01", func(t *testing.T, m market) {
		const many = 1100
		for range many / 100 {
			m.subscribe(t, func(c *billing.Checkout) {
				for range 99 {
					c.Items = append(c.Items, c.Items[0])
				}
			})
		}
		m.to(t, "2026-03-15")
		added, err := m.run(t.Context(), many)
		check.Equal(t, added, int64(2*many), "charges (%v)", err)
		n, err := m.bills().CountCharges(t.Context(), m.partner.Account.ID, partner, billing.ChargeFilter{})
		check.Equal(t, n, int64(3*many), "stored charges (%v)", err)
		check.Equal(t, m.events(t), int64(3*many+2*many/100), "events")
	})
}

// Runs at once bill everything once.
func TestRunsAtOnce(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		for range 12 {
			m.subscribe(t)
		}
		cancelled := m.subscribe(t)
		m.cancel(t, cancelled.ID)
		for _, date := range []string{"2026-03-31", "2026-05-01", "2026-07-31"} {
			m.to(t, date)
			var added atomic.Int64
			got := atOnce(3, func(i int) error {
				n, err := m.run(t.Context(), 5)
				added.Add(n)
				if err == nil {
					_, err = m.invoice(t.Context())
				}
				return err
			})
			check.Equal(t, got, map[fault.Kind]int{"": 3}, "results")
			want := map[string]int64{"2026-03-31": 24, "2026-05-01": 12, "2026-07-31": 36}[date]
			check.Equal(t, added.Load(), want, "charges until %s", date)
		}
		ended, err := m.Audit().CountEvents(t.Context(), m.merchant.Account.ID,
			audit.Filter{Actions: []audit.Action{"subscription.ended"}})
		check.Equal(t, ended, int64(1), "events of the end (%v)", err)
		_, invoices := m.verify(t)
		check.Equal(t, invoices, 6, "invoices")
	})
}

// cancel cancels a subscription at the end of its period.
func (m market) cancel(t testing.TB, id uuid.UUID) {
	t.Helper()
	err := m.bills().ChangeSubscription(t.Context(), anyone, m.partner.Account.ID, id,
		func(now time.Time, s billing.Subscription, _ uuid.UUID) (billing.Changes, error) {
			step := billing.Cancel(s, false, now)
			return billing.Changes{Subscriptions: []billing.Subscription{step.Subscription},
				Charges: named(step.Charges(), now), ChargeEvent: chargeEvent}, nil
		})
	if err != nil {
		t.Fatal(err)
	}
}

// A run beside changes of the same subscriptions bills what the changed ones owe.
func TestRunBesideChanges(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		ctx := t.Context()
		var ids []uuid.UUID
		for range 6 {
			ids = append(ids, m.subscribe(t).ID)
		}
		for n, date := range []string{"2026-03-31", "2026-04-30", "2026-06-01"} {
			m.to(t, date)
			got := atOnce(8, func(i int) error {
				if i < 2 {
					_, err := m.run(ctx, 2)
					return err
				}
				return m.bills().ChangeSubscription(ctx, anyone, m.merchant.Account.ID, ids[i-2],
					func(now time.Time, s billing.Subscription, _ uuid.UUID) (billing.Changes, error) {
						act := billing.Suspend
						if n%2 == 1 {
							act = billing.Resume
						}
						step, err := act(s, now)
						return billing.Changes{Subscriptions: []billing.Subscription{step.Subscription},
							Charges: named(step.Charges(), now), ChargeEvent: chargeEvent}, err
					})
			})
			check.Equal(t, got, map[fault.Kind]int{"": 8}, "results")
		}
		m.to(t, "2026-07-15")
		if _, err := m.run(ctx, 2); err != nil {
			t.Fatal(err)
		}
		m.verify(t)
	})
}

// Invoices beside usage: each charge is on one invoice or pending.
func TestIssueBesideUsage(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		ctx := t.Context()
		limit := int64(1_000_000)
		s := m.subscribe(t, func(c *billing.Checkout) { c.Items[0].Cap = &limit })
		var used atomic.Int64
		for n, date := range []string{"2026-02-01", "2026-03-01", "2026-04-01"} {
			var wait sync.WaitGroup
			for g := range 4 {
				wait.Go(func() {
					for i := range 15 {
						if _, _, err := m.use(ctx, s.ID, fmt.Sprint(n, g, i), 10); err != nil {
							t.Errorf("usage: %v", err)
							return
						}
						used.Add(10)
					}
				})
			}
			wait.Go(func() {
				time.Sleep(5 * time.Millisecond)
				if err := m.ledger().MoveClock(ctx, day(date)); err != nil {
					t.Errorf("move the clock: %v", err)
				}
				if _, err := m.run(ctx, 5); err != nil {
					t.Errorf("run: %v", err)
				}
				if _, err := m.invoice(ctx); err != nil {
					t.Errorf("invoice: %v", err)
				}
			})
			wait.Wait()
			open, err := m.ledger().Uninvoiced(ctx, day(date), 10)
			check.Equal(t, open, []billing.OpenMonth{}, "months without an invoice (%v)", err)
		}
		check.Equal(t, sum(m.charges(t, billing.ChargeFilter{}), billing.Usage), used.Load(), "usage")
		_, invoices := m.verify(t)
		check.Equal(t, invoices, 3, "invoices")
		var total int64
		page, err := m.bills().Invoices(ctx, m.merchant.Account.ID, all)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range nodes(page) {
			total += i.Total.Minor
		}
		pending, err := m.bills().Pending(ctx, m.merchant.Account.ID, "USD", day("2026-04-01"))
		var charges int64
		for _, c := range m.charges(t, billing.ChargeFilter{}) {
			charges += c.Amount.Minor
		}
		check.Equal(t, total+pending, charges, "invoices and pending charges (%v)", err)
	})
}

// A negative total is carried, months are issued once and only after their end, and nothing is stored on an error.
func TestIssue(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		ctx := t.Context()
		s := m.subscribe(t)
		january := billing.OpenMonth{MerchantID: m.merchant.Account.ID, Month: "2026-01", Currency: "USD"}
		mustBe(t, m.issue(ctx, january), fault.Conflict)
		m.to(t, "2026-02-01")
		failing := errors.New("compose failed")
		err := m.ledger().Issue(ctx, january, func(time.Time, int64, []billing.Charge) (billing.Invoice,
			[]billing.Charge, []audit.Event, error) {
			return billing.Invoice{}, nil, nil, failing
		})
		check.Equal(t, errors.Is(err, failing), true, "the error of compose is returned: %v", err)
		if err := m.issue(ctx, january); err != nil {
			t.Fatal(err)
		}
		mustBe(t, m.issue(ctx, january), fault.Conflict)
		// Nothing is pending.
		empty := billing.OpenMonth{MerchantID: m.merchant.Account.ID, Month: "2026-01", Currency: "EUR"}
		mustBe(t, m.issue(ctx, empty), fault.Conflict)

		err = m.bills().ChangeSubscription(ctx, anyone, m.partner.Account.ID, s.ID,
			func(now time.Time, s billing.Subscription, _ uuid.UUID) (billing.Changes, error) {
				step := billing.Cancel(s, true, now)
				return billing.Changes{Subscriptions: []billing.Subscription{step.Subscription},
					Charges: named(step.Charges(), now), ChargeEvent: chargeEvent}, nil
			})
		if err != nil {
			t.Fatal(err)
		}
		m.to(t, "2026-03-01")
		if _, err := m.invoice(ctx); err != nil {
			t.Fatal(err)
		}
		page, err := m.bills().Invoices(ctx, m.merchant.Account.ID, all)
		if err != nil || len(page.Items) != 2 {
			t.Fatalf("invoices are %v, %v", page, err)
		}
		february := page.Items[0].Node
		check.Equal(t, february.Total, usd(0), "the total of February")
		check.Equal(t, []int64{february.Number, page.Items[1].Node.Number}, []int64{2, 1}, "numbers")
		lines, err := m.bills().InvoiceLines(ctx, m.merchant.Account.ID, []uuid.UUID{february.ID}, all)
		if err != nil {
			t.Fatal(err)
		}
		kinds := []billing.ChargeKind{}
		for _, c := range nodes(lines[february.ID]) {
			kinds = append(kinds, c.Kind)
		}
		check.Equal(t, kinds, []billing.ChargeKind{billing.Credit, billing.Carried}, "lines of February")
		carried := m.charges(t, billing.ChargeFilter{Kind: billing.Carried})
		check.Equal(t, len(carried), 2, "carried charges")
		check.Equal(t, carried[0].Amount.Minor+carried[1].Amount.Minor, int64(0), "their sum")
		m.verify(t)
	})
}

func TestLease(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		ctx, first, second := t.Context(), uuid.UUID{1}, uuid.UUID{2}
		take := func(holder uuid.UUID, ttl time.Duration, want bool) {
			t.Helper()
			got, err := gormdb.Ledger(db).Lease(ctx, holder, ttl)
			check.Equal(t, got, want, "the lease is taken (%v)", err)
		}
		release := func(holder uuid.UUID) {
			t.Helper()
			check.Equal(t, gormdb.Ledger(db).Release(ctx, holder), nil, "the error of a release")
		}
		take(first, time.Hour, true)
		take(second, time.Hour, false)
		take(first, time.Hour, true)
		release(second) // not its own
		take(second, time.Hour, false)
		release(first)
		take(second, 20*time.Millisecond, true)
		within(t, 5*time.Second, "the lease runs out", func() bool {
			got, err := gormdb.Ledger(db).Lease(ctx, first, time.Hour)
			return got && err == nil
		})
		release(first)
		var taken atomic.Int64
		atOnce(8, func(i int) error {
			got, err := gormdb.Ledger(db).Lease(ctx, uuid.UUID{byte(i + 1)}, time.Hour)
			if got {
				taken.Add(1)
			}
			return err
		})
		check.Equal(t, taken.Load(), int64(1), "holders of eight at once")
	})
}

func TestClock(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		ctx := t.Context()
		now, err := gormdb.Billing(db).Now(ctx)
		if off := time.Since(now).Abs(); err != nil || off > time.Minute || now.Location() != time.UTC {
			t.Errorf("without a test clock it is %s, %v", now, err)
		}
		has, err := gormdb.Ledger(db).HasClock(ctx)
		check.Equal(t, has, false, "there is a clock (%v)", err)
		mustBe(t, gormdb.Ledger(db).MoveClock(ctx, noon), fault.Conflict)
		for _, at := range []time.Time{noon, later(time.Hour)} {
			got, err := gormdb.Ledger(db).SetClock(ctx, at)
			check.Equal(t, got, noon, "the time of the clock (%v)", err)
		}
		has, err = gormdb.Ledger(db).HasClock(ctx)
		check.Equal(t, has, true, "there is a clock (%v)", err)
		if err := gormdb.Ledger(db).MoveClock(ctx, later(time.Hour)); err != nil {
			t.Fatal(err)
		}
		now, err = gormdb.Billing(db).Now(ctx)
		check.Equal(t, now, later(time.Hour), "the time after the move (%v)", err)
		mustBe(t, gormdb.Ledger(db).MoveClock(ctx, noon), fault.Conflict)
	})
}
