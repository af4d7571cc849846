package billing_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
	"latchkey/internal/test/world"
)

// The life of a subscription: create, approve, use, change, the end of a month, credit, cancel. Every cent is on an
// invoice, and every change is an event in the logs of both accounts, which do not name each other's users.
func TestLifeOfASubscription(t *testing.T) {
	eachMarket(t, "2026-01-01T10:00:00", func(t *testing.T, m *market) {
		ctx := t.Context()
		s := m.subscribe()
		usage, err := m.use(s, "one", "12.34")
		if err != nil {
			t.Fatal(err)
		}
		m.to("2026-01-16T12:00:00")
		plan := billing.PlanRequest{Interval: billing.Month, Price: dollars("62.00")}
		preview, err := m.PreviewChange(ctx, m.robot, billing.PreviewRequest{SubscriptionID: s.ID, Plan: plan,
			Level: ptr("Plus")})
		if err != nil {
			t.Fatal(err)
		}
		check.Equal(t, preview.InvoiceTotal.Decimal(), "58.84", "the invoice's total of the preview")
		req := m.request(func(r *billing.ItemRequest) {
			r.SubscriptionID, r.AppID, r.Store, r.Level, r.Plan = &s.ID, nil, nil, ptr("Plus"), plan
		})
		req.AsOf = preview.At
		m.to("2026-01-16T12:30:00")
		if _, err := m.ApproveCheckout(ctx, m.storeOwner, m.create(req).ID); err != nil {
			t.Fatal(err)
		}
		s = m.subscription(s.ID)
		check.Equal(t, s.Term().Level, "Plus", "the level after the change")
		check.Equal(t, *s.Term().Cap, int64(5000), "the cap, which a change without one keeps")
		check.Equal(t, m.charges(m.robot), []string{"RECURRING $31.00 PENDING", "USAGE $12.34 PENDING",
			"CREDIT -$15.50 PENDING", "PRORATION $31.00 PENDING"}, "the charges, which are those of the preview")

		m.to("2026-02-01T00:00:00")
		check.Equal(t, m.charges(m.robot), []string{"RECURRING $31.00 INVOICED", "USAGE $12.34 INVOICED",
			"CREDIT -$15.50 INVOICED", "PRORATION $31.00 INVOICED", "RECURRING $62.00 PENDING"}, "after the month")
		invoices, err := m.Invoices(ctx, owner(m.merchant), paging.Request{})
		if err != nil || len(invoices.Items) != 1 {
			t.Fatalf("the invoices: %v, %v", invoices, err)
		}
		check.Equal(t, invoices.Items[0].Node.Total.Decimal(), "58.84", "the total, which was previewed")

		if _, _, err := m.CreditCharge(ctx, m.robot, billing.CreditRequest{ChargeID: usage.ID, Amount: dollars("2.34"),
			Reason: "Counted twice", Key: "c"}); err != nil {
			t.Fatal(err)
		}
		cancelled, err := m.CancelSubscription(ctx, m.robot, billing.Cancellation{ID: s.ID})
		if err != nil {
			t.Fatal(err)
		}
		check.Equal(t, cancelled.CancelledAt, moment("2026-02-28"), "the last day")
		m.to("2026-03-02")
		check.Equal(t, m.subscription(s.ID).Status(moment("2026-03-02")), billing.Cancelled, "the status")
		m.verify()

		mine, theirs := "Robot from "+world.Origin.IP.String(), m.storeOwner.Name+" from "+world.Origin.IP.String()
		service := audit.ServiceName + " without an ID"
		merchant, partner := m.merchant.Account.Name+" without an ID", m.partner.Account.Name+" without an ID"
		check.Equal(t, m.log(m.partner), []string{"checkout.created by " + mine, "checkout.approved by " + merchant,
			"subscription.created by " + merchant, "charge.created by " + merchant, "charge.created by " + mine,
			"checkout.created by " + mine, "checkout.approved by " + merchant, "subscription.updated by " + merchant,
			"charge.created by " + merchant, "charge.created by " + merchant, "charge.created by " + service,
			"charge.invoiced by " + service, "charge.invoiced by " + service, "charge.invoiced by " + service,
			"charge.invoiced by " + service, "charge.created by " + mine, "subscription.cancelled by " + mine,
			"subscription.ended by " + service, "charge.invoiced by " + service, "charge.invoiced by " + service,
		}, "the partner's log")
		check.Equal(t, m.log(m.merchant), []string{"checkout.created by " + partner, "checkout.approved by " + theirs,
			"subscription.created by " + theirs, "checkout.created by " + partner, "checkout.approved by " + theirs,
			"subscription.updated by " + theirs, "invoice.issued by " + service, "subscription.cancelled by " + partner,
			"subscription.ended by " + service, "invoice.issued by " + service}, "the merchant's log")
	})
}

