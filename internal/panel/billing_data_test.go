package panel_test

import (
	"fmt"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/billing"
)

// appSite begins the addresses to which checkouts lead.
const appSite = "https://nimbus.example/"

// billSome gives every page of billing something to show: a partner charges two stores of Acme Retail, whose app
// charges another account, and January has ended. The server needs a test clock. It returns the paths of checkouts in
// every state, to which few pages link.
func (s *server) billSome() (checkouts []string) {
	s.t.Helper()
	b := s.biller()
	v := s.signedIn(storeOwner)
	sub := b.subscribed(v, item("29", "50"))
	for n := range 3 {
		b.usage(sub, fmt.Sprintf("%d00 stock levels", n+1), "7.25")
	}
	acme := b.as(s.Account)
	sold := acme.subscribedBy(s.signedIn(bicyclesOwner), bicycles, acmeItem("bluebike", "30"))
	acme.usage(sold, "250 mails", "2.50")
	b.days(14)
	acme.usage(sold, "100 mails", "1.00")

	declined := b.asks(item("5", ""))
	v.submit(v.get(declined.Path()), "Decline").goes(declined.Path())
	expired := b.asks(item("6", ""))
	b.days(2)
	trial, change, own := item("12", ""), item("40", ""), item("7", "")
	trial.Plan.TrialDays, own.Store = 14, &billing.StoreRef{Hash: "acme1us"}
	change.SubscriptionID, change.AppID, change.Store = &sub.ID, nil, nil
	checkouts = []string{declined.Path(), expired.Path()}
	for _, each := range []billing.ItemRequest{trial, change} {
		checkouts = append(checkouts, b.asks(each).Path())
	}
	b.asks(own) // the account's owner answers
	// More than one item, and more than one page of charges.
	checkouts = append(checkouts, b.asks(trial, change).Path())
	for n := range 30 {
		b.usage(sub, fmt.Sprintf("Stock level %d", n), "0.10")
	}
	return checkouts
}

// as returns the biller for another partner.
func (b *biller) as(partner string) *biller {
	other, by := *b, auth.OperatorPrincipal()
	by.AccountID = uuid.MustParse(partner)
	other.partner = &by
	return &other
}

// acmeItem is an item for the demo's app.
func acmeItem(store, price string) billing.ItemRequest {
	one := item(price, "10")
	app, level := int64(4711), "Basic"
	one.Description, one.AppID, one.Level, one.Store = "Subscriptions for your store", &app, &level,
		&billing.StoreRef{Hash: store}
	return one
}

// usage charges usage.
func (b *biller) usage(sub billing.Subscription, description, amount string) {
	b.t.Helper()
	_, _, err := b.service.CreateCharge(b.t.Context(), b.partner, billing.ChargeRequest{SubscriptionID: sub.ID,
		Description: description, Amount: billing.MoneyRequest{CurrencyCode: billing.Currency, Value: amount},
		Key: uuid.NewString()})
	if err != nil {
		b.t.Fatalf("charge %s: %v", description, err)
	}
}

// days moves the test clock.
func (b *biller) days(n int64) {
	b.t.Helper()
	operator := auth.OperatorPrincipal()
	if _, err := b.runner.AdvanceTime(b.t.Context(), &operator, n*24*60*60); err != nil {
		b.t.Fatalf("advance the time by %d days: %v", n, err)
	}
}
