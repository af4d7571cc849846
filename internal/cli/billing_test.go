package cli_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/clock"
	"latchkey/internal/gormdb"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
)

// market is a database with a partner and a merchant, whose billing goes by a
// test clock.
type market struct {
	url               string
	env               map[string]string
	db                *gormdb.DB
	service           *billing.Service
	runner            *billing.Runner
	partner, merchant dbtest.World
	// seller and buyer are sessions of the owners.
	seller, buyer *auth.Principal
}

func newMarket(t *testing.T, url string, at time.Time) *market {
	t.Helper()
	db := dbtest.Open(t, url)
	m := &market{
		url: url, env: environment(t, url), db: db,
		partner:  dbtest.Seed{Apps: 1, Features: []scope.Feature{scope.FeatureAutomatedBilling}}.Make(t, db),
		merchant: dbtest.Seed{}.Make(t, db),
		service: billing.NewService(billing.Config{Repository: gormdb.Billing(db), Accounts: db.Accounts(),
			Now: clock.System}),
		runner: billing.NewRunner(billing.RunnerConfig{Repository: gormdb.Billing(db), Ledger: gormdb.Ledger(db),
			Now: clock.System}),
	}
	m.seller, m.buyer = world.Owner(m.partner), world.Owner(m.merchant)
	m.seller.Scopes = scope.NewSet(scope.AccountCheckoutsCreate, scope.AccountSubscriptionsRead,
		scope.AccountSubscriptionsCancel, scope.AccountChargesRead, scope.AccountChargesWrite)
	if _, err := m.runner.StartClock(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	return m
}

// dollars is an amount in a request.
func dollars(value string) billing.MoneyRequest {
	return billing.MoneyRequest{CurrencyCode: "USD", Value: value}
}

// approve creates a checkout for n subscriptions with the plan, or for a change
// of one, approves it, and returns the subscriptions.
func (m *market) approve(t *testing.T, n int, plan billing.PlanRequest, change *uuid.UUID) []uuid.UUID {
	t.Helper()
	item := billing.ItemRequest{Description: "An app", RedirectURL: "https://app.example", Plan: plan,
		SubscriptionID: change}
	if change == nil {
		item.AppID, item.Store = &m.partner.Apps[0].ID, &billing.StoreRef{ID: m.merchant.Stores[0].ID}
	}
	req := billing.CheckoutRequest{MerchantID: m.merchant.Account.ID}
	for range n {
		req.Items = append(req.Items, item)
	}
	c, _, err := m.service.CreateCheckout(t.Context(), m.seller, req)
	if err != nil {
		t.Fatal(err)
	}
	approved, err := m.service.ApproveCheckout(t.Context(), m.buyer, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	var ids []uuid.UUID
	for _, i := range approved.Items {
		ids = append(ids, i.SubscriptionID)
	}
	return ids
}

// advance moves the test clock to a day.
func (m *market) advance(t *testing.T, to time.Time) {
	t.Helper()
	now, err := m.service.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.runner.AdvanceTime(t.Context(), m.seller, int64(to.Sub(now)/time.Second))
	if err != nil {
		t.Fatal(err)
	}
	check.Equal(t, got, to, "the test clock")
}

// invoices returns the totals of the merchant's invoices in cents, by month.
func (m *market) invoices(t *testing.T) map[string]int64 {
	t.Helper()
	totals := map[string]int64{}
	first := 50
	page, err := m.service.Invoices(t.Context(), m.buyer, paging.Request{First: &first})
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range page.Items {
		totals[item.Node.Month] = item.Node.Total.Minor
	}
	return totals
}

// exportedCharge is a charge in the JSON of billing export.
type exportedCharge struct {
	ID, MerchantName, PartnerName, StoreHash, Kind, Description, Amount, Currency, Status string
	InvoiceNumber                                                                         *int64
}

// UnmarshalJSON reads the amount without rounding it.
func (e *exportedCharge) UnmarshalJSON(text []byte) error {
	var raw struct {
		ID, MerchantName, PartnerName, StoreHash, Kind, Description, Currency, Status string
		InvoiceNumber                                                                 *int64
		Amount                                                                        json.Number
	}
	err := json.Unmarshal(text, &raw)
	*e = exportedCharge{raw.ID, raw.MerchantName, raw.PartnerName, raw.StoreHash, raw.Kind, raw.Description,
		raw.Amount.String(), raw.Currency, raw.Status, raw.InvoiceNumber}
	return err
}

// cents returns the amount in cents.
func (e exportedCharge) cents(t *testing.T) (cents int64) {
	t.Helper()
	whole, fraction, found := strings.Cut(e.Amount, ".")
	if !found || len(fraction) != 2 {
		t.Fatalf("the amount %s of charge %s does not have two decimals", e.Amount, e.ID)
	}
	if _, err := fmt.Sscan(whole+fraction, &cents); err != nil {
		t.Fatal(err)
	}
	return cents
}

func (m *market) export(t *testing.T, month string) []exportedCharge {
	t.Helper()
	var document struct{ Charges []exportedCharge }
	out := run(t, m.env, "billing", "export", "--month", month, "--output", "json")
	if err := json.Unmarshal([]byte(out), &document); err != nil {
		t.Fatal(err)
	}
	return document.Charges
}

func at(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// Two years by the test clock: every cent of every invoice follows from what
// was approved and used, and the verification finds nothing.
func TestTwoYears(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		m := newMarket(t, url, at(2026, 1, 31))
		most := dollars("10.00")
		monthly := billing.PlanRequest{Interval: billing.Month, Price: dollars("30.00"), Cap: &most}
		basic := m.approve(t, 1, monthly, nil)[0]
		m.approve(t, 1, billing.PlanRequest{Interval: billing.Annual, Price: dollars("120.00")}, nil)
		m.approve(t, 1, billing.PlanRequest{Interval: billing.Month, Price: dollars("9.99"), TrialDays: 14}, nil)
		if _, _, err := m.service.CreateCharge(t.Context(), m.seller, billing.ChargeRequest{SubscriptionID: basic,
			Description: "250 mails", Amount: dollars("2.50"), Key: "mails"}); err != nil {
			t.Fatal(err)
		}
		// 14 of the 28 days of the period are left.
		m.advance(t, at(2026, 2, 14))
		m.approve(t, 1, billing.PlanRequest{Interval: billing.Month, Price: dollars("60.00")}, &basic)
		m.advance(t, at(2028, 1, 15))

		want := map[string]int64{"2026-01": 3000 + 250 + 12000, "2026-02": -1500 + 3000 + 6000 + 999}
		for month := at(2026, 3, 1); month.Before(at(2028, 1, 1)); month = month.AddDate(0, 1, 0) {
			want[month.Format("2006-01")] = 6000 + 999
		}
		want["2027-01"] += 12000
		check.Equal(t, m.invoices(t), want, "the totals of the invoices")
		for month, total := range want {
			sum := int64(0)
			for _, c := range m.export(t, month) {
				sum += c.cents(t)
				if c.Status != "INVOICED" || c.InvoiceNumber == nil {
					t.Errorf("charge %s of %s is %s, want INVOICED with a number", c.ID, month, c.Status)
				}
			}
			check.Equal(t, sum, total, "the sum of the exported charges of %s", month)
		}
		pending := m.export(t, "2028-01")
		check.Equal(t, len(pending), 1, "charges of the month that has not ended")
		check.Equal(t, pending[0].Status, "PENDING", "its status")
		check.Equal(t, run(t, m.env, "billing", "verify"), "", "findings")
	})
}

// The operator suspends and resumes, bills, exports and verifies.
func TestBillingCommands(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		m := newMarket(t, url, at(2026, 1, 31))
		plan := billing.PlanRequest{Interval: billing.Month, Price: dollars("19.99")}
		ids := m.approve(t, 3, plan, nil)
		id := "bc/account/subscription/" + ids[0].String()
		for range 2 {
			out := run(t, m.env, "billing", "suspend", id, "--output", "json")
			check.Equal(t, strings.Contains(out, `"suspendedAt": "2026-01-31T00:00:00Z"`), true, "suspended: %s", out)
		}
		if err := gormdb.Ledger(m.db).MoveClock(t.Context(), at(2026, 3, 1)); err != nil {
			t.Fatal(err)
		}
		check.Equal(t, run(t, m.env, "billing", "run"),
			"billed until 2026-03-01T00:00:00Z: 2 subscriptions, 2 charges, 2 invoices\n", "the first run")
		check.Equal(t, run(t, m.env, "billing", "run"),
			"billed until 2026-03-01T00:00:00Z: 0 subscriptions, 0 charges, 0 invoices\n", "the second run")
		check.Equal(t, m.invoices(t), map[string]int64{"2026-01": 3 * 1999, "2026-02": 2 * 1999}, "the totals")
		run(t, m.env, "billing", "resume", id)
		end := billing.Cancellation{ID: ids[1], Immediately: true}
		if _, err := m.service.CancelSubscription(t.Context(), m.seller, end); err != nil {
			t.Fatal(err)
		}
		if _, _, code := attempt(t, m.env, "billing", "suspend", ids[1].String()); code != 4 {
			t.Errorf("suspending what has ended: got status %d, want 4", code)
		}
		m.testCSV(t)
		check.Equal(t, run(t, m.env, "billing", "verify"), "", "findings")
		m.testFindings(t)
		m.testLease(t)
	})
}

