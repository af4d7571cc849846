package panel_test

import (
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/clock"
	"latchkey/internal/gormdb"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// nimbus is a partner: the account of an app that charges the stores of Acme Retail.
const nimbus = "5c0ffee0-6a7e-4f4e-9c1f-0a1f4f4b7a05"

const partners = `
accounts:
  - uuid: 5c0ffee0-6a7e-4f4e-9c1f-0a1f4f4b7a05
    name: Nimbus Apps
    features: [automated_billing]
    owner: {email: owner@nimbus.example, first_name: Nia, last_name: Nimbus, locale: en}
    apps:
      - {id: 81, name: Cloud Stock, status: published}
`

// biller charges Acme Retail for the partner, through the service.
type biller struct {
	t       *testing.T
	server  *server
	service *billing.Service
	runner  *billing.Runner
	partner *auth.Principal
}

// biller adds the partner to the server's data.
func (s *server) biller() *biller {
	s.t.Helper()
	s.apply(partners)
	db := dbtest.Open(s.t, s.database)
	repo, now := gormdb.Billing(db), clock.Clock(clock.System)
	by := auth.OperatorPrincipal()
	by.AccountID = uuid.MustParse(nimbus)
	return &biller{t: s.t, server: s, partner: &by,
		service: billing.NewService(billing.Config{Repository: repo, Accounts: db.Accounts(), Now: now}),
		runner:  billing.NewRunner(billing.RunnerConfig{Repository: repo, Ledger: gormdb.Ledger(db), Now: now})}
}

// item is an item for the store acme2eu, which eu@acme.example owns.
func item(price, limit string) billing.ItemRequest {
	app, level := int64(81), "Gold"
	plan := billing.PlanRequest{Interval: billing.Month,
		Price: billing.MoneyRequest{CurrencyCode: billing.Currency, Value: price}}
	if limit != "" {
		plan.Cap = &billing.MoneyRequest{CurrencyCode: billing.Currency, Value: limit}
	}
	return billing.ItemRequest{Description: "Stock levels from all warehouses", Plan: plan, AppID: &app, Level: &level,
		Store: &billing.StoreRef{Hash: "acme2eu"}, RedirectURL: appSite + "done"}
}

// asks creates a checkout for Acme Retail.
func (b *biller) asks(items ...billing.ItemRequest) billing.Checkout {
	b.t.Helper()
	return b.asksOf(b.server.Account, items...)
}

// asksOf creates a checkout for a merchant.
func (b *biller) asksOf(merchant string, items ...billing.ItemRequest) billing.Checkout {
	b.t.Helper()
	c, _, err := b.service.CreateCheckout(b.t.Context(), b.partner, billing.CheckoutRequest{
		MerchantID: uuid.MustParse(merchant), Items: items})
	if err != nil {
		b.t.Fatalf("create a checkout: %v", err)
	}
	return c
}

// subscribed returns a subscription to the item, approved in the panel.
func (b *biller) subscribed(owner *visitor, item billing.ItemRequest) billing.Subscription {
	b.t.Helper()
	return b.subscribedBy(owner, b.server.Account, item)
}

func (b *biller) subscribedBy(owner *visitor, merchant string, item billing.ItemRequest) billing.Subscription {
	b.t.Helper()
	c := b.asksOf(merchant, item)
	owner.submit(owner.open(c.Path()), "Approve").goes(item.RedirectURL)
	return b.newest()
}

// newest returns the newest subscription to an app of the partner.
func (b *biller) newest() billing.Subscription {
	b.t.Helper()
	one := 1
	found, err := b.service.Subscriptions(b.t.Context(), b.partner, billing.SubscriptionFilter{},
		paging.Request{First: &one})
	if err != nil || len(found.Items) == 0 {
		b.t.Fatalf("the subscriptions: %v, %v", found, err)
	}
	return found.Items[0].Node
}

// charged fails the test unless the partner's charges are as many.
func (b *biller) charged(want int64) {
	b.t.Helper()
	got, err := b.service.CountCharges(b.t.Context(), b.partner, billing.ChargeFilter{})
	if err != nil {
		b.t.Fatal(err)
	}
	check.Equal(b.t, got, want, "charges")
}
