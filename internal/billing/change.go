package billing

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/fault"
)

// Step is a subscription after an act, with the charges to store with it. They have no ID, CreatedAt and Status yet.
type Step struct {
	Subscription Subscription
	// Overdue fell due before the act, and no billing run has stored them.
	Overdue []Charge
	// Added are the charges of the act itself.
	Added []Charge
	// Changed is false if the subscription already had the state that the act asks for. Then only Overdue is to store.
	Changed bool
}

// Charges returns all charges of the step in the order in which they fell due.
func (s Step) Charges() []Charge { return slices.Concat(s.Overdue, s.Added) }

// ErrNoActiveSubscription is the error for a change of a subscription that does not exist, is another account's, or is
// not active. It does not reveal which.
func ErrNoActiveSubscription() *fault.Error {
	return fault.Errorf(fault.NotFound, "Could not find active subscription.")
}

// Roll returns the subscription with everything stored that fell due by now. It is what a billing run does, and what
// every act does first. It does not count as a change.
func Roll(s Subscription, now time.Time) Step {
	now = later(now, s.BilledUntil)
	step := Step{Overdue: dueIn(s, s.BilledUntil, now)}
	step.Subscription = billed(s, now)
	return step
}

// billed records that everything due by now has its charge.
func billed(s Subscription, now time.Time) Subscription {
	s.BilledUntil, s.NextDueAt = now, NextDue(s, now)
	if s.EndedAt.IsZero() && s.Status(now) == Cancelled {
		s.EndedAt = now
	}
	return s
}

// changed completes an act at now: Roll returned s, and the act made next from its subscription.
func (s Step) changed(next Subscription, now time.Time) Step {
	before := map[string]bool{}
	for _, c := range Due(s.Subscription, now) {
		before[c.SourceKey] = true
	}
	for _, c := range Due(next, now) {
		if !before[c.SourceKey] {
			s.Added = append(s.Added, c)
		}
	}
	next.UpdatedAt = now
	next.Version++
	next.Credited = 0
	s.Subscription, s.Changed = billed(next, now), true
	return s
}

// later returns the later one of two times. Billing time that steps back, as a process's clock can, must not reach
// behind what is billed.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// TermOf returns the term that an item of a checkout asks for, approved by a user. Its Seq and From are zero.
func TermOf(c Checkout, item int, approvedBy uuid.UUID) Term {
	i := c.Items[item]
	return Term{
		Level:      i.Level,
		Interval:   i.Interval,
		Price:      i.Price,
		Cap:        i.Cap,
		CheckoutID: c.ID,
		Item:       item,
		ApprovedBy: approvedBy,
	}
}

// Start returns the subscription that the approval of a checkout's new item begins, with the ID.
func Start(c Checkout, item int, id, approvedBy uuid.UUID, now time.Time) Step {
	i, term := c.Items[item], TermOf(c, item, approvedBy)
	term.From = second(now)
	s := Subscription{
		ID:          id,
		PartnerID:   c.PartnerID,
		MerchantID:  c.MerchantID,
		StoreID:     i.StoreID,
		StoreHash:   i.StoreHash,
		AppID:       i.AppID,
		CreatedAt:   now,
		UpdatedAt:   now,
		ActivatedAt: midnight(now),
		Terms:       []Term{term},
		Version:     1,
	}
	if i.TrialDays > 0 {
		s.TrialEndsAt = midnight(now).Add(time.Duration(i.TrialDays) * day)
		s.ActivatedAt = s.TrialEndsAt
	}
	return Step{Subscription: billed(s, now), Added: Due(s, now), Changed: true}
}

// CheckChange returns the error for a change of price or level that is refused in the state of the subscription.
func CheckChange(s Subscription, now time.Time) error {
	switch {
	case s.Status(now) != Active:
		return ErrNoActiveSubscription()
	case s.InTrial(now):
		return fault.Errorf(fault.Invalid, "Checkouts are not available for existing trial subscriptions.")
	case s.Term().Interval == Once:
		return fault.Errorf(fault.Invalid, "A subscription that is paid once cannot be changed.")
	case len(s.Terms) >= MaxTerms:
		return fault.Errorf(fault.LimitReached, "The subscription was changed %d times, which is the most. Cancel it and "+
			"create a new one.", len(s.Terms)-1)
	}
	return nil
}

