package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/auth"
	"latchkey/internal/billing"
)

// usageTotalRow is the model of the sum of the usage charges, which are not deleted, of a period. It is kept in the
// transactions that add and delete them, so that no request reads all charges of a period.
type usageTotalRow struct {
	AccountID      uuid.UUID `gorm:"<-:create;type:uuid;primaryKey"`
	SubscriptionID uuid.UUID `gorm:"<-:create;type:uuid;primaryKey"`
	PeriodStart    instant   `gorm:"<-:create;primaryKey"`
	Amount         int64     `gorm:"not null"`

	Subscription *subscriptionRow `gorm:"foreignKey:AccountID,SubscriptionID;references:AccountID,ID"`
}

// TableName tells gorm the table.
func (usageTotalRow) TableName() string { return "usage_totals" }

var usageTotalColumns = columnsOf[usageTotalRow](nil)

// addUsage adds an amount to the total of a charge's period. The subscription is locked.
func addUsage(tx *gorm.DB, c billing.Charge, amount int64) error {
	return tx.Exec(`INSERT INTO usage_totals (account_id, subscription_id, period_start, amount) VALUES (?, ?, ?, ?)
		ON CONFLICT (account_id, subscription_id, period_start) DO UPDATE SET amount = usage_totals.amount + excluded.amount`,
		c.MerchantID, c.SubscriptionID, instant{c.Period.Start}, amount).Error
}

// Used returns the total of a period.
func (b bills) Used(ctx context.Context, merchantID, subscriptionID uuid.UUID, start time.Time) (used int64,
	err error) {
	err = usageTotal(b.engine.reader(ctx), merchantID, subscriptionID, start).Scan(&used).Error
	return used, failed(ctx, "read the usage of a period", err)
}

// usageTotal is a query for the total of a period.
func usageTotal(q *gorm.DB, merchantID, subscriptionID uuid.UUID, start time.Time) *gorm.DB {
	return q.Model(&usageTotalRow{}).Select("coalesce(sum(amount), 0)").Where(
		"account_id = ? AND subscription_id = ? AND period_start = ?", merchantID, subscriptionID, instant{start})
}

// AddUsage inserts a usage charge.
func (b bills) AddUsage(ctx context.Context, by auth.Actor, partnerID, subscriptionID uuid.UUID, key string,
	digest []byte, decide func(now time.Time, s billing.Subscription, u billing.UsageSums) (billing.Changes,
		error)) (c billing.Charge, replayed bool, err error) {
	if p, is := b.engine.(*postgres); is {
		c, added, err := p.addUsage(ctx, usageRequest{by, partnerID, subscriptionID,
			billing.UsageKey(subscriptionID, key), decide})
		if added || err != nil {
			return c, false, failed(ctx, "add usage", err)
		}
	}
	err = b.write(ctx, by, held{}, func(tx *gorm.DB) error {
		c, replayed = billing.Charge{}, false
		s, err := b.lockSubscription(tx, tx.Where("partner_id = ? AND id = ?", partnerID, subscriptionID))
		if err != nil {
			return err
		}
		now, err := merchantTime(tx, s.MerchantID)
		if err != nil {
			return err
		}
		now = notBefore(now, s.BilledUntil)
		source := billing.UsageKey(s.ID, key)
		if c, replayed, err = keptCharge(tx, s.MerchantID, source, digest, now); err != nil || replayed {
			return err
		}
		sums, err := usageSums(tx, by, s, now)
		if err != nil {
			return err
		}
		changes, err := decide(now, s, sums)
		if err != nil {
			return err
		}
		c, err = b.saveRequested(tx, s, source, changes)
		return err
	})
	if err != nil {
		return billing.Charge{}, false, undone(ctx, "add usage", err)
	}
	return c, replayed, nil
}

// notBefore returns the later time. A subscription counts from no earlier time than what is billed of it.
func notBefore(now, least time.Time) time.Time {
	if least.After(now) {
		return least
	}
	return now
}

// usageSums returns what counts against the limits of a usage charge. Everything that adds usage to the subscription
// waits for its lock.
func usageSums(tx *gorm.DB, by auth.Actor, s billing.Subscription, now time.Time) (sums billing.UsageSums, err error) {
	period, _ := s.CurrentPeriod(now)
	if err := usageTotal(tx, s.MerchantID, s.ID, period.Start).Scan(&sums.Period).Error; err != nil {
		return sums, err
	}
	suspended, err := suspendedAmong(tx, s.MerchantID)
	if err != nil {
		return sums, err
	}
	sums.MerchantSuspended = len(suspended) > 0
	if by.NoCredential != "" || by.Credential.Kind.IsSession() {
		return sums, nil
	}
	// The actor's lock keeps the limit unchanged.
	row, err := one[tokenRow](tx.Where("account_id = ? AND id = ?", by.AccountID, by.ID), refuse(false))
	if err != nil || row.ChargeLimit == nil {
		return sums, err
	}
	if tx.Name() != sqliteDialect.name { // against the token's charges of other subscriptions
		l := locker{tx: tx}
		if l.lock("api_tokens", "NO KEY UPDATE", "account_id = ? AND id = ?", by.AccountID, by.ID); l.err != nil {
			return sums, l.err
		}
	}
	month, err := billing.MonthSpan(billing.MonthOf(now))
	if err != nil {
		return sums, err
	}
	sums.TokenLimit = row.ChargeLimit
	q := tx.Model(&chargeRow{}).Where("kind = ? AND status <> ? AND api_token_id = ? AND due_at >= ? AND due_at < ?",
		billing.Usage, billing.ChargeDeleted, by.ID, instant{month.Start}, instant{month.End})
	err = q.Select("coalesce(sum(amount), 0)").Scan(&sums.Token).Error
	return sums, err
}
