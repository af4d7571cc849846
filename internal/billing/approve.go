package billing

import (
	"bytes"
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
)

// ApproveCheckout approves a checkout for the owner of the stores of its items: its subscriptions begin or change, and
// what that costs is charged. It returns fault.Conflict if the checkout was approved or declined before or has expired,
// and the error of Change for a subscription that can no longer be changed. Then nothing is approved.
func (s *Service) ApproveCheckout(ctx context.Context, by *auth.Principal, id uuid.UUID) (Checkout, error) {
	return s.ApproveReviewed(ctx, by, id, nil)
}

// ApproveReviewed approves a checkout as ApproveCheckout does, and charges exactly what the review showed. It returns
// fault.Conflict if that is no longer possible. A nil review checks nothing.
func (s *Service) ApproveReviewed(ctx context.Context, by *auth.Principal, id uuid.UUID, seen *Reviewed) (Checkout,
	error) {
	writer, err := s.answering(ctx, by, id)
	if err != nil {
		return Checkout{}, err
	}
	var approved Checkout
	err = s.repo.ChangeCheckout(ctx, by.Actor(), by.AccountID, id, func(now time.Time, c Checkout,
		subscriptions map[uuid.UUID]Subscription, owners map[uuid.UUID]uuid.UUID) (Changes, error) {
		if err := mayAnswer(by, c, owners, now); err != nil {
			return Changes{}, err
		}
		if c.PartnerSuspended {
			return Changes{}, errPartnerSuspended()
		}
		asOf := c.AsOf
		if seen != nil {
			if err := c.checkReviewed(*seen, subscriptions, now); err != nil {
				return Changes{}, err
			}
			asOf = c.reviewedAt(seen.At)
		}
		var changes Changes
		approved, changes, err = approve(c, subscriptions, writer, theService(s.clock), by.ID, asOf, now)
		return changes, err
	})
	return approved, err
}

// errPartnerSuspended is the error for the approval of a checkout whose partner may not act.
func errPartnerSuspended() error {
	return fault.Errorf(fault.Conflict, "The account that asks for the approval is suspended.").On("id")
}

// approve returns the approved checkout, and the changes to store. Changes of subscriptions count at asOf; zero means
// now.
func approve(c Checkout, subscriptions map[uuid.UUID]Subscription, by, service author, user uuid.UUID,
	asOf, now time.Time) (Checkout, Changes, error) {
	c.State, c.ApprovedAt, c.ApprovedBy = Approved, now, user
	items := make([]Item, len(c.Items))
	copy(items, c.Items)
	steps := make([]Step, len(items))
	for n := range items {
		if items[n].Changes {
			before, found := subscriptions[items[n].SubscriptionID]
			if !found {
				return Checkout{}, Changes{}, ErrNoActiveSubscription()
			}
			var err error
			if steps[n], err = Change(before, TermOf(c, n, user), asOf, now); err != nil {
				return Checkout{}, Changes{}, err
			}
			if shown := items[n].Preview; shown != nil && !bytes.Equal(steps[n].digest(), shown) {
				return Checkout{}, Changes{}, errOutdated(asOf)
			}
		} else {
			items[n].SubscriptionID = uuid.Must(uuid.NewV7())
			steps[n] = Start(c, n, items[n].SubscriptionID, user, now)
		}
	}
	c.Items = items
	changes := Changes{Checkouts: []Checkout{c}, Events: by.checkout(audit.CheckoutApproved, c)}
	for n, step := range steps {
		action := audit.SubscriptionCreated
		if items[n].Changes {
			action = audit.SubscriptionUpdated
		}
		changes.add(step, by, service, action, now, subscriptions[items[n].SubscriptionID])
	}
	return c, changes, nil
}

// DeclineCheckout declines a checkout for the owner of the stores of its items. It returns fault.Conflict as
// ApproveCheckout does.
func (s *Service) DeclineCheckout(ctx context.Context, by *auth.Principal, id uuid.UUID) (Checkout, error) {
	writer, err := s.answering(ctx, by, id)
	if err != nil {
		return Checkout{}, err
	}
	var declined Checkout
	err = s.repo.ChangeCheckout(ctx, by.Actor(), by.AccountID, id, func(now time.Time, c Checkout,
		_ map[uuid.UUID]Subscription, owners map[uuid.UUID]uuid.UUID) (Changes, error) {
		if err := mayAnswer(by, c, owners, now); err != nil {
			return Changes{}, err
		}
		c.State, c.DeclinedAt, c.DeclinedBy = Declined, now, by.ID
		declined = c
		return Changes{Checkouts: []Checkout{c}, Events: writer.checkout(audit.CheckoutDeclined, c)}, nil
	})
	return declined, err
}

