// Package billing charges merchants for subscriptions to the apps of partners. Its rules are in docs/billing.md.
//
// Times are billing time: that of the test clock where it is set (Repository.Now). Amounts are integers in minor units
// of their currency.
package billing

import (
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
)

// Money is an amount of a currency.
type Money struct {
	// Minor is the amount in minor units, such as cents. It is negative for credits.
	Minor int64
	// Currency is an ISO 4217 code.
	Currency string
}

// Interval is the time for which a price is paid.
type Interval string

// The billing intervals. A price for Once is paid once.
const (
	Month      Interval = "MONTH"
	Quarter    Interval = "QUARTER"
	Semiannual Interval = "SEMIANNUAL"
	Annual     Interval = "ANNUAL"
	Once       Interval = "ONCE"
)

// Span is the half-open time [Start, End). A zero End means that it has not ended.
type Span struct{ Start, End time.Time }

// CheckoutState is the state of a checkout. A checkout that expires stays Open and can no longer be approved.
type CheckoutState string

// The states of checkouts.
const (
	Open     CheckoutState = "OPEN"
	Approved CheckoutState = "APPROVED"
	Declined CheckoutState = "DECLINED"
)

// Checkout is what a partner asks a merchant's owner to approve, once.
type Checkout struct {
	ID uuid.UUID
	// PartnerID is the account whose apps charge, and MerchantID the account that is charged.
	PartnerID, MerchantID uuid.UUID
	// PartnerSuspended reports whether the partner's account is suspended. Repository fills it in.
	PartnerSuspended     bool
	State                CheckoutState
	CreatedAt, ExpiresAt time.Time
	CreatedBy            audit.Actor
	// AsOf is the time at which changes count, from a preview; zero means that of the approval.
	AsOf time.Time
	// ApprovedAt and DeclinedAt are zero unless the checkout has that state. ApprovedBy and DeclinedBy are users.
	ApprovedAt, DeclinedAt time.Time
	ApprovedBy, DeclinedBy uuid.UUID
	// Items are in the order of the request.
	Items []Item
	// Key is the idempotency key of the request, or empty. Digest is that of its input.
	Key    string
	Digest []byte
}

// Item is one line of a checkout.
type Item struct {
	AppID   int64
	StoreID uuid.UUID
	// StoreHash is that of the store. Repository fills it in.
	StoreHash                       string
	Level, Description, RedirectURL string
	Interval                        Interval
	Price                           Money
	// Cap is the usage cap in minor units of the price's currency; nil without one. In a change, nil keeps the cap.
	Cap       *int64
	TrialDays int
	// SubscriptionID is the subscription that the item changes, or that its approval created; zero until then.
	SubscriptionID uuid.UUID
	// Changes reports whether the item changes a subscription.
	Changes bool
	// Preview is the digest of the charges that the change makes at Checkout.AsOf; nil for an item that changes nothing
	// or has no such time. An approval is refused unless its charges have the same digest.
	Preview []byte `json:"-"`
}

// Subscription is an approved item that runs.
type Subscription struct {
	ID                             uuid.UUID
	PartnerID, MerchantID, StoreID uuid.UUID
	// StoreHash is that of the store. Repository fills it in.
	StoreHash            string
	AppID                int64
	CreatedAt, UpdatedAt time.Time
	// ActivatedAt is the first paid day at midnight: the anchor of the first term.
	ActivatedAt time.Time
	// TrialEndsAt is zero without a trial.
	TrialEndsAt time.Time
	// CancelAt is when the subscription ends or ended, and CancelledAt the last day of it at midnight; zero unless it
	// was cancelled.
	CancelAt, CancelledAt time.Time
	// CreditsRest reports whether it was cancelled immediately, so that the rest of its last period is credited.
	CreditsRest bool
	// EndCredited is how much of the charge that the end takes back had been credited before, in minor units.
	EndCredited int64
	// Credited is how much of the charge that covers the present has been credited (Covering). Repository fills it in
	// where it says so. It is not stored.
	Credited int64
	// EndedAt is when the end was recorded, after CancelAt.
	EndedAt time.Time
	// Suspensions are the times in which it was suspended, in order. The last one has no end while it is suspended.
	Suspensions []Span
	// Terms are in order. There is at least one.
	Terms []Term
	// Version counts the changes.
	Version int64
	// Everything that fell due up to BilledUntil has its charge. Nothing more falls due before NextDueAt, which is zero
	// if nothing does any more.
	BilledUntil, NextDueAt time.Time
}

// Term is what was agreed from a time on. Terms are never changed, and the last one holds.
type Term struct {
	// Seq counts the terms of a subscription from 0 on.
	Seq int
	// From is the second at which the term began: of the approval, or Checkout.AsOf.
	From     time.Time
	Level    string
	Interval Interval
	Price    Money
	// Cap is the most that usage can cost in a period, in minor units; nil means that usage cannot be charged.
	Cap *int64
	// CheckoutID and Item name the item that the owner ApprovedBy, a user, approved.
	CheckoutID uuid.UUID
	Item       int
	ApprovedBy uuid.UUID
	// Credited is how much of the charge that the change takes back had been credited before, in minor units.
	Credited int64
}

// ChargeKind says what a charge is for.
type ChargeKind string

// The kinds of charges.
const (
	// Recurring is the price of a period.
	Recurring ChargeKind = "RECURRING"
	// Proration is the price of the rest of a period after a change.
	Proration ChargeKind = "PRORATION"
	// Credit pays back: the rest of a period, or a charge that was wrong. Its amount is not positive.
	Credit ChargeKind = "CREDIT"
	// Usage is what an app charges within the cap.
	Usage ChargeKind = "USAGE"
	// OneTime is the price of a subscription with the interval Once.
	OneTime ChargeKind = "ONE_TIME"
	// Carried moves a negative total from an invoice to the next one. It belongs to no subscription.
	Carried ChargeKind = "CARRIED"
)

// ChargeStatus is the status of a charge.
type ChargeStatus string

// The statuses of charges.
const (
	ChargePending  ChargeStatus = "PENDING"
	ChargeInvoiced ChargeStatus = "INVOICED"
	ChargeDeleted  ChargeStatus = "DELETED"
)

// Charge is the only record that is money.
type Charge struct {
	ID         uuid.UUID
	MerchantID uuid.UUID
	// PartnerID, SubscriptionID and Term are zero for a Carried charge.
	PartnerID, SubscriptionID uuid.UUID
	Term                      int
	Kind                      ChargeKind
	// Amount is negative for credits.
	Amount Money
	// Period is what the charge is for; zero for Carried.
	Period Span
	// DueAt decides the month of the invoice.
	DueAt, CreatedAt time.Time
	// SourceKey is unique among the charges of a merchant, so that a charge exists only once.
	SourceKey   string
	Status      ChargeStatus
	InvoiceID   uuid.UUID
	CreditOf    uuid.UUID
	Description string
	// Digest is that of the input of the request that created the charge; nil for charges that fell due.
	Digest []byte
	// TokenID is the API token that created the charge, if one did.
	TokenID uuid.UUID
}

// Invoice is a closed list of charges of one merchant, one currency and one month. It is never changed.
type Invoice struct {
	ID, MerchantID uuid.UUID
	// Month is such as 2026-02, in UTC.
	Month string
	// Number counts the merchant's invoices from 1 on.
	Number   int64
	Total    Money
	IssuedAt time.Time
}
