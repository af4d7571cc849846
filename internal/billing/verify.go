package billing

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Finding is a row that breaks a rule.
type Finding struct {
	// Kind is subscription, charge or invoice, and ID that of the row.
	Kind string
	ID   uuid.UUID
	// Problem says what is wrong.
	Problem string
}

// String returns the finding as a line of text.
func (f Finding) String() string { return fmt.Sprintf("%s %s: %s", f.Kind, f.ID, f.Problem) }

// findings collects findings.
type findings []Finding

func (f *findings) charge(c Charge, format string, args ...any) {
	*f = append(*f, Finding{"charge", c.ID, fmt.Sprintf("%s: ", c.SourceKey) + fmt.Sprintf(format, args...)})
}

func (f *findings) subscription(s Subscription, format string, args ...any) {
	*f = append(*f, Finding{"subscription", s.ID, fmt.Sprintf(format, args...)})
}

// VerifySubscription compares all charges of a subscription with its terms: with Due, and with the rules that do not
// depend on Due.
func VerifySubscription(s Subscription, charges []Charge, now time.Time) []Finding {
	var found findings
	found.terms(s)
	found.due(s, charges, later(now, s.BilledUntil))
	found.tiling(s, charges)
	found.lifetime(s, charges)
	found.usage(s, charges)
	found.credits(s, charges)
	found.statuses(charges)
	return found
}

// terms finds terms that no owner approved.
func (f *findings) terms(s Subscription) {
	for i, t := range s.Terms {
		if t.Seq != i || i > 0 && t.From.Before(s.Terms[i-1].From) {
			f.subscription(s, "term %d is out of order", t.Seq)
		}
		if t.CheckoutID == uuid.Nil || t.ApprovedBy == uuid.Nil {
			f.subscription(s, "term %d has no approval", t.Seq)
		}
	}
}

// due finds charges that are missing, that should not exist, or that differ from what Due returns.
func (f *findings) due(s Subscription, charges []Charge, now time.Time) {
	stored := map[string]Charge{}
	for _, c := range charges {
		if _, exists := stored[c.SourceKey]; exists {
			f.charge(c, "exists twice")
		}
		stored[c.SourceKey] = c
	}
	expected := map[string]bool{}
	for _, want := range Due(s, now) {
		expected[want.SourceKey] = true
		got, exists := stored[want.SourceKey]
		switch {
		case exists:
			f.differences(got, want)
		case !want.DueAt.After(s.BilledUntil):
			f.subscription(s, "the charge %s of %d %s, due at %s, is missing", want.SourceKey, want.Amount.Minor,
				want.Amount.Currency, want.DueAt.Format(time.RFC3339))
		}
	}
	for _, c := range charges {
		if !expected[c.SourceKey] && !requested(c) {
			f.charge(c, "is not due")
		}
	}
}

// requested reports whether a charge exists because a partner asked for it.
func requested(c Charge) bool {
	return c.Kind == Usage && strings.HasPrefix(c.SourceKey, "u/") ||
		c.Kind == Credit && strings.HasPrefix(c.SourceKey, "x/") && c.CreditOf != uuid.Nil
}

// differences finds what differs between a charge and what Due returns for its source key.
func (f *findings) differences(got, want Charge) {
	for _, field := range []struct {
		name      string
		equal     bool
		got, want any
	}{
		{"merchant", got.MerchantID == want.MerchantID, got.MerchantID, want.MerchantID},
		{"partner", got.PartnerID == want.PartnerID, got.PartnerID, want.PartnerID},
		{"subscription", got.SubscriptionID == want.SubscriptionID, got.SubscriptionID, want.SubscriptionID},
		{"term", got.Term == want.Term, got.Term, want.Term},
		{"kind", got.Kind == want.Kind, got.Kind, want.Kind},
		{"amount", got.Amount == want.Amount, got.Amount, want.Amount},
		{"start of the period", got.Period.Start.Equal(want.Period.Start), got.Period.Start, want.Period.Start},
		{"end of the period", got.Period.End.Equal(want.Period.End), got.Period.End, want.Period.End},
		{"due time", got.DueAt.Equal(want.DueAt), got.DueAt, want.DueAt},
	} {
		if !field.equal {
			f.charge(got, "the %s is %v, and should be %v", field.name, field.got, field.want)
		}
	}
}

