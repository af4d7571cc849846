package gormdb_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/billing"
	"latchkey/internal/gormdb"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// An account that is both a partner and a merchant lists what it charges and what it is charged in one order, and what
// it charges itself once.
func TestListsOfBothSides(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		third := dbtest.Seed{Apps: 1}.Make(t, m.DB)
		market{m.DB, third, m.merchant}.subscribe(t) // not the account's
		var newest []uuid.UUID
		for range 2 {
			for _, each := range []market{m, {m.DB, third, m.partner}, {m.DB, m.partner, m.partner}} {
				newest = append(newest, each.subscribe(t).ID)
			}
		}
		slices.Reverse(newest)
		b, account, both := m.bills(), m.partner.Account.ID, billing.Side{Partner: true, Merchant: true}
		for _, tc := range []struct {
			name   string
			window paging.Window
			want   []uuid.UUID
			more   bool // on the far side
		}{
			{"all", all, newest, false},
			{"a first page", paging.Window{Size: 4}, newest[:4], true},
			{"the next page", paging.Window{Size: 4, After: &newest[3]}, newest[4:], false},
			{"the last page", paging.Window{Size: 4, Backward: true}, newest[2:], true},
			{"the page before one", paging.Window{Size: 4, Backward: true, Before: &newest[2]}, newest[:2], false},
		} {
			page, err := b.Subscriptions(t.Context(), account, both, billing.SubscriptionFilter{}, tc.window)
			var got []uuid.UUID
			for _, s := range nodes(page) {
				got = append(got, s.ID)
			}
			check.Equal(t, got, tc.want, "%s of subscriptions (%v)", tc.name, err)
			more := page.HasNext
			if tc.window.Backward {
				more = page.HasPrevious
			}
			check.Equal(t, more, tc.more, "%s: more", tc.name)
		}
		page, err := b.Charges(t.Context(), account, both, billing.ChargeFilter{}, paging.Window{Size: 5})
		var of []uuid.UUID
		for _, c := range nodes(page) {
			of = append(of, c.SubscriptionID)
		}
		check.Equal(t, of, newest[:5], "the subscriptions of the newest charges (%v)", err)
		for _, id := range newest {
			page, err := b.Charges(t.Context(), account, both, billing.ChargeFilter{SubscriptionID: &id}, all)
			check.Equal(t, len(page.Items), 1, "charges of a subscription (%v)", err)
		}
	})
}

