package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// What hand answers to a list of subscriptions or charges, which is one query for each list. Their limits are part of
// the texts: PostgreSQL would otherwise plan for much larger ones.

// listed is a response with a list, which field returns the object around.
type listed[T any] struct {
	Data struct {
		Account map[string]edges[T] `json:"account"`
	} `json:"data"`
}

type edges[T any] struct {
	Edges []edgeOf[T] `json:"edges"`
}

type edgeOf[T any] struct {
	Cursor string `json:"cursor"`
	Node   T      `json:"node"`
}

type handMoney struct {
	CurrencyCode string      `json:"currencyCode"`
	Value        json.Number `json:"value"`
}

func newHandMoney(minor int64, currency string) handMoney {
	return handMoney{currency, json.Number(strconv.FormatFloat(float64(minor)/100, 'f', 2, 64))}
}

type handSubscription struct {
	ID               string     `json:"id"`
	AccountID        string     `json:"accountId"`
	ActivationDate   time.Time  `json:"activationDate"`
	BillingInterval  string     `json:"billingInterval"`
	CreatedAt        time.Time  `json:"createdAt"`
	CurrentPeriodEnd *time.Time `json:"currentPeriodEnd"`
	PricePerInterval handMoney  `json:"pricePerInterval"`
	Product          struct {
		ID           string `json:"id"`
		ProductLevel string `json:"productLevel"`
	} `json:"product"`
	Scope struct {
		ID string `json:"id"`
	} `json:"scope"`
	Status      string     `json:"status"`
	UpdatedAt   time.Time  `json:"updatedAt"`
	CancelledAt *time.Time `json:"cancelledAt"`
}

// handSubscriptionsQuery reads the newest subscriptions of a partner with their last terms. The next due time of one
// that runs is the end of its period.
const handSubscriptionsQuery = `SELECT s.id::text, s.account_id::text, s.activated_at, t.billing_interval, s.created_at, s.next_due_at,
	t.price, t.currency, s.app_id, t.level, h.hash, s.cancel_at <= now(), s.suspended_at IS NOT NULL, s.updated_at, s.cancelled_at
FROM subscriptions s LEFT JOIN stores h ON h.account_id = s.account_id AND h.id = s.store_id
	LEFT JOIN LATERAL (SELECT * FROM subscription_terms t WHERE t.account_id = s.account_id AND t.subscription_id = s.id
		ORDER BY t.seq DESC LIMIT 1) t ON true
WHERE s.partner_id = $1 ORDER BY s.id DESC LIMIT 50`

func scanSubscription(row pgx.CollectableRow) (e edgeOf[handSubscription], err error) {
	var price, app int64
	var currency, hash string
	var ended *bool
	var suspended bool
	n := &e.Node
	err = row.Scan(&e.Cursor, &n.AccountID, &n.ActivationDate, &n.BillingInterval, &n.CreatedAt, &n.CurrentPeriodEnd,
		&price, &currency, &app, &n.Product.ProductLevel, &hash, &ended, &suspended, &n.UpdatedAt, &n.CancelledAt)
	n.ID, n.AccountID = "bc/account/subscription/"+e.Cursor, "bc/account/account/"+n.AccountID
	n.PricePerInterval = newHandMoney(price, currency)
	n.Product.ID, n.Scope.ID = "bc/account/product/"+strconv.FormatInt(app, 10), "bc/account/scope/"+hash
	switch {
	case ended != nil && *ended:
		n.Status = "CANCELLED"
	case suspended:
		n.Status = "SUSPENDED"
	default:
		n.Status = "ACTIVE"
	}
	return e, err
}

type handCharge struct {
	ID             string     `json:"id"`
	SubscriptionID *string    `json:"subscriptionId"`
	Description    string     `json:"description"`
	Amount         handMoney  `json:"amount"`
	Kind           string     `json:"kind"`
	Status         string     `json:"status"`
	PeriodStart    *time.Time `json:"periodStart"`
	PeriodEnd      *time.Time `json:"periodEnd"`
	CreatedAt      time.Time  `json:"createdAt"`
	InvoiceID      *string    `json:"invoiceId"`
	CreditOf       *string    `json:"creditOf"`
}

// handChargesQuery reads the newest charges of a partner.
const handChargesQuery = `SELECT id::text, subscription_id::text, description, amount, currency, kind, status, period_start, period_end,
	created_at, invoice_id::text, credit_of::text
FROM charges WHERE partner_id = $1 ORDER BY charges.id DESC LIMIT 50`

func scanCharge(row pgx.CollectableRow) (e edgeOf[handCharge], err error) {
	var amount int64
	var currency string
	n := &e.Node
	err = row.Scan(&e.Cursor, &n.SubscriptionID, &n.Description, &amount, &currency, &n.Kind, &n.Status, &n.PeriodStart,
		&n.PeriodEnd, &n.CreatedAt, &n.InvoiceID, &n.CreditOf)
	n.ID, n.Amount = "bc/account/charge/"+e.Cursor, newHandMoney(amount, currency)
	for id, kind := range map[*string]string{n.SubscriptionID: "subscription", n.InvoiceID: "invoice",
		n.CreditOf: "charge"} {
		if id != nil {
			*id = "bc/account/" + kind + "/" + *id
		}
	}
	return e, err
}

// handList answers with the list of the account in the path.
func handList[T any](pool *pgxpool.Pool, field, query string,
	scan pgx.RowToFunc[edgeOf[T]]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		list, err := handRows(r.Context(), pool, query, r.PathValue("account"), scan)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		var response listed[T]
		response.Data.Account = map[string]edges[T]{field: {list}}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(response)
	}
}

func handRows[T any](ctx context.Context, pool *pgxpool.Pool, query, account string,
	scan pgx.RowToFunc[edgeOf[T]]) ([]edgeOf[T], error) {
	rows, err := pool.Query(ctx, query, account)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}
