package billing_test

import (
	"sync"
	"testing"

	"latchkey/internal/account"
	"latchkey/internal/billing"
	"latchkey/internal/fault"
	"latchkey/internal/manifest"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// A partner has at most 20 checkouts that wait for one merchant, however many requests arrive at once. Those that are
// answered or expired do not count, and neither do those for other merchants.
func TestOpenCheckoutsAreBounded(t *testing.T) {
	eachMarket(t, "2026-01-01T10:00:00", func(t *testing.T, m *market) {
		var mu sync.Mutex
		kinds := map[fault.Kind]int{}
		var last billing.Checkout
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				c, _, err := m.CreateCheckout(t.Context(), m.robot, m.request())
				mu.Lock()
				defer mu.Unlock()
				kinds[fault.KindOf(err)]++
				if err == nil {
					last = c
				}
			})
		}
		all.Wait()
		check.Equal(t, kinds, map[fault.Kind]int{"": 20, fault.LimitReached: 10}, "results of 30 checkouts at once")
		const most = "LIMIT_REACHED accountId: 20 checkouts wait for an approval by this merchant, which is the most. " +
			"Wait until some are approved or declined, or expire after 24 hours."
		_, _, err := m.CreateCheckout(t.Context(), m.robot, m.request())
		refused(t, "one more checkout", err, most)
		elsewhere := m.request(func(r *billing.ItemRequest) { r.Store.Hash = m.stranger.Stores[0].Hash })
		elsewhere.MerchantID = m.stranger.Account.ID
		m.create(elsewhere)

		if _, err := m.DeclineCheckout(t.Context(), m.storeOwner, last.ID); err != nil {
			t.Fatal(err)
		}
		m.create(m.request())
		_, _, err = m.CreateCheckout(t.Context(), m.robot, m.request())
		refused(t, "one more checkout than after a decline", err, most)
		m.to("2026-01-02T10:00:00")
		m.create(m.request())
	})
}

// suspend suspends an account.
func (m *market) suspend(of dbtest.World) {
	m.t.Helper()
	suspended := of.Account
	suspended.Status = account.Suspended
	if err := m.db.Manifest().Atomically(m.t.Context(), func(r manifest.Repository) error {
		return r.SaveAccount(m.t.Context(), suspended)
	}); err != nil {
		m.t.Fatalf("suspend an account: %v", err)
	}
}

// While the partner's account is suspended, nothing is approved for it. What was approved before goes on.
func TestSuspendedPartner(t *testing.T) {
	eachMarket(t, "2026-01-15T10:00:00", func(t *testing.T, m *market) {
		m.subscribe()
		first, second := m.create(m.request()), m.create(m.request())
		m.suspend(m.partner)
		const suspended = "CONFLICT id: The account that asks for the approval is suspended."
		_, err := m.ApproveCheckout(t.Context(), m.storeOwner, first.ID)
		refused(t, "approve", err, suspended)
		review, err := m.Review(t.Context(), m.storeOwner, first.ID)
		if err != nil {
			t.Fatal(err)
		}
		check.Equal(t, failures(review.Items[0].Problem), []string{suspended}, "the problem on the approval page")
		_, err = m.DeclineCheckout(t.Context(), m.storeOwner, second.ID)
		check.Equal(t, err, nil, "the error of a decline")
		m.to("2026-02-15")
		check.Equal(t, m.charges(m.robot), []string{"RECURRING $31.00 INVOICED", "RECURRING $31.00 PENDING"},
			"the charges of the subscription")
		m.verify()
	})
}

// While the merchant's account is suspended, it is asked for nothing and charged for no usage. What was approved before
// goes on.
func TestSuspendedMerchant(t *testing.T) {
	eachMarket(t, "2026-01-15T10:00:00", func(t *testing.T, m *market) {
		s := m.subscribe()
		m.suspend(m.merchant)
		_, _, err := m.CreateCheckout(t.Context(), m.robot, m.request())
		refused(t, "create a checkout", err, "CONFLICT accountId: The merchant's account is suspended.")
		_, err = m.use(s, "one", "1.00")
		refused(t, "charge for usage", err, "CONFLICT subscriptionId: The merchant's account is suspended.")
		m.to("2026-02-15")
		check.Equal(t, m.charges(m.robot), []string{"RECURRING $31.00 INVOICED", "RECURRING $31.00 PENDING"},
			"the charges of the subscription")
	})
}
