package gormdb_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/fault"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
)

// atOnce runs work in n goroutines and returns their errors by kind.
func atOnce(n int, work func(i int) error) map[fault.Kind]int {
	kinds := make([]fault.Kind, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			err := work(i)
			kinds[i] = fault.KindOf(err)
			if err != nil && kinds[i] == "" {
				kinds[i] = fault.Kind(err.Error())
			}
		})
	}
	all.Wait()
	count := map[fault.Kind]int{}
	for _, k := range kinds {
		count[k]++
	}
	return count
}

// sum returns the sum of charges of a kind that are not deleted.
func sum(charges []billing.Charge, kind billing.ChargeKind) (total int64) {
	for _, c := range charges {
		if c.Kind == kind && c.Status != billing.ChargeDeleted {
			total += c.Amount.Minor
		}
	}
	return total
}

// keyed creates a checkout with a key.
func (m market) keyed(ctx context.Context, key, digest string) (billing.Checkout, bool, error) {
	return m.bills().InsertCheckout(ctx, anyone, m.draft(billing.CheckoutDraft{Key: key, Digest: []byte(digest)}),
		func(now time.Time, _ map[uuid.UUID]billing.Subscription, _ billing.Standing) (billing.Changes, error) {
			c := m.checkout(now, func(c *billing.Checkout) { c.Key, c.Digest = key, []byte(digest) })
			return billing.Changes{Checkouts: []billing.Checkout{c}, Events: []audit.Event{
				about(c.PartnerID, "checkout.created", "checkout", c.ID)}}, nil
		})
}

func TestInsertCheckoutIsIdempotent(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		var mu sync.Mutex
		found := map[uuid.UUID]int{}
		got := atOnce(20, func(int) error {
			c, _, err := m.keyed(t.Context(), "key", "input")
			mu.Lock()
			defer mu.Unlock()
			found[c.ID]++
			return err
		})
		check.Equal(t, got, map[fault.Kind]int{"": 20}, "results")
		check.Equal(t, len(found), 1, "checkouts")
		check.Equal(t, m.events(t), int64(1), "events")
		_, _, err := m.keyed(t.Context(), "key", "other")
		mustBe(t, err, fault.Conflict)

		// The answer is that of the creation.
		first, _, _ := m.keyed(t.Context(), "key", "input")
		if err := m.approve(t.Context(), first.ID); err != nil {
			t.Fatal(err)
		}
		again, replayed, err := m.keyed(t.Context(), "key", "input")
		check.Equal(t, replayed, true, "replayed after the approval (%v)", err)
		alike(t, "the answer after the approval", again, first)

		m.to(t, "2026-03-02")
		next, replayed, err := m.keyed(t.Context(), "key", "other")
		check.Equal(t, replayed, false, "replayed after 30 days (%v)", err)
		check.Equal(t, next.ID == first.ID, false, "the same checkout after 30 days")
	})
}

// approve approves a checkout.
func (m market) approve(ctx context.Context, id uuid.UUID) error {
	return m.bills().ChangeCheckout(ctx, anyone, m.merchant.Account.ID, id, func(now time.Time, c billing.Checkout,
		_ map[uuid.UUID]billing.Subscription, owners map[uuid.UUID]uuid.UUID) (billing.Changes, error) {
		return approval(now, c, owners)
	})
}

// decline declines a checkout.
func (m market) decline(ctx context.Context, id uuid.UUID) error {
	return m.bills().ChangeCheckout(ctx, anyone, m.merchant.Account.ID, id, func(now time.Time, c billing.Checkout,
		_ map[uuid.UUID]billing.Subscription, owners map[uuid.UUID]uuid.UUID) (billing.Changes, error) {
		if c.State != billing.Open {
			return billing.Changes{}, fault.Errorf(fault.Conflict, "It is %s.", c.State)
		}
		c.State, c.DeclinedAt, c.DeclinedBy = billing.Declined, now, owners[c.Items[0].StoreID]
		return billing.Changes{Checkouts: []billing.Checkout{c}, Events: []audit.Event{
			about(c.MerchantID, "checkout.declined", "checkout", c.ID)}}, nil
	})
}

