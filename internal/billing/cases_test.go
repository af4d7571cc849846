package billing

import (
	"encoding/json"
	"math/big"
	"os"
	"strconv"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

// moment is a time of a case: a date, which is midnight UTC, or RFC 3339.
type moment struct{ time.Time }

func (m *moment) UnmarshalJSON(data []byte) error {
	text, err := strconv.Unquote(string(data))
	if err != nil {
		return err
	}
	if m.Time, err = time.Parse(time.DateOnly, text); err != nil {
		m.Time, err = time.Parse(time.RFC3339, text)
	}
	return err
}

// span returns the span between two times.
func span(start, end moment) Span { return Span{start.Time, end.Time} }

// caseInput has the fields of all kinds of cases. A case is of other systems, and has what its rule needs.
type caseInput struct {
	Currency                          string
	OldCents, NewCents, DeltaCents    int64
	AmountCents, AmountMinor          int64
	MinorUnits                        int
	PeriodStart, PeriodEnd, ChangeAt  moment
	ServiceStart, ServiceEnd          moment
	Start, StartedAt, TerminatedAt    moment
	CancelAt, Anchor, At, Target      moment
	IntervalChanged, Calendar         bool
	SecondsRemaining, SecondsTotal    int64
	FractionRemaining, TaxRate        string
	Interval                          Interval
	TrialDays, BillingDay             int
	Days, Of, PeriodDays, ServiceDays int64
	CalendarMonthDays                 int64
}

type caseExpected struct {
	CreditCents, DebitCents, NetCents, TaxCents, TotalCents *int64
	FeeCents, UsedCents, AmountCents, AmountMinor           *int64
	CreditWithTaxCents                                      *int64
	Boundaries                                              []moment
	Start, End                                              *moment
	TrialEnd, FirstPeriodEnd                                moment
	AnchorDay, Items                                        int
}

type billingCase struct {
	ID, Kind, Rule, Note string
	Input                caseInput
	Expected             caseExpected
}

// TestCases runs the cases of other systems: those about whole subscriptions by Due, and the others by the functions
// that it is made of.
func TestCases(t *testing.T) {
	file, err := os.Open("testdata/billing-cases.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var cases struct {
		About string
		Cases []billingCase
	}
	decoder := json.NewDecoder(file)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&cases); err != nil {
		t.Fatal(err)
	}
	run := map[string]func(*testing.T, caseInput, caseExpected){
		"plan_change":       casePlanChange,
		"quantity_change":   caseQuantityChange,
		"partial_period":    casePartialPeriod,
		"boundaries":        caseBoundaries,
		"period_containing": casePeriodContaining,
		"trial":             caseTrial,
		"invoice":           caseInvoice,
	}
	check.Equal(t, len(cases.Cases), 40, "cases")
	for _, c := range cases.Cases {
		t.Run(c.ID, func(t *testing.T) { run[c.Kind](t, c.Input, c.Expected) })
	}
}

// cents checks an amount that a case may leave out.
func cents(t *testing.T, got int64, want *int64, what string) {
	t.Helper()
	if want != nil {
		check.Equal(t, got, *want, "%s", what)
	}
}

// casePlanChange checks a change in the middle of a period. A case without dates becomes one of the same fraction.
func casePlanChange(t *testing.T, in caseInput, want caseExpected) {
	period, at := span(in.PeriodStart, in.PeriodEnd), in.ChangeAt.Time
	interval, other := Month, Annual
	switch {
	case in.FractionRemaining == "1/2":
		period = Span{date("2025-06-01"), date("2025-07-01")}
		at = date("2025-06-16")
	case in.SecondsTotal > 0:
		period = Span{date("2025-06-01"), date("2025-06-01").Add(time.Duration(in.SecondsTotal) * time.Second)}
		at = period.End.Add(-time.Duration(in.SecondsRemaining) * time.Second)
	case period.End.Sub(period.Start) > 32*day:
		interval, other = Annual, Month
	}
	check.Equal(t, Boundary(period.Start, interval, 1), period.End, "the end of the period")
	if !in.IntervalChanged {
		other = interval
	}
	s := subscription(period.Start, term(period.Start, interval, in.OldCents), term(at, other, in.NewCents))
	charges := Due(s, at)
	second := map[bool]string{false: "d/1", true: "r/1/0"}[in.IntervalChanged]
	check.Equal(t, keys(charges), keysOf(s, "r/0/0", "c/1", second), "source keys")
	check.Equal(t, charges[0].Amount.Minor, in.OldCents, "the recurring charge")
	credit, debit := -charges[1].Amount.Minor, charges[2].Amount.Minor
	cents(t, credit, want.CreditCents, "credit")
	cents(t, debit, want.DebitCents, "debit")
	cents(t, debit-credit, want.NetCents, "net")
	end := period.End
	if in.IntervalChanged {
		end = Boundary(at, other, 1)
	}
	check.Equal(t, charges[2].Period, Span{at, end}, "the period of the debit")
}

// caseQuantityChange checks a smaller quantity: the credit of its share of the price.
func caseQuantityChange(t *testing.T, in caseInput, want caseExpected) {
	rest := span(in.ChangeAt, in.PeriodEnd)
	whole := span(in.PeriodStart, in.PeriodEnd)
	cents(t, -Prorate(in.DeltaCents, rest.seconds(), whole.seconds()), want.CreditCents, "credit")
}

