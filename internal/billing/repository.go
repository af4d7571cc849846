package billing

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/paging"
)

// Changes are what one write stores. Charges whose source key exists are left out, with their events.
type Changes struct {
	// Checkouts are new ones, or ones that were approved or declined.
	Checkouts []Checkout
	// Subscriptions are new ones, or ones that changed. Terms and suspensions that are not stored yet are added.
	Subscriptions []Subscription
	// Charges are new ones, or ones that were deleted.
	Charges []Charge
	// ChargeEvent makes the event of each charge that is stored; nil if Events has them.
	ChargeEvent func(Charge) audit.Event
	Events      []audit.Event
}

// ErrDryRun is what a decide function returns to store nothing. It is returned to the caller unchanged.
var ErrDryRun = errors.New("billing: dry run")

// UsageSums is what counts against the limits of a new usage charge: amounts in minor units that are not deleted.
type UsageSums struct {
	// MerchantSuspended reports whether the merchant's account is suspended.
	MerchantSuspended bool
	// Period is that of the subscription's current period.
	Period int64
	// Token is what the token charged in the current month (UTC), and TokenLimit its limit in minor units; nil without
	// one.
	Token      int64
	TokenLimit *int64
}

// CheckoutDraft says for what a checkout is inserted.
type CheckoutDraft struct {
	PartnerID, MerchantID uuid.UUID
	// Key is the idempotency key of the request, or empty. Digest is that of its input.
	Key    string
	Digest []byte
	// Changed are the subscriptions that the checkout changes.
	Changed []uuid.UUID
}

// Standing is what limits the checkouts of a partner for a merchant.
type Standing struct {
	// MerchantSuspended reports whether the merchant's account is suspended.
	MerchantSuspended bool
	// Open is how many checkouts of the partner wait for an approval, and OpenForMerchant how many of them are the
	// merchant's.
	Open, OpenForMerchant int64
}

// SubscriptionFilter selects subscriptions. Nil and zero fields select all; an empty list selects none.
type SubscriptionFilter struct {
	IDs          []uuid.UUID
	AppID        *int64
	StoreID      *uuid.UUID
	StoreHash    *string
	Status       Status
	UpdatedAfter time.Time
	// Search is a part of the merchant's or the app's name or of the store's hash, in any case.
	Search string
	// As limits the selection to what an account is a party of on a side. Zero means both.
	As Side
	// Stores limits the selection to these stores, if not nil. Use it for a merchant's store owners.
	Stores []uuid.UUID
}

// ChargeFilter selects charges. Nil and zero fields select all.
type ChargeFilter struct {
	SubscriptionID *uuid.UUID
	Status         ChargeStatus
	Kind           ChargeKind
	CreatedAfter   time.Time
	// Due limits the selection to charges that fell due in the span, if it is not zero.
	Due Span
	// Search is a part of the description, of the merchant's name or of the store's hash, in any case.
	Search string
	// As limits the selection as in SubscriptionFilter.
	As Side
	// Stores limits the selection to charges for these stores, if not nil.
	Stores []uuid.UUID
}

// Side says as which party an account reads: as the partner whose apps charge, as the merchant that is charged, or
// as both.
type Side struct{ Partner, Merchant bool }

// within returns the sides that are in both. A zero limit limits nothing.
func (s Side) within(limit Side) Side {
	if limit == (Side{}) {
		return s
	}
	return Side{s.Partner && limit.Partner, s.Merchant && limit.Merchant}
}