// Change returns the subscription with a term that counts from the second asOf, or from now if asOf is zero. A term
// without a cap keeps that of the term before, and a cancellation that is to come is withdrawn. It is the preview of
// the change, too: what it adds is the same for the same asOf, and where that would not be so, it returns
// fault.Conflict.
func Change(s Subscription, t Term, asOf, now time.Time) (Step, error) {
	now = later(now, s.BilledUntil)
	if err := CheckChange(s, now); err != nil {
		return Step{}, err
	}
	t.From = second(now)
	if !asOf.IsZero() {
		t.From = second(asOf)
		if err := s.checkAsOf(t.From, now); err != nil {
			return Step{}, err
		}
	}
	t.Seq, t.Credited = len(s.Terms), s.Credited
	if t.Cap == nil {
		t.Cap = s.Term().Cap
	}
	step := Roll(s, now)
	next := step.Subscription
	next.Terms = append(slices.Clone(s.Terms), t)
	next.CancelAt, next.CancelledAt = time.Time{}, time.Time{}
	return step.changed(next, now), nil
}

// checkAsOf returns fault.Conflict if a change that counts from asOf is no longer what it was at asOf: a period, a
// month, and so an invoice, or another change began since, or the subscription was suspended at that time.
func (s Subscription) checkAsOf(asOf, now time.Time) error {
	if asOf.After(now) {
		return fault.Errorf(fault.Invalid, "The time of a change must not be in the future.").On("asOf")
	}
	outdated := s.Term().From.After(asOf) || MonthOf(asOf) != MonthOf(now) || s.suspendedAt(asOf)
	for p := range s.periods() {
		if p.Start.After(now) {
			break
		}
		outdated = outdated || p.Start.After(asOf)
	}
	if outdated {
		return errOutdated(asOf)
	}
	return nil
}

// errOutdated is the error for a change that counts from asOf and would no longer cost what it did then.
func errOutdated(asOf time.Time) error {
	return fault.Errorf(fault.Conflict, "The subscription's charges have changed since %s. Create a new "+
		"preview and a new checkout.", asOf.Format(time.RFC3339)).On("asOf")
}

// digest returns the digest of the charges that a step adds, with the fields that a preview shows.
func (s Step) digest() []byte {
	var shown []any
	for _, c := range s.Added {
		shown = append(shown, c.Kind, c.Amount, c.Period.Start.Unix(), c.Period.End.Unix(), c.Description)
	}
	return digestOf(shown...)
}

// Cancel returns the cancelled subscription: at the end of the period, or immediately with a credit for the rest of
// it. In a trial, and after the day of a subscription that is paid once, it ends at once in either way. Cancelling
// twice in the same way changes nothing.
func Cancel(s Subscription, immediately bool, now time.Time) Step {
	now = later(now, s.BilledUntil)
	step := Roll(s, now)
	next := step.Subscription
	if s.Status(now) == Cancelled || !s.CancelAt.IsZero() && !immediately {
		return step
	}
	end := s.CurrentPeriodEnd(now)
	if immediately || s.InTrial(now) || !end.After(now) {
		next.CancelAt, next.CancelledAt = second(now), midnight(now)
		next.CreditsRest = immediately && !s.InTrial(now)
		if next.CreditsRest {
			next.EndCredited = s.Credited
		}
	} else {
		next.CancelAt, next.CancelledAt = end, end.Add(-day)
	}
	return step.changed(next, now)
}

// Suspend returns the suspended subscription. It returns fault.Conflict if the subscription has ended.
func Suspend(s Subscription, now time.Time) (Step, error) {
	return s.setSuspended(true, now)
}

// Resume returns the subscription after its suspension. It returns fault.Conflict if the subscription has ended.
func Resume(s Subscription, now time.Time) (Step, error) {
	return s.setSuspended(false, now)
}

func (s Subscription) setSuspended(suspended bool, now time.Time) (Step, error) {
	now = later(now, s.BilledUntil)
	if s.Status(now) == Cancelled {
		return Step{}, fault.Errorf(fault.Conflict, "The subscription has ended.").On("id")
	}
	step := Roll(s, now)
	if s.Suspended() == suspended {
		return step, nil
	}
	next := step.Subscription
	next.Suspensions = slices.Clone(s.Suspensions)
	if suspended {
		next.Suspensions = append(next.Suspensions, Span{Start: now})
	} else {
		next.Suspensions[len(next.Suspensions)-1].End = now
	}
	return step.changed(next, now), nil
}
