package billing

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

// approved returns the step of an approval of one item at a time.
func approved(at string, item Item) Step {
	item.Price.Currency = "USD"
	c := Checkout{ID: uuid.UUID{1}, PartnerID: uuid.UUID{0xb}, MerchantID: uuid.UUID{0xc}, Items: []Item{item}}
	return Start(c, 0, uuid.UUID{0xa}, uuid.UUID{2}, date(at))
}

func monthly(cents int64) Item {
	return Item{Interval: Month, Level: "basic", Price: Money{Minor: cents}}
}

// changeTo changes a subscription at a time.
func changeTo(t *testing.T, s Subscription, interval Interval, cents int64, at string) Step {
	t.Helper()
	step, err := Change(s, Term{Interval: interval, Level: "pro", Price: Money{cents, "USD"}, CheckoutID: uuid.UUID{3},
		ApprovedBy: uuid.UUID{2}}, time.Time{}, date(at))
	if err != nil {
		t.Fatalf("change at %s: %v", at, err)
	}
	return step
}

// kind returns the kind of an error, and its message.
func kind(err error) (fault.Kind, string) {
	var f *fault.Error
	if !errors.As(err, &f) {
		return "", ""
	}
	return f.Kind, f.Message
}

func TestRuleApproval(t *testing.T) {
	step := approved("2026-01-31T15:04:05", monthly(1000))
	s := step.Subscription
	check.Equal(t, keys(step.Charges()), keysOf(s, "r/0/0"), "charges of the approval")
	check.Equal(t, s.ActivatedAt, date("2026-01-31"), "the first paid day")
	check.Equal(t, s.NextDueAt, date("2026-02-28"), "the next due time")
	check.Equal(t, s.BilledUntil, date("2026-01-31T15:04:05"), "billed until")
	check.Equal(t, step.Added[0].Description, "Subscription: basic", "the description")
	check.Equal(t, s.Version, 1, "the version")
	check.Equal(t, s.Status(s.BilledUntil), Active, "the status")
}

func TestRuleChange(t *testing.T) {
	for _, c := range []struct {
		name string
		at   []string
		// prices are those after each change.
		prices []int64
		want   []row
	}{
		{"in the middle", []string{"2026-06-16"}, []int64{3000}, []row{
			{Credit, -500, between("2026-06-16", "2026-07-01")},
			{Proration, 1500, between("2026-06-16", "2026-07-01")},
		}},
		{"at the start, where it is of the whole period", []string{"2026-06-01"}, []int64{0}, []row{
			{Credit, -1000, between("2026-06-01", "2026-07-01")},
			{Proration, 0, between("2026-06-01", "2026-07-01")},
		}},
		{"in the last second", []string{"2026-06-30T23:59:59"}, []int64{99_999_999}, []row{
			{Credit, 0, between("2026-06-30T23:59:59", "2026-07-01")},
			{Proration, 39, between("2026-06-30T23:59:59", "2026-07-01")},
		}},
		// The second credit is of the full price of 30.00, and not of the 15.00 that were charged.
		{"twice", []string{"2026-06-16", "2026-06-24T12:00:00"}, []int64{3000, 2000}, []row{
			{Credit, -500, between("2026-06-16", "2026-07-01")},
			{Proration, 1500, between("2026-06-16", "2026-07-01")},
			{Credit, -650, between("2026-06-24T12:00:00", "2026-07-01")},
			{Proration, 433, between("2026-06-24T12:00:00", "2026-07-01")},
		}},
		{"there and back in one second", []string{"2026-06-10T01:02:03", "2026-06-10T01:02:03"}, []int64{777, 1000},
			[]row{
				{Credit, -699, between("2026-06-10T01:02:03", "2026-07-01")},
				{Proration, 543, between("2026-06-10T01:02:03", "2026-07-01")},
				{Credit, -543, between("2026-06-10T01:02:03", "2026-07-01")},
				{Proration, 699, between("2026-06-10T01:02:03", "2026-07-01")},
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := approved("2026-06-01", monthly(1000)).Subscription
			var added []Charge
			for i, at := range c.at {
				step := changeTo(t, s, Month, c.prices[i], at)
				check.Equal(t, len(step.Overdue), 0, "overdue charges")
				s, added = step.Subscription, append(added, step.Added...)
			}
			check.Equal(t, rows(added), c.want, "charges")
			check.Equal(t, s.NextDueAt, date("2026-07-01"), "the next due time")
			next := Roll(s, date("2026-07-01")).Charges()
			price := c.prices[len(c.prices)-1]
			check.Equal(t, rows(next), []row{{Recurring, price, between("2026-07-01", "2026-08-01")}},
				"the next period")
		})
	}
}