func casePartialPeriod(t *testing.T, in caseInput, want caseExpected) {
	amount := in.AmountCents + in.AmountMinor
	part, whole := partOf(in)
	net := Prorate(amount, part, whole)
	for _, want := range []*int64{want.FeeCents, want.UsedCents, want.AmountCents, want.AmountMinor, want.NetCents} {
		cents(t, net, want, "the price of the part")
	}
	if in.TaxRate == "" {
		return
	}
	rate, _ := new(big.Rat).SetString(in.TaxRate)
	if want.TaxCents != nil {
		cents(t, Prorate(amount, part*rate.Num().Int64(), whole*rate.Denom().Int64()), want.TaxCents, "tax")
		cents(t, net+*want.TaxCents, want.TotalCents, "total")
		return
	}
	// Rounded once, after tax.
	gross := rate.Add(rate, big.NewRat(1, 1))
	total := Prorate(amount, part*gross.Num().Int64(), whole*gross.Denom().Int64())
	cents(t, total, want.CreditWithTaxCents, "credit with tax")
	cents(t, total, want.TotalCents, "total")
}

// partOf returns the part of a period for which a case asks, and the period, in the same unit.
func partOf(in caseInput) (part, whole int64) {
	switch {
	case in.Of > 0:
		return in.Days, in.Of
	case in.ServiceDays > 0:
		return in.ServiceDays, in.PeriodDays
	case in.PeriodDays > 0:
		return Span{in.StartedAt.Time, in.TerminatedAt.Add(day)}.seconds(), in.PeriodDays * 24 * 60 * 60
	case in.CalendarMonthDays > 0:
		start := in.Start.AddDate(0, 0, in.TrialDays)
		month := Span{Boundary(in.Start.Time, Month, 0).AddDate(0, 0, 1-in.Start.Day()), time.Time{}}
		month.End = Boundary(month.Start, Month, 1)
		return Span{start, month.End}.seconds(), month.seconds()
	case !in.CancelAt.IsZero():
		return span(in.PeriodStart, in.CancelAt).seconds(), span(in.PeriodStart, in.PeriodEnd).seconds()
	default:
		return span(in.ServiceStart, in.ServiceEnd).seconds(), span(in.PeriodStart, in.PeriodEnd).seconds()
	}
}

// caseBoundaries checks the starts of the periods of a subscription.
func caseBoundaries(t *testing.T, in caseInput, want caseExpected) {
	s := subscription(in.Anchor.Time, term(in.Anchor.Time, in.Interval, 100))
	charges := Due(s, want.Boundaries[len(want.Boundaries)-1].Time)
	check.Equal(t, len(charges), len(want.Boundaries), "charges")
	for n, boundary := range want.Boundaries {
		check.Equal(t, Boundary(in.Anchor.Time, in.Interval, n), boundary.Time, "boundary %d", n)
		check.Equal(t, charges[n].Period.Start, boundary.Time, "the start of period %d", n)
	}
}

// casePeriodContaining checks Boundary, and CurrentPeriod too if the anchor is at midnight.
func casePeriodContaining(t *testing.T, in caseInput, want caseExpected) {
	n := 0
	for !Boundary(in.Anchor.Time, in.Interval, n+1).After(in.At.Time) {
		n++
	}
	found := []Span{{Boundary(in.Anchor.Time, in.Interval, n), Boundary(in.Anchor.Time, in.Interval, n+1)}}
	if in.Anchor.Equal(midnight(in.Anchor.Time)) {
		s := subscription(in.Anchor.Time, term(in.Anchor.Time, in.Interval, 100))
		current, _ := s.CurrentPeriod(in.At.Time)
		found = append(found, current)
	}
	for _, got := range found {
		if want.Start != nil {
			check.Equal(t, got.Start, want.Start.Time, "start")
		}
		if want.End != nil {
			check.Equal(t, got.End, want.End.Time, "end")
		}
	}
}

// caseTrial checks the anchor after a trial. The case counts from a second, and here a trial counts from midnight.
func caseTrial(t *testing.T, in caseInput, want caseExpected) {
	end := in.Start.Add(time.Duration(in.TrialDays) * day)
	check.Equal(t, end, want.TrialEnd.Time, "the trial's end")
	check.Equal(t, Boundary(end, in.Interval, 1), want.FirstPeriodEnd.Time, "the first period's end")
	check.Equal(t, end.Day(), want.AnchorDay, "the anchor's day")
	s := subscription(midnight(end), term(in.Start.Time, in.Interval, 100))
	s.TrialEndsAt = midnight(end)
	check.Equal(t, s.CurrentPeriodEnd(in.Start.Time), midnight(want.TrialEnd.Time), "the trial as a period")
	check.Equal(t, s.CurrentPeriodEnd(end), midnight(want.FirstPeriodEnd.Time), "the first period after the trial")
}

// caseInvoice checks a part of a period before the first whole one.
func caseInvoice(t *testing.T, in caseInput, want caseExpected) {
	billing := in.Start.AddDate(0, 0, in.BillingDay-in.Start.Day())
	before := Span{billing.AddDate(0, -1, 0), billing}
	var total int64
	items := 1
	total += Prorate(in.AmountCents, Span{in.Start.Time, before.End}.seconds(), before.seconds())
	for n := 0; !Boundary(billing, Month, n).After(in.Target.Time); n++ {
		total += in.AmountCents
		items++
	}
	check.Equal(t, items, want.Items, "items")
	cents(t, total, want.TotalCents, "total")
}