// tiling finds gaps and overlaps of the periods that are charged.
func (f *findings) tiling(s Subscription, charges []Charge) {
	var periods []Charge
	// What changes and ends take away from a period: credits that no charge for the same time replaces.
	taken := map[[2]int64]int{}
	for _, c := range charges {
		switch span := [2]int64{c.Period.Start.Unix(), c.Period.End.Unix()}; {
		case c.Kind == Recurring || c.Kind == OneTime:
			periods = append(periods, c)
		case c.Kind == Credit && !requested(c):
			taken[span]++
		case c.Kind == Proration:
			taken[span]--
		}
	}
	slices.SortStableFunc(periods, func(a, b Charge) int {
		return cmp.Or(a.Period.Start.Compare(b.Period.Start), cmp.Compare(a.Term, b.Term))
	})
	cut := func(c Charge, at time.Time) bool { return taken[[2]int64{at.Unix(), c.Period.End.Unix()}] > 0 }
	end := s.ActivatedAt
	for i, c := range periods {
		switch start := c.Period.Start; {
		case start.Equal(end) || i > 0 && cut(periods[i-1], start):
		case start.Before(end):
			f.charge(c, "begins at %s, before the period before it ends", start.UTC().Format(time.RFC3339))
		case !s.suspendedAt(end):
			f.charge(c, "leaves a gap from %s on", end.UTC().Format(time.RFC3339))
		}
		end = c.Period.End
	}
	if len(periods) == 0 || periods[len(periods)-1].Kind == OneTime {
		return
	}
	last := periods[len(periods)-1]
	switch ended := !s.CancelAt.IsZero() && !s.CancelAt.After(s.BilledUntil); {
	case ended && end.After(s.CancelAt) && !cut(last, s.CancelAt):
		f.charge(last, "is for a time after the end of the subscription, and no credit takes it away")
	case !s.suspendedAt(end) && !end.After(s.BilledUntil) && !(ended && !end.Before(s.CancelAt)):
		f.subscription(s, "no charge is for the time from %s on", end.UTC().Format(time.RFC3339))
	}
}

// lifetime finds charges that fell due before the trial's end or after the end of the subscription.
func (f *findings) lifetime(s Subscription, charges []Charge) {
	for _, c := range charges {
		if c.DueAt.Before(s.TrialEndsAt) {
			f.charge(c, "fell due in the trial")
		}
		// The usage of the second in which a subscription ends is older than its end.
		if !s.CancelAt.IsZero() && second(c.DueAt).After(s.CancelAt) && !(c.Kind == Credit && requested(c)) {
			f.charge(c, "fell due after the end of the subscription")
		}
	}
}

// usage finds usage charges that exceeded the cap when they were created, outside their period, or without a cap.
func (f *findings) usage(s Subscription, charges []Charge) {
	var usage []Charge
	for _, c := range charges {
		if c.Kind == Usage && c.Status != ChargeDeleted {
			usage = append(usage, c)
		}
	}
	slices.SortStableFunc(usage, func(a, b Charge) int {
		return cmp.Or(a.DueAt.Compare(b.DueAt), cmp.Compare(a.Term, b.Term))
	})
	sums := map[int64]int64{}
	for _, c := range usage {
		start := c.Period.Start.Unix()
		sums[start] += c.Amount.Minor
		switch {
		case c.DueAt.Before(c.Period.Start) || !c.DueAt.Before(c.Period.End):
			f.charge(c, "is for a period in which it did not fall due")
		case c.Term < 0 || c.Term >= len(s.Terms):
			f.charge(c, "is for term %d, which does not exist", c.Term)
		case s.Terms[c.Term].Cap == nil:
			f.charge(c, "is usage, and term %d has no cap", c.Term)
		case sums[start] > *s.Terms[c.Term].Cap:
			f.charge(c, "raises the usage of the period to %d, above the cap of %d", sums[start], *s.Terms[c.Term].Cap)
		}
	}
}

// VerifyTotals compares the stored totals of the usage of a subscription with its charges.
func VerifyTotals(s Statement) []Finding {
	var found findings
	sums := map[time.Time]int64{}
	for start := range s.Usage {
		sums[start.UTC()] = 0
	}
	for _, c := range s.Charges {
		if c.Kind == Usage && c.Status != ChargeDeleted {
			sums[c.Period.Start.UTC()] += c.Amount.Minor
		}
	}
	for start, sum := range sums {
		if total := s.Usage[start]; total != sum {
			found.subscription(s.Subscription, "the total of the usage of the period from %s on is %d, and its charges are %d",
				start.Format(time.RFC3339), total, sum)
		}
	}
	return found
}

