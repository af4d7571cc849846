package panel_test

import (
	"strings"
	"testing"

	"latchkey/internal/test/check"
)

// facts returns the facts of the page, as "name: value".
func (b *browser) facts() []string {
	b.t.Helper()
	return evaluate[[]string](b, `[...document.querySelectorAll("main dl.facts dt")].map((dt) =>
		(dt.innerText + ": " + dt.nextElementSibling.innerText).replace(/\s+/g, " ").trim())`)
}

// rows returns the rows of the first table, with | between cells.
func (b *browser) rows() []string {
	b.t.Helper()
	return evaluate[[]string](b, `[...document.querySelector("main table").tBodies[0].rows].map((row) =>
		[...row.cells].map((cell) => cell.innerText.replace(/\s+/g, " ").trim()).join(" | "))`)
}

// says fails the test unless the page contains the texts.
func (b *browser) says(texts ...string) {
	b.t.Helper()
	page := strings.Join(strings.Fields(b.text("main")), " ")
	for _, each := range texts {
		if !strings.Contains(page, each) {
			b.t.Errorf("%s: got %s, want %q in it", b.at(), page, each)
		}
	}
}

// What several pages say.
const (
	charger  = "Charged by: Acme Retail, for the app Acme Subscriptions"
	store    = "Store: Blue Bicycles bluebike"
	usageCap = "Usage: " + aboveCap
	aboveCap = "Up to $10.00 per month on top of the price. Above that, the app must ask again."
	// bought is what an invoice says about a charge, and sold what the partner reads.
	bought = " Acme Subscriptions, for Blue Bicycles "
	sold   = " | Blue Bicycles bluebike | Acme Subscriptions | "
	// agreed is what was agreed in the end.
	agreed = "Agreed terms: Plus, $60.00 every month, usage up to $10.00. Agreed on 14 Feb 2026. " +
		"Basic, $30.00 every month, usage up to $10.00. Agreed on 31 Jan 2026."
)

// billed is the whole of billing as its users see it: the partner's program, the browser of the store's owner, and
// that of the partner's.
type billed struct {
	*testing.T
	script            *script
	merchant, partner *browser
	// subscription is the ID of the subscription.
	subscription string
}

// The whole of billing, on the pages of both sides, with every amount: the partner's program asks, the owner of the
// store approves, and the browser goes back to the app. Usage is charged, the months end, the price changes as it was
// previewed, and the owner cancels.
func TestBillingInABrowser(t *testing.T) {
	inBrowser(t, func(t *testing.T, s *server) {
		f := &billed{T: t, script: s.script(), merchant: s.browser(t), partner: s.browser(t)}
		f.partner.signIn(s.OwnerEmail)
		f.subscribe()
		f.useAndInvoice()
		f.change()
		f.cancel()
	}, january)
}

// subscribe approves a checkout. The owner of the store has no session when the link is opened.
func (f *billed) subscribe() {
	f.Helper()
	c, path := f.script.asks(stock(monthly(30, 10)))
	check.Equal(f, c.Status, "PENDING", "the new checkout")
	b := f.merchant
	b.open(path)
	b.fill("Email address", bicyclesOwner)
	b.fill("Password", b.server.known(bicyclesOwner))
	b.follow("Sign in")
	check.Equal(f, b.at(), path, "the page after signing in")
	b.says("Approve a subscription from Acme Retail?",
		"Added to your next invoice Subscription: Basic, 31 Jan to 27 Feb 2026 $30.00")
	check.Equal(f, b.facts(), []string{
		charger,
		store,
		"Price: $30.00 every month, until you cancel",
		"When you approve: $30.00 for 31 Jan to 27 Feb 2026",
		"Next charge: $30.00 on 28 Feb 2026, then every month",
		usageCap,
	}, "what is asked")
	b.inspect("approval")
	b.follow("Approve")
	check.Equal(f, f.script.visited(f.T), "GET /welcome?shop=1", "where the browser goes")
	check.Equal(f, evaluate[string](b, "location.href"), f.script.site+"/welcome?shop=1", "the page")
	got := f.script.polls(c)
	check.Equal(f, got.Status, "COMPLETE", "the checkout")
	f.subscription = got.subscription()
	b.open(path)
	b.inspect("approval-approved")
	b.follow("View subscription")
	check.Equal(f, b.text("h1"), "Acme Subscriptions\nActive", "the heading")
	check.Equal(f, b.facts(), []string{
		charger,
		store,
		"Price: $30.00 every month",
		"Usage: $0.00 of $10.00 used, 31 Jan to 27 Feb 2026 " + aboveCap,
		"Next charge: 28 Feb 2026",
		"Not invoiced yet: $30.00 (1 charge)",
		"Agreed terms: Basic, $30.00 every month, usage up to $10.00. Agreed on 31 Jan 2026.",
	}, "the subscription")
	check.Equal(f, b.rows(), []string{
		"Subscription: Basic | Subscription fee | 31 Jan 2026 | Pending | $30.00",
	}, "its charges")
}

