package billing

import (
	"time"

	"latchkey/internal/fault"
)

// Status is the status of a subscription.
type Status string

// The statuses of subscriptions.
const (
	Active    Status = "ACTIVE"
	Suspended Status = "SUSPENDED"
	Cancelled Status = "CANCELLED"
)

// Status returns the status at a time that is not before the last change.
func (s Subscription) Status(now time.Time) Status {
	switch {
	case !s.CancelAt.IsZero() && !now.Before(s.CancelAt):
		return Cancelled
	case s.Suspended():
		return Suspended
	default:
		return Active
	}
}

// Suspended reports whether the subscription is suspended.
func (s Subscription) Suspended() bool {
	n := len(s.Suspensions)
	return n > 0 && s.Suspensions[n-1].End.IsZero()
}

// Term returns the term that holds.
func (s Subscription) Term() Term { return s.Terms[len(s.Terms)-1] }

// ErrNoCheckout is the error for a checkout that does not exist or is another account's. It does not reveal which.
func ErrNoCheckout() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such checkout in this account.").On("id")
}

// ErrNoSubscription is the error for a subscription that does not exist or is another account's. It does not reveal
// which.
func ErrNoSubscription() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such subscription in this account.").On("id")
}

// ErrNoCharge is the error for a charge that does not exist or is another account's. It does not reveal which.
func ErrNoCharge() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such charge in this account.").On("id")
}