func TestRuleChangeRollsOver(t *testing.T) {
	s := approved("2026-06-01", monthly(1000)).Subscription
	// No billing run came since June. The change is at the start of August, whose price is still the old one.
	step := changeTo(t, s, Month, 3000, "2026-08-01")
	check.Equal(t, keys(step.Overdue), keysOf(s, "r/0/1", "r/0/2"), "overdue charges")
	check.Equal(t, keys(step.Added), keysOf(s, "c/1", "d/1"), "charges of the change")
	check.Equal(t, rows(step.Added), []row{
		{Credit, -1000, between("2026-08-01", "2026-09-01")}, {Proration, 3000, between("2026-08-01", "2026-09-01")},
	}, "charges of the change")
	check.Equal(t, keys(Due(step.Subscription, date("2026-09-01")))[5:], keysOf(s, "r/1/3"), "the next period")
}

func TestRuleChangeOfInterval(t *testing.T) {
	s := approved("2026-01-31", monthly(3100)).Subscription
	step := changeTo(t, s, Quarter, 9000, "2026-02-14T12:00:00")
	check.Equal(t, keys(step.Added), keysOf(s, "c/1", "r/1/0"), "charges")
	check.Equal(t, rows(step.Added), []row{
		{Credit, -1495, between("2026-02-14T12:00:00", "2026-02-28")},
		{Recurring, 9000, between("2026-02-14T12:00:00", "2026-05-14")},
	}, "charges")
	check.Equal(t, step.Subscription.NextDueAt, date("2026-05-14"), "the next due time")
	check.Equal(t, step.Subscription.ActivatedAt, s.ActivatedAt, "the activation")
	check.Equal(t, keys(Due(step.Subscription, date("2026-08-14")))[3:], keysOf(s, "r/1/1", "r/1/2"), "later charges")

	// A change back is a new period again, and does not net 0.
	back := changeTo(t, step.Subscription, Month, 3100, "2026-02-14T12:00:00")
	check.Equal(t, rows(back.Added), []row{
		{Credit, -9000, between("2026-02-14T12:00:00", "2026-05-14")},
		{Recurring, 3100, between("2026-02-14T12:00:00", "2026-03-14")},
	}, "charges of the change back")

	once := changeTo(t, s, Once, 50000, "2026-02-14T12:00:00")
	check.Equal(t, keys(once.Added), keysOf(s, "c/1", "o"), "charges of a change to a price that is paid once")
	check.Equal(t, once.Subscription.NextDueAt, time.Time{}, "the next due time once it is paid")
}

func TestRuleChangeKeepsTheCap(t *testing.T) {
	five, six := int64(500), int64(600)
	item := monthly(1000)
	item.Cap = &five
	s := changeTo(t, approved("2026-06-01", item).Subscription, Month, 2000, "2026-06-02").Subscription
	check.Equal(t, *s.Term().Cap, five, "the cap after a change without one")
	step, err := Change(s, Term{Interval: Month, Price: Money{1, "USD"}, Cap: &six}, time.Time{}, date("2026-06-03"))
	check.Equal(t, err, nil, "error")
	check.Equal(t, *step.Subscription.Term().Cap, six, "the cap after a change with one")
}

func TestRuleChangeIsRefused(t *testing.T) {
	trial, once := monthly(1000), monthly(1000)
	trial.TrialDays, once.Interval = 14, Once
	base := approved("2026-06-01", monthly(1000)).Subscription
	suspended, _ := Suspend(base, date("2026-06-02"))
	changed := base
	changed.Terms = slices.Repeat(base.Terms, MaxTerms)
	for _, c := range []struct {
		name string
		s    Subscription
		kind fault.Kind
		text string
	}{
		{"suspended", suspended.Subscription, fault.NotFound, "Could not find active subscription."},
		{"ended", Cancel(base, true, date("2026-06-02")).Subscription, fault.NotFound,
			"Could not find active subscription."},
		{"trial", approved("2026-06-01", trial).Subscription, fault.Invalid,
			"Checkouts are not available for existing trial subscriptions."},
		{"paid once", approved("2026-06-01", once).Subscription, fault.Invalid,
			"A subscription that is paid once cannot be changed."},
		{"changed too often", changed, fault.LimitReached,
			"The subscription was changed 49 times, which is the most. Cancel it and create a new one."},
	} {
		_, err := Change(c.s, Term{Interval: Month}, time.Time{}, date("2026-06-03"))
		got, text := kind(err)
		check.Equal(t, got, c.kind, "%s: kind", c.name)
		check.Equal(t, text, c.text, "%s: message", c.name)
	}
}