// useAndInvoice charges usage, and lets the month end.
func (f *billed) useAndInvoice() {
	f.Helper()
	f.script.call("mutation($input: CreateChargeInput!) { charge { createCharge(input: $input) { replayed } } }",
		map[string]any{"input": map[string]any{"subscriptionId": f.subscription, "description": "250 mails",
			"amount": dollars(2.5), "idempotencyKey": "mails-1"}}, &struct{}{})
	f.merchant.reload()
	check.Equal(f, f.merchant.rows(), []string{
		"250 mails | Usage | 31 Jan 2026 | Pending | $2.50",
		"Subscription: Basic | Subscription fee | 31 Jan 2026 | Pending | $30.00",
	}, "its charges with usage")
	f.merchant.says("$2.50 of $10.00 used, 31 Jan to 27 Feb 2026", "Not invoiced yet $32.50 (2 charges)",
		"For 31 Jan to 27 Feb 2026, unless a charge names another period.")
	f.merchant.follow("Invoices")
	f.merchant.says("No invoices yet.")
	f.script.days(14)
	f.merchant.follow("Invoices")
	check.Equal(f, f.merchant.rows(), []string{
		"Invoice 1 | January 2026 | Acme Retail | 1 Feb 2026 | $32.50",
	}, "the invoices after January")
	f.merchant.follow("Invoice 1")
	check.Equal(f, f.merchant.facts(), []string{
		"Billed to: Blue Bicycles",
		"Charged by: Acme Retail",
		"Month: January 2026",
		"Issued: 1 Feb 2026",
		"Currency: USD",
		"Total: $32.50",
		"Payment: Latchkey collects no money. Merchants and partners agree elsewhere on how an invoice is paid.",
	}, "January's invoice")
	check.Equal(f, f.merchant.rows(), []string{
		"Subscription: Basic" + bought + "31 Jan to 27 Feb 2026 | Subscription fee | " +
			"31 Jan 2026 | $30.00",
		"250 mails" + bought + "31 Jan to 27 Feb 2026 | Usage | 31 Jan 2026 | $2.50",
	}, "the lines of January's invoice")
}

