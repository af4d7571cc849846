package gormdb_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

var (
	anyone  = auth.NoActor("a test")
	partner = billing.Side{Partner: true}
	charged = billing.Side{Merchant: true}
)

// market is a database with a partner, who has an app, a merchant, and a test clock.
type market struct {
	*gormdb.DB
	partner, merchant dbtest.World
}

// alike fails the test unless got and want are equal, also behind pointers.
func alike(t testing.TB, what string, got, want any) {
	t.Helper()
	texts := make([]string, 2)
	for i, v := range []any{got, want} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(text)
	}
	check.Equal(t, texts[0], texts[1], "%s", what)
}

// usd returns an amount.
func usd(minor int64) billing.Money { return billing.Money{Minor: minor, Currency: "USD"} }

// day returns midnight of a date.
func day(text string) time.Time {
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return at
}

// eachMarket runs test on both databases. The test clock shows the date.
func eachMarket(t *testing.T, date string, test func(t *testing.T, m market)) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) { test(t, newMarket(t, db, date)) })
}

func newMarket(t testing.TB, db *gormdb.DB, date string) market {
	m := market{db, dbtest.Seed{Apps: 1}.Make(t, db), dbtest.Seed{Stores: 2, StoreOwner: true}.Make(t, db)}
	if _, err := gormdb.Ledger(db).SetClock(t.Context(), day(date)); err != nil {
		t.Fatal(err)
	}
	return m
}

// to moves the test clock.
func (m market) to(t testing.TB, date string) {
	t.Helper()
	if err := m.ledger().MoveClock(t.Context(), day(date)); err != nil {
		t.Fatal(err)
	}
}

// about returns an event.
func about(account uuid.UUID, action audit.Action, kind audit.TargetKind, id uuid.UUID) audit.Event {
	return audit.Event{ID: uuid.Must(uuid.NewV7()), AccountID: account, At: noon,
		Actor: audit.Actor{Kind: audit.ActorUser}, Action: action, Target: audit.Target{Kind: kind, Key: id.String()}}
}

// chargeEvent is the event of a charge in its partner's or merchant's log.
func chargeEvent(c billing.Charge) audit.Event {
	account := c.PartnerID
	if account == uuid.Nil {
		account = c.MerchantID
	}
	return about(account, "charge.created", "charge", c.ID)
}

// checkout returns a checkout of a monthly subscription.
func (m market) checkout(now time.Time, edits ...func(*billing.Checkout)) billing.Checkout {
	limit := int64(1000)
	c := billing.Checkout{
		ID: uuid.Must(uuid.NewV7()), PartnerID: m.partner.Account.ID, MerchantID: m.merchant.Account.ID,
		State: billing.Open, CreatedAt: now, ExpiresAt: now.Add(24 * time.Hour),
		CreatedBy: audit.Actor{Kind: audit.ActorAPIToken, ID: uuid.Must(uuid.NewV7()), Name: "Token"},
		Items: []billing.Item{{
			AppID: m.partner.Apps[0].ID, StoreID: m.merchant.Stores[0].ID, StoreHash: m.merchant.Stores[0].Hash,
			Level: "pro", Description: "An app", RedirectURL: "https://app.example", Interval: billing.Month,
			Price: usd(1000), Cap: &limit,
		}},
	}
	for _, edit := range edits {
		edit(&c)
	}
	return c
}

// draft returns a draft of the partner for the merchant.
func (m market) draft(d billing.CheckoutDraft) billing.CheckoutDraft {
	d.PartnerID, d.MerchantID = m.partner.Account.ID, m.merchant.Account.ID
	return d
}

// open stores a checkout.
func (m market) open(t testing.TB, edits ...func(*billing.Checkout)) billing.Checkout {
	t.Helper()
	var made billing.Checkout
	c, replayed, err := m.bills().InsertCheckout(t.Context(), anyone, m.draft(billing.CheckoutDraft{}),
		func(now time.Time, _ map[uuid.UUID]billing.Subscription, _ billing.Standing) (billing.Changes, error) {
			made = m.checkout(now, edits...)
			return billing.Changes{Checkouts: []billing.Checkout{made}, Events: []audit.Event{
				about(made.PartnerID, "checkout.created", "checkout", made.ID)}}, nil
		})
	if err != nil || replayed {
		t.Fatalf("insert a checkout: %v, %v", replayed, err)
	}
	alike(t, "the inserted checkout", c, made)
	return c
}

