package billing

import (
	"math/big"
	"time"
)

// oracle works out by itself what a life of a subscription costs. It receives the acts in order and walks through the
// days one at a time with a calendar of its own, where the code computes from the final state. It shares nothing with
// the code but the names of intervals and kinds.
type oracle struct {
	// today is the last midnight that it walked to.
	today time.Time
	// trial is the end of the trial, and began whether the first period did.
	trial                   time.Time
	began, suspended, ended bool
	// paid reports whether the current period, from start to end, was charged.
	paid                       bool
	start, end, anchor, cancel time.Time
	interval                   Interval
	cents                      int64
	// charged is what the rest of the period was last charged, from the second since on, for term, and credited what a
	// partner gave back of it.
	charged, credited int64
	since             time.Time
	term              int
	// lastChange and halts are what a change for a time in the past depends on.
	lastChange time.Time
	halts      [][2]time.Time
	rows       []row
}

// step is how many calendar months an interval has.
var step = map[Interval]int{Month: 1, Quarter: 3, Semiannual: 6, Annual: 12}

func lastOfMonth(d time.Time) bool { return d.Add(24*time.Hour).Month() != d.Month() }

// next walks from a day to the next one on which the price is due again.
func (o *oracle) next(from time.Time) time.Time {
	d := floor(from).Add(24 * time.Hour)
	for o.interval != Once {
		apart := 12*(d.Year()-o.anchor.Year()) + int(d.Month()) - int(o.anchor.Month())
		sameDay := d.Day() == o.anchor.Day() || d.Day() < o.anchor.Day() && lastOfMonth(d)
		if apart > 0 && apart%step[o.interval] == 0 && sameDay {
			return d
		}
		d = d.Add(24 * time.Hour)
	}
	return d
}

func floor(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

func wholeSecond(t time.Time) time.Time { return time.Unix(t.Unix(), 0).UTC() }

// share is the price of the rest of the current period from a second on, as a fraction that is rounded once.
func (o *oracle) share(from time.Time) int64 {
	x := big.NewRat(o.end.Unix()-from.Unix(), o.end.Unix()-o.start.Unix())
	x.Mul(x, new(big.Rat).SetInt64(o.cents))
	x.Add(x, big.NewRat(1, 2))
	return new(big.Int).Div(x.Num(), x.Denom()).Int64()
}

// refund returns the credit of a change or an end: the rest of the period, at most the charge less its credits.
func (o *oracle) refund(from time.Time) int64 { return min(o.share(from), o.charged-o.credited) }

// charge notes the charge for the rest of the period.
func (o *oracle) charge(cents int64, from time.Time) {
	o.charged, o.credited, o.since = cents, 0, from
}

// credit notes a partner's credit for a charge: that of a term from a second on.
func (o *oracle) credit(term int, from time.Time, cents int64) {
	if o.paid && term == o.term && from.Equal(o.since) {
		o.credited += cents
	}
}

func (o *oracle) add(kind ChargeKind, cents int64, from time.Time) {
	o.rows = append(o.rows, row{kind, cents, Span{from, o.end}})
}

func (o *oracle) begin(at time.Time) {
	o.start, o.end, o.paid = at, o.next(at), !o.suspended
	if !o.paid {
		return
	}
	o.charge(o.cents, at)
	if o.interval == Once {
		o.add(OneTime, o.cents, at)
	} else {
		o.add(Recurring, o.cents, at)
	}
}

func (o *oracle) approve(interval Interval, cents int64, trialDays int, at time.Time) {
	o.interval, o.cents, o.today, o.lastChange = interval, cents, floor(at), wholeSecond(at)
	o.trial = o.today.Add(time.Duration(24*trialDays) * time.Hour)
	if trialDays == 0 {
		o.began, o.anchor = true, o.today
		o.begin(o.today)
	}
}

// walk goes through the midnights up to a time.
func (o *oracle) walk(to time.Time) {
	for !o.today.Add(24 * time.Hour).After(to) {
		o.today = o.today.Add(24 * time.Hour)
		switch {
		case o.ended:
		case !o.cancel.IsZero() && o.today.Equal(o.cancel):
			o.ended = true
		case !o.began && o.today.Equal(o.trial):
			o.began, o.anchor = true, o.today
			o.begin(o.today)
		case o.began && o.interval != Once && o.today.Equal(o.end):
			o.begin(o.today)
		}
	}
}

// change reports whether a change is possible, and makes it. asOf is zero for now.
func (o *oracle) change(interval Interval, cents int64, asOf, now time.Time) bool {
	if o.ended || o.suspended || !o.began || o.interval == Once {
		return false
	}
	at := wholeSecond(now)
	if !asOf.IsZero() {
		at = wholeSecond(asOf)
		if at.Before(o.start) || at.Before(o.lastChange) || at.Month() != now.Month() || at.Year() != now.Year() {
			return false
		}
		for _, halt := range o.halts {
			if halt[0].Before(at) && !at.After(halt[1]) {
				return false
			}
		}
	}
	o.cancel, o.lastChange = time.Time{}, at
	o.term++
	if o.paid {
		o.add(Credit, -o.refund(at), at)
	}
	same := interval == o.interval
	o.interval, o.cents = interval, cents
	if same {
		if o.paid {
			o.add(Proration, o.share(at), at)
			o.charge(o.share(at), at)
		}
		return true
	}
	o.anchor = floor(at)
	o.begin(at)
	return true
}

func (o *oracle) cancelAt(immediately bool, now time.Time) {
	if o.ended {
		return
	}
	at := wholeSecond(now)
	switch {
	case !o.began:
		o.ended = true
	case immediately:
		if o.paid && o.interval != Once && at.Before(o.end) {
			o.add(Credit, -o.refund(at), at)
		}
		o.ended = true
	case o.cancel.IsZero() && !o.end.After(now):
		o.ended = true
	case o.cancel.IsZero():
		o.cancel = o.end
	}
}

func (o *oracle) suspend(now time.Time) {
	if !o.ended && !o.suspended {
		o.suspended = true
		o.halts = append(o.halts, [2]time.Time{now, {}})
	}
}

func (o *oracle) resume(now time.Time) {
	if !o.ended && o.suspended {
		o.suspended = false
		o.halts[len(o.halts)-1][1] = now
	}
}
