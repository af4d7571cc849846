package billing

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

// act is something that happens to a subscription at a time.
type act struct {
	at   time.Time
	name string
	// interval and cents are those of a change, and age how long before the change its preview was asked for.
	interval Interval
	cents    int64
	age      time.Duration
}

// life is a random life of a subscription of about two years.
type life struct {
	start     time.Time
	interval  Interval
	cents     int64
	trialDays int
	acts      []act
	end       time.Time
}

var genInterval = rapid.SampledFrom([]Interval{Month, Month, Month, Quarter, Semiannual, Annual, Annual, Once})

// genLife draws lives whose acts are often at the same time, at midnight and at the ends of months.
func genLife(t *rapid.T) life {
	genCents := rapid.OneOf(rapid.Int64Range(0, 20), rapid.Int64Range(0, 99_999_999))
	l := life{
		start:    date("2023-11-01").AddDate(0, 0, rapid.IntRange(0, 500).Draw(t, "day")),
		interval: genInterval.Draw(t, "interval"), cents: genCents.Draw(t, "price"),
		trialDays: rapid.SampledFrom([]int{0, 0, 0, 1, 14, 40}).Draw(t, "trial days"),
	}
	if rapid.Bool().Draw(t, "approved in the last days of a month") {
		l.start = l.start.AddDate(0, 1, -l.start.Day()-rapid.IntRange(0, 2).Draw(t, "days before"))
	}
	l.start = l.start.Add(time.Duration(rapid.SampledFrom([]int64{0, 1, 86_399_999, 50_000_500}).Draw(t, "time")) *
		time.Millisecond)
	at := l.start
	for range rapid.IntRange(0, 14).Draw(t, "acts") {
		switch rapid.IntRange(0, 5).Draw(t, "wait") {
		case 0:
		case 1:
			at = at.Add(time.Duration(rapid.IntRange(1, 3_000).Draw(t, "milliseconds")) * time.Millisecond)
		case 2:
			at = at.Add(time.Duration(rapid.IntRange(1, 200_000).Draw(t, "seconds")) * time.Second)
		case 3:
			at = floor(at).AddDate(0, 1, rapid.IntRange(-1, 1).Draw(t, "days of month"))
		default:
			at = at.Add(time.Duration(rapid.Int64Range(1, 100*86_400_000).Draw(t, "more")) * time.Millisecond)
		}
		l.acts = append(l.acts, act{at,
			rapid.SampledFrom([]string{"change", "change", "change", "suspend", "resume", "resume", "cancel", "end",
				"run", "run", "credit", "credit"}).Draw(t, "act"),
			genInterval.Draw(t, "new interval"), genCents.Draw(t, "new price"),
			time.Duration(rapid.SampledFrom([]int{0, 0, 1, 3600, 80_000}).Draw(t, "age")) * time.Second})
	}
	l.end = at.AddDate(0, rapid.IntRange(0, 24).Draw(t, "months after"), 0)
	return l
}

// ledger stores charges as the repository does: those whose key exists are left out.
type ledger struct {
	charges []Charge
	byKey   map[string]Charge
	// credited is what a partner credited of charges, by their keys.
	credited map[string]int64
}

func (l *ledger) store(t failer, step Step) {
	for _, c := range step.Charges() {
		stored, exists := l.byKey[c.SourceKey]
		if exists {
			if !sameCharge(stored, c) {
				t.Errorf("%s: stored as %v, and worked out as %v", c.SourceKey, stored, c)
			}
			continue
		}
		l.byKey[c.SourceKey] = c
		l.charges = append(l.charges, c)
	}
}