// approval decides that a checkout of one new item is approved.
func approval(now time.Time, c billing.Checkout, owners map[uuid.UUID]uuid.UUID) (billing.Changes, error) {
	switch {
	case c.State != billing.Open:
		return billing.Changes{}, fault.Errorf(fault.Conflict, "It is %s.", c.State)
	case !now.Before(c.ExpiresAt):
		return billing.Changes{}, fault.Errorf(fault.Conflict, "It has expired.")
	}
	c.State, c.ApprovedAt, c.ApprovedBy = billing.Approved, now, owners[c.Items[0].StoreID]
	c.Items = slices.Clone(c.Items)
	changes := billing.Changes{ChargeEvent: chargeEvent}
	for i := range c.Items {
		step := billing.Start(c, i, uuid.Must(uuid.NewV7()), c.ApprovedBy, now)
		c.Items[i].SubscriptionID = step.Subscription.ID
		changes.Subscriptions = append(changes.Subscriptions, step.Subscription)
		changes.Charges = append(changes.Charges, named(step.Charges(), now)...)
	}
	changes.Checkouts = []billing.Checkout{c}
	changes.Events = []audit.Event{about(c.MerchantID, "checkout.approved", "checkout", c.ID)}
	return changes, nil
}

// named gives charges what Due leaves out.
func named(charges []billing.Charge, now time.Time) []billing.Charge {
	for i := range charges {
		charges[i].ID, charges[i].CreatedAt, charges[i].Status = uuid.Must(uuid.NewV7()), now, billing.ChargePending
	}
	return charges
}

// subscribe stores a checkout and approves it.
func (m market) subscribe(t testing.TB, edits ...func(*billing.Checkout)) billing.Subscription {
	t.Helper()
	c := m.open(t, edits...)
	var made billing.Subscription
	err := m.bills().ChangeCheckout(t.Context(), anyone, m.merchant.Account.ID, c.ID, func(now time.Time,
		c billing.Checkout, _ map[uuid.UUID]billing.Subscription,
		owners map[uuid.UUID]uuid.UUID) (billing.Changes, error) {
		changes, err := approval(now, c, owners)
		if err == nil {
			made = changes.Subscriptions[0]
		}
		return changes, err
	})
	if err != nil {
		t.Fatalf("approve a checkout: %v", err)
	}
	return made
}

// subscription returns a stored subscription, which a list returns as well.
func (m market) subscription(t testing.TB, id uuid.UUID) billing.Subscription {
	t.Helper()
	found, err := m.bills().SubscriptionsByID(t.Context(), m.partner.Account.ID, partner, []uuid.UUID{id})
	if err != nil || len(found) != 1 {
		t.Fatalf("found %v, %v", found, err)
	}
	page, err := m.bills().Subscriptions(t.Context(), m.merchant.Account.ID, charged,
		billing.SubscriptionFilter{IDs: []uuid.UUID{id}}, all)
	check.Equal(t, nodes(page), []billing.Subscription{found[id]}, "the list with the subscription (%v)", err)
	return found[id]
}

// charges returns the merchant's charges, oldest first.
func (m market) charges(t testing.TB, f billing.ChargeFilter) []billing.Charge {
	t.Helper()
	page, err := m.bills().Charges(t.Context(), m.merchant.Account.ID, charged, f, all)
	if err != nil {
		t.Fatal(err)
	}
	list := nodes(page)
	slices.Reverse(list)
	return list
}

// use charges usage of an amount.
func (m market) use(ctx context.Context, s uuid.UUID, key string, amount int64) (billing.Charge, bool, error) {
	return m.bills().AddUsage(ctx, anyone, m.partner.Account.ID, s, key, []byte(fmt.Sprint(amount)),
		func(now time.Time, s billing.Subscription, u billing.UsageSums) (billing.Changes, error) {
			if limit := s.Term().Cap; limit == nil || u.Period+amount > *limit {
				return billing.Changes{}, fault.Errorf(fault.LimitReached, "%d are charged.", u.Period)
			}
			made := []billing.Charge{usageOf(s, key, amount, now)}
			return billing.Changes{ChargeEvent: chargeEvent, Charges: named(made, now)}, nil
		})
}

