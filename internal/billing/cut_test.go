package billing_test

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/billing"
)

// errCut is the error of a run whose process would be dead.
var errCut = errors.New("the run was cut off")

// cut is a ledger whose run is cut off: before the call left, after it, or in it.
type cut struct {
	billing.Ledger

	left   int
	how    int
	cancel context.CancelFunc
	after  time.Duration
}

// call makes a call, or cuts it off.
func (l *cut) call(do func() error) error {
	l.left--
	switch {
	case l.left > 0:
		return do()
	case l.left < 0 || l.how == 0:
		return errCut
	case l.how == 1:
		return errors.Join(do(), errCut)
	default:
		time.AfterFunc(l.after, l.cancel)
		return errors.Join(do(), errCut)
	}
}

// Lease gives the lease to every run, since nothing ends the one of a run that is cut off before its time.
func (*cut) Lease(context.Context, uuid.UUID, time.Duration) (bool, error) { return true, nil }

// Release does nothing.
func (*cut) Release(context.Context, uuid.UUID) error { return nil }

// Due is Ledger.Due.
func (l *cut) Due(ctx context.Context, now time.Time, limit int) (list []billing.Subscription, err error) {
	err = l.call(func() error {
		list, err = l.Ledger.Due(ctx, now, limit)
		return err
	})
	return list, err
}

// Bill is Ledger.Bill.
func (l *cut) Bill(ctx context.Context, now time.Time, changes billing.Changes) (added int64, err error) {
	err = l.call(func() error {
		added, err = l.Ledger.Bill(ctx, now, changes)
		return err
	})
	return added, err
}

// Uninvoiced is Ledger.Uninvoiced.
func (l *cut) Uninvoiced(ctx context.Context, now time.Time, limit int) (list []billing.OpenMonth, err error) {
	err = l.call(func() error {
		list, err = l.Ledger.Uninvoiced(ctx, now, limit)
		return err
	})
	return list, err
}

// Issue is Ledger.Issue.
func (l *cut) Issue(ctx context.Context, m billing.OpenMonth, compose func(now time.Time, number int64,
	charges []billing.Charge) (billing.Invoice, []billing.Charge, []audit.Event, error)) error {
	return l.call(func() error { return l.Ledger.Issue(ctx, m, compose) })
}