func TestRuleTrial(t *testing.T) {
	item := monthly(1000)
	item.TrialDays = 14
	step := approved("2026-01-17T18:00:00", item)
	s := step.Subscription
	check.Equal(t, len(step.Charges()), 0, "charges at the approval")
	check.Equal(t, s.TrialEndsAt, date("2026-01-31"), "the end")
	check.Equal(t, s.ActivatedAt, date("2026-01-31"), "the first paid day")
	check.Equal(t, s.NextDueAt, date("2026-01-31"), "the next due time")
	check.Equal(t, s.Status(date("2026-01-20")), Active, "the status")
	check.Equal(t, s.CurrentPeriodEnd(date("2026-01-20")), date("2026-01-31"), "the end of the current period")
	check.Equal(t, len(Due(s, date("2026-01-30T23:59:59"))), 0, "charges in the trial")
	check.Equal(t, rows(Due(s, date("2026-03-01"))), []row{
		{Recurring, 1000, between("2026-01-31", "2026-02-28")}, {Recurring, 1000, between("2026-02-28", "2026-03-31")},
	}, "charges from its end on, which is the anchor")
	for _, immediately := range []bool{false, true} {
		ended := Cancel(s, immediately, date("2026-01-30T23:59:59")).Subscription
		check.Equal(t, ended.CancelAt, date("2026-01-30T23:59:59"), "the end of a trial that is cancelled")
		check.Equal(t, ended.CancelledAt, date("2026-01-30"), "cancelledAt")
		check.Equal(t, ended.CreditsRest, false, "whether a rest is credited")
		check.Equal(t, ended.Status(date("2026-01-30T23:59:59")), Cancelled, "the status once it is cancelled")
		check.Equal(t, ended.EndedAt, date("2026-01-30T23:59:59"), "when its end is recorded")
		check.Equal(t, len(Due(ended, date("2027-01-01"))), 0, "charges once it is cancelled")
		check.Equal(t, ended.NextDueAt, time.Time{}, "the next due time once it is cancelled")
	}
	check.Equal(t, Cancel(s, false, date("2026-01-31")).Subscription.CancelAt, date("2026-02-28"),
		"the end of a subscription that is cancelled as the trial ends")
}

func TestRuleCancelling(t *testing.T) {
	s := approved("2026-01-31", monthly(2800)).Subscription
	atEnd := Cancel(s, false, date("2026-02-10T12:00:00"))
	check.Equal(t, len(atEnd.Charges()), 0, "charges of a cancellation at the end of the period")
	check.Equal(t, atEnd.Subscription.CancelAt, date("2026-02-28"), "the end")
	check.Equal(t, atEnd.Subscription.CancelledAt, date("2026-02-27"), "cancelledAt")
	check.Equal(t, atEnd.Subscription.Status(date("2026-02-27T23:59:59")), Active, "the status before the end")
	check.Equal(t, atEnd.Subscription.Status(date("2026-02-28")), Cancelled, "the status at the end")
	check.Equal(t, atEnd.Subscription.NextDueAt, date("2026-02-28"), "the next due time, at which the end is recorded")
	check.Equal(t, len(Due(atEnd.Subscription, date("2027-01-01"))), 1, "charges in all")
	ended := Roll(atEnd.Subscription, date("2026-03-05"))
	check.Equal(t, len(ended.Charges()), 0, "charges at the end")
	check.Equal(t, ended.Subscription.EndedAt, date("2026-03-05"), "when the end is recorded")
	check.Equal(t, ended.Subscription.NextDueAt, time.Time{}, "the next due time after the end")

	again := Cancel(atEnd.Subscription, false, date("2026-02-20"))
	check.Equal(t, again.Changed, false, "whether cancelling twice changes something")
	check.Equal(t, again.Subscription.CancelledAt, date("2026-02-27"), "cancelledAt of the second time")

	changed := changeTo(t, atEnd.Subscription, Month, 5600, "2026-02-20")
	check.Equal(t, changed.Subscription.CancelAt, time.Time{}, "the end after a change")
	check.Equal(t, changed.Subscription.CancelledAt, time.Time{}, "cancelledAt after a change")
	check.Equal(t, len(Due(changed.Subscription, date("2026-02-28"))), 4, "charges after a change")
}