// Repository stores checkouts, subscriptions, charges and invoices.
//
// A write locks what its decide function gets against other writers, reads billing time after that, checks its actor,
// and stores what decide returns in the same transaction. decide must not change what it gets, and can be called again
// after a deadlock. An error of decide is returned, and nothing is stored. The subscriptions that the writes of
// checkouts and subscriptions pass to decide have Subscription.Credited.
type Repository interface {
	// Now returns billing time.
	Now(ctx context.Context) (time.Time, error)

	// InsertCheckout stores a checkout. by is the partner's. If the partner has a checkout with the same key that is
	// younger than 30 days, it is returned instead, as it was when it was created, with replayed set if the digest is
	// the same, and fault.Conflict otherwise. decide gets the subscriptions that the checkout changes, by ID, without
	// those that are not the partner's. No other checkout of the partner is inserted at the same time.
	InsertCheckout(ctx context.Context, by auth.Actor, d CheckoutDraft, decide func(now time.Time,
		subscriptions map[uuid.UUID]Subscription, s Standing) (Changes, error)) (c Checkout, replayed bool, err error)
	// ChangeCheckout changes a checkout of the merchant and the subscriptions that its items name. It returns
	// ErrNoCheckout if the merchant has no such checkout. owners are the current owners of the items' stores, by store.
	ChangeCheckout(ctx context.Context, by auth.Actor, merchantID, id uuid.UUID, decide func(now time.Time, c Checkout,
		subscriptions map[uuid.UUID]Subscription, owners map[uuid.UUID]uuid.UUID) (Changes, error)) error
	// ChangeSubscription changes a subscription that accountID is the partner or the merchant of. It returns
	// ErrNoSubscription if there is none. owner is the current owner of its store.
	ChangeSubscription(ctx context.Context, by auth.Actor, accountID, id uuid.UUID,
		decide func(now time.Time, s Subscription, owner uuid.UUID) (Changes, error)) error
	// AddUsage stores a usage charge for a subscription of the partner. If a charge has the source key that key makes,
	// it is returned instead, as it was when it was created, with replayed set if the digest is the same and it is
	// younger than 30 days, and fault.Conflict otherwise. It returns ErrNoSubscription as ChangeSubscription does.
	AddUsage(ctx context.Context, by auth.Actor, partnerID, subscriptionID uuid.UUID, key string, digest []byte,
		decide func(now time.Time, s Subscription, u UsageSums) (Changes, error)) (c Charge, replayed bool, err error)
	// ChangeCharge changes a charge of the partner, or adds a credit for it. credited is the sum of the credits that
	// the partner gave for it, not positive. It returns ErrNoCharge if the partner has no such charge. key and digest
	// are as for AddUsage, or empty.
	ChangeCharge(ctx context.Context, by auth.Actor, partnerID, id uuid.UUID, key string, digest []byte,
		decide func(now time.Time, c Charge, s Subscription, credited int64) (Changes, error)) (c Charge, replayed bool,
		err error)

	// Lookups by ID omit what does not exist or is not the account's on that side.
	CheckoutsByID(ctx context.Context, accountID uuid.UUID, side Side, ids []uuid.UUID) (map[uuid.UUID]Checkout, error)
	SubscriptionsByID(ctx context.Context, accountID uuid.UUID, side Side,
		ids []uuid.UUID) (map[uuid.UUID]Subscription, error)
	// Previewed is SubscriptionsByID with Subscription.Credited.
	Previewed(ctx context.Context, accountID uuid.UUID, side Side, ids []uuid.UUID) (map[uuid.UUID]Subscription, error)
	ChargesByID(ctx context.Context, accountID uuid.UUID, side Side, ids []uuid.UUID) (map[uuid.UUID]Charge, error)
	InvoicesByID(ctx context.Context, merchantID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]Invoice, error)

	// Lists are newest first.
	Subscriptions(ctx context.Context, accountID uuid.UUID, side Side, f SubscriptionFilter,
		w paging.Window) (paging.Page[Subscription], error)
	CountSubscriptions(ctx context.Context, accountID uuid.UUID, side Side, f SubscriptionFilter) (int64, error)
	Charges(ctx context.Context, accountID uuid.UUID, side Side, f ChargeFilter,
		w paging.Window) (paging.Page[Charge], error)
	CountCharges(ctx context.Context, accountID uuid.UUID, side Side, f ChargeFilter) (int64, error)
	// SumCharges returns the sum of an account's charges in a currency, and their number.
	SumCharges(ctx context.Context, accountID uuid.UUID, side Side, currency string, f ChargeFilter) (sum, n int64,
		err error)
	// Waiting returns at most limit checkouts of a merchant that wait for the approval of a user, who owns the stores
	// of all of their items.
	Waiting(ctx context.Context, merchantID, userID uuid.UUID, limit int) ([]Checkout, error)
	Invoices(ctx context.Context, merchantID uuid.UUID, w paging.Window) (paging.Page[Invoice], error)
	CountInvoices(ctx context.Context, merchantID uuid.UUID) (int64, error)
	// InvoiceLines returns a page of each invoice's charges, oldest first in the order of their due times.
	InvoiceLines(ctx context.Context, merchantID uuid.UUID, invoiceIDs []uuid.UUID,
		w paging.Window) (map[uuid.UUID]paging.Page[Charge], error)
	// CountInvoiceLines returns the number of each invoice's charges. It omits invoices that the merchant does not
	// have.
	CountInvoiceLines(ctx context.Context, merchantID uuid.UUID, invoiceIDs []uuid.UUID) (map[uuid.UUID]int64, error)

	// Sellers returns the partners of each invoice's charges, each once.
	Sellers(ctx context.Context, merchantID uuid.UUID, invoiceIDs []uuid.UUID) (map[uuid.UUID][]uuid.UUID, error)

	// Pending returns the sum of a merchant's pending charges that are due before the end of the month of at.
	Pending(ctx context.Context, merchantID uuid.UUID, currency string, at time.Time) (int64, error)
	// Revenue returns the sums of a partner's charges that are not deleted by the month of their due time, for due
	// times in [from, to), oldest first: those of an app, or of all apps for nil.
	Revenue(ctx context.Context, partnerID uuid.UUID, appID *int64, from, to time.Time) ([]MonthSum, error)
	// Used returns the sum of the usage charges, which are not deleted, of a merchant's subscription for the period
	// with a start.
	Used(ctx context.Context, merchantID, subscriptionID uuid.UUID, start time.Time) (int64, error)
	// Stores returns stores of a merchant by ID or hash. It returns fault.NotFound for an account that
	// does not exist, and omits stores that the account does not have.
	Stores(ctx context.Context, merchantID uuid.UUID, ids []uuid.UUID, hashes []string) ([]StoreOwner, error)
	// AppIsDraft reports whether a partner's app is a draft. It returns fault.NotFound for an app that the partner does
	// not have.
	AppIsDraft(ctx context.Context, partnerID uuid.UUID, appID int64) (bool, error)
}

