package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/billing"
	"latchkey/internal/paging"
)

// subscriptionsOf selects an account's subscriptions AS s that f selects.
func (b bills) subscriptionsOf(ctx context.Context, accountID uuid.UUID, side billing.Side,
	f billing.SubscriptionFilter) (*conditions, error) {
	d := b.engine.dialect()
	c := ofSide(d, "s", accountID, side)
	if f.IDs != nil {
		c.where.WriteString(" AND s.id IN (" + c.ids(d, f.IDs) + ")")
	}
	if f.AppID != nil {
		c.and("s.app_id = ", *f.AppID)
	}
	if f.StoreID != nil {
		c.and("s.store_id = ", d.id(*f.StoreID))
	}
	if f.StoreHash != nil {
		c.where.WriteString(" AND EXISTS (SELECT 1 FROM stores AS o WHERE o.account_id = s.account_id AND o.id = s.store_id" +
			" AND o.hash = " + c.arg(*f.StoreHash) + ")")
	}
	if !f.UpdatedAfter.IsZero() {
		c.and("s.updated_at > ", d.timestamp(f.UpdatedAfter))
	}
	if f.Search != "" {
		c.where.WriteString(" AND (EXISTS (SELECT 1 FROM accounts AS m WHERE m.id = s.account_id AND ")
		c.holds(d, f.Search, "m.name")
		c.where.WriteString(") OR EXISTS (SELECT 1 FROM stores AS o WHERE o.account_id = s.account_id" +
			" AND o.id = s.store_id AND ")
		c.holds(d, f.Search, "o.hash")
		c.where.WriteString(") OR EXISTS (SELECT 1 FROM apps AS a WHERE a.id = s.app_id AND ")
		c.holds(d, f.Search, "a.name")
		c.where.WriteString("))")
	}
	if f.Stores != nil {
		c.where.WriteString(" AND s.store_id IN (" + c.ids(d, f.Stores) + ")")
	}
	if f.Status == "" {
		return c, nil
	}
	now, err := b.billingTime(ctx)
	if err == nil {
		c.inStatus(d, f.Status, now)
	}
	return c, err
}

// inStatus narrows to the subscriptions AS s that have a status at a time, as billing.Subscription.Status does.
func (c *conditions) inStatus(d dialect, status billing.Status, now time.Time) {
	at := func() string { return c.arg(d.timestamp(now)) }
	switch status {
	case billing.Active:
		c.where.WriteString(" AND (s.cancel_at IS NULL OR s.cancel_at > " + at() + ") AND s.suspended_at IS NULL")
	case billing.Suspended:
		c.where.WriteString(" AND (s.cancel_at IS NULL OR s.cancel_at > " + at() + ") AND s.suspended_at IS NOT NULL")
	case billing.Cancelled:
		c.where.WriteString(" AND s.cancel_at <= " + at())
	default:
		c.where.WriteString(" AND 1 = 0")
	}
}

// subscriptionTerm is a row of a page of subscriptions: a subscription with one of its terms. It is read from
// subscriptions AS s, stores AS h and subscription_terms AS t.
type subscriptionTerm struct {
	Listed listedSubscription `gorm:"embedded"`
	Term   termRow            `gorm:"embedded;embeddedPrefix:term_" sql:"t"`
	// Interrupted reports whether the subscription was ever suspended.
	Interrupted bool
}

// wasSuspended reports whether a subscription AS s was ever suspended.
const wasSuspended = "EXISTS (SELECT 1 FROM subscription_suspensions AS p WHERE p.account_id = s.account_id AND p.subscription_id = s.id)"

var (
	subscriptionTermColumns = columnsOf[subscriptionTerm](map[string]string{"interrupted": wasSuspended})
	selectSubscriptionTerms = "SELECT " + subscriptionTermColumns.list()
)

// subscriptionPage returns the statement that fetches the subscriptions of w with their terms. A subquery selects the
// page first, so that every plan joins only as many subscriptions as the page has.
func (c *conditions) subscriptionPage(d dialect, w paging.Window) string {
	return selectSubscriptionTerms + " FROM (SELECT s.* FROM subscriptions AS s WHERE " + c.page(d, "s", w) + `) AS s
		JOIN subscription_terms AS t ON t.account_id = s.account_id AND t.subscription_id = s.id
		LEFT JOIN stores AS h ON h.account_id = s.account_id AND h.id = s.store_id
		ORDER BY s.id ` + direction(w) + ", t.seq"
}

// Subscriptions returns a page of an account's subscriptions. The list may be long and is requested often.
func (b bills) Subscriptions(ctx context.Context, accountID uuid.UUID, side billing.Side, f billing.SubscriptionFilter,
	w paging.Window) (paging.Page[billing.Subscription], error) {
	items, err := eachSide(side, w, func(i paging.Item[billing.Subscription]) uuid.UUID { return i.Key },
		func(side billing.Side) ([]paging.Item[billing.Subscription], error) {
			c, err := b.subscriptionsOf(ctx, accountID, side, f)
			if err != nil {
				return nil, err
			}
			return b.subscriptionItems(ctx, c, w)
		})
	if err != nil {
		return paging.Page[billing.Subscription]{}, failed(ctx, "list subscriptions", err)
	}
	return paging.Cut(w, items), nil
}

// subscriptionItems fetches the subscriptions of w and one more.
func (b bills) subscriptionItems(ctx context.Context, c *conditions,
	w paging.Window) ([]paging.Item[billing.Subscription], error) {
	items := make([]paging.Item[billing.Subscription], 0, min(w.Size, paging.MaxSize)+1)
	var interrupted []uuid.UUID
	var row subscriptionTerm
	to := subscriptionTermColumns.scanInto(&row)
	err := b.engine.query(ctx, c.subscriptionPage(b.engine.dialect(), w), c.args, func(scan scan) error {
		if err := scan(to...); err != nil {
			return err
		}
		id := row.Listed.Row.ID
		if n := len(items); n == 0 || items[n-1].Key != id {
			items = append(items, paging.Item[billing.Subscription]{Node: row.Listed.subscription(nil, nil), Key: id})
			if row.Interrupted {
				interrupted = append(interrupted, id)
			}
		}
		s := &items[len(items)-1].Node
		s.Terms = append(s.Terms, row.Term.term())
		return nil
	})
	if err != nil || len(interrupted) == 0 {
		return items, err
	}
	suspensions, err := suspensionsByID(b.engine.reader(ctx), b.engine.dialect(), interrupted)
	for i, item := range items {
		items[i].Node.Suspensions = spans(suspensions[item.Key])
	}
	return items, err
}

// CountSubscriptions counts an account's subscriptions.
func (b bills) CountSubscriptions(ctx context.Context, accountID uuid.UUID, side billing.Side,
	f billing.SubscriptionFilter) (n int64, err error) {
	c, err := b.subscriptionsOf(ctx, accountID, side, f)
	if err == nil {
		err = b.engine.query(ctx, "SELECT count(*) FROM subscriptions AS s WHERE "+c.where.String(), c.args,
			func(scan scan) error { return scan(&n) })
	}
	return n, failed(ctx, "count subscriptions", err)
}
