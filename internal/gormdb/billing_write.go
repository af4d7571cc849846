package gormdb

import (
	"bytes"
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/fault"
)

// keyKept is for how long the answer to a request with an idempotency key is repeated.
const keyKept = 30 * 24 * time.Hour

// undone is failed for writes that a decide function can end with billing.ErrDryRun.
func undone(ctx context.Context, what string, err error) error {
	if err == billing.ErrDryRun { //nolint:errorlint // it is returned unchanged
		return err
	}
	return failed(ctx, what, err)
}

// errKeyUsed is the error for a request whose key belongs to another one.
func errKeyUsed() error {
	return fault.Errorf(fault.Conflict, "Another request had this key. Send a new key with a new request.").
		On("idempotencyKey")
}

// repeats returns whether a request is the same as the one that had its key and got an answer at a time.
func repeats(digest, old []byte, at, now time.Time) (bool, error) {
	if !bytes.Equal(digest, old) || now.Sub(at) >= keyKept {
		return false, errKeyUsed()
	}
	return true, nil
}

// InsertCheckout inserts a checkout.
func (b bills) InsertCheckout(ctx context.Context, by auth.Actor, d billing.CheckoutDraft, decide func(now time.Time,
	subscriptions map[uuid.UUID]billing.Subscription, s billing.Standing) (billing.Changes, error)) (c billing.Checkout,
	replayed bool, err error) {
	insert := func(tx *gorm.DB) error {
		var changes billing.Changes
		if c, replayed, err = b.keptCheckout(tx, d.PartnerID, d.Key, d.Digest); err != nil || replayed {
			return err
		}
		// The merchant's standing counts until the commit.
		if err := lockMerchant(tx, d.MerchantID, "SHARE"); err != nil {
			return err
		}
		before, now, err := b.lockChanged(tx, d.PartnerID, d.Changed)
		if err != nil {
			return err
		}
		standing, err := standingOf(tx, d, now)
		if err != nil {
			return err
		}
		if changes, err = decide(now, before.subscriptions, standing); err != nil {
			return err
		}
		if len(changes.Checkouts) > 0 {
			c = changes.Checkouts[0]
		}
		_, err = before.saveChanges(tx, b.engine.dialect(), changes)
		return err
	}
	// The account's lock keeps the number of its checkouts unchanged.
	err = b.write(ctx, by, held{account: d.PartnerID}, insert)
	if err != nil {
		return billing.Checkout{}, false, undone(ctx, "insert a checkout", err)
	}
	return c, replayed, nil
}

// standingOf reads what limits the checkouts of a partner.
func standingOf(tx *gorm.DB, d billing.CheckoutDraft, now time.Time) (s billing.Standing, err error) {
	err = tx.Raw(`SELECT count(*) AS open, count(CASE WHEN account_id = ? THEN 1 END) AS open_for_merchant,
			EXISTS (SELECT 1 FROM accounts WHERE id = ? AND status = ?) AS merchant_suspended
		FROM checkouts WHERE partner_id = ? AND state = 'OPEN' AND expires_at > ?`,
		d.MerchantID, d.MerchantID, account.Suspended, d.PartnerID, instant{now}).Scan(&s).Error
	return s, err
}

// keptCheckout returns the checkout of a partner's request with the same key, as it was when it was created. A key that
// is no longer kept is removed.
func (b bills) keptCheckout(tx *gorm.DB, partnerID uuid.UUID, key string, digest []byte) (billing.Checkout, bool,
	error) {
	if key == "" {
		return billing.Checkout{}, false, nil
	}
	list, err := readCheckouts(tx.Table("checkouts AS c").Where("c.partner_id = ? AND c.idempotency_key = ?",
		partnerID, key))
	if err != nil || len(list) == 0 {
		return billing.Checkout{}, false, err
	}
	now, err := billingTime(tx)
	if err != nil {
		return billing.Checkout{}, false, err
	}
	c := list[0]
	if now.Sub(c.CreatedAt) >= keyKept {
		return c, false, tx.Model(&checkoutRow{}).Where("account_id = ? AND id = ? AND idempotency_key = ?",
			c.MerchantID, c.ID, key).Updates(map[string]any{"idempotency_key": nil, "request_digest": nil}).Error
	}
	replayed, err := repeats(digest, c.Digest, c.CreatedAt, now)
	c.State, c.ApprovedAt, c.ApprovedBy = billing.Open, time.Time{}, uuid.Nil
	c.DeclinedAt, c.DeclinedBy = time.Time{}, uuid.Nil
	for i := range c.Items {
		if !c.Items[i].Changes {
			c.Items[i].SubscriptionID = uuid.Nil
		}
	}
	return c, replayed, err
}