// testCSV compares the CSV of an export with its JSON. A negative amount is a
// number, and a text that a spreadsheet could evaluate is not.
func (m *market) testCSV(t *testing.T) {
	t.Helper()
	const formula = "UPDATE charges SET description = '=1+1'"
	dbtest.Exec(t, m.url, formula, formula)
	rows, err := csv.NewReader(strings.NewReader(run(t, m.env, "billing", "export", "--month", "2026-03"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	charges := m.export(t, "2026-03")
	check.Equal(t, len(rows), 1+len(charges), "rows")
	check.Equal(t, len(charges), 1, "charges")
	// 30 of the 31 days from 28 February on are left on 1 March.
	row := map[string]string{}
	for i, name := range rows[0] {
		row[name] = rows[1][i]
	}
	for name, want := range map[string]string{
		"kind": "CREDIT", "amount": charges[0].Amount, "description": "'=1+1", "currency": "USD", "status": "PENDING",
		"merchant_name": m.merchant.Account.Name, "partner_name": m.partner.Account.Name,
		"store_hash": m.merchant.Stores[0].Hash, "due_at": "2026-03-01T00:00:00Z", "invoice_number": "",
	} {
		check.Equal(t, row[name], want, "the column %s", name)
	}
	check.Equal(t, strings.HasPrefix(row["amount"], "-1"), true, "a negative amount: %s", row["amount"])
}

// testFindings damages a charge: it and its invoice are found.
func (m *market) testFindings(t *testing.T) {
	t.Helper()
	const damage = "UPDATE charges SET amount = amount + 1 WHERE id = " +
		"(SELECT min(CAST(id AS text)) FROM charges WHERE kind = 'RECURRING')"
	dbtest.Exec(t, m.url, damage, strings.Replace(damage, "id =", "CAST(id AS text) =", 1))
	out, errs, code := attempt(t, m.env, "billing", "verify")
	check.Equal(t, code, 5, "the status")
	check.Equal(t, strings.Contains(out, "the amount is $20.00, and should be $19.99"), true, "output: %s", out)
	check.Equal(t, strings.Contains(out, "\ninvoice ") || strings.HasPrefix(out, "invoice "), true, "output: %s", out)
	check.Equal(t, errs, "latchkey: findings: 2\n", "the message")
	out, _, code = attempt(t, m.env, "billing", "verify", "--output", "json")
	check.Equal(t, code, 5, "the status with JSON")
	check.Equal(t, strings.Count(out, `"id": "bc/account/`), 2, "findings in JSON: %s", out)
}

// testLease runs beside a run that holds the lease.
func (m *market) testLease(t *testing.T) {
	t.Helper()
	if held, err := gormdb.Ledger(m.db).Lease(t.Context(), uuid.New(), time.Minute); err != nil || !held {
		t.Fatalf("the lease: got %v, %v", held, err)
	}
	check.Equal(t, run(t, m.env, "billing", "run"), "another billing run is at work\n", "a run beside another")
}

// A database with a test clock is served only with the flag.
func TestServeTestClock(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		s := serve(t, env, "--test-clock=2026-01-31T00:00:00Z")
		metrics := s.adminPage(t, "/metrics")
		for _, want := range []string{"latchkey_billing_oldest_due_seconds 0\n", "latchkey_billing_invoices_total 0\n",
			`latchkey_billing_charges_total{kind="RECURRING"} 0` + "\n"} {
			check.Equal(t, strings.Contains(metrics, want), true, "%s in the metrics", want)
		}
		check.Equal(t, s.stop(t), 0, "exit status")
		without := launch(t, env)
		check.Equal(t, without.exits(t), 4, "exit status without the flag")
		check.Equal(t, strings.Contains(without.logged(), "The database has a test clock"), true, "the reason: %s",
			without.logged())
		again := serve(t, env, "--test-clock=2030-01-01T00:00:00Z")
		check.Equal(t, strings.Contains(again.logged(), "2026-01-31"), true, "the time is kept: %s", again.logged())
	})
}
