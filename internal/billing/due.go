package billing

import (
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
)

// Source keys of charges. A key says what a charge is for and is unique among the charges of a merchant, so that each
// charge is stored once, however often and by however many processes it is worked out.

// RecurringKey is the source key of the price of a period. periodNumber counts from the last change of interval on.
func RecurringKey(subscription uuid.UUID, term, periodNumber int) string {
	return fmt.Sprintf("r/%s/%d/%d", subscription, term, periodNumber)
}

// CreditKey is the source key of the credit for the rest of the period in which a term began.
func CreditKey(subscription uuid.UUID, term int) string {
	return fmt.Sprintf("c/%s/%d", subscription, term)
}

// DebitKey is the source key of a term's price for the rest of the period in which it began.
func DebitKey(subscription uuid.UUID, term int) string {
	return fmt.Sprintf("d/%s/%d", subscription, term)
}

// OneTimeKey is the source key of the price of a subscription that is paid once.
func OneTimeKey(subscription uuid.UUID) string { return fmt.Sprintf("o/%s", subscription) }

// EndKey is the source key of the credit for the rest of the period in which a subscription ended immediately.
func EndKey(subscription uuid.UUID) string { return fmt.Sprintf("e/%s", subscription) }

// UsageKey is the source key of a usage charge. key is the idempotency key of its request.
func UsageKey(subscription uuid.UUID, key string) string {
	return fmt.Sprintf("u/%s/%s", subscription, key)
}

// CreditOfKey is the source key of a credit that a partner gives. key is the idempotency key of its request.
func CreditOfKey(subscription uuid.UUID, key string) string {
	return fmt.Sprintf("x/%s/%s", subscription, key)
}

// CarriedKey is the source key of the credit that the invoice of a month carries to the next month.
func CarriedKey(merchant uuid.UUID, month, currency string) string {
	return fmt.Sprintf("k/%s/%s/%s", merchant, month, currency)
}

// CarriedOutKey is the source key of the line that sets the total of the invoice of a month to 0.
func CarriedOutKey(merchant uuid.UUID, month, currency string) string {
	return CarriedKey(merchant, month, currency) + "/out"
}

// Due returns every charge that ought to exist at the time, in the order in which they fell due, without usage and
// what a partner credits. The charges have no ID, CreatedAt and Status yet.
func Due(s Subscription, asOf time.Time) []Charge { return dueIn(s, time.Time{}, asOf) }

// dueIn returns the charges of Due that fell due after a time.
func dueIn(s Subscription, after, until time.Time) []Charge {
	var charges []Charge
	for c := range s.charges(after) {
		if c.DueAt.After(until) {
			break
		}
		charges = append(charges, c)
	}
	return charges
}

// NextDue returns the first time after the given one at which a charge falls due or the subscription ends, if nothing
// changes. It returns zero if there is none.
func NextDue(s Subscription, after time.Time) time.Time {
	for c := range s.charges(after) {
		return c.DueAt
	}
	if s.CancelAt.After(after) {
		return s.CancelAt
	}
	return time.Time{}
}

// charges yields what falls due after a time, in order. It goes on without an end unless the subscription is
// cancelled, suspended or paid once.
func (s Subscription) charges(after time.Time) iter.Seq[Charge] {
	return func(yield func(Charge) bool) {
		for p := range s.periods() {
			if !p.charged {
				// While the subscription stays suspended, no later period is charged, and no change is possible.
				if s.Suspended() && p.Start.After(s.Suspensions[len(s.Suspensions)-1].Start) {
					return
				}
				continue
			}
			// Nothing of a period falls due after it.
			if !p.End.After(after) {
				continue
			}
			for _, c := range s.chargesOf(p) {
				if c.DueAt.After(after) && !yield(c) {
					return
				}
			}
		}
	}
}