// change previews a change and approves it. Its page shows the amounts of the preview.
func (f *billed) change() {
	f.Helper()
	plan := monthly(60, 0)
	var preview struct {
		Subscription struct {
			PreviewChange struct {
				At           string
				InvoiceTotal struct{ Value float64 }
				Charges      []struct {
					Kind   string
					Amount struct{ Value float64 }
				}
			}
		}
	}
	f.script.call("mutation($input: PreviewChangeInput!) { subscription { previewChange(input: $input) "+
		"{ at invoiceTotal { value } charges { kind amount { value } } } } }", map[string]any{
		"input": map[string]any{"subscriptionId": f.subscription, "productLevel": "Plus", "pricingPlan": plan},
	}, &preview)
	p := preview.Subscription.PreviewChange
	check.Equal(f, p.InvoiceTotal.Value, 15.0, "the previewed total")
	for n, want := range []float64{-15, 30} {
		check.Equal(f, p.Charges[n].Amount.Value, want, "previewed charge %d, %s", n+1, p.Charges[n].Kind)
	}
	c, path := f.script.asks(changing(f.subscription, "Plus", plan), "asOf", p.At)
	b := f.merchant
	b.open(path)
	b.inspect("approval-change")
	check.Equal(f, b.facts(), []string{
		charger,
		store,
		"Current plan: Basic",
		"New plan: Plus",
		"When you approve: Unused time on Basic at $30.00 14 Feb to 27 Feb 2026 −$15.00 " +
			"Remaining time on Plus at $60.00 14 Feb to 27 Feb 2026 $30.00 Total $15.00",
		"Next charge: $60.00 on 28 Feb 2026, then every month",
		"Usage: Up to $10.00 per month, as before.",
	}, "the change")
	b.says("$30.00 → changed to $60.00 every month", "Added to your next invoice $15.00")
	b.follow("Approve")
	f.script.visited(f.T)
	check.Equal(f, f.script.polls(c).Status, "COMPLETE", "the checkout of the change")
	b.open("/accounts/" + bicycles + "/subscriptions")
	check.Equal(f, b.rows(), []string{
		"Acme Subscriptions Plus · Acme Retail | Blue Bicycles | Active | $60.00 every month | 28 Feb 2026",
	}, "the subscriptions")
	b.follow("Acme Subscriptions")
	check.Equal(f, b.rows(), []string{
		"Remaining time on Plus 14 Feb to 27 Feb 2026 | " +
			"Prorated fee | 14 Feb 2026 | Pending | $30.00",
		"Unused time on Basic 14 Feb to 27 Feb 2026 | Credit | " +
			"14 Feb 2026 | Pending | −$15.00",
		"250 mails | Usage | 31 Jan 2026 | Invoiced | $2.50",
		"Subscription: Basic | Subscription fee | 31 Jan 2026 | Invoiced | $30.00",
	}, "the charges after the change")

	f.script.days(15)
	b.follow("Invoices")
	check.Equal(f, b.rows(), []string{
		"Invoice 2 | February 2026 | Acme Retail | 1 Mar 2026 | $75.00",
		"Invoice 1 | January 2026 | Acme Retail | 1 Feb 2026 | $32.50",
	}, "the invoices after February")
	b.follow("Invoice 2")
	check.Equal(f, b.rows(), []string{
		"Unused time on Basic" + bought + "14 Feb to 27 Feb 2026 | Credit | " +
			"14 Feb 2026 | −$15.00",
		"Remaining time on Plus" + bought + "14 Feb to 27 Feb 2026 | " +
			"Prorated fee | 14 Feb 2026 | $30.00",
		"Subscription: Plus" + bought + "28 Feb to 30 Mar 2026 | Subscription fee | 28 Feb 2026 | $60.00",
	}, "the lines of February's invoice")

	f.partner.follow("Revenue")
	f.partner.says("$107.50")
	check.Equal(f, f.partner.rows(), []string{
		"Feb 2026 | 3 | $75.00", "Jan 2026 | 2 | $32.50",
	}, "the months with revenue")
	f.partner.says("Apr 2025 to Mar 2026, after credits")
	f.partner.follow("Jan 2026")
	check.Equal(f, len(f.partner.rows()), 2, "January's charges")
	f.partner.says("2 charges", "Total $32.50")
	f.partner.open(f.script.server.page("/billing/subscriptions"))
	check.Equal(f, f.partner.rows(), []string{
		"Blue Bicycles bluebike | Acme Subscriptions Plus | Active | $60.00 every month " +
			"Since 31 Jan 2026 | 31 Mar 2026 | View charges",
	}, "the partner's subscriptions")
	f.partner.follow("Customer charges")
	check.Equal(f, f.partner.rows(), []string{
		"Subscription: Plus 28 Feb to 30 Mar 2026" + sold + "Subscription fee | 28 Feb 2026 | Invoiced | $60.00",
		"Remaining time on Plus 14 Feb to 27 Feb 2026" + sold + "Prorated fee | 14 Feb 2026 | Invoiced | $30.00",
		"Unused time on Basic 14 Feb to 27 Feb 2026" + sold + "Credit | 14 Feb 2026 | Invoiced | −$15.00",
		"250 mails 31 Jan to 27 Feb 2026" + sold + "Usage | 31 Jan 2026 | Invoiced | $2.50",
		"Subscription: Basic 31 Jan to 27 Feb 2026" + sold + "Subscription fee | 31 Jan 2026 | Invoiced | $30.00",
	}, "the partner's charges")
	f.partner.says("5 charges", "Total $107.50")
	f.credit()
}

