package billing

import (
	"slices"
	"time"
)

// Oracle is the oracle for tests outside the package.
type Oracle struct{ oracle }

// Life is the state of a subscription that an oracle needs.
type Life struct {
	Began, Suspended, Ended bool
	// Cancelling reports that it will end with its period.
	Cancelling bool
	// Start is that of the current period.
	Start    time.Time
	Interval Interval
}

// Life returns the state at the time that it walked to.
func (o *Oracle) Life() Life {
	return Life{o.began, o.suspended, o.ended, !o.ended && !o.cancel.IsZero(), o.start, o.interval}
}

// Approve begins the subscription.
func (o *Oracle) Approve(i Interval, cents int64, trialDays int, at time.Time) {
	o.approve(i, cents, trialDays, at)
}

// Walk goes through the midnights up to a time.
func (o *Oracle) Walk(to time.Time) { o.walk(to) }

// Change reports whether a change is possible, and makes it.
func (o *Oracle) Change(i Interval, cents int64, asOf, now time.Time) bool {
	return o.change(i, cents, asOf, now)
}

// Changes reports whether a change is possible.
func (o *Oracle) Changes(i Interval, asOf, now time.Time) bool {
	other := o.oracle
	other.rows, other.halts = nil, slices.Clone(o.halts)
	return other.change(i, 0, asOf, now)
}

// Costs returns what a change would cost, as Lines does, if it is possible.
func (o *Oracle) Costs(i Interval, cents int64, asOf, now time.Time) []string {
	other := o.oracle
	other.rows, other.halts = nil, slices.Clone(o.halts)
	other.change(i, cents, asOf, now)
	return sorted(other.rows)
}

// Credit notes what a partner credits of the charge of a term from a time on.
func (o *Oracle) Credit(term int, from time.Time, cents int64) { o.credit(term, from, cents) }

// Cancel ends the subscription.
func (o *Oracle) Cancel(immediately bool, now time.Time) { o.cancelAt(immediately, now) }

// Suspend suspends the subscription.
func (o *Oracle) Suspend(now time.Time) { o.suspend(now) }

// Resume ends a suspension.
func (o *Oracle) Resume(now time.Time) { o.resume(now) }

// Lines returns what was due so far, as Lines does for charges.
func (o *Oracle) Lines() []string { return sorted(o.rows) }

// Lines returns what matters of charges as text, in an order of its own.
func Lines(charges []Charge) []string {
	list := rows(charges)
	for i, r := range list {
		list[i].Period = Span{r.Period.Start.UTC(), r.Period.End.UTC()}
	}
	return sorted(list)
}

// CheckTiles checks that charges of a subscription, without what was requested, pay for its active life once.
var CheckTiles = checkTiles
