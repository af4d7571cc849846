package billing

import (
	"bytes"
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
)

// Review is a checkout with what its approval would charge.
type Review struct {
	Checkout Checkout
	// At is the time for which the charges are worked out. ApproveReviewed charges the same if it gets it.
	At    time.Time
	Items []ReviewedItem
	// Expired reports whether it can no longer be approved, because it waited for too long.
	Expired bool
	// MayAnswer reports whether the principal is the user who can approve and decline the checkout.
	MayAnswer bool
}

// Reviewed is what an approval must find unchanged, because the user saw it in a Review.
type Reviewed struct {
	// At is the time of the review.
	At time.Time
	// Digest is the digest of the charges of the approval and of the subscriptions that it changes.
	Digest []byte
}

// Seen returns what an approval of the review must find unchanged.
func (r Review) Seen() Reviewed { return Reviewed{At: r.At, Digest: digestOfItems(r.Items)} }

// digestOfItems returns the digest of the items' charges and of the subscriptions that they change.
func digestOfItems(items []ReviewedItem) []byte {
	var shown []any
	for _, item := range items {
		shown = append(shown, Step{Added: item.Charges}.digest())
		// The page shows the subscription, too: a change withdraws a cancellation, which changes no charge.
		if item.Before != nil {
			shown = append(shown, item.Before.Version)
		}
	}
	return digestOf(shown...)
}

// ReviewedItem is an item of a checkout with what its approval would charge.
type ReviewedItem struct {
	Item
	Names

	// Before is the subscription that the item changes; nil for a new one.
	Before *Subscription
	// Charges are what the approval charges, and Next the next recurring charge after that; nil if there is none.
	Charges []Charge
	Next    *Charge
	// TrialEndsAt is zero without a trial.
	TrialEndsAt time.Time
	// Problem is why the item cannot be approved any more; nil if it can.
	Problem error
}

// Review returns a checkout that the principal may read, with what its approval would charge now.
func (s *Service) Review(ctx context.Context, by *auth.Principal, id uuid.UUID) (Review, error) {
	c, err := s.Checkout(ctx, by, id)
	if err != nil {
		return Review{}, err
	}
	r := Review{Checkout: c}
	if r.At, err = s.repo.Now(ctx); err != nil {
		return Review{}, err
	}
	r.Expired, r.At = c.Expired(r.At), second(r.At)
	if r.MayAnswer, err = s.MayAnswer(ctx, by, c); err != nil {
		return Review{}, err
	}
	subjects := make([]Subject, len(c.Items))
	var changed []uuid.UUID
	for n, item := range c.Items {
		subjects[n] = c.Subject(n)
		if item.Changes {
			changed = append(changed, item.SubscriptionID)
		}
	}
	names, err := s.Names(ctx, by, subjects)
	if err != nil {
		return Review{}, err
	}
	before := map[uuid.UUID]Subscription{}
	if len(changed) > 0 {
		side := Side{Partner: by.AccountID == c.PartnerID, Merchant: by.AccountID == c.MerchantID}
		if before, err = s.repo.Previewed(ctx, by.AccountID, side, changed); err != nil {
			return Review{}, err
		}
	}
	for n := range c.Items {
		r.Items = append(r.Items, c.review(n, names[subjects[n]], before, r.At, r.At))
	}
	return r, nil
}

// review returns an item with what its approval would charge now if it was reviewed at a time.
func (c Checkout) review(n int, names Names, subscriptions map[uuid.UUID]Subscription,
	at, now time.Time) ReviewedItem {
	r := ReviewedItem{Item: c.Items[n], Names: names}
	if c.PartnerSuspended && c.State == Open {
		r.Problem = errPartnerSuspended()
		return r
	}
	var step Step
	if r.Changes {
		before, known := subscriptions[r.SubscriptionID]
		if !known {
			r.Problem = ErrNoActiveSubscription()
			return r
		}
		r.Before = &before
		// What was approved shows in the subscription's terms.
		if c.State != Open {
			return r
		}
		if step, r.Problem = Change(before, TermOf(c, n, uuid.Nil), c.reviewedAt(at), now); r.Problem != nil {
			return r
		}
		if r.Preview != nil && !bytes.Equal(step.digest(), r.Preview) {
			r.Problem = errOutdated(c.AsOf)
			return r
		}
	} else {
		step = Start(c, n, uuid.Nil, uuid.Nil, now)
	}
	r.Charges, r.TrialEndsAt = step.Added, step.Subscription.TrialEndsAt
	for next := range step.Subscription.charges(step.Subscription.BilledUntil) {
		r.Next = &next
		break
	}
	return r
}

// reviewedAt returns the time at which a change counts: that of the partner's preview, or else that of the review.
func (c Checkout) reviewedAt(at time.Time) time.Time {
	if c.AsOf.IsZero() {
		return at
	}
	return c.AsOf
}

// checkReviewed returns fault.Conflict if an approval would charge something else than the review shows.
func (c Checkout) checkReviewed(seen Reviewed, subscriptions map[uuid.UUID]Subscription, now time.Time) error {
	at := seen.At
	outdated := at.After(now) || at.Before(now.Add(-MaxPreviewAge)) || at.Before(second(c.CreatedAt))
	items := make([]ReviewedItem, len(c.Items))
	for n, item := range c.Items {
		items[n] = c.review(n, Names{}, subscriptions, at, now)
		// A new subscription begins with the day of its approval.
		outdated = outdated || !item.Changes && !midnight(at).Equal(midnight(now))
	}
	if outdated || !bytes.Equal(digestOfItems(items), seen.Digest) {
		return fault.Errorf(fault.Conflict, "The amount may have changed while this page was open. "+
			"Check it and approve again.").On("at")
	}
	return nil
}

// MayReadSubscriptions returns fault.Forbidden unless the principal may read subscriptions as the merchant: those of
// its account, or of its stores.
func MayReadSubscriptions(by *auth.Principal) error {
	if by.OwnsAccount(by.AccountID) || by.OwnsAStore() {
		return nil
	}
	return auth.Denied(scope.AccountSubscriptionsRead)
}

// MayReadInvoices returns fault.Forbidden unless the principal may read the account's invoices.
func MayReadInvoices(by *auth.Principal) error { return mayReadInvoices(by) }

// MayReadSales returns fault.Forbidden unless the principal may read what the account's apps charge.
func MayReadSales(by *auth.Principal) error { return requirePartner(by, scope.AccountChargesRead) }