// Messages that clients of the original API know, for each caller that may create checkouts at all.
func TestCheckoutMessages(t *testing.T) {
	eachMarket(t, "2026-01-01T10:00:00", func(t *testing.T, m *market) {
		s := m.subscribe()
		trial := m.subscribe(func(r *billing.ItemRequest) { r.Plan.TrialDays = 14 })
		ended := m.subscribe()
		if _, err := m.CancelSubscription(t.Context(), m.robot, billing.Cancellation{ID: ended.ID,
			Immediately: true}); err != nil {
			t.Fatal(err)
		}
		changing := func(s billing.Subscription, edit func(*billing.ItemRequest)) billing.CheckoutRequest {
			return m.request(func(r *billing.ItemRequest) {
				r.SubscriptionID, r.AppID, r.Store = &s.ID, nil, nil
				edit(r)
			})
		}
		const product = "NOT_FOUND items.0.product.id: Product is not supported for your account."
		const noScope = "NOT_FOUND items.0.scope.id: Scope does not belong to account."
		const unknown = "NOT_FOUND items.0.subscriptionId: Could not find active subscription."
		const denied = "FORBIDDEN : You do not have permission to do this operation."
		elsewhere := m.request()
		elsewhere.MerchantID = uuid.New()
		for _, tc := range []struct {
			name string
			req  billing.CheckoutRequest
			// partner is what the partner's token and its owner receive, and stranger what another partner does.
			partner, stranger []string
		}{
			{"a valid checkout", m.request(), nil, []string{product}},
			{"an app that does not exist", m.request(func(r *billing.ItemRequest) { r.AppID = ptr(int64(1)) }),
				[]string{product}, []string{product}},
			{"a store of another account", m.request(func(r *billing.ItemRequest) {
				r.Store.Hash = m.stranger.Stores[0].Hash
			}), []string{noScope}, []string{product, noScope}},
			{"an account that does not exist", elsewhere, []string{noScope}, []string{product, noScope}},
			{"a draft app", m.request(func(r *billing.ItemRequest) { r.AppID, r.Plan.Cap = &m.draft, nil }),
				[]string{"INVALID items.0.pricingPlan.price.value: A draft app can only ask for 0."}, []string{product}},
			{"another store", changing(s, func(r *billing.ItemRequest) {
				r.Store = &billing.StoreRef{ID: m.merchant.Stores[1].ID}
			}), []string{"INVALID items.0.scope.id: Scope updates are not allowed for an existing subscription."},
				[]string{unknown}},
			{"another product", changing(s, func(r *billing.ItemRequest) { r.AppID = &m.draft }), []string{
				"INVALID items.0.product.id: Product updates are not allowed for an existing subscription."},
				[]string{unknown}},
			{"trial days", changing(s, func(r *billing.ItemRequest) { r.Plan.TrialDays = 1 }), []string{
				"INVALID items.0.pricingPlan.trialDays: Trial days cannot be added to existing subscriptions."}, []string{
				"INVALID items.0.pricingPlan.trialDays: Trial days cannot be added to existing subscriptions.", unknown}},
			{"a trial", changing(trial, func(*billing.ItemRequest) {}), []string{
				"INVALID items.0.subscriptionId: Checkouts are not available for existing trial subscriptions."},
				[]string{unknown}},
			{"an ended subscription", changing(ended, func(*billing.ItemRequest) {}), []string{unknown},
				[]string{unknown}},
			{"no subscription", changing(billing.Subscription{ID: uuid.New()}, func(*billing.ItemRequest) {}),
				[]string{unknown}, []string{unknown}},
		} {
			for who, each := range map[string]struct {
				by   *auth.Principal
				want []string
			}{
				"the partner's token": {m.robot, tc.partner}, "the partner's owner": {owner(m.partner), tc.partner},
				"a stranger's token": {robot(m.stranger), tc.stranger},
				"the stranger":       {owner(m.stranger), tc.stranger},
				"the merchant":       {owner(m.merchant), []string{denied}},
				"the store's owner":  {m.storeOwner, []string{denied}},
			} {
				_, _, err := m.CreateCheckout(t.Context(), each.by, tc.req)
				refused(t, tc.name+" by "+who, err, each.want...)
			}
		}
	})
}

