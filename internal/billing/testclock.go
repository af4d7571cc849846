package billing

import (
	"context"
	"fmt"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
)

// MaxAdvance is the furthest that one call moves the test clock.
const MaxAdvance = 732 * day

// maxLeaseWait is for how long AdvanceTime waits for a billing run to end.
const maxLeaseWait = 5 * time.Second

// StartClock starts the test clock at a time, or at the present time if that is zero, if the database has none yet.
// It returns the time of the test clock.
func (r *Runner) StartClock(ctx context.Context, at time.Time) (time.Time, error) {
	if at.IsZero() {
		at = r.clock.Timestamp()
	}
	return r.ledger.SetClock(ctx, at)
}

// HasClock reports whether billing goes by a test clock.
func (r *Runner) HasClock(ctx context.Context) (bool, error) { return r.ledger.HasClock(ctx) }

// AdvanceTime moves the test clock, for the owner of an account that is enrolled in automated billing and for the
// operator. It bills on the way at every time at which something is due, so that one call does the same as many. It
// returns the new time, fault.Forbidden without a test clock, and fault.Conflict while another call or a billing run is
// at work.
func (r *Runner) AdvanceTime(ctx context.Context, by *auth.Principal, seconds int64) (time.Time, error) {
	if by.Kind != auth.Operator && !(by.Kind == auth.Session && actsAsPartner(by, scope.AccountChargesRead)) {
		return time.Time{}, auth.Denied()
	}
	has, err := r.ledger.HasClock(ctx)
	if err != nil {
		return time.Time{}, err
	}
	if !has {
		return time.Time{}, fault.Errorf(fault.Forbidden,
			"The server has no test clock. Start it with latchkey serve --test-clock.")
	}
	if seconds < 0 || seconds > int64(MaxAdvance/time.Second) {
		return time.Time{}, invalid("seconds", "The test clock moves by 0 to %d seconds.",
			int64(MaxAdvance/time.Second))
	}
	var now time.Time
	got, err := r.leasedSoon(ctx, func(ctx context.Context) error {
		if now, err = r.repo.Now(ctx); err != nil {
			return err
		}
		return r.advance(ctx, &now, now.Add(time.Duration(seconds)*time.Second))
	})
	if err == nil && !got {
		err = fault.Errorf(fault.Conflict, "A billing run is at work. Try again when it has ended.")
	}
	return now, err
}

// leasedSoon is leased, after waiting a while for the lease.
func (r *Runner) leasedSoon(ctx context.Context, work func(context.Context) error) (bool, error) {
	began := false
	deadline := time.NewTimer(maxLeaseWait)
	defer deadline.Stop()
	for {
		got, err := r.leased(ctx, func(ctx context.Context) error {
			began = true
			return work(ctx)
		})
		if got || began || err != nil {
			return got, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-deadline.C:
			return false, nil
		case <-time.After(maxLeaseWait / 50):
		}
	}
}

// advance moves the test clock from now to a time, and bills at every time on the way at which something is due.
func (r *Runner) advance(ctx context.Context, now *time.Time, to time.Time) error {
	for {
		var result RunResult
		if err := r.runUntil(ctx, *now, &result, nil); err != nil {
			return err
		}
		next, err := r.ledger.NextDue(ctx)
		switch {
		case err != nil:
			return err
		case !next.IsZero() && !next.After(*now):
			return fmt.Errorf("billing: something stays due at %s after a run at %s", next, *now)
		case next.IsZero() || next.After(to):
			next = to
		}
		if !next.After(*now) {
			return nil
		}
		if err := r.ledger.MoveClock(ctx, next); err != nil {
			return err
		}
		*now = next
	}
}