// credit finds a charge and credits a part of it.
func (f *billed) credit() {
	f.Helper()
	b := f.partner
	b.open(b.server.page("/billing/charges?q=MAILS&status=INVOICED&kind=USAGE"))
	check.Equal(f, len(b.rows()), 1, "charges that match")
	b.follow("250 mails")
	check.Equal(f, b.text("h1"), "$2.50\nInvoiced", "the heading of the charge")
	check.Equal(f, b.facts(), []string{"Customer: Blue Bicycles bluebike", "App: Acme Subscriptions",
		"Subscription: Acme Subscriptions, for Blue Bicycles",
		"Type: Usage", "Date: 31 Jan 2026", "Period: 31 Jan to 27 Feb 2026",
		"Invoice: January 2026"}, "the charge")
	b.follow("Issue credit")
	b.inspect("credit")
	b.fill("Amount", "3")
	b.fill("Reason", "Mails that bounced")
	check.Equal(f, b.follow("Issue a credit of $3.00"), 422, "status for more than the charge")
	b.fill("Amount", "1.5")
	b.follow("Issue a credit of $1.50")
	b.says("was credited")
	b.follow("Issue credit")
	b.says("Up to $1.00.")
}

// cancel cancels at the end of the period, which comes.
func (f *billed) cancel() {
	f.Helper()
	b := f.merchant
	b.open("/accounts/" + bicycles + "/subscriptions")
	b.follow("Acme Subscriptions")
	b.follow("Cancel subscription")
	b.says("Its last day is 30 Mar 2026. There is no refund.", "$58.06 is credited on your next invoice.")
	b.follow("Cancel subscription")
	b.says("Acme Subscriptions Cancels on 30 Mar 2026")
	check.Equal(f, b.facts(), []string{
		charger,
		store,
		"Price: $60.00 every month",
		"Usage: $0.00 of $10.00 used, 28 Feb to 30 Mar 2026 " + aboveCap,
		"Last day: 30 Mar 2026",
		"Not invoiced yet: −$1.50 (1 charge)",
		agreed,
	}, "the cancelled subscription")
	f.script.days(31)
	b.reload()
	check.Equal(f, b.text("h1"), "Acme Subscriptions\nCancelled", "the heading")
	check.Equal(f, b.facts(), []string{
		charger,
		store,
		"Price: $60.00 every month",
		"Usage: $0.00 of $10.00 used, 28 Feb to 30 Mar 2026 " + aboveCap,
		"Last day: 30 Mar 2026",
		agreed,
	}, "the subscription after its end")
	b.follow("Invoices")
	check.Equal(f, len(b.rows()), 3, "invoices, the last one of the credit")
}

// Checkouts that were declined, that have expired, and that would charge something else by now.
func TestUnapprovedCheckoutsInABrowser(t *testing.T) {
	inBrowser(t, func(t *testing.T, s *server) {
		p, b := s.script(), s.browser(t)
		b.signIn(bicyclesOwner)
		c, path := p.asks(stock(monthly(30, 0)))
		b.open(path)
		b.follow("Decline")
		b.says("Request from Acme Retail", "Declined", "You weren't charged.")
		b.inspect("approval-declined")
		if got := p.polls(c); got.DeclinedAt == "" {
			t.Error("declinedAt: got none, want the time")
		}

		c, path = p.asks(stock(monthly(30, 0)))
		b.open(path)
		p.days(2)
		check.Equal(t, b.follow("Approve"), 409, "status")
		b.says("Request from Acme Retail", "Expired", "Your answer was not recorded")
		b.inspect("approval-expired")
		check.Equal(t, p.polls(c).Status, "PENDING", "the expired checkout")

		c, path = p.asks(stock(monthly(30, 0)))
		b.open(path)
		b.follow("Approve")
		p.visited(t)
		id := p.polls(c).subscription()
		c, path = p.asks(changing(id, "Plus", monthly(60, 0)))
		b.open(path)
		b.says("$30.00")
		// Another change is approved meanwhile, elsewhere.
		_, other := p.asks(changing(id, "Gold", monthly(90, 0)))
		v := s.signedIn(bicyclesOwner)
		v.submit(v.get(other), "Approve").goes(p.site + "/welcome?shop=1")
		check.Equal(t, b.follow("Approve"), 409, "status")
		b.says("Your approval was not recorded", "Was $30.00. Now −$30.00.")
		b.inspect("approval-changed")
		check.Equal(t, p.polls(c).Status, "PENDING", "the changed checkout")
	}, january)
}
