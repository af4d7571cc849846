package billing

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
)

// The kinds of the API's IDs that stand for an app and a store in billing.
const (
	productKind audit.TargetKind = "product"
	scopeKind   audit.TargetKind = "scope"
)

// moneyData is an amount in the data of events.
type moneyData struct {
	CurrencyCode string      `json:"currencyCode"`
	Value        json.Number `json:"value"`
}

func (m Money) data() moneyData { return moneyData{m.Currency, json.Number(m.Decimal())} }

// capData returns a usage cap in the currency of a price; nil without one.
func capData(limit *int64, price Money) *moneyData {
	if limit == nil {
		return nil
	}
	d := Money{*limit, price.Currency}.data()
	return &d
}

type productData struct {
	ID           *string `json:"id"`
	ProductLevel string  `json:"productLevel"`
	Type         string  `json:"type"`
}

func productOf(appID int64, level string) productData {
	return productData{productKind.ID(strconv.FormatInt(appID, 10)), level, "APPLICATION"}
}

type scopeData struct {
	ID   *string `json:"id"`
	Type string  `json:"type"`
}

func scopeOf(hash string) scopeData { return scopeData{scopeKind.ID(hash), "STORE"} }

// idOf returns the API's ID of an object, and nil for none.
func idOf(kind audit.TargetKind, id uuid.UUID) *string {
	if id == uuid.Nil {
		return nil
	}
	return kind.ID(id.String())
}

// checkoutData is a checkout in the data of events: the fields of the API's Checkout, except checkoutUrl, which depends
// on the server that answers.
type checkoutData struct {
	ID         *string    `json:"id"`
	AccountID  *string    `json:"accountId"`
	Status     string     `json:"status"`
	ExpiresAt  audit.Time `json:"expiresAt"`
	ApprovedAt audit.Time `json:"approvedAt"`
	DeclinedAt audit.Time `json:"declinedAt"`
	Items      []itemData `json:"items"`
}

type itemData struct {
	Description    string      `json:"description"`
	RedirectURL    string      `json:"redirectUrl"`
	Status         string      `json:"status"`
	SubscriptionID *string     `json:"subscriptionId"`
	PricingPlan    planData    `json:"pricingPlan"`
	Product        productData `json:"product"`
	Scope          scopeData   `json:"scope"`
}

type planData struct {
	Interval     Interval   `json:"interval"`
	Price        moneyData  `json:"price"`
	TrialDays    *int       `json:"trialDays"`
	CappedAmount *moneyData `json:"cappedAmount"`
}

// Status returns the status of the checkout and its items as the API shows it.
func (c Checkout) Status() string {
	if c.State == Approved {
		return "COMPLETE"
	}
	return "PENDING"
}

// Path is the path of the page on which the merchant approves the checkout, below the service's public URL.
func (c Checkout) Path() string {
	return "/accounts/" + c.MerchantID.String() + "/checkouts/" + c.ID.String()
}

// Expired reports whether the checkout waited for an approval until it could no longer be approved.
func (c Checkout) Expired(now time.Time) bool { return c.State == Open && !now.Before(c.ExpiresAt) }

func (c Checkout) target() audit.Target {
	return audit.Target{Kind: audit.TargetCheckout, Key: c.ID.String(), Name: c.Items[0].Description}
}

// Data returns the checkout as the data of an event.
func (c Checkout) Data() json.RawMessage {
	d := checkoutData{
		ID: audit.TargetCheckout.ID(c.ID.String()), AccountID: audit.TargetAccount.ID(c.MerchantID.String()),
		Status: c.Status(), ExpiresAt: audit.Time(c.ExpiresAt), ApprovedAt: audit.Time(c.ApprovedAt),
		DeclinedAt: audit.Time(c.DeclinedAt),
	}
	for _, i := range c.Items {
		item := itemData{
			Description: i.Description, RedirectURL: i.RedirectURL, Status: c.Status(),
			SubscriptionID: idOf(audit.TargetSubscription, i.SubscriptionID),
			PricingPlan: planData{Interval: i.Interval, Price: i.Price.data(),
				CappedAmount: capData(i.Cap, i.Price)},
			Product: productOf(i.AppID, i.Level), Scope: scopeOf(i.StoreHash),
		}
		if i.TrialDays > 0 {
			item.PricingPlan.TrialDays = &i.TrialDays
		}
		d.Items = append(d.Items, item)
	}
	return audit.DataOf(d)
}

// subscriptionData is a subscription in the data of events: the fields of the API's Subscription, with the newest terms
// only.
type subscriptionData struct {
	ID               *string     `json:"id"`
	AccountID        *string     `json:"accountId"`
	ActivationDate   audit.Time  `json:"activationDate"`
	BillingInterval  Interval    `json:"billingInterval"`
	CreatedAt        audit.Time  `json:"createdAt"`
	CurrentPeriodEnd audit.Time  `json:"currentPeriodEnd"`
	PricePerInterval moneyData   `json:"pricePerInterval"`
	Product          productData `json:"product"`
	Scope            scopeData   `json:"scope"`
	Status           Status      `json:"status"`
	UpdatedAt        audit.Time  `json:"updatedAt"`
	Terms            []termData  `json:"terms"`
	TrialEndsAt      audit.Time  `json:"trialEndsAt"`
	CancelAt         audit.Time  `json:"cancelAt"`
	CancelledAt      audit.Time  `json:"cancelledAt"`
	SuspendedAt      audit.Time  `json:"suspendedAt"`
	CappedAmount     *moneyData  `json:"cappedAmount"`
}

