package billing

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/test/check"
)

// stored returns a subscription of half a year with a change, usage and a partner's credit, and its stored charges.
func stored(t *testing.T) (Subscription, []Charge) {
	t.Helper()
	limit := int64(500)
	item := monthly(1000)
	item.Cap = &limit
	s := approved("2026-01-31", item).Subscription
	s = changeTo(t, s, Month, 3000, "2026-03-10").Subscription
	s = Roll(s, date("2026-06-15")).Subscription
	charges := Due(s, date("2026-06-15"))
	for i := range charges {
		charges[i].ID, charges[i].Status = uuid.UUID{1, byte(i)}, ChargePending
	}
	usage := charges[0]
	usage.ID, usage.Kind, usage.Amount.Minor = uuid.UUID{2, 1}, Usage, 300
	usage.SourceKey, usage.DueAt = UsageKey(s.ID, "a"), date("2026-02-03T10:00:00")
	more := usage
	more.ID, more.Amount.Minor, more.SourceKey = uuid.UUID{2, 2}, 200, UsageKey(s.ID, "b")
	deleted := usage
	deleted.ID, deleted.Amount.Minor, deleted.SourceKey = uuid.UUID{2, 3}, 500, UsageKey(s.ID, "c")
	deleted.Status = ChargeDeleted
	credit := charges[0]
	credit.ID, credit.Kind, credit.Amount.Minor = uuid.UUID{3, 1}, Credit, -1000
	credit.SourceKey, credit.CreditOf, credit.DueAt = CreditOfKey(s.ID, "d"), charges[0].ID, date("2026-05-01")
	return s, append(charges, usage, more, deleted, credit)
}

// find returns the charge of a source key, which is without the subscription's ID.
func find(t *testing.T, charges []Charge, key string) *Charge {
	t.Helper()
	i := slices.IndexFunc(charges, func(c Charge) bool {
		return strings.Replace(c.SourceKey, "/"+c.SubscriptionID.String(), "", 1) == key
	})
	if i < 0 {
		t.Fatalf("there is no charge %s", key)
	}
	return &charges[i]
}

