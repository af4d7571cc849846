package gormdb

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/billing"
	"latchkey/internal/paging"
)

// eachSide fetches the items of w for one side after the other, because an index has those of either in order, and none
// those of both. It returns the items of w among all of them.
func eachSide[T any](side billing.Side, w paging.Window, id func(T) uuid.UUID,
	fetch func(billing.Side) ([]T, error)) ([]T, error) {
	if !side.Partner || !side.Merchant {
		return fetch(side)
	}
	asPartner, err := fetch(billing.Side{Partner: true})
	if err != nil {
		return nil, err
	}
	asMerchant, err := fetch(billing.Side{Merchant: true})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(asPartner, asMerchant)
	slices.SortFunc(all, func(a, b T) int {
		first, second := id(a), id(b)
		if w.Backward {
			return bytes.Compare(first[:], second[:])
		}
		return bytes.Compare(second[:], first[:])
	})
	// An account can charge itself.
	all = slices.CompactFunc(all, func(a, b T) bool { return id(a) == id(b) })
	return all[:min(len(all), w.Size+1)], nil
}

// chargesOf selects an account's charges that f selects.
func chargesOf(d dialect, accountID uuid.UUID, side billing.Side, f billing.ChargeFilter) *conditions {
	c := ofSide(d, "charges", accountID, side)
	if f.SubscriptionID != nil {
		// The partner does not know the merchant, which is the first column of the index of subscriptions.
		id := c.arg(d.id(*f.SubscriptionID))
		c.where.WriteString(" AND charges.account_id = (SELECT o.account_id FROM subscriptions AS o WHERE o.id = " + id +
			") AND charges.subscription_id = " + id)
	}
	if f.Status != "" {
		c.and("charges.status = ", string(f.Status))
	}
	if f.Kind != "" {
		c.and("charges.kind = ", string(f.Kind))
	}
	if !f.CreatedAfter.IsZero() {
		c.and("charges.created_at > ", d.timestamp(f.CreatedAfter))
	}
	if !f.Due.Start.IsZero() {
		c.and("charges.due_at >= ", d.timestamp(f.Due.Start))
		c.and("charges.due_at < ", d.timestamp(f.Due.End))
	}
	if f.Search != "" {
		c.where.WriteString(" AND (")
		c.holds(d, f.Search, "charges.description")
		c.where.WriteString(" OR EXISTS (SELECT 1 FROM subscriptions AS s JOIN accounts AS m ON m.id = s.account_id" +
			" LEFT JOIN stores AS h ON h.account_id = s.account_id AND h.id = s.store_id" +
			" WHERE s.account_id = charges.account_id AND s.id = charges.subscription_id AND (")
		c.holds(d, f.Search, "m.name", "h.hash")
		c.where.WriteString(")))")
	}
	if f.Stores != nil { // only of merchants
		c.where.WriteString(" AND charges.subscription_id IN (SELECT s.id FROM subscriptions AS s WHERE s.account_id = $1" +
			" AND s.store_id IN (" + c.ids(d, f.Stores) + "))")
	}
	return c
}

var listedCharges = chargeColumns.list()

// Charges returns a page of an account's charges. The list may be long and is requested often.
func (b bills) Charges(ctx context.Context, accountID uuid.UUID, side billing.Side, f billing.ChargeFilter,
	w paging.Window) (paging.Page[billing.Charge], error) {
	type item = paging.Item[billing.Charge]
	d := b.engine.dialect()
	items, err := eachSide(side, w, func(i item) uuid.UUID { return i.Key }, func(side billing.Side) ([]item, error) {
		items := make([]item, 0, min(w.Size, paging.MaxSize)+1)
		var row chargeRow
		to := chargeColumns.scanInto(&row)
		c := chargesOf(d, accountID, side, f)
		sql := "SELECT " + listedCharges + " FROM charges WHERE " + c.page(d, "charges", w)
		err := b.engine.query(ctx, sql, c.args, func(scan scan) error {
			err := scan(to...)
			items = append(items, item{Node: row.charge(), Key: row.ID})
			return err
		})
		return items, err
	})
	if err != nil {
		return paging.Page[billing.Charge]{}, failed(ctx, "list charges", err)
	}
	return paging.Cut(w, items), nil
}

func chargeItem(r chargeRow) (paging.Item[billing.Charge], error) {
	return paging.Item[billing.Charge]{Node: r.charge(), Key: r.ID}, nil
}