type termData struct {
	From             audit.Time `json:"from"`
	ProductLevel     string     `json:"productLevel"`
	BillingInterval  Interval   `json:"billingInterval"`
	PricePerInterval moneyData  `json:"pricePerInterval"`
	CappedAmount     *moneyData `json:"cappedAmount"`
	CheckoutID       *string    `json:"checkoutId"`
}

// SuspendedAt returns when the subscription was suspended; zero if it is not.
func (s Subscription) SuspendedAt() time.Time {
	if !s.Suspended() {
		return time.Time{}
	}
	return s.Suspensions[len(s.Suspensions)-1].Start
}

func (s Subscription) target() audit.Target {
	name := s.Term().Level
	if name == "" {
		name = fmt.Sprintf("app %d", s.AppID)
	}
	return audit.Target{Kind: audit.TargetSubscription, Key: s.ID.String(), Name: name}
}

// Data returns the subscription at a time as the data of an event.
func (s Subscription) Data(now time.Time) json.RawMessage {
	last := s.Term()
	d := subscriptionData{
		ID: audit.TargetSubscription.ID(s.ID.String()), AccountID: audit.TargetAccount.ID(s.MerchantID.String()),
		ActivationDate: audit.Time(s.ActivatedAt), BillingInterval: last.Interval, CreatedAt: audit.Time(s.CreatedAt),
		CurrentPeriodEnd: audit.Time(s.CurrentPeriodEnd(now)), PricePerInterval: last.Price.data(),
		Product: productOf(s.AppID, last.Level), Scope: scopeOf(s.StoreHash), Status: s.Status(now),
		UpdatedAt: audit.Time(s.UpdatedAt), TrialEndsAt: audit.Time(s.TrialEndsAt), CancelAt: audit.Time(s.CancelAt),
		CancelledAt: audit.Time(s.CancelledAt), SuspendedAt: audit.Time(s.SuspendedAt()),
		CappedAmount: capData(last.Cap, last.Price),
	}
	for _, t := range s.Terms[max(0, len(s.Terms)-dataTerms):] {
		d.Terms = append(d.Terms, termData{From: audit.Time(t.From), ProductLevel: t.Level, BillingInterval: t.Interval,
			PricePerInterval: t.Price.data(), CappedAmount: capData(t.Cap, t.Price),
			CheckoutID: audit.TargetCheckout.ID(t.CheckoutID.String())})
	}
	return audit.DataOf(d)
}

// chargeData is a charge in the data of events: the fields of the API's Charge.
type chargeData struct {
	ID             *string      `json:"id"`
	SubscriptionID *string      `json:"subscriptionId"`
	Description    string       `json:"description"`
	Amount         moneyData    `json:"amount"`
	Kind           ChargeKind   `json:"kind"`
	Status         ChargeStatus `json:"status"`
	PeriodStart    audit.Time   `json:"periodStart"`
	PeriodEnd      audit.Time   `json:"periodEnd"`
	CreatedAt      audit.Time   `json:"createdAt"`
	InvoiceID      *string      `json:"invoiceId"`
	CreditOf       *string      `json:"creditOf"`
}

func (c Charge) target() audit.Target {
	return audit.Target{Kind: audit.TargetCharge, Key: c.ID.String(), Name: c.Description}
}

// Data returns the charge as the data of an event.
func (c Charge) Data() json.RawMessage {
	return audit.DataOf(chargeData{
		ID: audit.TargetCharge.ID(c.ID.String()), SubscriptionID: idOf(audit.TargetSubscription, c.SubscriptionID),
		Description: c.Description, Amount: c.Amount.data(), Kind: c.Kind, Status: c.Status,
		PeriodStart: audit.Time(c.Period.Start), PeriodEnd: audit.Time(c.Period.End),
		CreatedAt: audit.Time(c.CreatedAt), InvoiceID: idOf(audit.TargetInvoice, c.InvoiceID),
		CreditOf: idOf(audit.TargetCharge, c.CreditOf),
	})
}

// invoiceData is an invoice in the data of events: the fields of the API's Invoice without its lines.
type invoiceData struct {
	ID       *string    `json:"id"`
	Month    string     `json:"month"`
	Number   int64      `json:"number"`
	Currency string     `json:"currency"`
	Total    moneyData  `json:"total"`
	IssuedAt audit.Time `json:"issuedAt"`
}

func (i Invoice) target() audit.Target {
	return audit.Target{Kind: audit.TargetInvoice, Key: i.ID.String(), Name: i.Month}
}

// Data returns the invoice as the data of an event.
func (i Invoice) Data() json.RawMessage {
	return audit.DataOf(invoiceData{ID: audit.TargetInvoice.ID(i.ID.String()), Month: i.Month, Number: i.Number,
		Currency: i.Total.Currency, Total: i.Total.data(), IssuedAt: audit.Time(i.IssuedAt)})
}