// usageOf returns a usage charge.
func usageOf(s billing.Subscription, key string, amount int64, now time.Time) billing.Charge {
	period, _ := s.CurrentPeriod(now)
	return billing.Charge{MerchantID: s.MerchantID, PartnerID: s.PartnerID, SubscriptionID: s.ID, Term: s.Term().Seq,
		Kind: billing.Usage, Amount: usd(amount), Period: period, DueAt: now, SourceKey: billing.UsageKey(s.ID, key),
		Description: "Orders", Digest: []byte(fmt.Sprint(amount)), TokenID: uuid.UUID{1}}
}

// events counts the events of both accounts.
func (m market) events(t testing.TB) (n int64) {
	t.Helper()
	for _, account := range []uuid.UUID{m.partner.Account.ID, m.merchant.Account.ID} {
		of, err := m.Audit().CountEvents(t.Context(), account, audit.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		n += of
	}
	return n
}

func TestCheckout(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		c := m.open(t)
		for _, side := range []billing.Side{partner, charged, {Partner: true, Merchant: true}, {}} {
			for _, account := range []uuid.UUID{m.partner.Account.ID, m.merchant.Account.ID} {
				found, err := m.bills().CheckoutsByID(t.Context(), account, side, []uuid.UUID{c.ID})
				if err != nil {
					t.Fatal(err)
				}
				want := side.Partner && account == m.partner.Account.ID ||
					side.Merchant && account == m.merchant.Account.ID
				check.Equal(t, len(found) == 1, want, "the checkout is found by %v", side)
				if want {
					alike(t, "the stored checkout", found[c.ID], c)
				}
			}
		}
		s := m.subscribe(t)
		found, err := m.bills().CheckoutsByID(t.Context(), m.merchant.Account.ID, charged,
			[]uuid.UUID{s.Terms[0].CheckoutID})
		if err != nil {
			t.Fatal(err)
		}
		approved := found[s.Terms[0].CheckoutID]
		check.Equal(t, approved.State, billing.Approved, "the state")
		check.Equal(t, approved.ApprovedBy, m.merchant.StoreOwner.ID, "who approved")
		check.Equal(t, approved.Items[0].SubscriptionID, s.ID, "the subscription of the item")
		alike(t, "the stored subscription", m.subscription(t, s.ID), s)
		check.Equal(t, len(m.charges(t, billing.ChargeFilter{})), 1, "charges")

		// The merchant's open ones.
		waiting := func(of uuid.UUID) (ids []uuid.UUID) {
			list, err := m.bills().Waiting(t.Context(), m.merchant.Account.ID, of, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, each := range list {
				ids = append(ids, each.ID)
			}
			return ids
		}
		storeOwner := m.merchant.StoreOwner.ID
		check.Equal(t, waiting(storeOwner), []uuid.UUID{c.ID}, "what waits for the store's owner")
		check.Equal(t, len(waiting(m.merchant.Owner.ID)), 0, "what waits for the account's owner")
		second, mixed := m.open(t), m.open(t, func(c *billing.Checkout) {
			other := c.Items[0]
			other.StoreID, other.StoreHash = m.merchant.Stores[1].ID, m.merchant.Stores[1].Hash
			c.Items = append(c.Items, other)
		})
		check.Equal(t, waiting(storeOwner), []uuid.UUID{second.ID, c.ID}, "what waits, without %s of two owners",
			mixed.ID)
		third := m.open(t)
		check.Equal(t, waiting(storeOwner), []uuid.UUID{third.ID, second.ID}, "the newest that wait")
		m.to(t, "2026-02-01")
		check.Equal(t, len(waiting(storeOwner)), 0, "what waits after a day")
	})
}

