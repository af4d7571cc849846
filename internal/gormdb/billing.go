package gormdb

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/account"
	"latchkey/internal/billing"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
)

// bills implements billing.Repository.
type bills struct{ *DB }

var _ billing.Repository = bills{}

// Billing returns the repository of billing.
func Billing(db *DB) billing.Repository { return bills{db} }

// Now returns billing time.
func (b bills) Now(ctx context.Context) (time.Time, error) {
	now, err := b.billingTime(ctx)
	return now, failed(ctx, "read billing time", err)
}

// billingTime returns the time of the test clock if there is one, and else the current time. That of PostgreSQL is the
// same for all replicas.
func billingTime(q *gorm.DB) (time.Time, error) {
	var row struct{ Now instant }
	err := q.Raw(billingTimeIn(q.Name())).Scan(&row).Error
	return orServerTime(row.Now), err
}

// billingTime is the same without a transaction. Every list needs it.
func (b bills) billingTime(ctx context.Context) (time.Time, error) {
	var now instant
	err := b.engine.query(ctx, billingTimeIn(b.engine.dialect().name), nil, func(scan scan) error { return scan(&now) })
	return orServerTime(now), err
}

// billingTimeIn returns the statement that reads billing time. Its result is null if the server's time counts.
func billingTimeIn(dialect string) string {
	stored := "(SELECT now FROM billing_clock)"
	if dialect == postgresDialect.name {
		stored = "coalesce(" + stored + ", clock_timestamp())"
	}
	return "SELECT " + stored + " AS now"
}

func orServerTime(stored instant) time.Time {
	if stored.IsZero() {
		return clock.Timestamp(time.Now())
	}
	return stored.Time
}

// merchantTime returns billing time for a write that has locked the merchant, but not a time in a month whose invoice
// was issued: a clock can step back, and what falls due then would be on no invoice.
func merchantTime(tx *gorm.DB, merchantID uuid.UUID) (time.Time, error) {
	now, err := billingTime(tx)
	if err != nil {
		return now, err
	}
	var month *string
	last := tx.Model(&invoiceRow{}).Where("account_id = ?", merchantID).Select("max(month)")
	if err := last.Scan(&month).Error; err != nil || month == nil {
		return now, err
	}
	span, err := billing.MonthSpan(*month)
	if span.End.After(now) {
		now = span.End
	}
	return now, err
}

// of narrows q, a query for rows of the table alias, to those of the account on a side.
func of(q *gorm.DB, alias string, accountID uuid.UUID, side billing.Side) *gorm.DB {
	switch {
	case side.Partner && side.Merchant:
		return q.Where("("+alias+".account_id = ? OR "+alias+".partner_id = ?)", accountID, accountID)
	case side.Partner:
		return q.Where(alias+".partner_id = ?", accountID)
	case side.Merchant:
		return q.Where(alias+".account_id = ?", accountID)
	default:
		return q.Where("1 = 0")
	}
}

// idList returns IDs as a JSON list, for dialect.each.
func idList(ids []uuid.UUID) string {
	text, err := json.Marshal(ids)
	if err != nil {
		panic(err) // UUIDs are texts
	}
	return string(text)
}

// subscriptionsAs is a query for subscriptions AS s and their stores AS h.
func subscriptionsAs(q *gorm.DB) *gorm.DB {
	return q.Table("subscriptions AS s").Joins(
		"LEFT JOIN stores AS h ON h.account_id = s.account_id AND h.id = s.store_id")
}

// ofEach returns a FROM clause that yields the rows of table that belong to subscriptions. Its parameter is a list of
// their IDs.
func ofEach(d dialect, table string) string {
	return d.each("subscriptions", "s", "s.id = "+d.asID("wanted.value")) + " JOIN " + table + " ON " + table +
		".account_id = s.account_id AND " + table + ".subscription_id = s.id"
}

// readSubscriptions returns the subscriptions that q, made by subscriptionsAs, selects, in its order.
func readSubscriptions(q *gorm.DB, d dialect) ([]billing.Subscription, error) {
	var rows []listedSubscription
	if err := q.Select(listedColumns.list()).Scan(&rows).Error; err != nil || len(rows) == 0 {
		return nil, err
	}
	ids := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		ids[i] = r.Row.ID
	}
	list := idList(ids)
	fresh := q.Session(&gorm.Session{NewDB: true})
	var terms []termRow
	if err := fresh.Raw("SELECT "+termColumns.list()+" FROM "+ofEach(d, "subscription_terms"), list).Scan(
		&terms).Error; err != nil {
		return nil, err
	}
	suspensionsOf, err := suspensionsByID(fresh, d, ids)
	if err != nil {
		return nil, err
	}
	termsOf := grouped(terms, func(r termRow) (uuid.UUID, int64) { return r.SubscriptionID, r.Seq })
	found := make([]billing.Subscription, len(rows))
	for i, r := range rows {
		found[i] = r.subscription(termsOf[r.Row.ID], suspensionsOf[r.Row.ID])
	}
	return found, nil
}

