package billing_test

import (
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/billing"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
)

// credit credits the newest charge of a kind.
func (m *market) credit(kind billing.ChargeKind, amount, key string) error {
	m.t.Helper()
	found, err := m.Charges(m.t.Context(), m.robot, billing.ChargeFilter{Kind: kind}, paging.Request{First: ptr(1)})
	if err != nil || len(found.Items) != 1 {
		m.t.Fatalf("the newest charge of the kind %s: %v, %v", kind, found.Items, err)
	}
	_, _, err = m.CreditCharge(m.t.Context(), m.robot, billing.CreditRequest{ChargeID: found.Items[0].Key,
		Amount: dollars(amount), Reason: "An outage", Key: key})
	return err
}

func (m *market) end(s billing.Subscription) {
	m.t.Helper()
	if _, err := m.CancelSubscription(m.t.Context(), m.robot, billing.Cancellation{ID: s.ID,
		Immediately: true}); err != nil {
		m.t.Fatalf("cancel: %v", err)
	}
}

// change changes the subscription to a price, with one more checkout.
func (m *market) change(s billing.Subscription, interval billing.Interval, price string) {
	m.t.Helper()
	made := m.create(m.changing(s, interval, price))
	if _, err := m.ApproveCheckout(m.t.Context(), m.storeOwner, made.ID); err != nil {
		m.t.Fatalf("approve a change: %v", err)
	}
}

func (m *market) changing(s billing.Subscription, interval billing.Interval, price string) billing.CheckoutRequest {
	return m.request(func(r *billing.ItemRequest) {
		r.SubscriptionID, r.AppID, r.Store = &s.ID, nil, nil
		r.Plan = billing.PlanRequest{Interval: interval, Price: dollars(price)}
	})
}

// What a partner credited of a charge is not credited again by a change or an end, and the other way around. The
// period has 31 days, of which 10 are left.
func TestRuleCreditsNeverExceedTheirCharge(t *testing.T) {
	const invoiced = "RECURRING $31.00 INVOICED"
	for _, tc := range []struct {
		name string
		acts func(m *market, s billing.Subscription)
		want []string
	}{
		{"a full credit, then the end", func(m *market, s billing.Subscription) {
			check.Equal(m.t, m.credit(billing.Recurring, "31.00", "a"), nil, "the error of a full credit")
			m.end(s)
		}, []string{invoiced, "CREDIT -$31.00 PENDING", "CREDIT $0.00 PENDING"}},
		{"a part, then the end, then the remainder", func(m *market, s billing.Subscription) {
			check.Equal(m.t, m.credit(billing.Recurring, "22.00", "a"), nil, "the error of a credit")
			m.end(s)
			check.Equal(m.t, fault.KindOf(m.credit(billing.Recurring, "0.01", "b")), fault.LimitReached,
				"the kind of error of a credit of more than is left")
		}, []string{invoiced, "CREDIT -$22.00 PENDING", "CREDIT -$9.00 PENDING"}},
		{"the end, then the remainder", func(m *market, s billing.Subscription) {
			m.end(s)
			refused(m.t, "a credit of more than is left", m.credit(billing.Recurring, "21.01", "a"),
				"LIMIT_REACHED amount.value: The credits of a charge of $31.00 cannot exceed it. $21.00 remains.")
			check.Equal(m.t, m.credit(billing.Recurring, "21.00", "a"), nil, "the error of a credit of the remainder")
		}, []string{invoiced, "CREDIT -$10.00 PENDING", "CREDIT -$21.00 PENDING"}},
		{"a full credit, then a change and the end", func(m *market, s billing.Subscription) {
			check.Equal(m.t, m.credit(billing.Recurring, "31.00", "a"), nil, "the error of a full credit")
			m.change(s, billing.Month, "62.00")
			m.end(s)
		}, []string{invoiced, "CREDIT -$31.00 PENDING", "CREDIT $0.00 PENDING", "PRORATION $20.00 PENDING",
			"CREDIT -$20.00 PENDING"}},
		{"a part, then another interval", func(m *market, s billing.Subscription) {
			check.Equal(m.t, m.credit(billing.Recurring, "25.00", "a"), nil, "the error of a credit")
			m.change(s, billing.Annual, "310.00")
		}, []string{invoiced, "CREDIT -$25.00 PENDING", "CREDIT -$6.00 PENDING", "RECURRING $310.00 PENDING"}},
		{"a change, then a credit of the price before", func(m *market, s billing.Subscription) {
			m.change(s, billing.Month, "62.00")
			_, _, err := m.CreditCharge(m.t.Context(), m.robot, billing.CreditRequest{ChargeID: m.first(),
				Amount: dollars("21.01"), Reason: "An outage", Key: "a"})
			check.Equal(m.t, fault.KindOf(err), fault.LimitReached, "the kind of error of a credit above what is left")
		}, []string{invoiced, "CREDIT -$10.00 PENDING", "PRORATION $20.00 PENDING"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			eachMarket(t, "2026-01-15T10:00:00", func(t *testing.T, m *market) {
				s := m.subscribe()
				m.to("2026-02-05")
				tc.acts(m, s)
				check.Equal(t, m.charges(m.robot), tc.want, "the charges")
				m.verify()
				m.to("2026-03-01")
				m.verify()
			})
		})
	}
}