func TestVerifySubscription(t *testing.T) {
	s, charges := stored(t)
	check.Equal(t, VerifySubscription(s, charges, date("2026-06-15")), nil, "findings for data that is right")
	late := s
	late.BilledUntil = date("2026-04-29")
	check.Equal(t, VerifySubscription(late, charges[:5], date("2026-06-15")), nil, "findings before a late run")

	tests := map[string]struct {
		change func(s *Subscription, charges []Charge) []Charge
		want   string
	}{
		"missing": {func(_ *Subscription, c []Charge) []Charge { return c[1:] },
			"r/0/0 of 1000 USD, due at 2026-01-31T00:00:00Z, is missing"},
		"not due": {func(_ *Subscription, c []Charge) []Charge {
			extra := *find(t, c, "r/0/0")
			extra.SourceKey = RecurringKey(s.ID, 0, 77)
			return append(c, extra)
		}, "r/0/77: is not due"},
		"twice": {func(_ *Subscription, c []Charge) []Charge { return append(c, c[0]) }, "r/0/0: exists twice"},
		"overlap": {func(_ *Subscription, c []Charge) []Charge {
			find(t, c, "r/0/1").Period.Start = date("2026-02-20")
			return c
		}, "r/0/1: begins at 2026-02-20T00:00:00Z, before the period before it ends"},
		"gap": {func(_ *Subscription, c []Charge) []Charge {
			find(t, c, "r/0/1").Period.Start = date("2026-03-01")
			return c
		}, "r/0/1: leaves a gap from 2026-02-28T00:00:00Z on"},
		"overlap where a change replaced the rest": {func(_ *Subscription, c []Charge) []Charge {
			find(t, c, "r/1/2").Period.Start = date("2026-03-10")
			return c
		}, "r/1/2: begins at 2026-03-10T00:00:00Z, before the period before it ends"},
		"end of the tiling": {func(_ *Subscription, c []Charge) []Charge {
			find(t, c, "r/1/4").Period.End = date("2026-06-10")
			return c
		}, "no charge is for the time from 2026-06-10T00:00:00Z on"},
		"amount": {func(_ *Subscription, c []Charge) []Charge { find(t, c, "d/1").Amount.Minor++; return c },
			"d/1: the amount is $20.33, and should be $20.32"},
		"currency": {func(_ *Subscription, c []Charge) []Charge { c[0].Amount.Currency = "EUR"; return c },
			"the amount is €10.00"},
		"due time": {func(_ *Subscription, c []Charge) []Charge { c[0].DueAt = c[0].DueAt.Add(1); return c },
			"r/0/0: the due time is"},
		"merchant": {func(_ *Subscription, c []Charge) []Charge { c[0].MerchantID = uuid.Nil; return c },
			"r/0/0: the merchant is"},
		"term": {func(_ *Subscription, c []Charge) []Charge { c[0].Term = 1; return c }, "r/0/0: the term is 1"},
		"usage above the cap": {func(_ *Subscription, c []Charge) []Charge {
			find(t, c, "u/b").Amount.Minor++
			return c
		},
			"u/b: raises the usage of the period to 501, above the cap of 500"},
		"usage that was deleted and counts again": {func(_ *Subscription, c []Charge) []Charge {
			find(t, c, "u/c").Status = ChargePending
			return c
		}, "above the cap of 500"},
		"usage without a cap": {func(s *Subscription, c []Charge) []Charge {
			s.Terms = slices.Clone(s.Terms)
			s.Terms[0].Cap = nil
			return c
		}, "u/a: is usage, and term 0 has no cap"},
		"usage of another period": {func(_ *Subscription, c []Charge) []Charge {
			find(t, c, "u/a").DueAt = date("2026-02-28")
			return c
		}, "u/a: is for a period in which it did not fall due"},
		"credits above the charge": {func(_ *Subscription, c []Charge) []Charge {
			find(t, c, "x/d").Amount.Minor--
			return c
		}, "r/0/0: its credits are 1001, and its amount is 1000"},
		"credit of nothing": {func(_ *Subscription, c []Charge) []Charge {
			find(t, c, "x/d").CreditOf = uuid.UUID{99}
			return c
		}, "x/d: credits a charge that the subscription does not have"},
		"deleted": {func(_ *Subscription, c []Charge) []Charge { c[0].Status = ChargeDeleted; return c },
			"r/0/0: is deleted, and only usage can be"},
		"invoiced without an invoice": {func(_ *Subscription, c []Charge) []Charge {
			c[0].Status = ChargeInvoiced
			return c
		}, "r/0/0: has the status INVOICED"},
		"sign": {func(_ *Subscription, c []Charge) []Charge { find(t, c, "u/a").Amount.Minor = -1; return c },
			"u/a: has the amount -1"},
		"in the trial": {func(s *Subscription, c []Charge) []Charge { s.TrialEndsAt = date("2026-02-01"); return c },
			"r/0/0: fell due in the trial"},
		"after the end": {func(s *Subscription, c []Charge) []Charge { s.CancelAt = date("2026-05-31"); return c },
			"is for a time after the end of the subscription"},
		"usage after the end": {func(s *Subscription, c []Charge) []Charge {
			s.CancelAt = date("2026-02-03")
			return c
		}, "u/a: fell due after the end of the subscription"},
		"no approval": {func(s *Subscription, c []Charge) []Charge {
			s.Terms = slices.Clone(s.Terms)
			s.Terms[1].ApprovedBy = uuid.Nil
			return c
		}, "term 1 has no approval"},
		"order of terms": {func(s *Subscription, c []Charge) []Charge {
			s.Terms = slices.Clone(s.Terms)
			s.Terms[1].From = date("2026-01-01")
			return c
		}, "term 1 is out of order"},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			changed := s
			after := c.change(&changed, slices.Clone(charges))
			found := VerifySubscription(changed, after, date("2026-06-15"))
			wantFinding(t, found, s, c.want)
		})
	}
}

