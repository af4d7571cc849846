package panel

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/billing"
	"latchkey/internal/paging"
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
	// About says which app charges which store, and Partner whose app it is. They are empty if the page says so
	// elsewhere.
	About, Partner string
	// App is the app that charges. The partner sees the Customer, which is the account that is charged, and the Hash of
	// its store; the customer sees the name of the Store.
	App, Customer, Hash, Store string
	// Subscription is the address of the subscription's page, for the customer.
	Subscription string
}

var chargeLooks = map[billing.ChargeStatus]string{
	billing.ChargePending: "", billing.ChargeInvoiced: "good", billing.ChargeDeleted: "bad",
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

// describeCharges returns charges as pages show them, with the app and the store of each. A partner sees the name of
// the merchant and the hash of the store, and a merchant the names of the partner and the store.
func describeCharges(q *request, service *billing.Service, charges []billing.Charge,
	asPartner bool) ([]shownCharge, error) {
	about, err := chargedFor(q, service, charges)
	if err != nil {
		return nil, err
	}
	shown := make([]shownCharge, len(charges))
	for i, c := range charges {
		shown[i] = describeCharge(q, c)
		s, known := about[c.SubscriptionID]
		shown[i].Partner = s.Partner
		switch {
		case !known:
		case asPartner:
			shown[i].Customer, shown[i].Hash, shown[i].App = s.Merchant, s.hash, s.App
		default:
			shown[i].App, shown[i].Store = s.App, s.Store
			shown[i].Subscription = q.address(subscriptionsPath + "/" + c.SubscriptionID.String())
			shown[i].About = q.text("billing.charged_by", "app", s.App, "partner", s.Partner, "store", s.Store)
		}
	}
	return shown, nil
}

// namedSubscription is the names of a subscription, and the hash of its store.
type namedSubscription struct {
	billing.Names

	hash string
}

// chargedFor returns the names of the subscriptions of charges, by their IDs.
func chargedFor(q *request, service *billing.Service,
	charges []billing.Charge) (map[uuid.UUID]namedSubscription, error) {
	var ids []uuid.UUID
	seen := map[uuid.UUID]bool{uuid.Nil: true}
	for _, c := range charges {
		if !seen[c.SubscriptionID] {
			seen[c.SubscriptionID] = true
			ids = append(ids, c.SubscriptionID)
		}
	}
	all := map[uuid.UUID]namedSubscription{}
	for some := range slices.Chunk(ids, paging.MaxSize) {
		found, err := service.SubscriptionsByID(q.r.Context(), q.by, some)
		if err != nil {
			return nil, err
		}
		names, err := namesOf(q, service, maps.Values(found))
		if err != nil {
			return nil, err
		}
		for id, s := range found {
			all[id] = namedSubscription{names[s.Subject()], s.StoreHash}
		}
	}
	return all, nil
}

// namesOf returns the names of the apps, accounts and stores of subscriptions.
func namesOf(q *request, service *billing.Service,
	found iter.Seq[billing.Subscription]) (map[billing.Subject]billing.Names, error) {
	var subjects []billing.Subject
	for s := range found {
		subjects = append(subjects, s.Subject())
	}
	return service.Names(q.r.Context(), q.by, subjects)
}

// spanText returns a period in words, with the year once if it is the same. Its end is the last day, since readers
// count whole days.
func spanText(q *request, s billing.Span) string {
	start, end := s.Start.UTC(), s.End.Add(-time.Second).UTC()
	first, last := dayText(start), dayText(end)
	switch {
	case first == last:
		return first
	case start.Year() == end.Year():
		first = start.Format("2\u00a0Jan")
	}
	return q.text("billing.span", "first", first, "last", last)
}

// dayText returns a day of billing, which counts days in UTC.
func dayText(at time.Time) string { return at.UTC().Format("2\u00a0Jan\u00a02006") }

// moneyText returns an amount with a minus sign, which is as wide as a digit, where String writes a hyphen.
func moneyText(m billing.Money) string { return strings.Replace(m.String(), "-", "\u2212", 1) }

// monthText returns a month such as 2026-02 in words.
func monthText(month string) (string, error) {
	at, err := time.Parse("2006-01", month)
	return at.Format("January 2006"), err
}

// shortMonth returns the abbreviated name of a month such as 2026-02, without its year.
func shortMonth(month string) (string, error) {
	at, err := time.Parse("2006-01", month)
	return at.Format("Jan"), err
}