// StoreOwner is a store with its owner, a user.
type StoreOwner struct {
	ID, OwnerID uuid.UUID
	Hash, Name  string
}

// MonthSum is a sum of charges of a month.
type MonthSum struct {
	// Month is such as 2026-02.
	Month  string
	Amount Money
	// Charges is how many there are.
	Charges int64
}

// Ledger is what billing runs do. Every method is for all accounts, and is called by one process at a time that holds
// the lease, or by several: the result is the same.
type Ledger interface {
	// Lease takes or renews the lease for holder until now + ttl, in the database's own time, and reports whether it is
	// the holder's.
	Lease(ctx context.Context, holder uuid.UUID, ttl time.Duration) (bool, error)
	// Release gives the lease back.
	Release(ctx context.Context, holder uuid.UUID) error
	// Due returns at most limit subscriptions whose NextDueAt is not after now, in the order of (NextDueAt, ID).
	Due(ctx context.Context, now time.Time, limit int) ([]Subscription, error)
	// Bill stores the charges of subscriptions that Due returned, with their BilledUntil, NextDueAt and EndedAt, if
	// their version is still the same. It leaves out charges that exist and subscriptions that changed meanwhile, and
	// returns how many charges it added.
	Bill(ctx context.Context, now time.Time, changes Changes) (added int64, err error)
	// NextDue returns the earliest NextDueAt of all subscriptions, and the end of the month of the earliest pending
	// charge, the earlier one. It returns zero if there is neither.
	NextDue(ctx context.Context) (time.Time, error)
	// Uninvoiced returns at most limit merchants, months and currencies that have pending charges due before now's
	// month, earliest month first. It returns none only if there are none, but may leave out later ones.
	Uninvoiced(ctx context.Context, now time.Time, limit int) ([]OpenMonth, error)
	// Issue issues the invoice of a month: all of the merchant's pending charges in the currency that are due before
	// its end. It excludes the merchant's other money writes. compose returns the invoice of the charges and the
	// Carried charges that it needs. Issue returns fault.Conflict if the invoice exists, and while that of an earlier
	// month must be issued.
	Issue(ctx context.Context, m OpenMonth, compose func(now time.Time, number int64, charges []Charge) (Invoice,
		[]Charge, []audit.Event, error)) error

	// Statements returns at most limit subscriptions of all accounts whose ID is above after, by ID, each with all of
	// its charges and totals, as of one billing time, which it returns.
	Statements(ctx context.Context, after uuid.UUID, limit int) (now time.Time, list []Statement, err error)
	// Issued returns at most limit invoices of all accounts whose ID is above after, by ID, each with all of its
	// charges in the order of Repository.InvoiceLines.
	Issued(ctx context.Context, after uuid.UUID, limit int) ([]Issue, error)
	// CarriedCharges returns all Carried charges of at most limit merchants whose ID is above after, by merchant.
	CarriedCharges(ctx context.Context, after uuid.UUID, limit int) ([]Charge, error)
	// Accounting returns at most limit charges of all accounts that fell due in the span, by (MerchantID, ID), those
	// after the given merchant and charge.
	Accounting(ctx context.Context, span Span, afterMerchant, afterCharge uuid.UUID, limit int) ([]AccountingLine,
		error)
	// MerchantOf returns the merchant of a subscription. It returns fault.NotFound if there is no such subscription.
	MerchantOf(ctx context.Context, subscriptionID uuid.UUID) (uuid.UUID, error)

	// SetClock starts the test clock at the time if the database has none, and returns its time. It returns
	// fault.Conflict if the database has checkouts that go by real time.
	SetClock(ctx context.Context, at time.Time) (time.Time, error)
	// HasClock reports whether the database has a test clock.
	HasClock(ctx context.Context) (bool, error)
	// MoveClock moves the test clock forward.
	MoveClock(ctx context.Context, to time.Time) error
}

// Statement is a subscription with all of its charges.
type Statement struct {
	Subscription Subscription
	Charges      []Charge
	// Usage has the stored total of each period with usage, in minor units, by the start of the period.
	Usage map[time.Time]int64
}

// AccountingLine is a charge with what a reader outside the service needs to understand it.
type AccountingLine struct {
	Charge Charge
	// PartnerName, StoreHash, AppID and AppName are zero for Carried charges.
	MerchantName, PartnerName, StoreHash, AppName string
	AppID                                         int64
	// InvoiceNumber is 0 until the charge is invoiced.
	InvoiceNumber int64
}

// Issue is an invoice with all of its charges.
type Issue struct {
	Invoice Invoice
	Charges []Charge
}

// OpenMonth is a month for which an invoice must be issued.
type OpenMonth struct {
	MerchantID      uuid.UUID
	Month, Currency string
}