// IDs of other accounts are answered as those that do not exist, in every call.
func TestIDsOfOtherAccounts(t *testing.T) {
	eachMarket(t, "2026-01-01T10:00:00", func(t *testing.T, m *market) {
		ctx := t.Context()
		s := m.subscribe()
		charge, err := m.use(s, "one", "1")
		if err != nil {
			t.Fatal(err)
		}
		open := m.create(m.request())
		plan := billing.PlanRequest{Interval: billing.Month, Price: dollars("1")}
		calls := map[string]func(by *auth.Principal, id uuid.UUID) error{
			"checkout": func(by *auth.Principal, id uuid.UUID) error { _, err := m.Checkout(ctx, by, id); return err },
			"approve": func(by *auth.Principal, id uuid.UUID) error {
				_, err := m.ApproveCheckout(ctx, by, id)
				return err
			},
			"decline": func(by *auth.Principal, id uuid.UUID) error {
				_, err := m.DeclineCheckout(ctx, by, id)
				return err
			},
			"cancel": func(by *auth.Principal, id uuid.UUID) error {
				_, err := m.CancelSubscription(ctx, by, billing.Cancellation{ID: id})
				return err
			},
			"suspend": func(by *auth.Principal, id uuid.UUID) error {
				_, err := m.SuspendSubscription(ctx, by, id)
				return err
			},
			"resume": func(by *auth.Principal, id uuid.UUID) error {
				_, err := m.ResumeSubscription(ctx, by, id)
				return err
			},
			"preview": func(by *auth.Principal, id uuid.UUID) error {
				_, err := m.PreviewChange(ctx, by, billing.PreviewRequest{SubscriptionID: id, Plan: plan})
				return err
			},
			"createCharge": func(by *auth.Principal, id uuid.UUID) error {
				_, _, err := m.CreateCharge(ctx, by, billing.ChargeRequest{SubscriptionID: id, Description: "a",
					Amount: dollars("1"), Key: "k"})
				return err
			},
			"deleteCharge": func(by *auth.Principal, id uuid.UUID) error {
				_, err := m.DeleteCharge(ctx, by, billing.Deletion{ID: id})
				return err
			},
			"creditCharge": func(by *auth.Principal, id uuid.UUID) error {
				_, _, err := m.CreditCharge(ctx, by, billing.CreditRequest{ChargeID: id, Amount: dollars("1"),
					Reason: "a", Key: "k"})
				return err
			},
		}
		other := m.session(m.merchant, m.merchant.Users[2], m.merchant.Stores[1].ID)
		real := map[string]uuid.UUID{"checkout": open.ID, "approve": open.ID, "decline": open.ID,
			"deleteCharge": charge.ID, "creditCharge": charge.ID}
		for who, by := range map[string]*auth.Principal{"a stranger's token": robot(m.stranger),
			"the stranger": owner(m.stranger), "the owner of another store": other} {
			for name, call := range calls {
				id, special := real[name]
				if !special {
					id = s.ID
				}
				err := call(by, id)
				if err == nil {
					t.Errorf("%s by %s succeeds", name, who)
				}
				refused(t, name+" by "+who, err, failures(call(by, uuid.New()))...)
			}
			for what, count := range map[string]func() (int64, error){
				"subscriptions": func() (int64, error) {
					return m.CountSubscriptions(ctx, by, billing.SubscriptionFilter{})
				},
				"charges": func() (int64, error) { return m.CountCharges(ctx, by, billing.ChargeFilter{}) },
				"summed charges": func() (int64, error) {
					sum, n, err := m.SumCharges(ctx, by, billing.ChargeFilter{})
					return n + sum.Minor, err
				},
			} {
				n, err := count()
				check.Equal(t, n, int64(0), "%s of %s (%v)", what, who, err)
			}
			found, err := m.ChargesByID(ctx, by, []uuid.UUID{charge.ID})
			check.Equal(t, len(found), 0, "charges by ID of %s (%v)", who, err)
		}
		// The merchant's owner reads everything, and answers for no store that another user owns.
		const denied = "FORBIDDEN : You do not have permission to do this operation."
		for _, name := range []string{"approve", "decline", "cancel", "suspend", "resume"} {
			id, special := real[name]
			if !special {
				id = s.ID
			}
			refused(t, name+" by the account's owner", calls[name](owner(m.merchant), id), denied)
		}
		refused(t, "approve by the partner's owner", calls["approve"](owner(m.partner), open.ID), denied)
		refused(t, "suspend by the partner's owner", calls["suspend"](owner(m.partner), s.ID), denied)
		for who, by := range map[string]*auth.Principal{"the account's owner": owner(m.merchant),
			"the store's owner": m.storeOwner, "the partner's token": m.robot} {
			n, err := m.CountCharges(ctx, by, billing.ChargeFilter{})
			check.Equal(t, n, int64(2), "charges that %s reads (%v)", who, err)
			usage := billing.ChargeFilter{SubscriptionID: &s.ID, Status: billing.ChargePending, Kind: billing.Usage}
			sum, n, err := m.SumCharges(ctx, by, usage)
			check.Equal(t, sum, charge.Amount, "the sum of the usage that %s reads (%v)", who, err)
			check.Equal(t, n, int64(1), "usage that %s reads", who)
		}
	})
}