// failer is what rapid's and testing's T have.
type failer interface {
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

func sameCharge(a, b Charge) bool {
	return a.SourceKey == b.SourceKey && a.Amount == b.Amount && a.Kind == b.Kind && a.Period == b.Period &&
		a.DueAt.Equal(b.DueAt) && a.Term == b.Term && a.Description == b.Description
}

// live applies a life to the code, with the billing runs among its acts or without them, and to an oracle if given.
func (l life) live(t failer, runs bool, o *oracle) (Subscription, *ledger) {
	book := &ledger{byKey: map[string]Charge{}, credited: map[string]int64{}}
	step := Start(Checkout{ID: uuid.UUID{1}, Items: []Item{{Interval: l.interval, Price: Money{l.cents, "USD"},
		TrialDays: l.trialDays}}}, 0, uuid.UUID{9}, uuid.UUID{2}, l.start)
	book.store(t, step)
	s := step.Subscription
	if o != nil {
		o.approve(l.interval, l.cents, l.trialDays, l.start)
	}
	for _, a := range l.acts {
		if a.name == "run" && !runs {
			continue
		}
		if o != nil {
			o.walk(a.at)
		}
		if a.name == "credit" {
			book.credit(s, a, o)
			continue
		}
		s.Credited = book.credited[s.Covering(later(a.at, s.BilledUntil))]
		step := a.apply(t, s, o)
		book.store(t, step)
		s = step.Subscription
		s.Credited = 0
	}
	if o != nil {
		o.walk(l.end)
	}
	step = Roll(s, l.end)
	book.store(t, step)
	return step.Subscription, book
}

// credit credits the charge that covers the present, with no more than is left of it.
func (l *ledger) credit(s Subscription, a act, o *oracle) {
	key := s.Covering(a.at)
	for _, c := range Due(s, a.at) {
		if c.SourceKey != key {
			continue
		}
		cents := min(a.cents, c.Amount.Minor-l.credited[key]+s.takenBack(c, a.at))
		l.credited[key] += cents
		if o != nil {
			o.credit(c.Term, c.Period.Start, cents)
		}
	}
}

// credits returns the credits as charges. The charges that they credit must have IDs.
func (l *ledger) credits() (credits []Charge) {
	for _, c := range l.charges {
		if cents := l.credited[c.SourceKey]; cents > 0 {
			credits = append(credits, Charge{
				ID: uuid.New(), SubscriptionID: c.SubscriptionID, Term: c.Term, Kind: Credit,
				Amount: Money{-cents, "USD"}, Period: c.Period, DueAt: c.DueAt, Status: ChargePending, CreditOf: c.ID,
				SourceKey: CreditOfKey(c.SubscriptionID, c.SourceKey),
			})
		}
	}
	return credits
}

// apply applies the act, and compares what is refused with the oracle.
func (a act) apply(t failer, s Subscription, o *oracle) Step {
	var step Step
	var err error
	accepted := true
	switch a.name {
	case "run":
		return Roll(s, a.at)
	case "change":
		asOf := time.Time{}
		if a.age > 0 {
			asOf = a.at.Add(-a.age)
		}
		step, err = Change(s, Term{Interval: a.interval, Price: Money{a.cents, "USD"}, CheckoutID: uuid.UUID{1},
			ApprovedBy: uuid.UUID{2}}, asOf, a.at)
		if o != nil {
			accepted = o.change(a.interval, a.cents, asOf, a.at)
		}
	case "suspend":
		step, err = Suspend(s, a.at)
		if o != nil {
			accepted = !o.ended
			o.suspend(a.at)
		}
	case "resume":
		step, err = Resume(s, a.at)
		if o != nil {
			accepted = !o.ended
			o.resume(a.at)
		}
	default:
		step = Cancel(s, a.name == "end", a.at)
		if o != nil {
			o.cancelAt(a.name == "end", a.at)
		}
	}
	if o != nil && accepted != (err == nil) {
		t.Fatalf("%s at %s: error %v, and the oracle accepts it: %t", a.name, a.at, err, accepted)
	}
	if err != nil {
		if f := (*fault.Error)(nil); !errors.As(err, &f) {
			t.Fatalf("%s: got the error %v, want a fault", a.name, err)
		}
		return Step{Subscription: s}
	}
	return step
}

// sorted returns rows in an order of their own, since the same second has several.
func sorted(rows []row) []string {
	texts := []string{}
	for _, r := range rows {
		texts = append(texts, fmt.Sprintf("%s–%s %s %d", r.Period.Start.Format(time.RFC3339),
			r.Period.End.Format(time.RFC3339), r.Kind, r.Cents))
	}
	slices.Sort(texts)
	return texts
}

func TestLifeAgreesWithTheOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := genLife(t)
		var o oracle
		_, book := l.live(t, true, &o)
		if got, want := sorted(rows(book.charges)), sorted(o.rows); !slices.Equal(got, want) {
			t.Fatalf("charges of %+v:\ngot  %v\nwant %v", l, got, want)
		}
	})
}

