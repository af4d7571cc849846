package object

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"latchkey/graph/scalar"
	"latchkey/internal/account"
	"latchkey/internal/billing"
	"latchkey/internal/paging"
)

// Money is an amount of money.
type Money struct{ billing.Money }

// CurrencyCode is the ISO 4217 code of the currency.
func (m Money) CurrencyCode() string { return m.Currency }

// Value is the amount in units of the currency.
func (m Money) Value() json.Number { return json.Number(m.Decimal()) }

// ProductType is the type of a product.
type ProductType string

// The types of products. NoProduct only occurs in filters: every product is an app.
const (
	Application ProductType = "APPLICATION"
	NoProduct   ProductType = "NONE"
)

// ScopeType is the type of the scope of a subscription.
type ScopeType string

// StoreScope is the only type.
const StoreScope ScopeType = "STORE"

// Product is the product of a subscription, an app.
type Product struct {
	AppID        int64
	ProductLevel string
}

// GlobalID is the product's ID.
func (p Product) GlobalID() string {
	return account.IDPrefix + string(scalar.Product) + "/" + strconv.FormatInt(p.AppID, 10)
}

// Type is the product's type.
func (Product) Type() ProductType { return Application }

// Scope is the scope of a subscription, a store.
type Scope struct{ StoreHash string }

// GlobalID is the scope's ID.
func (s Scope) GlobalID() string { return account.IDPrefix + string(scalar.Scope) + "/" + s.StoreHash }

// Type is the scope's type.
func (Scope) Type() ScopeType { return StoreScope }

// CheckoutStatus is the status of a checkout and of its items. An approval is one transaction, so that none is
// PROCESSING.
type CheckoutStatus string

// Checkout is a checkout.
type Checkout struct {
	billing.Checkout

	publicURL string
}

// NewCheckout returns a checkout that is approved at the service's URL.
func NewCheckout(c billing.Checkout, publicURL string) Checkout { return Checkout{c, publicURL} }

// IsNode marks a Node.
func (Checkout) IsNode() {}

// GlobalID is the checkout's ID.
func (c Checkout) GlobalID() scalar.NodeID { return id(scalar.Checkout, c.ID) }

// AccountID is the ID of the merchant's account.
func (c Checkout) AccountID() scalar.NodeID { return id(scalar.Account, c.MerchantID) }

// CheckoutURL is where the merchant approves the checkout.
func (c Checkout) CheckoutURL() string { return c.publicURL + c.Path() }

// Status is the checkout's status.
func (c Checkout) Status() CheckoutStatus { return CheckoutStatus(c.Checkout.Status()) }

// Page returns a page of the items, in the order of the request.
func (c Checkout) Page(w paging.Window) *CheckoutItemConnection {
	page := itemsPage(c.Items, w)
	info, edges := Connect[CheckoutItemEdge](CheckoutItems, page,
		func(i billing.Item) CheckoutItem { return CheckoutItem{i, c.Status()} })
	return &CheckoutItemConnection{PageInfo: info, Edges: edges}
}

// itemsPage returns a page of items. Their keys fall from the first item on, as those of lists do.
func itemsPage(items []billing.Item, w paging.Window) paging.Page[billing.Item] {
	within := []paging.Item[billing.Item]{}
	for i, item := range items {
		var key uuid.UUID
		for n, rest := len(key)-1, math.MaxUint32-uint32(i); n >= len(key)-4; n, rest = n-1, rest>>8 {
			key[n] = byte(rest)
		}
		afterBound := w.After == nil || key.String() < w.After.String()
		if beforeBound := w.Before == nil || key.String() > w.Before.String(); afterBound && beforeBound {
			within = append(within, paging.Item[billing.Item]{Node: item, Key: key})
		}
	}
	if w.Backward {
		slices.Reverse(within)
	}
	return paging.Cut(w, within[:min(len(within), w.Size+1)])
}

// CheckoutItem is an item of a checkout.
type CheckoutItem struct {
	billing.Item

	status CheckoutStatus
}

// Status is the status of the checkout.
func (i CheckoutItem) Status() CheckoutStatus { return i.status }

// Of is the ID of the subscription, or zero.
func (i CheckoutItem) Of() scalar.NodeID { return optionalID(scalar.Subscription, i.SubscriptionID) }

// PricingPlan is the price and how often it is paid.
func (i CheckoutItem) PricingPlan() PricingPlan { return PricingPlan{i.Item} }

// Product is the app.
func (i CheckoutItem) Product() Product { return Product{i.AppID, i.Level} }

// Scope is the store.
func (i CheckoutItem) Scope() Scope { return Scope{i.StoreHash} }

// PricingPlan is the pricing plan of an item.
type PricingPlan struct{ item billing.Item }

// Interval is the billing interval.
func (p PricingPlan) Interval() billing.Interval { return p.item.Interval }

// Price is the price of an interval.
func (p PricingPlan) Price() Money { return Money{p.item.Price} }

// TrialDays is the length of the trial, or nil.
func (p PricingPlan) TrialDays() *int {
	if p.item.TrialDays == 0 {
		return nil
	}
	return &p.item.TrialDays
}

// CappedAmount is the usage cap, or nil.
func (p PricingPlan) CappedAmount() *Money { return capOf(p.item.Cap, p.item.Price) }