// lockChanged locks the subscriptions of a partner that a checkout is to change, and reads them and billing time.
func (b bills) lockChanged(tx *gorm.DB, partnerID uuid.UUID, ids []uuid.UUID) (before, time.Time, error) {
	found := before{subscriptions: map[uuid.UUID]billing.Subscription{}}
	if len(ids) > 0 {
		var rows []subscriptionRow
		q := tx.Where("partner_id = ? AND id IN ?", partnerID, ids)
		if err := q.Order("account_id, id").Find(&rows).Error; err != nil {
			return found, time.Time{}, err
		}
		for _, r := range rows {
			s, err := b.lockSubscription(tx, tx.Where("account_id = ? AND id = ?", r.AccountID, r.ID))
			if err != nil {
				return found, time.Time{}, err
			}
			found.subscriptions[s.ID] = s
		}
	}
	now, err := billingTime(tx)
	if err != nil {
		return found, now, err
	}
	return found, now, readCredits(tx, found.subscriptions, now)
}

// ChangeCheckout changes a checkout and the subscriptions of its items.
func (b bills) ChangeCheckout(ctx context.Context, by auth.Actor, merchantID, id uuid.UUID, decide func(now time.Time,
	c billing.Checkout, subscriptions map[uuid.UUID]billing.Subscription,
	owners map[uuid.UUID]uuid.UUID) (billing.Changes, error)) error {
	err := b.write(ctx, by, held{}, func(tx *gorm.DB) error {
		before, owners, err := b.lockCheckout(tx, merchantID, id)
		if err != nil {
			return err
		}
		now, err := merchantTime(tx, merchantID)
		if err != nil {
			return err
		}
		if err := readCredits(tx, before.subscriptions, now); err != nil {
			return err
		}
		changes, err := decide(now, *before.checkout, before.subscriptions, owners)
		if err != nil {
			return err
		}
		_, err = before.saveChanges(tx, b.engine.dialect(), changes)
		return err
	})
	return undone(ctx, "change a checkout", err)
}

// lockCheckout locks and reads a checkout, its subscriptions, and the owners of its stores.
func (b bills) lockCheckout(tx *gorm.DB, merchantID, id uuid.UUID) (found before, owners map[uuid.UUID]uuid.UUID,
	err error) {
	if err := lockMerchant(tx, merchantID, "SHARE"); err != nil {
		return found, nil, err
	}
	lock := tx.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Where("account_id = ? AND id = ?", merchantID, id)
	row, err := one[checkoutRow](lock, billing.ErrNoCheckout())
	if err != nil {
		return found, nil, err
	}
	if err := lockPartner(tx, row.PartnerID); err != nil {
		return found, nil, err
	}
	list, err := readCheckouts(tx.Table("checkouts AS c").Where("c.account_id = ? AND c.id = ?", merchantID, id))
	if err != nil {
		return found, nil, err
	}
	found.checkout = &list[0]
	var subscriptions, stores []uuid.UUID
	for _, i := range list[0].Items {
		stores = append(stores, i.StoreID)
		if i.SubscriptionID != uuid.Nil {
			subscriptions = append(subscriptions, i.SubscriptionID)
		}
	}
	if found.subscriptions, err = b.lockedSubscriptions(tx, merchantID, subscriptions); err != nil {
		return found, nil, err
	}
	owners, err = ownersOf(tx, merchantID, stores...)
	return found, owners, err
}

// lockedSubscriptions locks subscriptions of a merchant and reads them.
func (b bills) lockedSubscriptions(tx *gorm.DB, merchantID uuid.UUID,
	ids []uuid.UUID) (map[uuid.UUID]billing.Subscription, error) {
	if len(ids) == 0 {
		return map[uuid.UUID]billing.Subscription{}, nil
	}
	if err := lockSubscriptions(tx, merchantID, ids); err != nil {
		return nil, err
	}
	q := subscriptionsAs(tx).Where("s.account_id = ? AND s.id IN ?", merchantID, ids)
	list, err := readSubscriptions(q, b.engine.dialect())
	return byID(list), err
}

// ownersOf returns the owners of stores.
func ownersOf(tx *gorm.DB, merchantID uuid.UUID, ids ...uuid.UUID) (map[uuid.UUID]uuid.UUID, error) {
	var rows []storeRow
	if err := tx.Where("account_id = ? AND id IN ?", merchantID, ids).Find(&rows).Error; err != nil {
		return nil, err
	}
	owners := make(map[uuid.UUID]uuid.UUID, len(rows))
	for _, r := range rows {
		owners[r.ID] = r.OwnerID
	}
	return owners, nil
}