func TestLifeRunsAgainAndLate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := genLife(t)
		s, book := l.live(t, true, nil)
		late, lateBook := l.live(t, false, nil)
		if got, want := keys(lateBook.charges), keys(book.charges); len(got) != len(want) {
			t.Fatalf("keys with fewer runs: got %v, want %v", got, want)
		}
		for key, c := range book.byKey {
			if !sameCharge(c, lateBook.byKey[key]) {
				t.Fatalf("%s: %v with all runs, and %v with fewer", key, c, lateBook.byKey[key])
			}
		}
		if got := Roll(s, l.end).Charges(); len(got) != 0 {
			t.Fatalf("a run again adds %v", keys(got))
		}
		if !late.NextDueAt.Equal(s.NextDueAt) {
			t.Fatalf("next due at: got %s, want %s", late.NextDueAt, s.NextDueAt)
		}
		// The stored charges are those of Due, and nothing falls due before the next due time.
		due := Due(s, l.end)
		if len(due) != len(book.charges) {
			t.Fatalf("stored %v, due %v", keys(book.charges), keys(due))
		}
		if next := s.NextDueAt; !next.IsZero() {
			if early := Due(s, next.Add(-1)); len(early) != len(due) {
				t.Fatalf("due before the next due time %s: %v", next, keys(early[len(due):]))
			}
			if s.CancelAt.IsZero() && len(Due(s, next)) == len(due) {
				t.Fatalf("nothing is due at the next due time %s", next)
			}
		}
	})
}

func TestLifeTiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := genLife(t)
		s, book := l.live(t, true, nil)
		checkTiles(t, s, book.charges, l.end)
	})
}

// checkTiles checks that charges, without what was requested, pay for all of the active life of s by now once.
func checkTiles(t failer, s Subscription, charges []Charge, now time.Time) {
	// How often each time is paid, by the points where that changes.
	paid := map[int64]int{}
	var last time.Time
	once := int64(1 << 62)
	for _, c := range charges {
		sign := 1
		if c.Kind == Credit {
			sign = -1
		}
		paid[c.Period.Start.Unix()] += sign
		paid[c.Period.End.Unix()] -= sign
		if c.Period.End.After(last) {
			last = c.Period.End
		}
		// What is paid once is for no more time than its day.
		if c.Kind == OneTime {
			once = c.Period.End.Unix()
		}
		if c.DueAt.Before(s.ActivatedAt) || !s.CancelAt.IsZero() && c.DueAt.After(s.CancelAt) {
			t.Fatalf("%s is due at %s, outside of %s–%s", c.SourceKey, c.DueAt, s.ActivatedAt, s.CancelAt)
		}
	}
	points := slices.Sorted(maps.Keys(paid))
	times := 0
	for i, at := range points {
		times += paid[at]
		end := i == len(points)-1 ||
			!s.CancelAt.IsZero() && at >= s.CancelAt.Unix() && s.Term().Interval != Once
		switch {
		case times < 0 || times > 1:
			t.Fatalf("from %s on, the time is paid %d times", time.Unix(at, 0).UTC(), times)
		case end && times != 0:
			t.Fatalf("the time after %s is paid", time.Unix(at, 0).UTC())
		case !end && times == 0 && len(s.Suspensions) == 0 && at < once && at <= now.Unix():
			t.Fatalf("from %s on, the time is not paid", time.Unix(at, 0).UTC())
		}
	}
	if len(s.Suspensions) == 0 && s.CancelAt.IsZero() && s.Term().Interval != Once && !last.After(now) &&
		!now.Before(s.ActivatedAt) {
		t.Fatalf("paid until %s, and now it is %s", last, now)
	}
}