// suspensionsByID returns the suspensions of subscriptions by their IDs, in order.
func suspensionsByID(q *gorm.DB, d dialect, ids []uuid.UUID) (map[uuid.UUID][]suspensionRow, error) {
	var rows []suspensionRow
	err := q.Raw("SELECT "+suspensionColumns.list()+" FROM "+ofEach(d, "subscription_suspensions"), idList(ids)).Scan(
		&rows).Error
	return grouped(rows, func(r suspensionRow) (uuid.UUID, int64) { return r.SubscriptionID, r.Seq }), err
}

// grouped returns the rows of each owner, in order.
func grouped[R any](rows []R, key func(R) (owner uuid.UUID, seq int64)) map[uuid.UUID][]R {
	groups := map[uuid.UUID][]R{}
	for _, r := range rows {
		owner, _ := key(r)
		groups[owner] = append(groups[owner], r)
	}
	for _, group := range groups {
		slices.SortFunc(group, func(a, b R) int {
			_, first := key(a)
			_, second := key(b)
			return cmp.Compare(first, second)
		})
	}
	return groups
}

// byID returns subscriptions by their IDs.
func byID(list []billing.Subscription) map[uuid.UUID]billing.Subscription {
	found := make(map[uuid.UUID]billing.Subscription, len(list))
	for _, s := range list {
		found[s.ID] = s
	}
	return found
}

// readCheckouts returns the checkouts that q, a query for checkouts AS c, selects, in its order.
func readCheckouts(q *gorm.DB) ([]billing.Checkout, error) {
	var rows []checkoutRow
	if err := q.Select("c.*").Scan(&rows).Error; err != nil || len(rows) == 0 {
		return nil, err
	}
	keys := make([][]any, len(rows))
	for i, r := range rows {
		keys[i] = []any{r.AccountID, r.ID}
	}
	var items []listedItem
	fresh := q.Session(&gorm.Session{NewDB: true})
	err := fresh.Table("checkout_items AS i").Where("(i.account_id, i.checkout_id) IN ?", keys).Joins(
		"LEFT JOIN stores AS h ON h.account_id = i.account_id AND h.id = i.store_id").Select(itemColumns.list()).Scan(
		&items).Error
	if err != nil {
		return nil, err
	}
	partners := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		partners[i] = r.PartnerID
	}
	suspended, err := suspendedAmong(fresh, partners...)
	if err != nil {
		return nil, err
	}
	itemsOf := grouped(items, func(r listedItem) (uuid.UUID, int64) { return r.Row.CheckoutID, r.Row.Ordinal })
	found := make([]billing.Checkout, len(rows))
	for i, r := range rows {
		found[i] = r.checkout(itemsOf[r.ID])
		found[i].PartnerSuspended = slices.Contains(suspended, r.PartnerID)
	}
	return found, nil
}

// suspendedAmong returns the accounts that are suspended.
func suspendedAmong(q *gorm.DB, ids ...uuid.UUID) (suspended []uuid.UUID, err error) {
	err = q.Model(&accountRow{}).Where("id IN ? AND status = ?", ids, account.Suspended).Pluck("id", &suspended).Error
	return suspended, err
}

// CheckoutsByID returns checkouts by their IDs.
func (b bills) CheckoutsByID(ctx context.Context, accountID uuid.UUID, side billing.Side,
	ids []uuid.UUID) (map[uuid.UUID]billing.Checkout, error) {
	q := of(b.engine.reader(ctx).Table("checkouts AS c"), "c", accountID, side).Where("c.id IN ?", ids)
	list, err := readCheckouts(q)
	if err != nil {
		return nil, failed(ctx, "read checkouts", err)
	}
	found := make(map[uuid.UUID]billing.Checkout, len(list))
	for _, c := range list {
		found[c.ID] = c
	}
	return found, nil
}

// SubscriptionsByID returns subscriptions by their IDs.
func (b bills) SubscriptionsByID(ctx context.Context, accountID uuid.UUID, side billing.Side,
	ids []uuid.UUID) (map[uuid.UUID]billing.Subscription, error) {
	q := of(subscriptionsAs(b.engine.reader(ctx)), "s", accountID, side).Where("s.id IN ?", ids)
	list, err := readSubscriptions(q, b.engine.dialect())
	return byID(list), failed(ctx, "read subscriptions", err)
}

