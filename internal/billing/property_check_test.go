package billing_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/billing"
	"latchkey/internal/paging"
)

// statements returns all subscriptions with their charges.
func (p *play) statements() []billing.Statement {
	var all []billing.Statement
	for after := uuid.Nil; ; {
		_, list, err := p.ledgers[0].Statements(p.ctx, after, 100)
		p.ok("read subscriptions", err)
		if len(list) == 0 {
			return all
		}
		all = append(all, list...)
		after = list[len(list)-1].Subscription.ID
	}
}

func (p *play) statement(id uuid.UUID) billing.Statement {
	all := p.statements()
	i := slices.IndexFunc(all, func(s billing.Statement) bool { return s.Subscription.ID == id })
	if i < 0 {
		p.Fatalf("the subscription %s is not stored", id)
	}
	return all[i]
}

// charges returns all charges, also what is carried.
func (p *play) charges() []billing.Charge {
	all, err := p.ledgers[0].CarriedCharges(p.ctx, uuid.Nil, 100)
	p.ok("read carried charges", err)
	for _, each := range p.statements() {
		all = append(all, each.Charges...)
	}
	return all
}

// issued returns all invoices.
func (p *play) issued() []billing.Issue {
	var all []billing.Issue
	for after := uuid.Nil; ; {
		list, err := p.ledgers[0].Issued(p.ctx, after, 100)
		p.ok("read invoices", err)
		if len(list) == 0 {
			return all
		}
		all = append(all, list...)
		after = list[len(list)-1].Invoice.ID
	}
}

// findings returns what verifying finds.
func (p *play) findings() []billing.Finding {
	var found []billing.Finding
	err := p.runner(0, p.ledgers[0]).Verify(p.ctx, func(f billing.Finding) { found = append(found, f) })
	p.ok("verify", err)
	return found
}

func (p *play) verify(when string) {
	if found := p.findings(); len(found) > 0 {
		p.Fatalf("findings %s: %v", when, found)
	}
}

// requested reports whether a partner asked for a charge.
func requested(c billing.Charge) bool { return c.Kind == billing.Usage || c.CreditOf != uuid.Nil }

// wantAll checks everything that is stored after a last run.
func (p *play) wantAll() {
	p.run()
	result, err := p.runner(1, p.ledgers[1]).Run(p.ctx, nil)
	p.ok("run again", err)
	if result != (billing.RunResult{Until: result.Until}) {
		p.Fatalf("a run again did something: %+v", result)
	}
	p.wantSubscriptions()
	p.wantUsage()
	p.wantInvoices()
	p.wantEvents()
	p.verify("in the end")
}

// wantSubscriptions compares the charges that fell due with the oracle.
func (p *play) wantSubscriptions() {
	all := p.statements()
	if len(all) != len(p.subscriptions) {
		p.Fatalf("%d subscriptions are stored, want %d", len(all), len(p.subscriptions))
	}
	for _, s := range p.subscriptions {
		each := p.statement(s.id)
		due := slices.DeleteFunc(slices.Clone(each.Charges), requested)
		if got, want := billing.Lines(due), s.oracle.Lines(); !slices.Equal(got, want) {
			p.Fatalf("charges of %+v:\ngot  %v\nwant %v", each.Subscription, strings.Join(got, "\n     "),
				strings.Join(want, "\n     "))
		}
		billing.CheckTiles(p.T, each.Subscription, due, p.now)
		if got, want := len(each.Subscription.Terms), s.terms; got != want {
			p.Fatalf("terms of %s: got %d, want %d", s.id, got, want)
		}
		if ended := !each.Subscription.EndedAt.IsZero(); ended != s.oracle.Life().Ended {
			p.Fatalf("the end of %s is recorded: got %t, want %t", s.id, ended, !ended)
		}
		if s.oracle.Life().Ended {
			p.expect(audit.SubscriptionEnded, s.id, s.partner, s.merchant)
		}
	}
}