// lockSubscription finds the subscription that q selects, locks it after its merchant, and reads it.
func (b bills) lockSubscription(tx *gorm.DB, q *gorm.DB) (billing.Subscription, error) {
	row, err := one[subscriptionRow](q, billing.ErrNoSubscription())
	if err != nil {
		return billing.Subscription{}, err
	}
	if err := lockMerchant(tx, row.AccountID, "SHARE"); err != nil {
		return billing.Subscription{}, err
	}
	found, err := b.lockedSubscriptions(tx, row.AccountID, []uuid.UUID{row.ID})
	return found[row.ID], err
}

// ChangeSubscription changes a subscription.
func (b bills) ChangeSubscription(ctx context.Context, by auth.Actor, accountID, id uuid.UUID,
	decide func(now time.Time, s billing.Subscription, owner uuid.UUID) (billing.Changes, error)) error {
	err := b.write(ctx, by, held{}, func(tx *gorm.DB) error {
		either := billing.Side{Partner: true, Merchant: true}
		s, err := b.lockSubscription(tx, of(tx, "subscriptions", accountID, either).Where("id = ?", id))
		if err != nil {
			return err
		}
		owners, err := ownersOf(tx, s.MerchantID, s.StoreID)
		if err != nil {
			return err
		}
		now, err := merchantTime(tx, s.MerchantID)
		if err != nil {
			return err
		}
		before := before{subscriptions: byID([]billing.Subscription{s})}
		if err := readCredits(tx, before.subscriptions, now); err != nil {
			return err
		}
		changes, err := decide(now, before.subscriptions[id], owners[s.StoreID])
		if err != nil {
			return err
		}
		_, err = before.saveChanges(tx, b.engine.dialect(), changes)
		return err
	})
	return undone(ctx, "change a subscription", err)
}

// keptCharge returns the charge with a source key, as it was when it was created, if it repeats the request.
func keptCharge(tx *gorm.DB, merchantID uuid.UUID, sourceKey string, digest []byte, now time.Time) (c billing.Charge,
	replayed bool, err error) {
	var rows []chargeRow
	q := tx.Where("account_id = ? AND source_key = ?", merchantID, sourceKey)
	if err := q.Find(&rows).Error; err != nil || len(rows) == 0 {
		return c, false, err
	}
	c = rows[0].charge()
	c.Status, c.InvoiceID = billing.ChargePending, uuid.Nil
	replayed, err = repeats(digest, c.Digest, c.CreatedAt, now)
	return c, replayed, err
}

// saveRequested stores changes and returns the new charge with the source key, or zero.
func (b bills) saveRequested(tx *gorm.DB, s billing.Subscription, source string,
	changes billing.Changes) (billing.Charge, error) {
	added, err := before{subscriptions: byID([]billing.Subscription{s})}.saveChanges(tx, b.engine.dialect(), changes)
	for _, c := range added {
		if c.SourceKey == source {
			return c, err
		}
	}
	return billing.Charge{}, err
}

// ChangeCharge changes a charge, or adds a credit for it.
func (b bills) ChangeCharge(ctx context.Context, by auth.Actor, partnerID, id uuid.UUID, key string, digest []byte,
	decide func(now time.Time, c billing.Charge, s billing.Subscription, credited int64) (billing.Changes,
		error)) (c billing.Charge, replayed bool, err error) {
	err = b.write(ctx, by, held{}, func(tx *gorm.DB) error {
		c, replayed = billing.Charge{}, false
		missing := billing.ErrNoCharge()
		row, err := one[chargeRow](tx.Where("partner_id = ? AND id = ?", partnerID, id), missing)
		if err != nil {
			return err
		}
		s, err := b.lockSubscription(tx, tx.Where("account_id = ? AND id = ?", row.AccountID, row.SubscriptionID))
		if err != nil {
			return err
		}
		if row, err = one[chargeRow](tx.Where("account_id = ? AND id = ?", row.AccountID, id), missing); err != nil {
			return err
		}
		now, err := merchantTime(tx, s.MerchantID)
		if err != nil {
			return err
		}
		source := billing.CreditOfKey(s.ID, key)
		if key != "" {
			if c, replayed, err = keptCharge(tx, s.MerchantID, source, digest, now); err != nil || replayed {
				return err
			}
		}
		var credited int64
		if err := tx.Model(&chargeRow{}).Where("account_id = ? AND credit_of = ? AND status <> ?", s.MerchantID, id,
			billing.ChargeDeleted).Select("coalesce(sum(amount), 0)").Scan(&credited).Error; err != nil {
			return err
		}
		changes, err := decide(now, row.charge(), s, credited)
		if err != nil {
			return err
		}
		c, err = b.saveRequested(tx, s, source, changes)
		for _, changed := range changes.Charges {
			if changed.ID == id {
				c = changed
			}
		}
		return err
	})
	if err != nil {
		return billing.Charge{}, false, undone(ctx, "change a charge", err)
	}
	return c, replayed, nil
}