// A decide function that fails, or an event that cannot be stored, leaves nothing.
func TestBillingWritesNothingWithoutItsEvents(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		c, s := m.open(t), m.subscribe(t)
		before := m.events(t)
		twice := about(m.partner.Account.ID, "charge.created", "charge", uuid.UUID{9})
		failing := errors.New("decide failed")
		for name, result := range map[string]struct {
			changes func(billing.Changes) billing.Changes
			err     error
		}{
			"dry run": {func(c billing.Changes) billing.Changes { return c }, billing.ErrDryRun},
			"failed":  {func(c billing.Changes) billing.Changes { return c }, failing},
			"event": {func(c billing.Changes) billing.Changes {
				c.Events = append(c.Events, twice, twice)
				return c
			}, nil},
		} {
			err := m.bills().ChangeCheckout(t.Context(), anyone, m.merchant.Account.ID, c.ID, func(now time.Time,
				c billing.Checkout, _ map[uuid.UUID]billing.Subscription,
				owners map[uuid.UUID]uuid.UUID) (billing.Changes, error) {
				changes, err := approval(now, c, owners)
				return result.changes(changes), errors.Join(err, result.err)
			})
			if err == nil || result.err != nil && !errors.Is(err, result.err) {
				t.Errorf("%s: the error is %v", name, err)
			}
			_, _, err = m.bills().AddUsage(t.Context(), anyone, m.partner.Account.ID, s.ID, "key", nil,
				func(now time.Time, s billing.Subscription, _ billing.UsageSums) (billing.Changes, error) {
					return result.changes(billing.Changes{ChargeEvent: chargeEvent,
						Charges: named([]billing.Charge{usageOf(s, "key", 1, now)}, now)}), result.err
				})
			if err == nil || result.err == billing.ErrDryRun && err != billing.ErrDryRun { //nolint:errorlint // as is
				t.Errorf("%s: the error of usage is %v", name, err)
			}
		}
		check.Equal(t, m.events(t), before, "events")
		check.Equal(t, len(m.charges(t, billing.ChargeFilter{})), 1, "charges")
		n, err := m.bills().CountSubscriptions(t.Context(), m.merchant.Account.ID, charged,
			billing.SubscriptionFilter{})
		check.Equal(t, n, int64(1), "subscriptions (%v)", err)
	})
}

// IDs of other accounts find nothing.
func TestBillingOfOtherAccounts(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		c, s := m.open(t), m.subscribe(t)
		charge := m.charges(t, billing.ChargeFilter{})[0]
		other := dbtest.Seed{}.Make(t, m.DB).Account.ID
		b, ctx := gormdb.Billing(m.DB), t.Context()
		never := func() (billing.Changes, error) {
			t.Error("decide was called")
			return billing.Changes{}, billing.ErrDryRun
		}
		// The partner does not approve.
		for _, account := range []uuid.UUID{other, m.partner.Account.ID} {
			mustBe(t, b.ChangeCheckout(ctx, anyone, account, c.ID, func(time.Time, billing.Checkout,
				map[uuid.UUID]billing.Subscription, map[uuid.UUID]uuid.UUID) (billing.Changes, error) {
				return never()
			}), fault.NotFound)
		}
		mustBe(t, b.ChangeSubscription(ctx, anyone, other, s.ID,
			func(time.Time, billing.Subscription, uuid.UUID) (billing.Changes, error) { return never() }),
			fault.NotFound)
		for _, account := range []uuid.UUID{other, m.merchant.Account.ID} {
			_, _, err := b.AddUsage(ctx, anyone, account, s.ID, "key", nil,
				func(time.Time, billing.Subscription, billing.UsageSums) (billing.Changes, error) { return never() })
			mustBe(t, err, fault.NotFound)
			_, _, err = b.ChangeCharge(ctx, anyone, account, charge.ID, "key", nil, func(time.Time, billing.Charge,
				billing.Subscription, int64) (billing.Changes, error) {
				return never()
			})
			mustBe(t, err, fault.NotFound)
		}
		both := billing.Side{Partner: true, Merchant: true}
		subscriptions, err := b.SubscriptionsByID(ctx, other, both, []uuid.UUID{s.ID})
		check.Equal(t, len(subscriptions), 0, "subscriptions of another account (%v)", err)
		charges, err := b.ChargesByID(ctx, other, both, []uuid.UUID{charge.ID})
		check.Equal(t, len(charges), 0, "charges of another account (%v)", err)
		page, err := b.Charges(ctx, other, both, billing.ChargeFilter{}, all)
		check.Equal(t, len(page.Items), 0, "listed charges of another account (%v)", err)
		list, err := b.Subscriptions(ctx, other, both, billing.SubscriptionFilter{IDs: []uuid.UUID{s.ID}}, all)
		check.Equal(t, len(list.Items), 0, "listed subscriptions of another account (%v)", err)
	})
}

// bills and ledger are what the tests are about.
func (m market) bills() billing.Repository { return gormdb.Billing(m.DB) }
func (m market) ledger() billing.Ledger    { return gormdb.Ledger(m.DB) }
