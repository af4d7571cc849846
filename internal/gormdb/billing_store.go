package gormdb

import (
	"slices"
	"strings"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/audit"
	"latchkey/internal/billing"
)

// A write of billing locks, after its actor, in this order: the merchant's row, the checkout, the account of its
// partner, subscriptions by their IDs. Then it reads billing time. The merchant's row is shared by all writes except
// the one that issues an invoice.

// lockMerchant locks the row of a merchant, SHARE or UPDATE. It is inserted when it is first needed. SQLite has one
// writer. The lock of the account orders the write strictly before or after a suspension.
func lockMerchant(tx *gorm.DB, merchantID uuid.UUID, strength string) error {
	if tx.Name() == sqliteDialect.name {
		return nil
	}
	var turn advisoryLocks
	if strength == "SHARE" {
		turn.share(ofMerchant, merchantID, merchantID)
	} else {
		turn.exclude(ofMerchant, merchantID, merchantID)
	}
	lock := "SELECT m.account_id FROM accounts AS a, billing_merchants AS m WHERE a.id = m.account_id AND m.account_id = ? AND " +
		takeAdvisory("?") + " FOR KEY SHARE OF a FOR " + strength + " OF m"
	found := tx.Exec(lock, merchantID, turn.array())
	if found.Error != nil || found.RowsAffected > 0 {
		return found.Error
	}
	insert := "INSERT INTO billing_merchants (account_id) SELECT id FROM accounts WHERE id = ? ON CONFLICT DO NOTHING"
	if err := tx.Exec(insert, merchantID).Error; err != nil {
		return err
	}
	return tx.Exec(lock, merchantID, turn.array()).Error
}

// lockPartner orders the write strictly before or after a suspension of the partner.
func lockPartner(tx *gorm.DB, partnerID uuid.UUID) error {
	if tx.Name() == sqliteDialect.name {
		return nil
	}
	l := locker{tx: tx}
	l.lock("accounts", "KEY SHARE", "id = ?", partnerID)
	return l.err
}

// lockSubscriptions locks subscriptions of a merchant.
func lockSubscriptions(tx *gorm.DB, merchantID uuid.UUID, ids []uuid.UUID) error {
	if tx.Name() == sqliteDialect.name || len(ids) == 0 {
		return nil
	}
	l := locker{tx: tx}
	l.lock("subscriptions", "NO KEY UPDATE", "account_id = ? AND id IN ?", merchantID, ids)
	return l.err
}

// before is what a write locked and read.
type before struct {
	checkout      *billing.Checkout
	subscriptions map[uuid.UUID]billing.Subscription
}

// saveChanges stores what a write decided. It returns the charges that were new.
func (b before) saveChanges(tx *gorm.DB, d dialect, c billing.Changes) ([]billing.Charge, error) {
	for _, checkout := range c.Checkouts {
		if err := b.saveCheckout(tx, checkout); err != nil {
			return nil, err
		}
	}
	for _, s := range c.Subscriptions {
		if err := b.saveSubscription(tx, s); err != nil {
			return nil, err
		}
	}
	return saveCharges(tx, d, c)
}

// saveCheckout inserts a checkout, or stores what changes of one.
func (b before) saveCheckout(tx *gorm.DB, c billing.Checkout) error {
	row, items := newCheckoutRow(c), newCheckoutItemRows(c)
	if b.checkout == nil || b.checkout.ID != c.ID {
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		return tx.Create(&items).Error
	}
	if err := tx.Select(checkoutColumns.changeable).Updates(&row).Error; err != nil {
		return err
	}
	for n, i := range items {
		if c.Items[n].SubscriptionID == b.checkout.Items[n].SubscriptionID {
			continue
		}
		if err := tx.Select("subscription_id").Updates(&i).Error; err != nil {
			return err
		}
	}
	return nil
}

// saveSubscription inserts a subscription, or stores what changes of one.
func (b before) saveSubscription(tx *gorm.DB, s billing.Subscription) error {
	row := newSubscriptionRow(s)
	old, exists := b.subscriptions[s.ID]
	var err error
	if exists {
		err = tx.Select(subscriptionColumns.changeable).Updates(&row).Error
	} else {
		err = tx.Create(&row).Error
	}
	if err != nil {
		return err
	}
	for _, t := range s.Terms[len(old.Terms):] {
		term := newTermRow(s, t)
		if err := tx.Create(&term).Error; err != nil {
			return err
		}
	}
	for n, span := range s.Suspensions {
		if n < len(old.Suspensions) && old.Suspensions[n] == span {
			continue
		}
		r := suspensionRow{AccountID: s.MerchantID, SubscriptionID: s.ID, Seq: int64(n), FromAt: instant{span.Start},
			UntilAt: instant{span.End}}
		if err := tx.Clauses(clause.OnConflict{UpdateAll: true}).Create(&r).Error; err != nil {
			return err
		}
	}
	return nil
}