func TestRuleCancellingImmediately(t *testing.T) {
	s := approved("2026-01-31", monthly(2800)).Subscription
	atEnd := Cancel(s, false, date("2026-02-10")).Subscription
	suspended, _ := Suspend(s, date("2026-02-11"))
	for name, s := range map[string]Subscription{"active": s, "cancelled at the period's end": atEnd,
		"suspended": suspended.Subscription} {
		step := Cancel(s, true, date("2026-02-14T12:00:00.9"))
		check.Equal(t, keys(step.Charges()), keysOf(s, "e"), "%s: charges", name)
		check.Equal(t, rows(step.Added), []row{{Credit, -1350, between("2026-02-14T12:00:00", "2026-02-28")}},
			"%s: the credit", name)
		check.Equal(t, step.Subscription.CancelAt, date("2026-02-14T12:00:00"), "%s: the end", name)
		check.Equal(t, step.Subscription.CancelledAt, date("2026-02-14"), "%s: cancelledAt", name)
		check.Equal(t, step.Subscription.CurrentPeriodEnd(date("2026-03-01")), date("2026-02-14T12:00:00"),
			"%s: the end of the last period", name)
		check.Equal(t, Cancel(step.Subscription, true, date("2026-02-15")).Changed, false, "%s: twice", name)
		check.Equal(t, len(Due(step.Subscription, date("2027-01-01"))), 2, "%s: charges in all", name)
	}
	// At the second at which a period starts, a billing run may have charged it: so it is charged, and credited.
	step := Cancel(s, true, date("2026-02-28"))
	check.Equal(t, rows(step.Charges()), []row{
		{Recurring, 2800, between("2026-02-28", "2026-03-31")}, {Credit, -2800, between("2026-02-28", "2026-03-31")},
	}, "charges of an end at the start of a period")
}

func TestRuleSuspended(t *testing.T) {
	s := approved("2026-01-15", monthly(1000)).Subscription
	step, err := Suspend(s, date("2026-02-20"))
	check.Equal(t, err, nil, "error")
	check.Equal(t, keys(step.Charges()), keysOf(s, "r/0/1"), "charges: the period that began before, without a credit")
	s = step.Subscription
	check.Equal(t, s.Status(date("2026-02-20")), Suspended, "the status")
	check.Equal(t, s.NextDueAt, time.Time{}, "the next due time")
	check.Equal(t, len(Roll(s, date("2026-04-20")).Charges()), 0, "charges while it is suspended")
	again, _ := Suspend(s, date("2026-03-01"))
	check.Equal(t, again.Changed, false, "whether suspending twice changes something")

	step, err = Resume(s, date("2026-04-20"))
	check.Equal(t, err, nil, "error")
	check.Equal(t, len(step.Charges()), 0, "charges when it is resumed in a period that is not charged")
	s = step.Subscription
	check.Equal(t, s.NextDueAt, date("2026-05-15"), "the next due time")
	current, charged := s.CurrentPeriod(date("2026-04-20"))
	check.Equal(t, current, between("2026-04-15", "2026-05-15"), "the current period")
	check.Equal(t, charged, false, "whether it is charged")
	change := changeTo(t, s, Month, 9000, "2026-04-25")
	check.Equal(t, len(change.Charges()), 0, "charges of a change in a period that is not charged")
	check.Equal(t, rows(Roll(change.Subscription, date("2026-05-15")).Charges()), []row{
		{Recurring, 9000, between("2026-05-15", "2026-06-15")}}, "the first charge after it")
	check.Equal(t, len(Cancel(s, true, date("2026-04-25")).Charges()), 0,
		"charges of an immediate end in a period that is not charged")

	_, err = Resume(Cancel(s, true, date("2026-04-25")).Subscription, date("2026-04-26"))
	got, _ := kind(err)
	check.Equal(t, got, fault.Conflict, "kind of the error once it has ended")
}