// answering returns the author of an answer to a checkout. Only the sessions of users who could own a store get it.
func (s *Service) answering(ctx context.Context, by *auth.Principal, id uuid.UUID) (author, error) {
	if by.Kind != auth.Session || !by.AccountOwner && !by.OwnsAStore() {
		return author{}, auth.Denied()
	}
	found, err := s.CheckoutsByID(ctx, by, []uuid.UUID{id})
	if err != nil {
		return author{}, err
	}
	c, seen := found[id]
	switch {
	case !seen:
		return author{}, ErrNoCheckout()
	case c.MerchantID != by.AccountID:
		return author{}, auth.Denied()
	}
	return s.authorOf(ctx, by)
}

// mayAnswer returns fault.Forbidden unless the principal owns the stores of all items, and fault.Conflict if the
// checkout waits for no answer any more.
func mayAnswer(by *auth.Principal, c Checkout, owners map[uuid.UUID]uuid.UUID, now time.Time) error {
	for _, item := range c.Items {
		if !ownsStore(by, owners[item.StoreID]) {
			return auth.Denied()
		}
	}
	switch {
	case c.State == Approved:
		return fault.Errorf(fault.Conflict, "The checkout was approved before.").On("id")
	case c.State == Declined:
		return fault.Errorf(fault.Conflict, "The checkout was declined.").On("id")
	case c.Expired(now):
		return fault.Errorf(fault.Conflict, "The checkout has expired. Ask the app for a new one.").On("id")
	}
	return nil
}

// CheckoutsByID returns the checkouts among the IDs that the principal may read: those that its account created, and
// those for its account's stores.
func (s *Service) CheckoutsByID(ctx context.Context, by *auth.Principal,
	ids []uuid.UUID) (map[uuid.UUID]Checkout, error) {
	r, err := readingOf(by, scope.AccountCheckoutsRead)
	if err != nil {
		return nil, err
	}
	found, err := s.repo.CheckoutsByID(ctx, by.AccountID, r.side, ids)
	for id, c := range found {
		if !r.seesCheckout(c, by.AccountID) {
			delete(found, id)
		}
	}
	return found, err
}

// seesCheckout reports whether the principal of the account may read a checkout of one of its sides.
func (r reading) seesCheckout(c Checkout, accountID uuid.UUID) bool {
	if r.side.Partner && c.PartnerID == accountID {
		return true
	}
	for _, item := range c.Items {
		if r.sees(item.StoreID) {
			return true
		}
	}
	return false
}

// Checkout returns a checkout that the principal may read, or ErrNoCheckout.
func (s *Service) Checkout(ctx context.Context, by *auth.Principal, id uuid.UUID) (Checkout, error) {
	found, err := s.CheckoutsByID(ctx, by, []uuid.UUID{id})
	if err != nil {
		return Checkout{}, err
	}
	if c, seen := found[id]; seen {
		return c, nil
	}
	return Checkout{}, ErrNoCheckout()
}

// maxApprovals is the most checkouts that PendingApprovals returns.
const maxApprovals = 100

// PendingApprovals returns the newest checkouts that wait for the approval of the session's user, who owns the stores
// of all of their items.
func (s *Service) PendingApprovals(ctx context.Context, by *auth.Principal) ([]Checkout, error) {
	if by.Kind != auth.Session || !by.AccountOwner && !by.OwnsAStore() {
		return nil, nil
	}
	return s.repo.Waiting(ctx, by.AccountID, by.ID, maxApprovals)
}

// MayAnswer reports whether the principal is the user who can approve and decline a checkout.
func (s *Service) MayAnswer(ctx context.Context, by *auth.Principal, c Checkout) (bool, error) {
	if by.Kind != auth.Session || by.AccountID != c.MerchantID {
		return false, nil
	}
	owners, err := s.owners(ctx, c)
	return err == nil && ownsAll(by, c, owners), err
}

// owners returns the owners of the stores of a checkout.
func (s *Service) owners(ctx context.Context, c Checkout) (map[uuid.UUID]uuid.UUID, error) {
	ids := make([]uuid.UUID, len(c.Items))
	for i, item := range c.Items {
		ids[i] = item.StoreID
	}
	stores, err := s.repo.Stores(ctx, c.MerchantID, ids, nil)
	owners := make(map[uuid.UUID]uuid.UUID, len(stores))
	for _, store := range stores {
		owners[store.ID] = store.OwnerID
	}
	return owners, err
}

func ownsAll(by *auth.Principal, c Checkout, owners map[uuid.UUID]uuid.UUID) bool {
	for _, item := range c.Items {
		if !ownsStore(by, owners[item.StoreID]) {
			return false
		}
	}
	return true
}