// capOf returns a usage cap in the currency of the price.
func capOf(limit *int64, price billing.Money) *Money {
	if limit == nil {
		return nil
	}
	return &Money{billing.Money{Minor: *limit, Currency: price.Currency}}
}

// Subscription is a subscription at a time.
type Subscription struct {
	billing.Subscription

	now time.Time
}

// NewSubscriptions returns subscriptions in their state at the time.
func NewSubscriptions(now time.Time) func(billing.Subscription) Subscription {
	return func(s billing.Subscription) Subscription { return Subscription{s, now} }
}

// IsNode marks a Node.
func (Subscription) IsNode() {}

// GlobalID is the subscription's ID.
func (s Subscription) GlobalID() scalar.NodeID { return id(scalar.Subscription, s.ID) }

// AccountID is the ID of the merchant's account.
func (s Subscription) AccountID() scalar.NodeID { return id(scalar.Account, s.MerchantID) }

// BillingInterval is the interval of the term that holds.
func (s Subscription) BillingInterval() billing.Interval { return s.Term().Interval }

// PeriodEnd is the end of the paid period.
func (s Subscription) PeriodEnd() time.Time { return s.CurrentPeriodEnd(s.now) }

// PricePerInterval is the price of the term that holds.
func (s Subscription) PricePerInterval() Money { return Money{s.Term().Price} }

// Product is the app, at the level of the term that holds.
func (s Subscription) Product() Product { return Product{s.AppID, s.Term().Level} }

// Scope is the store.
func (s Subscription) Scope() Scope { return Scope{s.StoreHash} }

// CurrentStatus is the status.
func (s Subscription) CurrentStatus() billing.Status { return s.Status(s.now) }

// CappedAmount is the usage cap of the term that holds, or nil.
func (s Subscription) CappedAmount() *Money { return capOf(s.Term().Cap, s.Term().Price) }

// TermList is the terms, oldest first.
func (s Subscription) TermList() []SubscriptionTerm {
	terms := make([]SubscriptionTerm, len(s.Terms))
	for i, t := range s.Terms {
		terms[i] = SubscriptionTerm{t}
	}
	return terms
}

// SubscriptionTerm is a term of a subscription.
type SubscriptionTerm struct{ billing.Term }

// PricePerInterval is the price.
func (t SubscriptionTerm) PricePerInterval() Money { return Money{t.Price} }

// CappedAmount is the usage cap, or nil.
func (t SubscriptionTerm) CappedAmount() *Money { return capOf(t.Cap, t.Price) }

// ApprovedCheckout is the ID of the checkout that was approved.
func (t SubscriptionTerm) ApprovedCheckout() scalar.NodeID { return id(scalar.Checkout, t.CheckoutID) }

// Charge is a charge.
type Charge struct{ billing.Charge }

// NewCharge returns a charge.
func NewCharge(c billing.Charge) Charge { return Charge{c} }

// IsNode marks a Node.
func (Charge) IsNode() {}

// GlobalID is the charge's ID.
func (c Charge) GlobalID() scalar.NodeID { return id(scalar.Charge, c.ID) }

// Of is the ID of the subscription, or zero.
func (c Charge) Of() scalar.NodeID { return optionalID(scalar.Subscription, c.SubscriptionID) }

// Sum is the amount.
func (c Charge) Sum() Money { return Money{c.Amount} }

// PeriodStart is the start of the charge's period, or zero.
func (c Charge) PeriodStart() time.Time { return c.Period.Start }

// PeriodEnd is the end of the charge's period, or zero.
func (c Charge) PeriodEnd() time.Time { return c.Period.End }

// OnInvoice is the ID of the invoice, or zero.
func (c Charge) OnInvoice() scalar.NodeID { return optionalID(scalar.Invoice, c.InvoiceID) }

// Credits is the ID of the charge that it credits, or zero.
func (c Charge) Credits() scalar.NodeID { return optionalID(scalar.Charge, c.CreditOf) }

// ChargePreview is a charge that a change would add.
type ChargePreview struct{ Charge }

// Invoice is an invoice with its siblings.
type Invoice struct {
	billing.Invoice

	Siblings *Siblings[billing.Invoice]
}

// NewInvoices returns invoices as each other's siblings.
func NewInvoices(invoices []billing.Invoice) func(billing.Invoice) Invoice {
	siblings := NewSiblings(invoices)
	return func(i billing.Invoice) Invoice { return Invoice{i, siblings} }
}

// IsNode marks a Node.
func (Invoice) IsNode() {}

// GlobalID is the invoice's ID.
func (i Invoice) GlobalID() scalar.NodeID { return id(scalar.Invoice, i.ID) }

// Currency is the currency of the invoice.
func (i Invoice) Currency() string { return i.Invoice.Total.Currency }

// Sum is the total.
func (i Invoice) Sum() Money { return Money{i.Invoice.Total} }

// Revenue is what an account's apps earned in a month.
type Revenue struct{ billing.MonthSum }

// Sum is the sum of the charges.
func (r Revenue) Sum() Money { return Money{r.MonthSum.Amount} }

func optionalID(kind scalar.Kind, key uuid.UUID) scalar.NodeID {
	if key == uuid.Nil {
		return scalar.NodeID{}
	}
	return id(kind, key)
}