// chargesOf returns the charges of a period that is charged: its price, then two for each change, then the credit of an
// immediate end.
func (s Subscription) chargesOf(p period) []Charge {
	first := s.Terms[p.first]
	charges := []Charge{s.charge(first, Recurring, RecurringKey(s.ID, first.Seq, p.number), p.Span, p.Span)}
	if first.Interval == Once {
		charges[0] = s.charge(first, OneTime, OneTimeKey(s.ID), p.Span, p.Span)
	}
	// An end or a change credits the charge that covers the rest of the period, and never more than is left of it.
	covering := charges[0].Amount.Minor
	for i := p.first + 1; i <= p.last; i++ {
		before, term := s.Terms[i-1], s.Terms[i]
		rest := Span{s.from(i), p.End}
		if rest.Start.Before(p.Start) {
			rest.Start = p.Start
		}
		credit := s.charge(before, Credit, CreditKey(s.ID, term.Seq), rest, p.Span)
		credit.Term = term.Seq
		charges = append(charges, credit.within(covering, term.Credited))
		if term.Interval == before.Interval {
			debit := s.charge(term, Proration, DebitKey(s.ID, term.Seq), rest, p.Span)
			charges, covering = append(charges, debit), debit.Amount.Minor
		}
	}
	// What is paid once is not for a time, so that it has no rest.
	if p.ended && first.Interval != Once {
		credit := s.charge(s.Terms[p.last], Credit, EndKey(s.ID), Span{p.until, p.End}, p.Span)
		charges = append(charges, credit.within(covering, s.EndCredited))
	}
	return charges
}

// within returns a credit of no more than what is left of the amount that it takes back, of which some was credited
// before. If nothing was, the credit never exceeds the amount.
func (c Charge) within(amount, credited int64) Charge {
	if credited > 0 {
		c.Amount.Minor = max(c.Amount.Minor, -max(amount-credited, 0))
	}
	return c
}

// Covering returns the source key of the charge that covers the rest of the period at a time: a change or an immediate
// end then credits it. It is empty if no charge does. A price that is paid once is not for a time.
func (s Subscription) Covering(at time.Time) string {
	key := ""
	for p := range s.periods() {
		if p.Start.After(at) {
			break
		}
		switch first := s.Terms[p.first]; {
		case !p.charged || first.Interval == Once:
			key = ""
		case p.last == p.first:
			key = RecurringKey(s.ID, first.Seq, p.number)
		default:
			key = DebitKey(s.ID, s.Terms[p.last].Seq)
		}
	}
	return key
}

// takenBack returns what a change or an immediate end credited of a charge by a time. It is not positive.
func (s Subscription) takenBack(c Charge, by time.Time) int64 {
	covering := ""
	for _, due := range Due(s, by) {
		if due.Kind != Credit {
			covering = due.SourceKey
		} else if covering == c.SourceKey {
			return due.Amount.Minor
		}
	}
	return 0
}

// charge returns a charge of a term's price for a part of a period.
func (s Subscription) charge(t Term, kind ChargeKind, key string, part, whole Span) Charge {
	amount := t.Price
	amount.Minor = Prorate(amount.Minor, part.seconds(), whole.seconds())
	if kind == Credit {
		amount.Minor = -amount.Minor
	}
	return Charge{
		MerchantID:     s.MerchantID,
		PartnerID:      s.PartnerID,
		SubscriptionID: s.ID,
		Term:           t.Seq,
		Kind:           kind,
		Amount:         amount,
		Period:         part,
		DueAt:          part.Start,
		SourceKey:      key,
		Description:    describe(kind, t.Level),
	}
}

// describe returns the description of a charge for a level, which may be empty.
func describe(kind ChargeKind, level string) string {
	text := "Subscription"
	switch kind {
	case OneTime:
		text = "One-time price"
	case Proration:
		text = "Remaining time"
	case Credit:
		text = "Unused time"
	}
	switch {
	case level == "":
		return text
	case kind == Proration, kind == Credit:
		return text + " on " + level
	}
	return text + ": " + level
}
