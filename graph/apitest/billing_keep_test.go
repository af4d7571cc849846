package apitest_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/fault"
)

// ownItem returns a request for an item of home's own app for one of its stores.
func (w *tenants) ownItem(store int, price string, adjust func(*billing.ItemRequest)) billing.CheckoutRequest {
	item := billing.ItemRequest{
		Description: "Gold", RedirectURL: "https://partner.example/", AppID: &w.home.Apps[0].ID,
		Store: &billing.StoreRef{ID: w.home.Stores[store].ID}, Level: new("Gold"),
		Plan: billing.PlanRequest{Interval: billing.Month,
			Price: billing.MoneyRequest{CurrencyCode: "USD", Value: price},
			Cap:   &billing.MoneyRequest{CurrencyCode: "USD", Value: "5"}},
	}
	if adjust != nil {
		adjust(&item)
	}
	return billing.CheckoutRequest{MerchantID: w.home.Account.ID, Items: []billing.ItemRequest{item}}
}

func (w *tenants) makeCheckout(t *testing.T, name string, req billing.CheckoutRequest) uuid.UUID {
	t.Helper()
	// Only 20 checkouts may wait for an approval. The one before may have been approved or declined.
	if before, made := w.names["<"+name+".uuid>"]; made {
		_, err := w.Billing.DeclineCheckout(t.Context(), w.owner, uuid.MustParse(before))
		if err != nil && fault.KindOf(err) != fault.Conflict {
			t.Fatal(err)
		}
	}
	c, _, err := w.Billing.CreateCheckout(t.Context(), w.robot, req)
	if err != nil {
		t.Fatal(err)
	}
	w.names["<"+name+">"], w.names["<"+name+".uuid>"] = "bc/account/checkout/"+c.ID.String(), c.ID.String()
	return c.ID
}

func (w *tenants) makeSubscription(t *testing.T, name string, by *auth.Principal,
	req billing.CheckoutRequest) uuid.UUID {
	t.Helper()
	c, err := w.Billing.ApproveCheckout(t.Context(), by, w.makeCheckout(t, name+" checkout", req))
	if err != nil {
		t.Fatal(err)
	}
	id := c.Items[0].SubscriptionID
	w.names["<"+name+">"] = "bc/account/subscription/" + id.String()
	return id
}

func (w *tenants) makeUsage(t *testing.T, name string, of uuid.UUID) uuid.UUID {
	t.Helper()
	c, _, err := w.Billing.CreateCharge(t.Context(), w.robot, billing.ChargeRequest{SubscriptionID: of,
		Description: "Mails", Amount: billing.MoneyRequest{CurrencyCode: "USD", Value: "0.02"}, Key: uuid.NewString()})
	if err != nil {
		t.Fatal(err)
	}
	w.names["<"+name+">"] = "bc/account/charge/" + c.ID.String()
	return c.ID
}

// keepBilling gives home, as partner and merchant, "<Subscription>" for the first store, whose owner is not that of the
// account, with the pending "<Charge>" and the waiting "<Checkout>", and "<Invoice>", that of the month that ended.
func (w *tenants) keepBilling(t *testing.T) {
	t.Helper()
	w.startClock(t)
	of := w.makeSubscription(t, "Subscription", w.storeOwner, w.ownItem(0, "10", nil))
	w.pass(t, day)
	w.makeUsage(t, "Charge", of)
	w.makeCheckout(t, "Checkout", w.ownItem(0, "10", nil))
	var got struct {
		Account struct {
			Invoices struct{ Nodes []struct{ ID string } }
		}
	}
	w.as(t, w.owner, `{ account { invoices { nodes { id } } } }`, nil).into(t, &got)
	if len(got.Account.Invoices.Nodes) != 1 {
		t.Fatalf("got %d invoices, want 1", len(got.Account.Invoices.Nodes))
	}
	w.names["<Invoice>"] = got.Account.Invoices.Nodes[0].ID
}