// wantUsage compares usage with what was accepted, which never exceeded a cap.
func (p *play) wantUsage() {
	want := map[uuid.UUID]string{}
	for _, u := range p.usage {
		want[u.id] = fmt.Sprintf("%d of the period from %d on, deleted: %t", u.cents, u.start, u.deleted)
	}
	got := map[uuid.UUID]string{}
	for _, c := range p.charges() {
		if c.Kind == billing.Usage {
			got[c.ID] = fmt.Sprintf("%d of the period from %d on, deleted: %t", c.Amount.Minor, c.Period.Start.Unix(),
				c.Status == billing.ChargeDeleted)
		}
	}
	if !maps.Equal(got, want) {
		p.Fatalf("usage: got %v, want %v", got, want)
	}
}

// wantInvoices works out the invoices of each merchant from the due times of its charges, and compares sums.
func (p *play) wantInvoices() {
	charges := p.charges()
	got := map[string]string{}
	stored := map[uuid.UUID]int64{}
	for _, i := range p.issued() {
		got[i.Invoice.MerchantID.String()+" "+i.Invoice.Month] = fmt.Sprintf("%d: %d", i.Invoice.Number,
			i.Invoice.Total.Minor)
		stored[i.Invoice.MerchantID] += i.Invoice.Total.Minor
	}
	want := map[string]string{}
	for _, merchant := range p.merchants {
		id := merchant.Account.ID
		byMonth := map[string][]int64{}
		all := int64(0)
		for _, c := range charges {
			if c.MerchantID != id || c.Status == billing.ChargeDeleted {
				continue
			}
			all += c.Amount.Minor
			if c.Status == billing.ChargePending {
				stored[id] += c.Amount.Minor
			}
			if c.Kind != billing.Carried {
				byMonth[billing.MonthOf(c.DueAt)] = append(byMonth[billing.MonthOf(c.DueAt)], c.Amount.Minor)
			}
		}
		if all != stored[id] {
			p.Fatalf("the sum of all charges is %d, and that of invoices and what is pending %d", all, stored[id])
		}
		carried, number, month := int64(0), 0, p.now.AddDate(-4, 0, 1-p.now.Day())
		for ; billing.MonthOf(month) != billing.MonthOf(p.now); month = month.AddDate(0, 1, 0) {
			sum, lines := carried, byMonth[billing.MonthOf(month)]
			if len(lines) == 0 && carried == 0 {
				continue
			}
			for _, cents := range lines {
				sum += cents
			}
			carried = min(sum, 0)
			number++
			want[id.String()+" "+billing.MonthOf(month)] = fmt.Sprintf("%d: %d", number, max(sum, 0))
		}
	}
	if !maps.Equal(got, want) {
		p.Fatalf("invoices: got %v, want %v", got, want)
	}
}

// wantEvents checks that each change has one event in the log of each party that it concerns.
func (p *play) wantEvents() {
	for _, c := range p.charges() {
		log := c.PartnerID
		if c.Kind == billing.Carried {
			log = c.MerchantID
		}
		p.entries[entry{log, audit.ChargeCreated, c.ID.String()}]++
		switch c.Status {
		case billing.ChargeInvoiced:
			p.entries[entry{log, audit.ChargeInvoiced, c.ID.String()}]++
		case billing.ChargeDeleted:
			p.entries[entry{log, audit.ChargeDeleted, c.ID.String()}]++
		}
	}
	for _, i := range p.issued() {
		p.entries[entry{i.Invoice.MerchantID, audit.InvoiceIssued, i.Invoice.ID.String()}]++
	}
	got := map[entry]int{}
	for _, log := range []uuid.UUID{p.partners[0].Account.ID, p.partners[1].Account.ID, p.merchants[0].Account.ID} {
		w := paging.Window{Size: paging.MaxSize}
		for more := true; more; {
			found, err := p.dbs[1].Audit().Events(p.ctx, log, audit.Filter{}, w)
			p.ok("read a log", err)
			for _, item := range found.Items {
				if e := item.Node; strings.Contains("checkout subscription charge invoice", string(e.Target.Kind)) {
					got[entry{log, e.Action, e.Target.Key}]++
				}
				w.After = &item.Key
			}
			more = found.HasNext
		}
	}
	for e := range p.entries {
		if got[e] != p.entries[e] {
			p.Fatalf("events %s of %s in the log of %s: got %d, want %d", e.action, e.key, e.log, got[e], p.entries[e])
		}
	}
	for e := range got {
		if p.entries[e] == 0 {
			p.Fatalf("unexpected events %s of %s in the log of %s: %d", e.action, e.key, e.log, got[e])
		}
	}
}

