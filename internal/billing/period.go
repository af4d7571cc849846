package billing

import (
	"iter"
	"time"
)

const day = 24 * time.Hour

// months returns the length of an interval other than Once.
func (i Interval) months() int {
	switch i {
	case Quarter:
		return 3
	case Semiannual:
		return 6
	case Annual:
		return 12
	default:
		return 1
	}
}

// Boundary returns the nth boundary of periods that are counted from the anchor: the anchor's day plus n intervals, at
// the anchor's time of day. A day that the month lacks becomes its last one. The interval Once counts days.
func Boundary(anchor time.Time, i Interval, n int) time.Time {
	anchor = anchor.UTC()
	if i == Once {
		return anchor.AddDate(0, 0, n)
	}
	year, month, dayOfMonth := anchor.Date()
	month += time.Month(n * i.months())
	// The day 0 of a month is the last one of the month before it.
	last := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	hour, minute, second := anchor.Clock()
	return time.Date(year, month, min(dayOfMonth, last), hour, minute, second, anchor.Nanosecond(), time.UTC)
}

// midnight returns the beginning of the day of t.
func midnight(t time.Time) time.Time { return t.UTC().Truncate(day) }

// second returns the second of t. Changes and ends count in whole seconds.
func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// seconds returns the length of the span.
func (s Span) seconds() int64 { return int64(s.End.Sub(s.Start) / time.Second) }

// period is one of the periods of a subscription.
type period struct {
	// Span is the whole period.
	Span
	// number counts from the anchor on.
	number int
	// until is when the period stopped to hold: its end, or that of a change of interval or an immediate end.
	until time.Time
	// first is the index of the term whose price is charged at the start, and last the one that holds at the end.
	first, last int
	// charged is false for a period that began while the subscription was suspended.
	charged bool
	// ended reports whether an immediate end cut the period.
	ended bool
}

// from returns the time from which a term counts. One that was agreed before the first period counts from its start.
func (s Subscription) from(term int) time.Time {
	t := second(s.Terms[term].From)
	if t.Before(s.ActivatedAt) {
		return s.ActivatedAt.UTC()
	}
	return t
}

// periods yields the periods from the activation on, in order. They go on without an end unless the subscription is
// cancelled or paid once. A change at the second at which a period starts is a change of that period.
func (s Subscription) periods() iter.Seq[period] {
	return func(yield func(period) bool) {
		start, term := s.ActivatedAt.UTC(), 0
		for changed := true; changed; {
			changed = false
			anchor, first, interval := midnight(start), term, s.Terms[term].Interval
			for n := 0; !changed; n++ {
				p := period{Span: Span{start, Boundary(anchor, interval, n+1)}, number: n, first: term}
				if !s.starts(p.Start) {
					return
				}
				// A change is approved only while the subscription is active, so its own first period is charged.
				p.charged = n == 0 && first > 0 || !s.suspendedAt(p.Start)
				p.until = p.End
				for !changed && term+1 < len(s.Terms) && s.from(term+1).Before(p.End) {
					term++
					if changed = s.Terms[term].Interval != interval; changed {
						p.until = s.from(term)
					}
				}
				if p.ended = s.CreditsRest && s.CancelAt.Before(p.until); p.ended {
					p.until = s.CancelAt.UTC()
				}
				p.last, start = term, p.until
				if !yield(p) || p.ended || interval == Once && !changed {
					return
				}
			}
		}
	}
}

// starts reports whether a period starts at t. One that starts at the second of an immediate end does, and is credited:
// a billing run at that time may have charged it already.
func (s Subscription) starts(t time.Time) bool {
	return s.CancelAt.IsZero() || t.Before(s.CancelAt) || s.CreditsRest && t.Equal(s.CancelAt)
}

// suspendedAt reports whether a period that starts at t is not charged. What falls due at the time of a suspension or
// of its end is decided by the state before, so that it does not matter whether a billing run came first.
func (s Subscription) suspendedAt(t time.Time) bool {
	for _, suspension := range s.Suspensions {
		if t.After(suspension.Start) && (suspension.End.IsZero() || !t.After(suspension.End)) {
			return true
		}
	}
	return false
}

// InTrial reports whether the trial has not ended at the time.
func (s Subscription) InTrial(at time.Time) bool { return at.Before(s.TrialEndsAt) }

// CurrentPeriod returns the period that contains the time, and whether it is charged. It is the trial before the
// first period, and the last period after the end.
func (s Subscription) CurrentPeriod(at time.Time) (span Span, charged bool) {
	span = Span{second(s.Terms[0].From), s.TrialEndsAt.UTC()}
	if !s.CancelAt.IsZero() && s.CancelAt.Before(s.ActivatedAt) {
		span.End = s.CancelAt.UTC()
	}
	for p := range s.periods() {
		if p.Start.After(at) {
			break
		}
		span, charged = Span{p.Start, p.until}, p.charged
	}
	return span, charged
}

// CurrentPeriodEnd returns the end of the period that contains the time, as CurrentPeriod does.
func (s Subscription) CurrentPeriodEnd(at time.Time) time.Time {
	span, _ := s.CurrentPeriod(at)
	return span.End
}