// With many rows, what billing reads often is read from an index that has little else.
func TestBillingPlans(t *testing.T) {
	url := dbtest.PostgresURL(t)
	var statements []string
	db := dbtest.OpenWith(t, gormdb.Config{URL: url,
		OnStatement: func(sql string) { statements = append(statements, sql) }})
	m := newMarket(t, db, "2026-02-28")
	one := m.subscribe(t)
	conn := connect(t, url)
	for _, statement := range []string{
		// Every merchant has ten subscriptions, each with a charge for January, of which one in ten is not invoiced.
		`SET session_replication_role = replica`,
		`CREATE TEMPORARY TABLE many AS SELECT gen_random_uuid() AS id, md5((n / 10)::text)::uuid AS account, n FROM generate_series(1, 20000) AS n`,
		`INSERT INTO subscriptions SELECT m.account, m.id, CASE WHEN n % 4 > 0 THEN m.id ELSE s.partner_id END, s.store_id, s.app_id, s.created_at,
			s.updated_at, s.activated_at, s.trial_ends_at, s.cancel_at, s.cancelled_at, false, NULL, NULL, 1, s.billed_until,
			s.next_due_at FROM subscriptions AS s CROSS JOIN many AS m`,
		`INSERT INTO charges (account_id, id, partner_id, subscription_id, term, kind, amount, currency, due_at, created_at, source_key,
				status, invoice_id, description)
			SELECT account, id, CASE WHEN n % 4 > 0 THEN id ELSE (SELECT partner_id FROM charges LIMIT 1) END, id, 0, 'RECURRING', 1000, 'USD',
				'2026-01-01Z', '2026-01-01Z', id, CASE WHEN n % 10 > 0 THEN 'INVOICED' ELSE 'PENDING' END, CASE WHEN n % 10 > 0 THEN id END, ''
			FROM many`,
		// A merchant has many.
		`INSERT INTO charges (account_id, id, partner_id, subscription_id, term, kind, amount, currency, due_at, created_at, source_key,
				status, invoice_id, description)
			SELECT s.account_id, gen_random_uuid(), s.partner_id, gen_random_uuid(), 0, 'RECURRING', 1000, 'USD', '2025-01-01Z', '2025-01-01Z',
				n, 'INVOICED', gen_random_uuid(), ''
			FROM subscriptions AS s, generate_series(1, 5000) AS n WHERE s.id = '` + one.ID.String() + `'`,
		`ANALYZE`,
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	b, ctx, w := m.bills(), t.Context(), paging.Window{Size: 50, After: &one.ID}
	account, at := m.partner.Account.ID, day("2026-02-28")
	merchant, march := m.merchant.Account.ID, day("2026-04-01")
	both := billing.Side{Partner: true, Merchant: true}
	lists := func(side billing.Side, f billing.ChargeFilter) error {
		_, err := b.Charges(ctx, account, side, f, w)
		return err
	}
	for _, tc := range []struct {
		name  string
		run   func() error
		args  []any // of the first statement
		index string
	}{
		{"what is due", func() error { _, err := m.ledger().Due(ctx, at, 1000); return err }, []any{at, 1000},
			"subscriptions_due"},
		{"months without an invoice", func() error { _, err := m.ledger().Uninvoiced(ctx, at, 10); return err },
			[]any{day("2026-02-01"), 200, 10}, "charges_pending"},
		{"what is pending", func() error { _, err := b.Pending(ctx, merchant, "USD", day("2026-03-01")); return err },
			[]any{merchant, "USD", march}, "charges_invoice"},
		{"what is due next", func() error { _, err := m.ledger().NextDue(ctx); return err }, nil, "charges_pending"},
		{"charges of a partner", func() error { return lists(partner, billing.ChargeFilter{}) },
			[]any{account, one.ID}, "charges_partner"},
		{"charges of a merchant", func() error { return lists(charged, billing.ChargeFilter{}) },
			[]any{account, one.ID}, "charges_"},
		{"charges of both", func() error { return lists(both, billing.ChargeFilter{}) }, []any{account, one.ID},
			"charges_partner"},
		{"charges of a subscription",
			func() error { return lists(partner, billing.ChargeFilter{SubscriptionID: &one.ID}) },
			[]any{account, one.ID, one.ID}, "(account_id = $0"},
		{"subscriptions of both", func() error {
			_, err := b.Subscriptions(ctx, account, both, billing.SubscriptionFilter{}, w)
			return err
		}, []any{account, one.ID}, "subscriptions_partner"},
	} {
		statements = nil
		if err := tc.run(); err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		plan := explain(t, conn, statements[0], tc.args...)
		if !strings.Contains(plan, tc.index) || strings.Contains(plan, "Seq Scan on charges") ||
			strings.Contains(plan, "Seq Scan on subscriptions") {
			t.Errorf("%s: want a plan with %s and no scan of a table, got\n%s", tc.name, tc.index, plan)
		}
	}
}

// More months than one call returns are all returned, one part after the other.
func TestUninvoicedInParts(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		for range 30 { // more charges in a month than a call for one month reads
			m.subscribe(t)
		}
		m.to(t, "2026-04-01")
		if _, err := m.run(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		var months []string
		for range 10 {
			open, err := m.ledger().Uninvoiced(t.Context(), day("2026-04-01"), 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(open) == 0 {
				break
			}
			months = append(months, fmt.Sprint(open[0].Month, " ", len(open)))
			if err := m.issue(t.Context(), open[0]); err != nil {
				t.Fatal(errors.Join(err, errors.New(open[0].Month)))
			}
		}
		check.Equal(t, months, []string{"2026-01 1", "2026-02 1", "2026-03 1"}, "months in turn")
	})
}

// Searches find a part of a text that partners see of charges and subscriptions, in any case. An underscore is no
// wildcard.
func TestSearchingBilling(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		other := dbtest.Seed{}.Make(t, m.DB)
		s := m.subscribe(t)
		elsewhere := market{m.DB, m.partner, other}.subscribe(t)
		if _, _, err := m.use(t.Context(), s.ID, "a", 100); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			text                   string
			subscriptions, charges int64
		}{
			{"", 2, 3},
			{strings.ToUpper(m.merchant.Account.Name), 1, 2},
			{strings.ToUpper(m.merchant.Stores[0].Hash), 1, 2},
			{strings.ToLower(m.partner.Apps[0].Name), 2, 0},
			{"oRDER", 0, 1},
			{"_", 0, 0},
			{m.partner.Account.Name, 0, 0},
		} {
			n, err := m.bills().CountSubscriptions(t.Context(), m.partner.Account.ID, partner,
				billing.SubscriptionFilter{Search: tc.text})
			check.Equal(t, n, tc.subscriptions, "subscriptions with %q (%v)", tc.text, err)
			n, err = m.bills().CountCharges(t.Context(), m.partner.Account.ID, partner,
				billing.ChargeFilter{Search: tc.text})
			check.Equal(t, n, tc.charges, "charges with %q (%v)", tc.text, err)
		}
		check.Equal(t, elsewhere.MerchantID, other.Account.ID, "the other merchant")
	})
}