// first returns the ID of the oldest charge.
func (m *market) first() uuid.UUID {
	m.t.Helper()
	found, err := m.Charges(m.t.Context(), m.robot, billing.ChargeFilter{}, paging.Request{Last: ptr(1)})
	if err != nil || len(found.Items) != 1 {
		m.t.Fatalf("the oldest charge: %v, %v", found.Items, err)
	}
	return found.Items[0].Key
}

// Two checkouts that change the same subscription: the second changes what the first made of it. One that was made for
// a preview cannot be approved if the change would cost something else than the preview showed.
func TestTwoChangesOfOneSubscription(t *testing.T) {
	eachMarket(t, "2026-01-15T10:00:00", func(t *testing.T, m *market) {
		s := m.subscribe()
		m.to("2026-02-05")
		req := m.changing(s, billing.Month, "62.00")
		first, second := m.create(req), m.create(req)
		for _, c := range []billing.Checkout{first, second} {
			if _, err := m.ApproveCheckout(t.Context(), m.storeOwner, c.ID); err != nil {
				t.Fatalf("approve: %v", err)
			}
		}
		check.Equal(t, m.charges(m.robot)[1:], []string{"CREDIT -$10.00 PENDING", "PRORATION $20.00 PENDING",
			"CREDIT -$20.00 PENDING", "PRORATION $20.00 PENDING"}, "the charges of both changes")
		m.verify()
	})
	for _, tc := range []struct {
		name     string
		interval billing.Interval
		want     []string
	}{
		{"same interval", billing.Month, []string{"CREDIT -$10.00 PENDING", "PRORATION $20.00 PENDING"}},
		{"another interval", billing.Annual, []string{"CREDIT -$10.00 PENDING", "RECURRING $62.00 PENDING"}},
	} {
		t.Run("previewed, "+tc.name, func(t *testing.T) {
			eachMarket(t, "2026-01-15T10:00:00", func(t *testing.T, m *market) {
				s := m.subscribe()
				m.to("2026-02-05")
				req := m.changing(s, tc.interval, "62.00")
				preview, err := m.PreviewChange(t.Context(), m.robot, billing.PreviewRequest{SubscriptionID: s.ID,
					Plan: req.Items[0].Plan, Level: ptr("Basic")})
				if err != nil {
					t.Fatalf("preview: %v", err)
				}
				req.AsOf = preview.At
				first, second := m.create(req), m.create(req)
				if _, err := m.ApproveCheckout(t.Context(), m.storeOwner, first.ID); err != nil {
					t.Fatalf("approve: %v", err)
				}
				_, err = m.ApproveCheckout(t.Context(), m.storeOwner, second.ID)
				refused(t, "a second change for one preview", err, "CONFLICT asOf: The subscription's charges have "+
					"changed since 2026-02-05T00:00:00Z. Create a new preview and a new checkout.")
				review, err := m.Review(t.Context(), m.storeOwner, second.ID)
				if err != nil {
					t.Fatalf("review: %v", err)
				}
				check.Equal(t, fault.KindOf(review.Items[0].Problem), fault.Conflict, "the problem on the page")
				check.Equal(t, m.charges(m.robot)[1:], tc.want, "the charges")
				m.verify()
			})
		})
	}
	t.Run("previewed, then credited", func(t *testing.T) {
		eachMarket(t, "2026-01-15T10:00:00", func(t *testing.T, m *market) {
			s := m.subscribe()
			m.to("2026-02-05")
			req := m.changing(s, billing.Month, "62.00")
			req.AsOf = moment("2026-02-05")
			checkout := m.create(req)
			check.Equal(t, m.credit(billing.Recurring, "31.00", "a"), nil, "the error of a full credit")
			_, err := m.ApproveCheckout(t.Context(), m.storeOwner, checkout.ID)
			check.Equal(t, fault.KindOf(err), fault.Conflict, "the kind of error of the approval")
		})
	})
}