// TestVerifyAcceptsLives verifies lives whose charges leave gaps and overlap for a reason.
func TestVerifyAcceptsLives(t *testing.T) {
	base := approved("2026-01-15", monthly(1000)).Subscription
	suspended := base
	suspended.Suspensions = []Span{between("2026-02-01", "2026-04-20")}
	quarterly := changeTo(t, base, Quarter, 2500, "2026-02-01T12:00:00").Subscription
	cheaper := changeTo(t, base, Month, 1, "2026-02-03").Subscription
	for name, s := range map[string]Subscription{
		"suspended":                     suspended,
		"another interval":              quarterly,
		"two intervals in one second":   changeTo(t, quarterly, Month, 1000, "2026-02-01T12:00:00").Subscription,
		"a change, then an interval":    changeTo(t, cheaper, Annual, 2, "2026-02-03").Subscription,
		"ended immediately":             Cancel(base, true, date("2026-03-01T10:00:00.5")).Subscription,
		"ended as a period begins":      Cancel(base, true, date("2026-03-15")).Subscription,
		"cancelled at the period's end": Cancel(base, false, date("2026-03-01")).Subscription,
	} {
		s.BilledUntil = date("2026-07-01")
		charges := Due(s, s.BilledUntil)
		for i := range charges {
			charges[i].ID, charges[i].Status = uuid.UUID{1, byte(i)}, ChargePending
		}
		// Usage in the second in which a subscription ends is older than its end.
		if !s.CancelAt.IsZero() && s.CreditsRest && s.CancelAt.Hour() == 10 {
			limit := int64(1)
			s.Terms = slices.Clone(s.Terms)
			s.Terms[0].Cap = &limit
			usage := charges[1]
			usage.ID, usage.Kind, usage.SourceKey = uuid.UUID{2}, Usage, UsageKey(s.ID, "a")
			usage.DueAt, usage.Amount.Minor = date("2026-03-01T10:00:00.4"), 1
			charges = append(charges, usage)
		}
		check.Equal(t, VerifySubscription(s, charges, s.BilledUntil), nil, "%s: findings", name)
		// Rows that the database returns in another order are the same.
		slices.Reverse(charges)
		check.Equal(t, VerifySubscription(s, charges, s.BilledUntil), nil, "%s: findings in another order", name)
	}
}

// wantFinding checks that there is a finding with the text, in which source keys are without the subscription's ID.
func wantFinding(t *testing.T, found []Finding, s Subscription, want string) {
	t.Helper()
	for _, f := range found {
		if strings.Contains(strings.ReplaceAll(f.Problem, "/"+s.ID.String(), ""), want) && f.ID != uuid.Nil {
			return
		}
	}
	t.Errorf("got the findings %v, want one with %q", found, want)
}

func TestVerifyInvoice(t *testing.T) {
	merchant := uuid.UUID{0xc}
	invoice := Invoice{ID: uuid.UUID{7}, MerchantID: merchant, Month: "2026-01", Total: Money{700, "USD"}}
	lines := amounts(merchant, "2026-01", 1000, -300)
	for i := range lines {
		lines[i].Status, lines[i].InvoiceID = ChargeInvoiced, invoice.ID
	}
	check.Equal(t, VerifyInvoice(invoice, lines), nil, "findings for an invoice that is right")
	for name, c := range map[string]struct {
		change func(i *Invoice, lines []Charge) []Charge
		want   string
	}{
		"total":    {func(i *Invoice, l []Charge) []Charge { i.Total.Minor--; return l }, "the total is 699"},
		"missing":  {func(_ *Invoice, l []Charge) []Charge { return l[:1] }, "the sum of 1 charges is 1000"},
		"empty":    {func(i *Invoice, _ []Charge) []Charge { i.Total.Minor = 0; return nil }, "the sum of 0 charges"},
		"negative": {func(i *Invoice, l []Charge) []Charge { i.Total.Minor = -300; return l[1:] }, "the total is -300"},
		"month": {func(_ *Invoice, l []Charge) []Charge { l[0].DueAt = date("2026-02-01"); return l },
			"fell due in 2026-02"},
		"status": {func(_ *Invoice, l []Charge) []Charge { l[0].Status = ChargePending; return l }, "has the status"},
		"merchant": {func(_ *Invoice, l []Charge) []Charge { l[0].MerchantID = uuid.Nil; return l },
			"another merchant"},
		"currency": {func(_ *Invoice, l []Charge) []Charge { l[0].Amount.Currency = "EUR"; return l },
			"another merchant or currency"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := invoice
			charges := c.change(&changed, slices.Clone(lines))
			wantFinding(t, VerifyInvoice(changed, charges), Subscription{}, c.want)
		})
	}
}