// Charges are found by the month in which they fell due, and usage and revenue by their period and app. An invoice
// names the accounts that charged.
func TestFiguresOfBilling(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		ctx, s := t.Context(), m.subscribe(t)
		if _, _, err := m.use(ctx, s.ID, "a", 100); err != nil {
			t.Fatal(err)
		}
		period, _ := s.CurrentPeriod(day("2026-01-31"))
		for start, want := range map[string]int64{"2026-01-31": 100, "2026-02-28": 0} {
			used, err := m.bills().Used(ctx, s.MerchantID, s.ID, day(start))
			check.Equal(t, used, want, "usage of the period from %s, the first being %s (%v)", start, period, err)
		}
		for month, want := range map[string]int64{"2026-01": 2, "2026-02": 0} {
			span, err := billing.MonthSpan(month)
			if err != nil {
				t.Fatal(err)
			}
			n, err := m.bills().CountCharges(ctx, m.partner.Account.ID, partner, billing.ChargeFilter{Due: span})
			check.Equal(t, n, want, "charges of %s (%v)", month, err)
		}
		app, none := m.partner.Apps[0].ID, int64(0)
		for id, want := range map[*int64]int{nil: 1, &app: 1, &none: 0} {
			sums, err := m.bills().Revenue(ctx, m.partner.Account.ID, id, day("2026-01-01"), day("2026-03-01"))
			check.Equal(t, len(sums), want, "months with revenue (%v)", err)
		}
		m.to(t, "2026-02-01")
		if _, err := m.invoice(ctx); err != nil {
			t.Fatal(err)
		}
		page, err := m.bills().Invoices(ctx, m.merchant.Account.ID, all)
		if err != nil || len(page.Items) != 1 {
			t.Fatalf("invoices: got %v (%v), want one", page, err)
		}
		id := page.Items[0].Node.ID
		sellers, err := m.bills().Sellers(ctx, m.merchant.Account.ID, []uuid.UUID{id})
		check.Equal(t, sellers[id], []uuid.UUID{m.partner.Account.ID}, "sellers (%v)", err)
		sellers, err = m.bills().Sellers(ctx, m.partner.Account.ID, []uuid.UUID{id})
		check.Equal(t, len(sellers), 0, "sellers of another account's invoice (%v)", err)
	})
}