// TestRuleSuspendedAtABoundary has acts at the exact time at which a period starts, where a test clock stands.
func TestRuleSuspendedAtABoundary(t *testing.T) {
	s := approved("2026-01-15", monthly(1000)).Subscription
	for name, s := range map[string]Subscription{"before a billing run": s,
		"after a billing run": Roll(s, date("2026-02-15")).Subscription} {
		step, _ := Suspend(s, date("2026-02-15"))
		check.Equal(t, len(Due(step.Subscription, date("2026-03-15"))), 2, "%s: charges once suspended", name)
		step, _ = Resume(step.Subscription, date("2026-03-15"))
		check.Equal(t, len(Due(step.Subscription, date("2026-03-15"))), 2, "%s: charges once resumed", name)
		check.Equal(t, step.Subscription.NextDueAt, date("2026-04-15"), "%s: the next due time", name)
		// A change of interval at that time begins a period of its own, which is charged.
		change := changeTo(t, step.Subscription, Annual, 9000, "2026-03-15")
		check.Equal(t, rows(change.Charges()), []row{{Recurring, 9000, between("2026-03-15", "2027-03-15")}},
			"%s: charges of a change", name)
	}
}

func TestRuleOnce(t *testing.T) {
	item := monthly(5000)
	item.Interval = Once
	step := approved("2026-01-31T10:00:00", item)
	s := step.Subscription
	check.Equal(t, keys(step.Charges()), keysOf(s, "o"), "charges")
	check.Equal(t, rows(step.Charges()), []row{{OneTime, 5000, between("2026-01-31", "2026-02-01")}}, "charges")
	check.Equal(t, s.CurrentPeriodEnd(date("2026-05-01")), date("2026-02-01"), "the end of the current period")
	check.Equal(t, s.Status(date("2030-01-01")), Active, "the status")
	check.Equal(t, s.NextDueAt, time.Time{}, "the next due time")
	check.Equal(t, Cancel(s, false, date("2026-01-31T11:00:00")).Subscription.CancelAt, date("2026-02-01"),
		"the end if it is cancelled on its day")
	late := Cancel(s, false, date("2026-05-01T11:00:00"))
	check.Equal(t, late.Subscription.CancelAt, date("2026-05-01T11:00:00"), "the end if it is cancelled later")
	check.Equal(t, late.Subscription.CancelledAt, date("2026-05-01"), "cancelledAt")
	now := Cancel(s, true, date("2026-01-31T11:00:00"))
	check.Equal(t, len(now.Charges()), 0, "credits for what is paid once")
}

func TestRulePreview(t *testing.T) {
	s := approved("2026-06-15", monthly(1000)).Subscription
	pro := Term{Level: "pro", Interval: Month, Price: Money{3000, "USD"}}
	at := date("2026-06-20T10:00:00")
	shown, err := Change(s, pro, at, at)
	check.Equal(t, err, nil, "error of the preview")
	posted, err := Change(s, pro, at, date("2026-06-21T09:00:00"))
	check.Equal(t, err, nil, "error of the change")
	check.Equal(t, posted.Added, shown.Added, "what is posted, and what was shown")
	check.Equal(t, posted.Subscription.Term().From, at, "the time from which the change counts")

	other := changeTo(t, s, Month, 1, "2026-06-20T10:00:01").Subscription
	suspended, _ := Suspend(s, date("2026-06-20T09:00:00"))
	resumed, _ := Resume(suspended.Subscription, date("2026-06-20T11:00:00"))
	for _, c := range []struct {
		name string
		s    Subscription
		asOf time.Time
		now  string
		want fault.Kind
	}{
		{"a period ended since", s, date("2026-07-14T23:59:59"), "2026-07-15", fault.Conflict},
		{"a month ended since", s, date("2026-06-30T23:59:59"), "2026-07-01", fault.Conflict},
		{"another change came since", other, at, "2026-06-20T11:00:00", fault.Conflict},
		{"it was suspended then", resumed.Subscription, at, "2026-06-20T12:00:00", fault.Conflict},
		{"the time is to come", s, at, "2026-06-20T09:59:59", fault.Invalid},
		{"the period began then", s, date("2026-07-15"), "2026-07-15T00:00:01", ""},
	} {
		_, err := Change(c.s, pro, c.asOf, date(c.now))
		got, _ := kind(err)
		check.Equal(t, got, c.want, "%s: kind of the error", c.name)
	}
}