// richBilling are arguments of fields of billing that lead to where the last field of a route has a value. The owner of
// the account owns the second store.
func (s survey) richBilling(t *testing.T, way route, st step) (arguments string, is bool) {
	t.Helper()
	last := way[len(way)-1].name()
	switch st.name() {
	case "Account.checkout":
		id := s.makeCheckout(t, "Own", s.ownItem(1, "10", func(i *billing.ItemRequest) { i.Plan.TrialDays = 3 }))
		switch last {
		case "Checkout.declinedAt":
			_, err := s.Billing.DeclineCheckout(t.Context(), s.owner, id)
			fatal(t, err)
		case "Checkout.approvedAt", "CheckoutItem.subscriptionId":
			_, err := s.Billing.ApproveCheckout(t.Context(), s.owner, id)
			fatal(t, err)
		}
		return s.fill(`id: "<Own>"`), true
	case "Account.subscriptions":
		switch last {
		case "Subscription.trialEndsAt":
			s.makeSubscription(t, "Own", s.owner, s.ownItem(1, "10",
				func(i *billing.ItemRequest) { i.Plan.TrialDays = 3 }))
		case "Subscription.suspendedAt":
			_, err := s.Billing.SuspendSubscription(t.Context(), s.owner, s.ownSubscription(t))
			fatal(t, err)
		case "Subscription.cancelAt", "Subscription.cancelledAt":
			_, err := s.Billing.CancelSubscription(t.Context(), s.owner,
				billing.Cancellation{ID: s.ownSubscription(t)})
			fatal(t, err)
		}
		return "first: 50", true
	case "Account.charges":
		if last == "Charge.creditOf" {
			_, _, err := s.Billing.CreditCharge(t.Context(), s.owner, s.credit(t))
			fatal(t, err)
		}
		return "first: 50", true
	case "Account.revenue":
		return `from: "2026-01-01T00:00:00Z", to: "2026-03-01T00:00:00Z"`, true
	case "CheckoutMutations.approveCheckout", "CheckoutMutations.declineCheckout":
		s.makeCheckout(t, "Own", s.ownItem(1, "10", nil))
		return s.fill(`input: {id: "<Own>"}`), true
	case "SubscriptionMutations.suspendSubscription", "SubscriptionMutations.resumeSubscription",
		"SubscriptionMutations.cancelSubscription":
		s.ownSubscription(t)
		return s.fill(`input: {id: "<Own>"}`), true
	case "SubscriptionMutations.previewChange":
		s.ownSubscription(t)
		return strings.ReplaceAll(s.fill(strings.ReplaceAll(effective[st.name()], "<Subscription>", "<Own>")), "made",
			uuid.NewString()), true
	case "ChargeMutations.createCharge":
		s.ownSubscription(t)
		return s.fill(strings.NewReplacer("<Subscription>", "<Own>", "made", uuid.NewString()).
			Replace(effective[st.name()])), true
	case "ChargeMutations.deleteCharge":
		s.makeUsage(t, "Own charge", s.ownSubscription(t))
		return s.fill(`input: {id: "<Own charge>"}`), true
	case "ChargeMutations.creditCharge":
		return s.fill(strings.NewReplacer("<Charge>", "bc/account/charge/"+s.credit(t).ChargeID.String(), "made",
			uuid.NewString()).Replace(effective[st.name()])), true
	}
	return "", false
}

func (s survey) ownSubscription(t *testing.T) uuid.UUID {
	t.Helper()
	return s.makeSubscription(t, "Own", s.owner, s.ownItem(1, "10", nil))
}

// credit returns a request to credit a cent of the invoiced price of "<Subscription>".
func (s survey) credit(t *testing.T) billing.CreditRequest {
	t.Helper()
	var got struct {
		Account struct {
			Charges struct{ Nodes []struct{ ID string } }
		}
	}
	const query = `{ account { charges(filters: {status: INVOICED, kind: RECURRING}) { nodes { id } } } }`
	s.as(t, s.owner, query, nil).into(t, &got)
	if len(got.Account.Charges.Nodes) == 0 {
		t.Fatal("no charge is invoiced")
	}
	id := strings.TrimPrefix(got.Account.Charges.Nodes[0].ID, "bc/account/charge/")
	return billing.CreditRequest{ChargeID: uuid.MustParse(id), Reason: "Wrong", Key: uuid.NewString(),
		Amount: billing.MoneyRequest{CurrencyCode: "USD", Value: "0.01"}}
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