// Approvals, declines and the expiry of a checkout end in one state.
func TestApproveAtOnce(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		subscriptions := 0
		for range 5 {
			c := m.open(t)
			before := m.events(t)
			got := atOnce(6, func(i int) error {
				if i%3 == 2 {
					return m.decline(t.Context(), c.ID)
				}
				return m.approve(t.Context(), c.ID)
			})
			check.Equal(t, got, map[fault.Kind]int{"": 1, fault.Conflict: 5}, "results")
			found, err := m.bills().CheckoutsByID(t.Context(), m.merchant.Account.ID, charged, []uuid.UUID{c.ID})
			if err != nil {
				t.Fatal(err)
			}
			events := int64(1)
			if found[c.ID].State == billing.Approved {
				subscriptions++
				events++ // that of the charge
			}
			check.Equal(t, m.events(t)-before, events, "events")
		}
		n, err := m.bills().CountSubscriptions(t.Context(), m.partner.Account.ID, partner,
			billing.SubscriptionFilter{})
		check.Equal(t, n, int64(subscriptions), "subscriptions (%v)", err)
		check.Equal(t, len(m.charges(t, billing.ChargeFilter{})), subscriptions, "charges")
	})
}

// An approval beside the expiry succeeds exactly if the checkout was valid at its time.
func TestApproveBesideTheExpiry(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		c := m.open(t)
		got := atOnce(5, func(i int) error {
			if i == 2 {
				return m.ledger().MoveClock(t.Context(), c.ExpiresAt)
			}
			return m.approve(t.Context(), c.ID)
		})
		found, err := m.bills().CheckoutsByID(t.Context(), m.merchant.Account.ID, charged, []uuid.UUID{c.ID})
		if err != nil {
			t.Fatal(err)
		}
		approved := found[c.ID]
		if approved.State == billing.Approved {
			check.Equal(t, got, map[fault.Kind]int{"": 2, fault.Conflict: 3}, "results")
			check.Equal(t, approved.ApprovedAt.Before(approved.ExpiresAt), true, "approved before the expiry")
		} else {
			check.Equal(t, got, map[fault.Kind]int{"": 1, fault.Conflict: 4}, "results")
		}
	})
}

func TestChangeSubscription(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		s := m.subscribe(t)
		change := func(account uuid.UUID, act func(billing.Subscription, time.Time) billing.Step) billing.Subscription {
			t.Helper()
			var step billing.Step
			err := m.bills().ChangeSubscription(t.Context(), anyone, account, s.ID,
				func(now time.Time, before billing.Subscription, owner uuid.UUID) (billing.Changes, error) {
					check.Equal(t, owner, m.merchant.StoreOwner.ID, "the store's owner")
					step = act(before, now)
					return billing.Changes{Subscriptions: []billing.Subscription{step.Subscription},
						Charges: named(step.Charges(), now), ChargeEvent: chargeEvent,
						Events: []audit.Event{about(account, "subscription.updated", "subscription", s.ID)}}, nil
				})
			if err != nil {
				t.Fatal(err)
			}
			alike(t, "the stored subscription", m.subscription(t, s.ID), step.Subscription)
			return step.Subscription
		}
		suspend := func(s billing.Subscription, now time.Time) billing.Step {
			step, err := billing.Suspend(s, now)
			check.Equal(t, err, nil, "the error of suspending")
			return step
		}
		resume := func(s billing.Subscription, now time.Time) billing.Step {
			step, err := billing.Resume(s, now)
			check.Equal(t, err, nil, "the error of resuming")
			return step
		}
		m.to(t, "2026-02-10")
		change(m.merchant.Account.ID, suspend)
		m.to(t, "2026-03-10")
		change(m.merchant.Account.ID, resume)
		m.to(t, "2026-03-11")
		change(m.merchant.Account.ID, suspend)
		m.to(t, "2026-03-12")
		change(m.merchant.Account.ID, resume)
		m.to(t, "2026-04-10")
		change(m.partner.Account.ID, func(s billing.Subscription, now time.Time) billing.Step {
			return billing.Cancel(s, true, now)
		})
		s = m.subscription(t, s.ID)
		check.Equal(t, billing.VerifySubscription(s, m.charges(t, billing.ChargeFilter{}), day("2026-04-10")), nil,
			"findings")
	})
}