// CountCharges counts an account's charges.
func (b bills) CountCharges(ctx context.Context, accountID uuid.UUID, side billing.Side,
	f billing.ChargeFilter) (n int64, err error) {
	c := chargesOf(b.engine.dialect(), accountID, side, f)
	err = b.engine.query(ctx, "SELECT count(*) FROM charges WHERE "+c.where.String(), c.args,
		func(scan scan) error { return scan(&n) })
	return n, failed(ctx, "count charges", err)
}

// SumCharges sums an account's charges in a currency.
func (b bills) SumCharges(ctx context.Context, accountID uuid.UUID, side billing.Side, currency string,
	f billing.ChargeFilter) (sum, n int64, err error) {
	c := chargesOf(b.engine.dialect(), accountID, side, f)
	c.and("charges.currency = ", currency)
	err = b.engine.query(ctx, "SELECT CAST(coalesce(sum(amount), 0) AS bigint), count(*) FROM charges WHERE "+
		c.where.String(), c.args,
		func(scan scan) error { return scan(&sum, &n) })
	return sum, n, failed(ctx, "sum charges", err)
}

// Waiting returns the newest checkouts that wait for the approval of a user.
func (b bills) Waiting(ctx context.Context, merchantID, userID uuid.UUID, limit int) ([]billing.Checkout, error) {
	now, err := billingTime(b.engine.reader(ctx))
	if err != nil {
		return nil, failed(ctx, "list checkouts", err)
	}
	others := b.engine.reader(ctx).Table("checkout_items AS i").Select("1").Joins(
		"LEFT JOIN stores AS h ON h.account_id = i.account_id AND h.id = i.store_id").Where(
		"i.account_id = c.account_id AND i.checkout_id = c.id AND (h.owner_id IS NULL OR h.owner_id <> ?)", userID)
	q := b.engine.reader(ctx).Table("checkouts AS c").Where(
		"c.account_id = ? AND c.state = 'OPEN' AND c.expires_at > ? AND NOT EXISTS (?)", merchantID, instant{now}, others)
	list, err := readCheckouts(q.Order("c.id DESC").Limit(limit))
	return list, failed(ctx, "list checkouts", err)
}

// Invoices returns a page of a merchant's invoices.
func (b bills) Invoices(ctx context.Context, merchantID uuid.UUID,
	w paging.Window) (paging.Page[billing.Invoice], error) {
	var rows []invoiceRow
	q := b.engine.reader(ctx).Where("account_id = ?", merchantID)
	if err := window(q, "id", w).Find(&rows).Error; err != nil {
		return paging.Page[billing.Invoice]{}, failed(ctx, "list invoices", err)
	}
	return pageOf(w, rows, func(r invoiceRow) (paging.Item[billing.Invoice], error) {
		return paging.Item[billing.Invoice]{Node: r.invoice(), Key: r.ID}, nil
	})
}

// CountInvoices counts a merchant's invoices.
func (b bills) CountInvoices(ctx context.Context, merchantID uuid.UUID) (n int64, err error) {
	err = b.engine.reader(ctx).Model(&invoiceRow{}).Where("account_id = ?", merchantID).Count(&n).Error
	return n, failed(ctx, "count invoices", err)
}

// inDueOrder narrows q, a query for charges of a merchant, to those of w and one more, in the order of their due times,
// oldest first.
func inDueOrder(q *gorm.DB, merchantID uuid.UUID, w paging.Window) *gorm.DB {
	const key = "(charges.due_at, charges.id)"
	bound := func(operator string, id *uuid.UUID) {
		if id != nil {
			q = q.Where(key+operator+"(SELECT x.due_at, x.id FROM charges AS x WHERE x.account_id = ? AND x.id = ?)",
				merchantID, *id)
		}
	}
	bound(" > ", w.After)
	bound(" < ", w.Before)
	order := "charges.due_at, charges.id"
	if w.Backward {
		order = "charges.due_at DESC, charges.id DESC"
	}
	return q.Order(order).Limit(w.Size + 1)
}