// What waits for an answer is shown to the user who can give it.
func TestPendingApprovals(t *testing.T) {
	eachMarket(t, "2026-01-01T10:00:00", func(t *testing.T, m *market) {
		inSecond := m.create(m.request(func(r *billing.ItemRequest) { r.Store.Hash = m.merchant.Stores[1].Hash }))
		inFirst := m.create(m.request())
		for who, tc := range map[string]struct {
			by   *auth.Principal
			want []uuid.UUID
		}{
			"the store's owner":   {m.storeOwner, []uuid.UUID{inFirst.ID}},
			"the account's owner": {owner(m.merchant), []uuid.UUID{inSecond.ID}},
			"the partner":         {owner(m.partner), nil},
			"the partner's token": {m.robot, nil},
		} {
			found, err := m.PendingApprovals(t.Context(), tc.by)
			var ids []uuid.UUID
			for _, c := range found {
				ids = append(ids, c.ID)
				may, err := m.MayAnswer(t.Context(), tc.by, c)
				check.Equal(t, may, true, "%s may answer (%v)", who, err)
			}
			check.Equal(t, ids, tc.want, "what waits for %s (%v)", who, err)
		}
		m.to("2026-01-02T10:00:00")
		found, err := m.PendingApprovals(t.Context(), m.storeOwner)
		check.Equal(t, len(found), 0, "what waits after a day (%v)", err)
		_, err = m.ApproveCheckout(t.Context(), m.storeOwner, inFirst.ID)
		refused(t, "approve after a day", err, "CONFLICT id: The checkout has expired. Ask the app for a new one.")
	})
}

// Rule: approving is one act. Of an approval and a decline at once, one wins, and the other gets an error that says so.
func TestRuleApprovingAtOnce(t *testing.T) {
	eachMarket(t, "2026-01-01T10:00:00", func(t *testing.T, m *market) {
		c := m.create(m.request())
		kinds := make([]fault.Kind, 8)
		var all sync.WaitGroup
		for i := range kinds {
			all.Go(func() {
				answer := m.ApproveCheckout
				if i%2 == 1 {
					answer = m.DeclineCheckout
				}
				_, err := answer(t.Context(), m.storeOwner, c.ID)
				kinds[i] = fault.KindOf(err)
			})
		}
		all.Wait()
		won := 0
		for _, kind := range kinds {
			if kind == "" {
				won++
			} else if kind != fault.Conflict {
				t.Errorf("an answer ends with %s", kind)
			}
		}
		check.Equal(t, won, 1, "answers that succeed")
		n, err := m.CountSubscriptions(t.Context(), m.robot, billing.SubscriptionFilter{})
		after, err2 := m.Checkout(t.Context(), m.robot, c.ID)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		want := int64(0)
		if after.State == billing.Approved {
			want = 1
		}
		check.Equal(t, n, want, "subscriptions of a checkout that is %s", after.State)
		m.verify()
	})
}

