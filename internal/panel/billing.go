package panel

import (
	"time"

	"latchkey/internal/billing"
)

// Paths of the pages of billing, below the account's.
const (
	subscriptionsPath = "/subscriptions"
	invoicesPath      = "/invoices"
	salesPath         = "/billing"
)

// shownCharge is a charge as pages show it.
type shownCharge struct {
	billing.Charge

	// KindName and StatusName are words, and Badge the look of the status.
	KindName, StatusName, Badge string
	// Span is the period in words, empty if it has none.
	Span string
}

var chargeLooks = map[billing.ChargeStatus]string{
	billing.ChargePending: "warn", billing.ChargeInvoiced: "good", billing.ChargeDeleted: "bad",
}

// describeCharge returns a charge as pages show it.
func describeCharge(q *request, c billing.Charge) shownCharge {
	shown := shownCharge{Charge: c, KindName: q.label("billing.kinds.", string(c.Kind)),
		StatusName: q.label("billing.charge_status.", string(c.Status)), Badge: chargeLooks[c.Status]}
	if !c.Period.Start.IsZero() {
		shown.Span = spanText(q, c.Period)
	}
	return shown
}

// spanText returns a period in words. Its end is the last day, since people count whole days.
func spanText(q *request, s billing.Span) string {
	first, last := dayText(s.Start), dayText(s.End.Add(-time.Second))
	if first == last {
		return first
	}
	return q.text("billing.span", "first", first, "last", last)
}

// dayText returns a day of billing, which counts days in UTC.
func dayText(at time.Time) string { return at.UTC().Format("2 January 2006") }