// InvoiceLines returns a page of each invoice's charges.
func (b bills) InvoiceLines(ctx context.Context, merchantID uuid.UUID, invoiceIDs []uuid.UUID,
	w paging.Window) (map[uuid.UUID]paging.Page[billing.Charge], error) {
	reader := b.engine.reader(ctx)
	// A statement for each invoice within one: a window function would read all lines of all of them.
	var parts []string
	var pages []any
	for _, id := range invoiceIDs {
		q := reader.Model(&chargeRow{}).Where("charges.account_id = ? AND charges.invoice_id = ?", merchantID, id)
		parts = append(parts, "SELECT * FROM (?) AS page")
		pages = append(pages, inDueOrder(q, merchantID, w))
	}
	var rows []chargeRow
	if len(parts) > 0 {
		if err := reader.Raw(strings.Join(parts, " UNION ALL "), pages...).Scan(&rows).Error; err != nil {
			return nil, failed(ctx, "list the lines of invoices", err)
		}
	}
	slices.SortFunc(rows, func(a, b chargeRow) int {
		if w.Backward {
			a, b = b, a
		}
		return cmp.Or(a.DueAt.Compare(b.DueAt.Time), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return pageOfEach(w, invoiceIDs, rows, func(r chargeRow) (uuid.UUID, paging.Item[billing.Charge], error) {
		item, err := chargeItem(r)
		return r.InvoiceID.UUID, item, err
	})
}

// CountInvoiceLines counts each invoice's charges.
func (b bills) CountInvoiceLines(ctx context.Context, merchantID uuid.UUID,
	invoiceIDs []uuid.UUID) (map[uuid.UUID]int64, error) {
	var rows []struct {
		InvoiceID uuid.UUID
		Lines     int64
	}
	err := b.engine.reader(ctx).Model(&chargeRow{}).Select("invoice_id, count(*) AS lines").
		Where("account_id = ? AND invoice_id IN ?", merchantID, invoiceIDs).Group("invoice_id").Scan(&rows).Error
	if err != nil {
		return nil, failed(ctx, "count the lines of invoices", err)
	}
	counts := make(map[uuid.UUID]int64, len(rows))
	for _, r := range rows {
		counts[r.InvoiceID] = r.Lines
	}
	return counts, nil
}

// Sellers returns the partners of each invoice's charges.
func (b bills) Sellers(ctx context.Context, merchantID uuid.UUID,
	invoiceIDs []uuid.UUID) (map[uuid.UUID][]uuid.UUID, error) {
	var rows []struct{ InvoiceID, PartnerID uuid.UUID }
	err := b.engine.reader(ctx).Model(&chargeRow{}).Distinct("invoice_id", "partner_id").
		Where("account_id = ? AND invoice_id IN ? AND partner_id IS NOT NULL", merchantID, invoiceIDs).Scan(&rows).Error
	if err != nil {
		return nil, failed(ctx, "list the sellers of invoices", err)
	}
	sellers := make(map[uuid.UUID][]uuid.UUID, len(invoiceIDs))
	for _, r := range rows {
		sellers[r.InvoiceID] = append(sellers[r.InvoiceID], r.PartnerID)
	}
	return sellers, nil
}

// Pending returns the sum of a merchant's pending charges.
func (b bills) Pending(ctx context.Context, merchantID uuid.UUID, currency string, at time.Time) (sum int64,
	err error) {
	month, err := billing.MonthSpan(billing.MonthOf(at))
	if err != nil {
		return 0, err
	}
	err = pendingOf(b.engine.reader(ctx), merchantID, currency, month.End).Select("coalesce(sum(amount), 0)").
		Scan(&sum).Error
	return sum, failed(ctx, "sum the pending charges", err)
}

// pendingOf is a query for a merchant's pending charges that fell due before a time. The index charges_invoice has
// them.
func pendingOf(q *gorm.DB, merchantID uuid.UUID, currency string, before time.Time) *gorm.DB {
	return q.Model(&chargeRow{}).Where(
		"account_id = ? AND currency = ? AND status = 'PENDING' AND invoice_id IS NULL AND due_at < ?",
		merchantID, currency, instant{before})
}

// Revenue returns the sums of a partner's charges by month.
func (b bills) Revenue(ctx context.Context, partnerID uuid.UUID, appID *int64, from,
	to time.Time) ([]billing.MonthSum, error) {
	var rows []struct {
		Month, Currency string
		Amount, Charges int64
	}
	month := b.engine.dialect().month("due_at")
	q := b.engine.reader(ctx).Model(&chargeRow{}).Where(
		"partner_id = ? AND status <> ? AND due_at >= ? AND due_at < ?", partnerID, billing.ChargeDeleted,
		instant{from}, instant{to})
	if appID != nil {
		q = q.Where("EXISTS (SELECT 1 FROM subscriptions AS s WHERE s.account_id = charges.account_id AND"+
			" s.id = charges.subscription_id AND s.app_id = ?)", *appID)
	}
	q = q.Select(month + " AS month, currency, sum(amount) AS amount, count(*) AS charges")
	if err := q.Group(month + ", currency").Order("month, currency").Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "sum revenue", err)
	}
	sums := make([]billing.MonthSum, len(rows))
	for i, r := range rows {
		sums[i] = billing.MonthSum{Month: r.Month, Amount: billing.Money{Minor: r.Amount, Currency: r.Currency},
			Charges: r.Charges}
	}
	return sums, nil
}
