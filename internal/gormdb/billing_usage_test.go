package gormdb_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/billing"
	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

// Usage never exceeds the cap, however many charges race.
func TestUsageAtOnce(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		s := m.subscribe(t) // with a cap of 1000
		before := m.events(t)
		got := atOnce(50, func(i int) error {
			_, replayed, err := m.use(t.Context(), s.ID, fmt.Sprint(i), 30)
			if replayed {
				t.Error("a charge is replayed")
			}
			return err
		})
		check.Equal(t, got, map[fault.Kind]int{"": 33, fault.LimitReached: 17}, "results of 50 charges of 30")
		check.Equal(t, sum(m.charges(t, billing.ChargeFilter{}), billing.Usage), int64(990), "the sum")
		check.Equal(t, m.events(t)-before, int64(33), "events")
		// The next period begins with nothing.
		m.to(t, "2026-02-28")
		_, _, err := m.use(t.Context(), s.ID, "next", 1000)
		check.Equal(t, err, nil, "the error in the next period")
	})
}

// Once the merchant's suspension has returned, nothing is charged any more.
func TestUsageBesideASuspension(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		for round := range 4 {
			s := m.subscribe(t)
			charging := make(chan struct{}, 1000)
			done := make(chan map[fault.Kind]int)
			go func() {
				done <- atOnce(8, func(i int) error {
					for n := range 100 {
						_, _, err := m.useOne(t, s.ID, fmt.Sprintf("%d/%d/%d", round, i, n))
						if err != nil {
							return err
						}
						charging <- struct{}{}
					}
					return nil
				})
			}()
			<-charging
			suspended := m.merchant.Account
			suspended.Status = account.Suspended
			if err := m.Manifest().SaveAccount(t.Context(), suspended); err != nil {
				t.Fatal(err)
			}
			stored := len(m.charges(t, billing.ChargeFilter{SubscriptionID: &s.ID, Kind: billing.Usage}))
			<-done
			check.Equal(t, len(m.charges(t, billing.ChargeFilter{SubscriptionID: &s.ID, Kind: billing.Usage})), stored,
				"round %d: charges, and those when the suspension returned", round)
			if err := m.Manifest().SaveAccount(t.Context(), m.merchant.Account); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// useOne adds a usage charge of 1, unless the merchant is suspended.
func (m market) useOne(t *testing.T, s uuid.UUID, key string) (billing.Charge, bool, error) {
	t.Helper()
	return m.bills().AddUsage(t.Context(), anyone, m.partner.Account.ID, s, key, []byte(key),
		func(now time.Time, s billing.Subscription, u billing.UsageSums) (billing.Changes, error) {
			if u.MerchantSuspended {
				return billing.Changes{}, fault.Errorf(fault.Conflict, "The merchant is suspended.")
			}
			made := []billing.Charge{usageOf(s, key, 1, now)}
			return billing.Changes{ChargeEvent: chargeEvent, Charges: named(made, now)}, nil
		})
}

// The same request at once makes one charge, and the others get it.
func TestUsageIsIdempotent(t *testing.T) {
	eachMarket(t, "2026-01-31", func(t *testing.T, m market) {
		s := m.subscribe(t)
		var mu sync.Mutex
		ids, again := map[uuid.UUID]bool{}, 0
		got := atOnce(20, func(int) error {
			c, replayed, err := m.use(t.Context(), s.ID, "key", 400)
			mu.Lock()
			defer mu.Unlock()
			ids[c.ID] = true
			if replayed {
				again++
			}
			return err
		})
		check.Equal(t, got, map[fault.Kind]int{"": 20}, "results")
		check.Equal(t, []int{len(ids), again}, []int{1, 19}, "charges and replays")
		check.Equal(t, len(m.charges(t, billing.ChargeFilter{Kind: billing.Usage})), 1, "stored charges")
		_, _, err := m.use(t.Context(), s.ID, "rest", 600) // of the cap of 1000
		check.Equal(t, err, nil, "the error of the rest of the cap")

		_, _, err = m.use(t.Context(), s.ID, "key", 401)
		mustBe(t, err, fault.Conflict)
		// A key of another subscription is another key. One that was refused is not remembered.
		other := m.subscribe(t)
		_, _, err = m.use(t.Context(), other.ID, "key", 1001)
		mustBe(t, err, fault.LimitReached)
		if _, replayed, err := m.use(t.Context(), other.ID, "key", 401); err != nil || replayed {
			t.Errorf("the key of another subscription: %v, %v", replayed, err)
		}
		// The answer is kept for 30 days, and the key permanently.
		m.to(t, "2026-03-01")
		if _, replayed, err := m.use(t.Context(), s.ID, "key", 400); err != nil || !replayed {
			t.Errorf("after 29 days: %v, %v", replayed, err)
		}
		m.to(t, "2026-03-02")
		_, _, err = m.use(t.Context(), s.ID, "key", 400)
		mustBe(t, err, fault.Conflict)
	})
}