// An approval charges what the page showed, or nothing: what a change credits depends on what the partner credited, and
// a change withdraws a cancellation.
func TestApprovalOfWhatThePageShowed(t *testing.T) {
	for _, tc := range []struct {
		name string
		// acts is what happens between the page and the approval.
		acts    func(m *market, s billing.Subscription)
		refused bool
		// want are the charges. An approval of a new page counts 10 minutes later.
		want []string
	}{
		{"nothing", func(*market, billing.Subscription) {}, false,
			[]string{"CREDIT -$10.00 PENDING", "PRORATION $20.00 PENDING"}},
		{"a credit", func(m *market, _ billing.Subscription) {
			check.Equal(m.t, m.credit(billing.Recurring, "22.00", "a"), nil, "the error of a credit")
		}, true, []string{"CREDIT -$22.00 PENDING", "CREDIT -$9.00 PENDING", "PRORATION $19.99 PENDING"}},
		{"a credit that leaves enough", func(m *market, _ billing.Subscription) {
			check.Equal(m.t, m.credit(billing.Recurring, "21.00", "a"), nil, "the error of a credit")
		}, false, []string{"CREDIT -$21.00 PENDING", "CREDIT -$10.00 PENDING", "PRORATION $20.00 PENDING"}},
		{"a cancellation", func(m *market, s billing.Subscription) {
			_, err := m.CancelSubscription(m.t.Context(), m.robot, billing.Cancellation{ID: s.ID})
			check.Equal(m.t, err, nil, "the error of a cancellation")
		}, true, []string{"CREDIT -$9.99 PENDING", "PRORATION $19.99 PENDING"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			eachMarket(t, "2026-01-15T10:00:00", func(t *testing.T, m *market) {
				s := m.subscribe()
				m.to("2026-02-05")
				checkout := m.create(m.changing(s, billing.Month, "62.00"))
				page := m.page(checkout)
				tc.acts(m, s)
				before := m.charges(m.robot)
				m.to("2026-02-05T00:10:00")
				_, err := m.ApproveReviewed(t.Context(), m.storeOwner, checkout.ID, &page)
				if tc.refused {
					refused(t, "an approval of an old page", err, "CONFLICT at: The amount may have changed "+
						"while this page was open. Check it and approve again.")
					check.Equal(t, m.charges(m.robot), before, "the charges after the refusal")
					page = m.page(checkout)
					_, err = m.ApproveReviewed(t.Context(), m.storeOwner, checkout.ID, &page)
				}
				check.Equal(t, err, nil, "the error of an approval")
				check.Equal(t, m.charges(m.robot)[1:], tc.want, "the charges")
				m.verify()
			})
		})
	}
}

// page returns what the approval page of a checkout shows.
func (m *market) page(c billing.Checkout) billing.Reviewed {
	m.t.Helper()
	review, err := m.Review(m.t.Context(), m.storeOwner, c.ID)
	if err != nil {
		m.t.Fatalf("review: %v", err)
	}
	return review.Seen()
}