func TestVerifyCarried(t *testing.T) {
	m := OpenMonth{uuid.UUID{0xc}, "2026-01", "USD"}
	_, carried, _ := Compose(m, uuid.UUID{7}, 1, amounts(m.MerchantID, m.Month, -700), date("2026-02-01"))
	for i := range carried {
		carried[i].ID = uuid.UUID{1, byte(i)}
	}
	check.Equal(t, VerifyCarried(carried), nil, "findings for charges that are right")
	for name, change := range map[string]func(c []Charge) []Charge{
		"missing on the next":  func(c []Charge) []Charge { return c[:1] },
		"missing on the first": func(c []Charge) []Charge { return c[1:] },
		"amount":               func(c []Charge) []Charge { c[1].Amount.Minor--; return c },
		"signs": func(c []Charge) []Charge {
			c[0].Amount.Minor, c[1].Amount.Minor = -700, 700
			return c
		},
		"another month":        func(c []Charge) []Charge { c[1].DueAt = date("2026-03-01"); return c },
		"line without invoice": func(c []Charge) []Charge { c[0].InvoiceID = uuid.Nil; return c },
	} {
		if found := VerifyCarried(change(slices.Clone(carried))); len(found) == 0 {
			t.Errorf("%s: no finding", name)
		}
	}
}

func TestVerifyTotals(t *testing.T) {
	s, charges := stored(t)
	start := find(t, charges, "u/a").Period.Start
	for name, tc := range map[string]struct {
		usage map[time.Time]int64
		want  string
	}{
		"right":         {map[time.Time]int64{start: 500}, ""},
		"too low":       {map[time.Time]int64{start: 499}, "from 2026-01-31T00:00:00Z on is 499, and its charges are 500"},
		"missing":       {nil, "is 0, and its charges are 500"},
		"without usage": {map[time.Time]int64{start: 500, date("2026-02-28"): 1}, "is 1, and its charges are 0"},
	} {
		found := VerifyTotals(Statement{s, charges, tc.usage})
		if tc.want == "" {
			check.Equal(t, found, nil, "%s: findings", name)
		} else {
			wantFinding(t, found, s, tc.want)
		}
	}
}

// TestVerifyCreditsOfChangesAndEnds has a charge that a partner and a change or an end credited.
func TestVerifyCreditsOfChangesAndEnds(t *testing.T) {
	_, charges := stored(t)
	partner := *find(t, charges, "x/d")
	s := approved("2026-01-31", monthly(1000)).Subscription
	s.Credited = 900
	for name, step := range map[string]Step{"change": changeTo(t, s, Annual, 3000, "2026-02-14"),
		"end": Cancel(s, true, date("2026-02-14"))} {
		all := Due(step.Subscription, date("2026-02-14"))
		for i := range all {
			all[i].ID, all[i].Status = uuid.UUID{1, byte(i)}, ChargePending
		}
		check.Equal(t, all[1].Amount.Minor, int64(-100), "%s: the credit, at most the rest of the charge", name)
		partner.CreditOf, partner.Amount.Minor = all[0].ID, -900
		verify := func() []Finding {
			return VerifySubscription(step.Subscription, append(slices.Clone(all), partner), date("2026-02-14"))
		}
		check.Equal(t, verify(), nil, "%s: findings for data that is right", name)
		partner.Amount.Minor = -901
		wantFinding(t, verify(), s, "its credits are 1001, and its amount is 1000")
		partner.Amount.Minor = -899
		wantFinding(t, verify(), s, "counts credits of 900 before it")
	}
}