// Previewed returns subscriptions by their IDs, with what is credited of the charges that cover the present.
func (b bills) Previewed(ctx context.Context, accountID uuid.UUID, side billing.Side,
	ids []uuid.UUID) (found map[uuid.UUID]billing.Subscription, err error) {
	err = b.engine.snapshot(ctx, func(tx *gorm.DB) error {
		list, err := readSubscriptions(of(subscriptionsAs(tx), "s", accountID, side).Where("s.id IN ?", ids),
			b.engine.dialect())
		if err != nil {
			return err
		}
		now, err := billingTime(tx)
		if err != nil {
			return err
		}
		found = byID(list)
		return readCredits(tx, found, now)
	})
	return found, failed(ctx, "read subscriptions with their credits", err)
}

// readCredits sets Subscription.Credited: what is credited of the charge that covers the time.
func readCredits(q *gorm.DB, found map[uuid.UUID]billing.Subscription, now time.Time) error {
	var keys [][]any
	for _, s := range found {
		if source := s.Covering(notBefore(now, s.BilledUntil)); source != "" {
			keys = append(keys, []any{s.MerchantID, source})
		}
	}
	if len(keys) == 0 {
		return nil
	}
	var rows []struct {
		SubscriptionID uuid.UUID
		Credited       int64
	}
	err := q.Session(&gorm.Session{NewDB: true}).Table("charges AS c").
		Joins("JOIN charges AS x ON x.account_id = c.account_id AND x.credit_of = c.id").
		Where("(c.account_id, c.source_key) IN ?", keys).Group("c.subscription_id").
		Select("c.subscription_id, -sum(x.amount) AS credited").Scan(&rows).Error
	for _, r := range rows {
		s := found[r.SubscriptionID]
		s.Credited = r.Credited
		found[s.ID] = s
	}
	return err
}

// ChargesByID returns charges by their IDs.
func (b bills) ChargesByID(ctx context.Context, accountID uuid.UUID, side billing.Side,
	ids []uuid.UUID) (map[uuid.UUID]billing.Charge, error) {
	var rows []chargeRow
	q := of(b.engine.reader(ctx).Model(&chargeRow{}), "charges", accountID, side).Where("charges.id IN ?", ids)
	if err := q.Find(&rows).Error; err != nil {
		return nil, failed(ctx, "read charges", err)
	}
	found := make(map[uuid.UUID]billing.Charge, len(rows))
	for _, r := range rows {
		found[r.ID] = r.charge()
	}
	return found, nil
}

// InvoicesByID returns invoices by their IDs.
func (b bills) InvoicesByID(ctx context.Context, merchantID uuid.UUID,
	ids []uuid.UUID) (map[uuid.UUID]billing.Invoice, error) {
	var rows []invoiceRow
	q := b.engine.reader(ctx).Where("account_id = ? AND id IN ?", merchantID, ids)
	if err := q.Find(&rows).Error; err != nil {
		return nil, failed(ctx, "read invoices", err)
	}
	found := make(map[uuid.UUID]billing.Invoice, len(rows))
	for _, r := range rows {
		found[r.ID] = r.invoice()
	}
	return found, nil
}

// Stores returns stores of a merchant by ID or hash.
func (b bills) Stores(ctx context.Context, merchantID uuid.UUID, ids []uuid.UUID,
	hashes []string) ([]billing.StoreOwner, error) {
	reader := b.engine.reader(ctx)
	if _, err := one[accountRow](reader.Where("id = ?", merchantID), noAccount()); err != nil {
		return nil, failed(ctx, "read an account", err)
	}
	var rows []storeRow
	q := reader.Where("account_id = ? AND (id IN ? OR hash IN ?)", merchantID, ids, hashes)
	if err := q.Order("id").Find(&rows).Error; err != nil {
		return nil, failed(ctx, "read stores", err)
	}
	stores := make([]billing.StoreOwner, len(rows))
	for i, r := range rows {
		stores[i] = billing.StoreOwner{ID: r.ID, OwnerID: r.OwnerID, Hash: r.Hash, Name: r.Name}
	}
	return stores, nil
}

// AppIsDraft reports whether an app is a draft.
func (b bills) AppIsDraft(ctx context.Context, partnerID uuid.UUID, appID int64) (bool, error) {
	row, err := one[appRow](b.engine.reader(ctx).Where("account_id = ? AND id = ?", partnerID, appID),
		fault.Errorf(fault.NotFound, "There is no such app in this account."))
	return row.app().Status == account.AppDraft, failed(ctx, "read an app", err)
}