// A change through a checkout adds a term to the subscription.
func TestChangeByCheckout(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		s, ctx := m.subscribe(t), t.Context()
		other := dbtest.Seed{}.Make(t, m.DB).Account.ID
		m.to(t, "2026-02-10")
		insert := func(partnerID uuid.UUID) (billing.Checkout, int, error) {
			seen := 0
			draft := m.draft(billing.CheckoutDraft{Changed: []uuid.UUID{s.ID}})
			draft.PartnerID = partnerID
			c, _, err := m.bills().InsertCheckout(ctx, anyone, draft, func(now time.Time,
				found map[uuid.UUID]billing.Subscription, _ billing.Standing) (billing.Changes, error) {
				seen = len(found)
				c := m.checkout(now, func(c *billing.Checkout) {
					c.Items[0].SubscriptionID, c.Items[0].Changes, c.Items[0].Price = s.ID, true, usd(3000)
					c.Items[0].Cap = nil
				})
				return billing.Changes{Checkouts: []billing.Checkout{c}}, nil
			})
			return c, seen, err
		}
		if _, seen, err := insert(other); err != nil || seen != 0 {
			t.Errorf("another partner sees %d subscriptions, %v", seen, err)
		}
		c, seen, err := insert(m.partner.Account.ID)
		if err != nil || seen != 1 {
			t.Fatalf("the partner sees %d subscriptions, %v", seen, err)
		}
		var step billing.Step
		err = m.bills().ChangeCheckout(ctx, anyone, m.merchant.Account.ID, c.ID, func(now time.Time,
			c billing.Checkout, found map[uuid.UUID]billing.Subscription,
			owners map[uuid.UUID]uuid.UUID) (billing.Changes, error) {
			c.State, c.ApprovedAt, c.ApprovedBy = billing.Approved, now, owners[c.Items[0].StoreID]
			step, err = billing.Change(found[s.ID], billing.TermOf(c, 0, c.ApprovedBy), c.AsOf, now)
			return billing.Changes{Checkouts: []billing.Checkout{c}, Charges: named(step.Charges(), now),
				Subscriptions: []billing.Subscription{step.Subscription}, ChargeEvent: chargeEvent}, err
		})
		if err != nil {
			t.Fatal(err)
		}
		stored := m.subscription(t, s.ID)
		alike(t, "the changed subscription", stored, step.Subscription)
		check.Equal(t, len(stored.Terms), 2, "terms")
		check.Equal(t, billing.VerifySubscription(stored, m.charges(t, billing.ChargeFilter{}), day("2026-02-10")), nil,
			"findings")
	})
}

func TestChangeCharge(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		s, ctx := m.subscribe(t), t.Context()
		usage, _, err := m.use(ctx, s.ID, "key", 700)
		if err != nil {
			t.Fatal(err)
		}
		deleted, _, err := m.bills().ChangeCharge(ctx, anyone, m.partner.Account.ID, usage.ID, "", nil,
			func(_ time.Time, c billing.Charge, _ billing.Subscription, credited int64) (billing.Changes, error) {
				check.Equal(t, credited, int64(0), "what is credited")
				c.Status = billing.ChargeDeleted
				return billing.Changes{Charges: []billing.Charge{c}, ChargeEvent: chargeEvent}, nil
			})
		check.Equal(t, deleted.ID, usage.ID, "the deleted charge (%v)", err)
		gone := m.charges(t, billing.ChargeFilter{Status: billing.ChargeDeleted})
		check.Equal(t, gone[0].ID, usage.ID, "what is deleted")
		if _, _, err := m.use(ctx, s.ID, "more", 1000); err != nil {
			t.Errorf("what was deleted counts against the cap: %v", err)
		}

		// Credits never exceed the charge.
		charge := m.charges(t, billing.ChargeFilter{Kind: billing.Recurring})[0]
		credit := func(key string, amount int64) (billing.Charge, bool, error) {
			digest := []byte(fmt.Sprint(amount))
			return m.bills().ChangeCharge(ctx, anyone, m.partner.Account.ID, charge.ID, key, digest,
				func(now time.Time, c billing.Charge, s billing.Subscription, credited int64) (billing.Changes, error) {
					if amount-credited > c.Amount.Minor {
						return billing.Changes{}, fault.Errorf(fault.LimitReached, "%d are credited.", -credited)
					}
					made := usageOf(s, key, -amount, now)
					made.Kind, made.CreditOf, made.SourceKey = billing.Credit, c.ID, billing.CreditOfKey(s.ID, key)
					made.Digest = digest
					return billing.Changes{Charges: named([]billing.Charge{made}, now), ChargeEvent: chargeEvent}, nil
				})
		}
		got := atOnce(20, func(i int) error {
			_, _, err := credit(fmt.Sprint(i), 90)
			return err
		})
		check.Equal(t, got, map[fault.Kind]int{"": 11, fault.LimitReached: 9}, "results of 20 credits of 90")
		first, replayed, err := credit("last", 10)
		check.Equal(t, replayed, false, "the first is replayed (%v)", err)
		again, replayed, err := credit("last", 10)
		check.Equal(t, replayed, true, "the second is replayed (%v)", err)
		check.Equal(t, again.ID, first.ID, "the same credit")
		check.Equal(t, sum(m.charges(t, billing.ChargeFilter{}), billing.Credit), int64(-1000), "credits")
	})
}

