package gormdb

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/billing"
)

// accountingRow is a charge with the names of the objects that it refers to.
type accountingRow struct {
	Row           chargeRow `gorm:"embedded" sql:"c"`
	MerchantName  string    `sql:"m.name"`
	PartnerName   string    `sql:"coalesce(p.name, '')"`
	StoreHash     string    `sql:"coalesce(h.hash, '')"`
	AppID         int64     `sql:"coalesce(s.app_id, 0)"`
	AppName       string    `sql:"coalesce(a.name, '')"`
	InvoiceNumber int64     `sql:"coalesce(i.number, 0)"`
}

var accountingColumns = columnsOf[accountingRow](nil)

// Accounting returns what fell due in a span. It goes through the primary key, since the charges of a month are in no
// other index.
func (l ledger) Accounting(ctx context.Context, span billing.Span, afterMerchant, afterCharge uuid.UUID,
	limit int) ([]billing.AccountingLine, error) {
	q := l.engine.reader(ctx).Table("charges AS c").
		Joins("JOIN accounts AS m ON m.id = c.account_id").
		Joins("LEFT JOIN accounts AS p ON p.id = c.partner_id").
		Joins("LEFT JOIN subscriptions AS s ON s.account_id = c.account_id AND s.id = c.subscription_id").
		Joins("LEFT JOIN stores AS h ON h.account_id = s.account_id AND h.id = s.store_id").
		Joins("LEFT JOIN apps AS a ON a.id = s.app_id").
		Joins("LEFT JOIN invoices AS i ON i.account_id = c.account_id AND i.id = c.invoice_id").
		Where("c.due_at >= ? AND c.due_at < ?", instant{span.Start}, instant{span.End}).
		Where("(c.account_id, c.id) > (?, ?)", afterMerchant, afterCharge).
		Order("c.account_id, c.id").Limit(limit)
	var rows []accountingRow
	if err := q.Select(accountingColumns.list()).Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "read the charges of a month", err)
	}
	lines := make([]billing.AccountingLine, len(rows))
	for i, r := range rows {
		lines[i] = billing.AccountingLine{
			Charge: r.Row.charge(), MerchantName: r.MerchantName, PartnerName: r.PartnerName, StoreHash: r.StoreHash,
			AppID: r.AppID, AppName: r.AppName, InvoiceNumber: r.InvoiceNumber,
		}
	}
	return lines, nil
}

// MerchantOf returns the merchant of a subscription.
func (l ledger) MerchantOf(ctx context.Context, subscriptionID uuid.UUID) (uuid.UUID, error) {
	row, err := one[subscriptionRow](l.engine.reader(ctx).Where("id = ?", subscriptionID), billing.ErrNoSubscription())
	return row.AccountID, failed(ctx, "find a subscription", err)
}