// copied are the columns of charges that a doubled one has from the first.
const copied = "partner_id, subscription_id, term, kind, amount, currency, period_start, period_end, due_at, " +
	"created_at, status, invoice_id, credit_of, description, request_digest, api_token_id"

// wantFindings changes rows by hand, and checks that verifying names them.
func (p *play) wantFindings() {
	due := slices.DeleteFunc(p.charges(), func(c billing.Charge) bool {
		return requested(c) || c.Kind == billing.Carried
	})
	if invoices := p.issued(); len(invoices) > 0 {
		i := invoices[p.pick(len(invoices), "invoice")].Invoice
		where := fmt.Sprintf(" WHERE id = '%s'", i.ID)
		p.wantFinding("an invoice's total", "UPDATE invoices SET total = total + 1"+where,
			"UPDATE invoices SET total = total - 1"+where, "invoice", i.ID, "the total is")
	}
	if len(p.usage) > 0 {
		of := p.usage[p.pick(len(p.usage), "usage")].of.id
		where := fmt.Sprintf(" WHERE subscription_id = '%s'", of)
		p.wantFinding("a total of usage", "UPDATE usage_totals SET amount = amount + 1"+where,
			"UPDATE usage_totals SET amount = amount - 1"+where, "subscription", of, "the total of the usage")
	}
	if len(due) == 0 {
		return
	}
	c := due[p.pick(len(due), "charge")]
	where := fmt.Sprintf(" WHERE id = '%s'", c.ID)
	p.wantFinding("an amount", "UPDATE charges SET amount = amount + 1"+where,
		"UPDATE charges SET amount = amount - 1"+where, "charge", c.ID, "the amount is")
	p.wantFinding("a period", "UPDATE charges SET period_end = due_at, due_at = period_end"+where,
		"UPDATE charges SET period_end = due_at, due_at = period_end"+where, "charge", c.ID, "the end of the period is")
	double := uuid.New()
	p.wantFinding("a doubled charge", fmt.Sprintf("INSERT INTO charges (account_id, id, source_key, %s) "+
		"SELECT account_id, '%s', source_key || '/7', %s FROM charges", copied, double, copied)+where,
		fmt.Sprintf("DELETE FROM charges WHERE id = '%s'", double), "charge", double, "is not due")
	p.verify("after everything was put right again")
	p.wantFinding("a missing charge", "DELETE FROM charges"+where, "", "subscription", c.SubscriptionID,
		c.SourceKey+" of")
}

// wantFinding changes a row, checks that verifying finds it, and changes it back.
func (p *play) wantFinding(what, change, back, kind string, id uuid.UUID, problem string) {
	p.Helper()
	p.exec(change)
	found := p.findings()
	if !slices.ContainsFunc(found, func(f billing.Finding) bool {
		return f.Kind == kind && f.ID == id && strings.Contains(f.Problem, problem)
	}) {
		p.Fatalf("%s was changed by %q: got the findings %v, want %s %s: %q", what, change, found, kind, id, problem)
	}
	if back != "" {
		p.exec(back)
	}
}