func TestLifeVerifies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := genLife(t)
		s, book := l.live(t, true, nil)
		for i := range book.charges {
			book.charges[i].ID, book.charges[i].Status = uuid.New(), ChargePending
		}
		all := slices.Concat(book.charges, book.credits())
		if found := VerifySubscription(s, all, l.end); len(found) > 0 {
			t.Fatalf("findings %v for %v of %+v", found, keys(all), l)
		}
		if len(book.charges) == 0 {
			return
		}
		// Each charge that is missing, or of another amount, is found.
		i := rapid.IntRange(0, len(book.charges)-1).Draw(t, "charge")
		if found := VerifySubscription(s, slices.Delete(slices.Clone(all), i, i+1), l.end); len(found) == 0 {
			t.Fatalf("no finding without %s", all[i].SourceKey)
		}
		all[i].Amount.Minor++
		if found := VerifySubscription(s, all, l.end); len(found) == 0 {
			t.Fatalf("no finding for another amount of %s", all[i].SourceKey)
		}
	})
}

// TestLifePreviewIsPosted previews a change at a random time, and makes it for that time later.
func TestLifePreviewIsPosted(t *testing.T) {
	posted := 0
	rapid.Check(t, func(t *rapid.T) {
		l := genLife(t)
		s, book := l.live(t, true, nil)
		term := Term{Level: "b", Interval: genInterval.Draw(t, "changed interval"), Price: Money{rapid.Int64Range(0,
			99_999_999).Draw(t, "changed price"), "USD"}}
		preview, err := Change(s, term, time.Time{}, l.end)
		if err != nil {
			return
		}
		asOf, now := preview.Subscription.Term().From, l.end.Add(time.Duration(rapid.IntRange(0, 86_400).Draw(t,
			"seconds later"))*time.Second)
		made, err := Change(Roll(s, now).Subscription, term, asOf, now)
		if err != nil {
			return
		}
		posted++
		if !slices.EqualFunc(made.Added, preview.Added, sameCharge) {
			t.Fatalf("shown %v, posted %v", preview.Added, made.Added)
		}
		if len(book.charges)+len(made.Added) != len(Due(made.Subscription, now)) {
			t.Fatalf("stored %v and %v, due %v", keys(book.charges), keys(made.Added),
				keys(Due(made.Subscription, now)))
		}
	})
	if posted == 0 {
		t.Error("no preview was posted")
	}
}

func TestThereAndBackNetsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := genLife(t)
		s, _ := l.live(t, true, nil)
		if s.Status(l.end) != Active || s.InTrial(l.end) || s.Term().Interval == Once {
			return
		}
		sum, cents := int64(0), rapid.Int64Range(0, 99_999_999).Draw(t, "other price")
		for _, price := range []int64{cents, s.Term().Price.Minor} {
			step, err := Change(s, Term{Interval: s.Term().Interval, Price: Money{price, "USD"}}, time.Time{}, l.end)
			if err != nil {
				t.Fatalf("change: %v", err)
			}
			for _, c := range step.Added {
				sum += c.Amount.Minor
			}
			s = step.Subscription
		}
		if sum != 0 {
			t.Fatalf("A → B → A costs %d", sum)
		}
	})
}

// FuzzBoundary compares Boundary with a walk through the calendar.
func FuzzBoundary(f *testing.F) {
	f.Add(int64(1_769_817_600), uint8(0), uint8(1))
	f.Add(int64(1_709_164_800), uint8(3), uint8(4))
	f.Fuzz(func(t *testing.T, unix int64, which, n uint8) {
		interval := []Interval{Month, Quarter, Semiannual, Annual, Once}[which%5]
		anchor := floor(time.Unix(unix%(1<<33), 0).UTC())
		o := oracle{interval: interval, anchor: anchor}
		want := anchor
		for range n % 32 {
			want = o.next(want)
		}
		check.Equal(t, Boundary(anchor, interval, int(n%32)), want, "%s + %d × %s", anchor, n%32, interval)
	})
}