// saveCharges stores the charges and events of changes. It returns the charges that were new.
func saveCharges(tx *gorm.DB, d dialect, c billing.Changes) (added []billing.Charge, err error) {
	var deleted, missing []billing.Charge
	for _, charge := range c.Charges {
		if charge.Status == billing.ChargeDeleted {
			deleted = append(deleted, charge)
		} else {
			missing = append(missing, charge)
		}
	}
	for _, charge := range deleted {
		done := tx.Model(&chargeRow{}).Where("account_id = ? AND id = ? AND status = ?", charge.MerchantID, charge.ID,
			billing.ChargePending).Update("status", billing.ChargeDeleted)
		if done.Error != nil {
			return nil, done.Error
		}
		if err := addUsage(tx, charge, -charge.Amount.Minor*done.RowsAffected); err != nil {
			return nil, err
		}
	}
	if added, err = insertCharges(tx, d, missing); err != nil {
		return nil, err
	}
	for _, charge := range added {
		if charge.Kind != billing.Usage {
			continue
		}
		if err := addUsage(tx, charge, charge.Amount.Minor); err != nil {
			return nil, err
		}
	}
	events := slices.Clone(c.Events)
	if c.ChargeEvent != nil {
		for _, charge := range slices.Concat(added, deleted) {
			events = append(events, c.ChargeEvent(charge))
		}
	}
	return added, appendEvents(tx, events...)
}

// billingChunk is the number of rows that one statement of a billing run stores.
const billingChunk = 500

// insertChargeRecords inserts charges, encoded as records, without those whose source key exists, and returns the IDs
// of those that it inserted. It is in the dialect's name.
var insertChargeRecords = func() map[string]string {
	inserted := func(value func(name string) string, from string) string {
		expressions := map[string]string{}
		for _, c := range chargeColumns.inserted {
			expressions[c.name] = value(c.name)
		}
		with := chargeColumns.with(expressions)
		values, _ := with.values(1)
		return with.insertInto() + "SELECT " + values + " FROM " + from +
			" WHERE true ON CONFLICT (account_id, source_key) DO NOTHING RETURNING id"
	}
	return map[string]string{
		postgresDialect.name: inserted(func(name string) string { return "c." + name },
			chargeColumns.recordset("c", "$1")),
		sqliteDialect.name: inserted(recordField, "json_each($1) AS c"),
	}
}()

// recordField returns an expression for a column of a record that SQLite reads from json_each AS c.
func recordField(name string) string {
	value := "c.value ->> '" + name + "'"
	if strings.HasSuffix(name, "_digest") {
		return "unhex(" + value + ")"
	}
	return value
}

// insertCharges inserts charges without those whose source key exists, and returns the ones that it inserted.
func insertCharges(tx *gorm.DB, d dialect, charges []billing.Charge) (added []billing.Charge, err error) {
	for chunk := range slices.Chunk(charges, billingChunk) {
		rows := make([]chargeRow, len(chunk))
		for i, c := range chunk {
			rows[i] = newChargeRow(c)
		}
		records, err := chargeColumns.records(d, rows)
		if err != nil {
			return nil, err
		}
		stored, err := returnedIDs(tx, insertChargeRecords[d.name], records)
		if err != nil {
			return nil, err
		}
		for _, c := range chunk {
			if stored[c.ID] {
				added = append(added, c)
			}
		}
	}
	return added, nil
}

// returnedIDs runs a hand-written statement that returns IDs.
func returnedIDs(tx *gorm.DB, statement string, args ...any) (found map[uuid.UUID]bool, err error) {
	rows, err := tx.Statement.ConnPool.QueryContext(tx.Statement.Context, statement, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports the error
	found = map[uuid.UUID]bool{}
	for rows.Next() {
		var id uuid.UUID
		if err := rows.Scan((*key)(&id)); err != nil {
			return nil, err
		}
		found[id] = true
	}
	return found, rows.Err()
}

// eventsOf returns the events without those about subscriptions that were left out.
func eventsOf(events []audit.Event, leftOut map[string]bool) []audit.Event {
	return slices.DeleteFunc(slices.Clone(events), func(e audit.Event) bool { return leftOut[e.Target.Key] })
}