// TestRuleChangeBeforeThePeriod has terms that count from a time before the period in which they take effect.
func TestRuleChangeBeforeThePeriod(t *testing.T) {
	activated := date("2026-06-15")
	s := subscription(activated, term(date("2026-06-01"), Month, 1000), term(date("2026-06-02"), Month, 3000))
	check.Equal(t, rows(Due(s, activated)), []row{
		{Recurring, 1000, between("2026-06-15", "2026-07-15")}, {Credit, -1000, between("2026-06-15", "2026-07-15")},
		{Proration, 3000, between("2026-06-15", "2026-07-15")},
	}, "charges of a change before the first period")
	s = subscription(activated, term(activated, Month, 1000), term(date("2026-07-30"), Month, 3000),
		term(date("2026-07-01"), Month, 2000))
	check.Equal(t, rows(Due(s, date("2026-07-30")))[4:], []row{
		{Credit, -3000, between("2026-07-15", "2026-08-15")}, {Proration, 2000, between("2026-07-15", "2026-08-15")},
	}, "charges of a change before the current period")
}

// TestActsLeaveTheirInput checks that an act does not write into the subscription that it gets, which decide functions
// may be called with again.
func TestActsLeaveTheirInput(t *testing.T) {
	s := approved("2026-06-01", monthly(1000)).Subscription
	s.Terms = append(make([]Term, 0, 8), s.Terms...)
	step, _ := Suspend(s, date("2026-06-02"))
	check.Equal(t, step.Subscription.Version, 2, "the version")
	check.Equal(t, step.Subscription.UpdatedAt, date("2026-06-02"), "the time of the change")
	suspended := step.Subscription
	resumed, _ := Resume(suspended, date("2026-06-03"))
	check.Equal(t, suspended.Suspensions, []Span{{Start: date("2026-06-02")}}, "the suspension once it is resumed")
	check.Equal(t, resumed.Subscription.Suspensions, []Span{between("2026-06-02", "2026-06-03")}, "the suspension")
	first := changeTo(t, s, Month, 2000, "2026-06-04").Subscription
	second := changeTo(t, s, Month, 3000, "2026-06-05").Subscription
	check.Equal(t, first.Term().Price.Minor, 2000, "the price of the first change")
	check.Equal(t, second.Term().Price.Minor, 3000, "the price of the second change")
	rolled := Roll(second, date("2026-06-30")).Subscription
	check.Equal(t, rolled.Version, second.Version, "the version after a billing run")
	check.Equal(t, rolled.UpdatedAt, second.UpdatedAt, "the time of the change after a billing run")
}

// TestClockStepsBack has acts at a time that is before what is billed. They count from what is billed on.
func TestClockStepsBack(t *testing.T) {
	billed, before := date("2026-07-01"), date("2026-06-30T23:59:59")
	s := Roll(approved("2026-06-01", monthly(1000)).Subscription, billed).Subscription
	check.Equal(t, Roll(s, before).Subscription.BilledUntil, billed, "billed until")
	step, err := Change(s, Term{Interval: Month, Price: Money{3000, "USD"}}, time.Time{}, before)
	check.Equal(t, err, nil, "error")
	check.Equal(t, rows(step.Charges()), []row{
		{Credit, -1000, between("2026-07-01", "2026-08-01")}, {Proration, 3000, between("2026-07-01", "2026-08-01")},
	}, "charges of a change")
	check.Equal(t, Cancel(s, true, before).Subscription.CancelAt, billed, "an immediate end")
	step, _ = Suspend(s, before)
	check.Equal(t, step.Subscription.Suspensions, []Span{{Start: billed}}, "a suspension")
}

// TestRuleSuspendedAgain has a period that is not charged before a suspension that has not ended.
func TestRuleSuspendedAgain(t *testing.T) {
	s := approved("2026-01-15", monthly(1000)).Subscription
	s.Suspensions = []Span{between("2026-02-01", "2026-02-20"), {Start: date("2026-03-20")}}
	check.Equal(t, keys(Due(s, date("2026-12-01"))), keysOf(s, "r/0/0", "r/0/2"), "charges")
	check.Equal(t, NextDue(s, date("2026-01-15")), date("2026-03-15"), "the next due time")
	check.Equal(t, NextDue(s, date("2026-03-15")), time.Time{}, "the next due time once it is suspended")
}