// credits finds charges that were credited with more than their amount: by the partner, and by the change or the end
// that took them back. It also finds changes and ends that count more credits before them than there are.
func (f *findings) credits(s Subscription, charges []Charge) {
	credited := map[uuid.UUID]int64{}
	for _, c := range charges {
		if c.CreditOf != uuid.Nil && c.Status != ChargeDeleted {
			credited[c.CreditOf] -= c.Amount.Minor
		}
	}
	for _, c := range charges {
		sum := credited[c.ID]
		if taken, before := s.takenBackBy(c, charges); taken != nil {
			if before > sum {
				f.charge(*taken, "counts credits of %d before it, and %s has %d", before, c.SourceKey, sum)
			}
			sum -= taken.Amount.Minor
		}
		if sum > max(c.Amount.Minor, 0) {
			f.charge(c, "its credits are %d, and its amount is %d", sum, c.Amount.Minor)
		}
		delete(credited, c.ID)
	}
	for _, c := range charges {
		if _, unknown := credited[c.CreditOf]; unknown {
			f.charge(c, "credits a charge that the subscription does not have")
		}
	}
}

// takenBackBy returns the credit of the change or the end that takes a charge back, and what it counts as credited
// before it; nil if there is none. It is the one for the next term, or else that of the end, in the charge's period.
func (s Subscription) takenBackBy(c Charge, charges []Charge) (credit *Charge, before int64) {
	if c.Kind != Recurring && c.Kind != Proration {
		return nil, 0
	}
	for i, other := range charges {
		if !other.Period.End.Equal(c.Period.End) {
			continue
		}
		switch {
		case other.SourceKey == CreditKey(s.ID, c.Term+1) && c.Term+1 < len(s.Terms):
			return &charges[i], s.Terms[c.Term+1].Credited
		case other.SourceKey == EndKey(s.ID) && other.Term == c.Term:
			return &charges[i], s.EndCredited
		}
	}
	return nil, 0
}

// statuses finds signs, statuses and invoices that contradict the kind of a charge and each other.
func (f *findings) statuses(charges []Charge) {
	for _, c := range charges {
		if c.Status == ChargeDeleted && c.Kind != Usage {
			f.charge(c, "is deleted, and only usage can be")
		}
		if (c.Status == ChargeInvoiced) != (c.InvoiceID != uuid.Nil) {
			f.charge(c, "has the status %s and the invoice %s", c.Status, c.InvoiceID)
		}
		if c.Kind == Credit && c.Amount.Minor > 0 || c.Kind != Credit && c.Kind != Carried && c.Amount.Minor < 0 {
			f.charge(c, "has the amount %d", c.Amount.Minor)
		}
	}
}

// VerifyInvoice compares an invoice with all of its charges.
func VerifyInvoice(i Invoice, charges []Charge) []Finding {
	var found findings
	sum := int64(0)
	for _, c := range charges {
		sum += c.Amount.Minor
		if c.MerchantID != i.MerchantID || c.Amount.Currency != i.Total.Currency {
			found.charge(c, "is on the invoice %s of another merchant or currency", i.ID)
		}
		if c.Status != ChargeInvoiced || c.InvoiceID != i.ID {
			found.charge(c, "has the status %s and the invoice %s, and is on the invoice %s", c.Status, c.InvoiceID, i.ID)
		}
		if month := MonthOf(c.DueAt); month != i.Month {
			found.charge(c, "fell due in %s, and is on the invoice %s of %s", month, i.ID, i.Month)
		}
	}
	if sum != i.Total.Minor || sum < 0 || len(charges) == 0 {
		found = append(found, Finding{"invoice", i.ID,
			fmt.Sprintf("the total is %d, and the sum of %d charges is %d", i.Total.Minor, len(charges), sum)})
	}
	return found
}

// VerifyCarried compares the Carried charges of a merchant with each other: what one invoice carries is on the next.
func VerifyCarried(charges []Charge) []Finding {
	var found findings
	byKey := map[string]Charge{}
	for _, c := range charges {
		byKey[c.SourceKey] = c
	}
	for _, c := range charges {
		key, isLine := strings.CutSuffix(c.SourceKey, "/out")
		if !isLine {
			key += "/out"
		}
		other, exists := byKey[key]
		if !exists || other.Amount.Minor != -c.Amount.Minor || isLine != (c.Amount.Minor > 0) {
			found.charge(c, "carries %d, and %s carries %d", c.Amount.Minor, key, other.Amount.Minor)
		}
		if isLine && exists && MonthOf(c.DueAt.AddDate(0, 0, 1)) != MonthOf(other.DueAt) {
			found.charge(c, "carries from %s to %s", MonthOf(c.DueAt), MonthOf(other.DueAt))
		}
	}
	found.statuses(charges)
	return found
}