// A token's usage of all subscriptions never exceeds its limit of the month.
func TestChargeLimit(t *testing.T) {
	eachMarket(t, "2026-01-30", func(t *testing.T, m market) {
		limited, value := issue(t, m.DB, m.partner, uuid.Nil, func(d *token.Draft) {
			d.Token.ChargeLimit = auth.ChargeLimit{Minor: 500, Currency: "USD"}
		})
		by := actorOf(t, m.DB, value)
		subscriptions := []uuid.UUID{m.subscribe(t).ID, m.subscribe(t).ID, m.subscribe(t).ID}
		use := func(s uuid.UUID, key string) error {
			_, _, err := m.bills().AddUsage(t.Context(), by, m.partner.Account.ID, s, key, nil,
				func(now time.Time, s billing.Subscription, u billing.UsageSums) (billing.Changes, error) {
					if u.TokenLimit == nil || u.Token+50 > *u.TokenLimit {
						return billing.Changes{}, fault.Errorf(fault.LimitReached, "%d are charged.", u.Token)
					}
					c := usageOf(s, key, 50, now)
					c.TokenID = limited.ID
					return billing.Changes{Charges: named([]billing.Charge{c}, now), ChargeEvent: chargeEvent}, nil
				})
			return err
		}
		got := atOnce(15, func(i int) error { return use(subscriptions[i%3], fmt.Sprint(i)) })
		check.Equal(t, got, map[fault.Kind]int{"": 10, fault.LimitReached: 5}, "results of 15 charges of 50")
		m.to(t, "2026-02-01")
		check.Equal(t, use(subscriptions[0], "next"), nil, "the error in the next month")
	})
}

// A suspension waits for the writes that have read that the account is not suspended: of the partner for approvals of
// its checkouts, of the merchant for new ones. Those after it see it.
func TestSuspensionWaitsForCheckouts(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		ended := make(chan error, 1)
		suspending := func(a account.Account) {
			a.Status = account.Suspended
			go func() { ended <- m.Manifest().SaveAccount(context.WithoutCancel(t.Context()), a) }()
			select {
			case err := <-ended:
				t.Errorf("suspended while a checkout is written: %v, want it to wait", err)
				ended <- err
			case <-time.After(300 * time.Millisecond):
			}
		}
		approving := func(decided func(billing.Checkout)) error {
			id := m.open(t).ID
			return m.bills().ChangeCheckout(t.Context(), anyone, m.merchant.Account.ID, id,
				func(_ time.Time, c billing.Checkout, _ map[uuid.UUID]billing.Subscription,
					_ map[uuid.UUID]uuid.UUID) (billing.Changes, error) {
					decided(c)
					return billing.Changes{}, nil
				})
		}
		check.Equal(t, approving(func(billing.Checkout) { suspending(m.partner.Account) }), nil, "approve")
		check.Equal(t, <-ended, nil, "suspend the partner")
		check.Equal(t, approving(func(c billing.Checkout) {
			check.Equal(t, c.PartnerSuspended, true, "the partner is suspended, as a later approval reads it")
		}), nil, "approve later")

		creating := func(decided func(billing.Standing)) error {
			_, _, err := m.bills().InsertCheckout(t.Context(), anyone, m.draft(billing.CheckoutDraft{}),
				func(_ time.Time, _ map[uuid.UUID]billing.Subscription, s billing.Standing) (billing.Changes, error) {
					decided(s)
					return billing.Changes{}, nil
				})
			return err
		}
		check.Equal(t, creating(func(billing.Standing) { suspending(m.merchant.Account) }), nil, "create")
		check.Equal(t, <-ended, nil, "suspend the merchant")
		check.Equal(t, creating(func(s billing.Standing) {
			check.Equal(t, s.MerchantSuspended, true, "the merchant is suspended, as a later checkout reads it")
		}), nil, "create later")
	})
}