// A dry run answers as the call would, and keeps nothing.
func TestRuleDryRun(t *testing.T) {
	eachMarket(t, "2026-01-01T10:00:00", func(t *testing.T, m *market) {
		ctx := t.Context()
		s := m.subscribe()
		charge, err := m.use(s, "one", "1")
		if err != nil {
			t.Fatal(err)
		}
		before := [][]string{m.log(m.partner), m.log(m.merchant), m.charges(m.robot)}
		req := m.request()
		req.DryRun, req.Key = true, ptr("k")
		c, replayed, err := m.CreateCheckout(ctx, m.robot, req)
		check.Equal(t, []any{c.ID, replayed, c.Items[0].StoreID}, []any{uuid.Nil, false, m.merchant.Stores[0].ID},
			"the checkout of a dry run (%v)", err)
		made, replayed, err := m.CreateCharge(ctx, m.robot, billing.ChargeRequest{SubscriptionID: s.ID,
			Description: "a", Amount: dollars("2"), Key: "two", DryRun: true})
		check.Equal(t, []any{made.ID, replayed, made.Amount.Decimal()}, []any{uuid.Nil, false, "2.00"},
			"the charge of a dry run (%v)", err)
		deleted, err := m.DeleteCharge(ctx, m.robot, billing.Deletion{ID: charge.ID, DryRun: true})
		check.Equal(t, deleted.Status, billing.ChargeDeleted, "the deleted charge of a dry run (%v)", err)
		cancelled, err := m.CancelSubscription(ctx, m.robot, billing.Cancellation{ID: s.ID, DryRun: true})
		check.Equal(t, cancelled.CancelledAt, moment("2026-01-31"), "the last day of a dry run (%v)", err)
		check.Equal(t, [][]string{m.log(m.partner), m.log(m.merchant), m.charges(m.robot)}, before, "what is stored")
		check.Equal(t, m.subscription(s.ID).CancelledAt, time.Time{}, "the stored last day")
		// The key of a dry run is not used.
		req.DryRun = false
		if c := m.create(req); c.ID == uuid.Nil {
			t.Error("the checkout after the dry run has no ID")
		}
	})
}

// Rule: a request that is repeated with its key has the first answer; another one with the key is refused; what failed
// is not remembered.
func TestRuleIdempotency(t *testing.T) {
	eachMarket(t, "2026-01-01T10:00:00", func(t *testing.T, m *market) {
		ctx := t.Context()
		req := m.request()
		req.Key = ptr("k")
		bad := req
		bad.Items = []billing.ItemRequest{m.item(func(r *billing.ItemRequest) { r.AppID = ptr(int64(1)) })}
		_, _, err := m.CreateCheckout(ctx, m.robot, bad)
		refused(t, "a checkout for an unknown app", err,
			"NOT_FOUND items.0.product.id: Product is not supported for your account.")
		first := m.create(req)
		req.Items = []billing.ItemRequest{m.item(func(r *billing.ItemRequest) { r.Plan.Price.Value = "31" })}
		again, replayed, err := m.CreateCheckout(ctx, m.robot, req)
		check.Equal(t, []any{again.ID, replayed}, []any{first.ID, true}, "the checkout again (%v)", err)
		const used = "CONFLICT idempotencyKey: Another request had this key. Send a new key with a new request."
		_, _, err = m.CreateCheckout(ctx, m.robot, bad)
		refused(t, "another checkout with the key", err, used)

		s := m.subscribe()
		if _, err = m.use(s, "k", "50.01"); fault.KindOf(err) != fault.LimitReached {
			t.Errorf("usage above the cap: %v", err)
		}
		charge, err := m.use(s, "k", "50")
		if err != nil {
			t.Fatal(err)
		}
		same, replayed, err := m.CreateCharge(ctx, m.robot, billing.ChargeRequest{SubscriptionID: s.ID,
			Description: " Usage k ", Amount: dollars("50.00"), Key: "k"})
		check.Equal(t, []any{same.ID, replayed}, []any{charge.ID, true}, "the charge again (%v)", err)
		_, err = m.use(s, "k", "1")
		refused(t, "another charge with the key", err, used)
	})
}
