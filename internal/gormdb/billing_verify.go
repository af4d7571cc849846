package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/billing"
)

// Statements returns subscriptions with all of their charges.
func (l ledger) Statements(ctx context.Context, after uuid.UUID, limit int) (now time.Time, list []billing.Statement,
	err error) {
	d := l.engine.dialect()
	err = l.engine.snapshot(ctx, func(tx *gorm.DB) error {
		list = nil
		if now, err = billingTime(tx); err != nil {
			return err
		}
		q := subscriptionsAs(tx).Where("s.id > ?", after).Order("s.id").Limit(limit)
		subscriptions, err := readSubscriptions(q, d)
		if err != nil || len(subscriptions) == 0 {
			return err
		}
		ids := make([]uuid.UUID, len(subscriptions))
		for i, s := range subscriptions {
			ids[i] = s.ID
		}
		var rows []chargeRow
		read := "SELECT " + chargeColumns.list() + " FROM " + ofEach(d, "charges") +
			" ORDER BY charges.due_at, charges.id"
		if err := tx.Raw(read, idList(ids)).Scan(&rows).Error; err != nil {
			return err
		}
		var totals []usageTotalRow
		read = "SELECT " + usageTotalColumns.list() + " FROM " + ofEach(d, "usage_totals")
		if err := tx.Raw(read, idList(ids)).Scan(&totals).Error; err != nil {
			return err
		}
		usage := map[uuid.UUID]map[time.Time]int64{}
		for _, r := range totals {
			if usage[r.SubscriptionID] == nil {
				usage[r.SubscriptionID] = map[time.Time]int64{}
			}
			usage[r.SubscriptionID][r.PeriodStart.UTC()] = r.Amount
		}
		charges := chargesBy(rows, func(r chargeRow) uuid.UUID { return r.SubscriptionID.UUID })
		for _, s := range subscriptions {
			list = append(list, billing.Statement{Subscription: s, Charges: charges[s.ID], Usage: usage[s.ID]})
		}
		return nil
	})
	return now, list, failed(ctx, "read subscriptions with their charges", err)
}

// chargesBy groups charges by their owners and keeps their order.
func chargesBy(rows []chargeRow, owner func(chargeRow) uuid.UUID) map[uuid.UUID][]billing.Charge {
	groups := map[uuid.UUID][]billing.Charge{}
	for _, r := range rows {
		groups[owner(r)] = append(groups[owner(r)], r.charge())
	}
	return groups
}

// Issued returns invoices with all of their charges.
func (l ledger) Issued(ctx context.Context, after uuid.UUID, limit int) ([]billing.Issue, error) {
	var invoices []invoiceRow
	q := l.engine.reader(ctx).Where("id > ?", after).Order("id").Limit(limit)
	if err := q.Find(&invoices).Error; err != nil || len(invoices) == 0 {
		return nil, failed(ctx, "read invoices", err)
	}
	keys := make([][]any, len(invoices))
	for i, r := range invoices {
		keys[i] = []any{r.AccountID, r.ID}
	}
	// Invoices and their lines are never changed.
	var rows []chargeRow
	lines := l.engine.reader(ctx).Where("(account_id, invoice_id) IN ?", keys).Order("due_at, id")
	if err := lines.Find(&rows).Error; err != nil {
		return nil, failed(ctx, "read the lines of invoices", err)
	}
	charges := chargesBy(rows, func(r chargeRow) uuid.UUID { return r.InvoiceID.UUID })
	issued := make([]billing.Issue, len(invoices))
	for i, r := range invoices {
		issued[i] = billing.Issue{Invoice: r.invoice(), Charges: charges[r.ID]}
	}
	return issued, nil
}

// CarriedCharges returns what invoices carried to the next ones.
func (l ledger) CarriedCharges(ctx context.Context, after uuid.UUID, limit int) ([]billing.Charge, error) {
	// Only these charges have no partner.
	merchants := l.engine.reader(ctx).Model(&chargeRow{}).Distinct("account_id").
		Where("partner_id IS NULL AND account_id > ?", after).Order("account_id").Limit(limit)
	var rows []chargeRow
	q := l.engine.reader(ctx).Where("account_id IN (?) AND partner_id IS NULL", merchants)
	if err := q.Order("account_id, due_at, id").Find(&rows).Error; err != nil {
		return nil, failed(ctx, "read carried charges", err)
	}
	charges := make([]billing.Charge, len(rows))
	for i, r := range rows {
		charges[i] = r.charge()
	}
	return charges, nil
}
