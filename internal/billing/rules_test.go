package billing

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/test/check"
)

// date returns midnight of a day, or a time of RFC 3339 without its zone.
func date(text string) time.Time {
	layout := time.DateOnly
	if strings.Contains(text, "T") {
		layout = "2006-01-02T15:04:05"
	}
	t, err := time.Parse(layout, text)
	if err != nil {
		panic(err)
	}
	return t
}

// term returns a term that counts from a time. subscription numbers it.
func term(from time.Time, interval Interval, price int64) Term {
	return Term{From: from, Interval: interval, Price: Money{price, "USD"}, CheckoutID: uuid.UUID{1},
		ApprovedBy: uuid.UUID{2}}
}

// subscription returns a subscription with the terms.
func subscription(activated time.Time, terms ...Term) Subscription {
	for i := range terms {
		terms[i].Seq = i
	}
	return Subscription{
		ID: uuid.UUID{0xa}, PartnerID: uuid.UUID{0xb}, MerchantID: uuid.UUID{0xc}, StoreID: uuid.UUID{0xd}, AppID: 1,
		CreatedAt: terms[0].From, UpdatedAt: terms[0].From, ActivatedAt: activated, Terms: terms,
	}
}

// keys returns the source keys of charges.
func keys(charges []Charge) []string {
	keys := []string{}
	for _, c := range charges {
		keys = append(keys, c.SourceKey)
	}
	return keys
}

// keysOf returns source keys of a subscription: r/0/1 is r/{subscription}/0/1.
func keysOf(s Subscription, short ...string) []string {
	for i, key := range short {
		short[i] = strings.TrimSuffix(key[:1]+"/"+s.ID.String()+"/"+strings.TrimPrefix(key[1:], "/"), "/")
	}
	return short
}

// row is what matters of a charge.
type row struct {
	Kind   ChargeKind
	Cents  int64
	Period Span
}

func rows(charges []Charge) []row {
	rows := []row{}
	for _, c := range charges {
		rows = append(rows, row{c.Kind, c.Amount.Minor, c.Period})
	}
	return rows
}

// between returns the span between two dates.
func between(start, end string) Span { return Span{date(start), date(end)} }

func TestRuleRounding(t *testing.T) {
	for _, c := range []struct{ amount, part, whole, want int64 }{
		{1, 1, 2, 1}, {-1, 1, 2, -1}, {3, 1, 2, 2}, {-3, 1, 2, -2}, {1, 1, 3, 0}, {-1, 1, 3, 0}, {2, 1, 3, 1},
		{0, 1, 2, 0}, {100, 0, 7, 0}, {100, 7, 7, 100}, {5, 1, 10, 1}, {4, 1, 10, 0},
		// A product of two numbers this large does not fit 64 bits.
		{1<<63 - 1, 1<<62 - 1, 1 << 62, 1<<63 - 3}, {-1 << 63, 1, 1, -1 << 63},
	} {
		check.Equal(t, Prorate(c.amount, c.part, c.whole), c.want, "%d × %d / %d", c.amount, c.part, c.whole)
	}
}

func TestRulePeriods(t *testing.T) {
	for _, c := range []struct {
		anchor   string
		interval Interval
		n        int
		want     string
	}{
		{"2026-01-31", Month, 1, "2026-02-28"}, {"2026-01-31", Month, 2, "2026-03-31"},
		{"2026-01-31", Month, 3, "2026-04-30"}, {"2026-01-31", Month, 12, "2027-01-31"},
		{"2024-02-29", Annual, 1, "2025-02-28"}, {"2024-02-29", Annual, 4, "2028-02-29"},
		{"2096-02-29", Annual, 4, "2100-02-28"}, {"2025-11-30", Quarter, 1, "2026-02-28"},
		{"2025-08-31", Semiannual, 1, "2026-02-28"}, {"2025-08-31", Semiannual, 2, "2026-08-31"},
		{"2025-12-15", Month, 1, "2026-01-15"}, {"2026-02-28", Once, 1, "2026-03-01"},
	} {
		check.Equal(t, Boundary(date(c.anchor), c.interval, c.n), date(c.want), "%s + %d × %s", c.anchor, c.n,
			c.interval)
	}
	s := subscription(date("2026-01-31"), term(date("2026-01-31T15:04:05"), Month, 1000))
	check.Equal(t, rows(Due(s, date("2026-03-30T23:59:59"))), []row{
		{Recurring, 1000, between("2026-01-31", "2026-02-28")}, {Recurring, 1000, between("2026-02-28", "2026-03-31")},
	}, "charges from midnight of the day of the approval on")
}

func TestRuleInAdvance(t *testing.T) {
	s := subscription(date("2026-01-10"), term(date("2026-01-10T09:00:00"), Month, 0))
	check.Equal(t, len(Due(s, date("2026-01-09T23:59:59"))), 0, "charges before the start")
	check.Equal(t, rows(Due(s, date("2026-01-10"))), []row{{Recurring, 0, between("2026-01-10", "2026-02-10")}},
		"a charge of 0 at the start")
	check.Equal(t, len(Due(s, date("2026-02-09T23:59:59"))), 1, "charges before the second period")
	charges := Due(s, date("2026-02-10"))
	check.Equal(t, keys(charges), keysOf(s, "r/0/0", "r/0/1"), "charges at the second period")
	check.Equal(t, charges[1].DueAt, date("2026-02-10"), "the due time")
	check.Equal(t, NextDue(s, date("2026-01-10")), date("2026-02-10"), "the next due time")
}

// TestDueInAgreesWithDue splits a life at each second at which something falls due.
func TestDueInAgreesWithDue(t *testing.T) {
	s := changeTo(t, approved("2026-01-15", monthly(1000)).Subscription, Month, 3000, "2026-01-20").Subscription
	s = Cancel(changeTo(t, s, Quarter, 9000, "2026-03-01").Subscription, true, date("2026-03-20")).Subscription
	all := Due(s, date("2027-01-01"))
	check.Equal(t, keys(all), keysOf(s, "r/0/0", "c/1", "d/1", "r/1/1", "c/2", "r/2/0", "e"), "charges")
	for _, c := range all {
		for _, at := range []time.Time{c.DueAt.Add(-1), c.DueAt, c.DueAt.Add(1)} {
			first, rest := Due(s, at), dueIn(s, at, date("2027-01-01"))
			check.Equal(t, append(keys(first), keys(rest)...), keys(all), "charges split at %s", at)
		}
	}
}
