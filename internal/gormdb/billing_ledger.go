package gormdb

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"gorm.io/gorm"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/fault"
)

// ledger implements billing.Ledger.
type ledger struct{ *DB }

var _ billing.Ledger = ledger{}

// Ledger returns what billing runs use.
func Ledger(db *DB) billing.Ledger { return ledger{db} }

// biller is the actor of billing runs.
func biller() auth.Actor { return auth.NoActor("a billing run has no credential") }

// Lease takes or renews the lease.
func (l ledger) Lease(ctx context.Context, holder uuid.UUID, ttl time.Duration) (ours bool, err error) {
	take := takeLease("billing_lease", "id", l.engine.dialect())
	err = l.write(ctx, biller(), held{}, func(tx *gorm.DB) error {
		taken := tx.Exec(take, 1, holder, ttl.Microseconds())
		ours = taken.RowsAffected == 1
		return taken.Error
	})
	return ours && err == nil, failed(ctx, "take the lease of billing", err)
}

// takeLease is the statement that takes or renews a lease: a row of the table with its key, holder and until_at. It
// changes no row if the lease is another holder's and has not ended. Its parameters are the key, the holder and the
// microseconds that the lease lasts.
func takeLease(table, key string, d dialect) string {
	until := d.now + " + ?"
	if d.name == postgresDialect.name {
		until = d.now + " + CAST(? AS bigint) * interval '1 microsecond'"
	}
	return "INSERT INTO " + table + " AS l (" + key + ", holder, until_at) VALUES (?, ?, " + until + `)
		ON CONFLICT (` + key + `) DO UPDATE SET holder = excluded.holder, until_at = excluded.until_at
		WHERE l.holder = excluded.holder OR l.until_at <= ` + d.now
}

// Release gives the lease back.
func (l ledger) Release(ctx context.Context, holder uuid.UUID) error {
	err := l.write(ctx, biller(), held{}, func(tx *gorm.DB) error {
		return tx.Exec("DELETE FROM billing_lease WHERE id = 1 AND holder = ?", holder).Error
	})
	return failed(ctx, "release the lease of billing", err)
}

// Due returns subscriptions for which something is due.
func (l ledger) Due(ctx context.Context, now time.Time, limit int) ([]billing.Subscription, error) {
	q := subscriptionsAs(l.engine.reader(ctx)).Where("s.next_due_at <= ?", instant{now}).Order("s.next_due_at, s.id").
		Limit(limit)
	list, err := readSubscriptions(q, l.engine.dialect())
	return list, failed(ctx, "read what is due", err)
}

// billers is how many transactions of a billing run PostgreSQL has at a time. No two of them store the same rows.
const billers = 4

// Bill stores what fell due, in transactions of billingChunk subscriptions.
func (l ledger) Bill(ctx context.Context, _ time.Time, changes billing.Changes) (int64, error) {
	var added atomic.Int64
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(billers)
	if l.engine.dialect().name == sqliteDialect.name {
		group.SetLimit(1) // SQLite has one writer
	}
	rest := changes
	for chunk := range slices.Chunk(changes.Subscriptions, billingChunk) {
		var part billing.Changes
		part, rest = divide(rest, chunk)
		group.Go(func() error {
			var n int64
			err := l.write(working, biller(), held{}, func(tx *gorm.DB) (err error) {
				n, err = l.bill(tx, part)
				return err
			})
			if err == nil {
				added.Add(n)
			}
			return err
		})
	}
	err := group.Wait()
	return added.Load(), failed(ctx, "bill what is due", err)
}

// divide takes from changes what belongs to some of its subscriptions.
func divide(changes billing.Changes, subscriptions []billing.Subscription) (part, rest billing.Changes) {
	if len(subscriptions) == len(changes.Subscriptions) {
		return changes, billing.Changes{}
	}
	ids, keys := map[uuid.UUID]bool{}, map[string]bool{}
	for _, s := range subscriptions {
		ids[s.ID], keys[s.ID.String()] = true, true
	}
	part = billing.Changes{Subscriptions: subscriptions, ChargeEvent: changes.ChargeEvent}
	rest = billing.Changes{Subscriptions: changes.Subscriptions[len(subscriptions):], ChargeEvent: changes.ChargeEvent}
	for _, c := range changes.Charges {
		if ids[c.SubscriptionID] {
			part.Charges = append(part.Charges, c)
		} else {
			rest.Charges = append(rest.Charges, c)
		}
	}
	for _, e := range changes.Events {
		if keys[e.Target.Key] {
			part.Events = append(part.Events, e)
		} else {
			rest.Events = append(rest.Events, e)
		}
	}
	return part, rest
}

// The statements that record in subscriptions what was billed, and return the IDs of those that were not changed, and
// not billed until then, meanwhile. The one for PostgreSQL locks them in order first.
var (
	shareMerchants = `SELECT account_id FROM billing_merchants WHERE account_id = ANY (ARRAY(
		SELECT value::uuid FROM jsonb_array_elements_text($1::text::jsonb))) ORDER BY account_id FOR SHARE`
	recordBilled = map[string]string{
		postgresDialect.name: `WITH billed AS (SELECT * FROM ` + billedColumns.recordset("b", "$1") + `), locked AS (
				SELECT s.account_id, s.id FROM billed AS b JOIN subscriptions AS s
					ON s.account_id = b.account_id AND s.id = b.id
				WHERE s.version = b.version AND s.billed_until < b.billed_until ORDER BY s.id FOR NO KEY UPDATE OF s)
			UPDATE subscriptions AS s
			SET billed_until = b.billed_until, next_due_at = b.next_due_at, ended_at = b.ended_at
			FROM billed AS b JOIN locked AS l ON l.id = b.id
			WHERE s.account_id = b.account_id AND s.id = b.id RETURNING s.id`,
		sqliteDialect.name: `UPDATE subscriptions AS s SET billed_until = c.value ->> 'billed_until',
				next_due_at = c.value ->> 'next_due_at', ended_at = c.value ->> 'ended_at'
			FROM json_each($1) AS c WHERE s.account_id = c.value ->> 'account_id' AND s.id = c.value ->> 'id'
				AND s.version = c.value ->> 'version' AND s.billed_until < c.value ->> 'billed_until' RETURNING id`,
	}
)

// bill stores what fell due of some subscriptions. Most of its charges and events are new.
func (l ledger) bill(tx *gorm.DB, c billing.Changes) (added int64, err error) {
	d := l.engine.dialect()
	var merchants []uuid.UUID
	rows := make([]billedRow, len(c.Subscriptions))
	for i, s := range c.Subscriptions {
		merchants = append(merchants, s.MerchantID)
		rows[i] = billedRow{s.MerchantID, s.ID, s.Version, instant{s.BilledUntil}, instant{s.NextDueAt},
			instant{s.EndedAt}}
	}
	if d.name == postgresDialect.name {
		if err := tx.Exec(shareMerchants, idList(merchants)).Error; err != nil {
			return 0, err
		}
	}
	records, err := billedColumns.records(d, rows)
	if err != nil {
		return 0, err
	}
	billed, err := returnedIDs(tx, recordBilled[d.name], records)
	if err != nil {
		return 0, err
	}
	leftOut := map[string]bool{}
	for _, s := range c.Subscriptions {
		if !billed[s.ID] {
			leftOut[s.ID.String()] = true
		}
	}
	c.Charges = slices.DeleteFunc(slices.Clone(c.Charges), func(c billing.Charge) bool {
		return leftOut[c.SubscriptionID.String()]
	})
	c.Events = eventsOf(c.Events, leftOut)
	stored, err := saveCharges(tx, d, c)
	return int64(len(stored)), err
}

// NextDue returns when something is due next.
func (l ledger) NextDue(ctx context.Context) (time.Time, error) {
	var row struct{ Due, Pending instant }
	err := l.engine.reader(ctx).Raw(`SELECT
		(SELECT min(next_due_at) FROM subscriptions WHERE next_due_at IS NOT NULL) AS due,
		(SELECT min(due_at) FROM charges WHERE status = 'PENDING') AS pending`).Scan(&row).Error
	if err != nil {
		return time.Time{}, failed(ctx, "read what is due next", err)
	}
	next := row.Due.Time
	if !row.Pending.IsZero() {
		month, err := billing.MonthSpan(billing.MonthOf(row.Pending.Time))
		if err != nil {
			return time.Time{}, err
		}
		if next.IsZero() || month.End.Before(next) {
			next = month.End
		}
	}
	return next, nil
}

// chargesOfInvoice is how many of the oldest pending charges Uninvoiced reads for each month that it may return.
const chargesOfInvoice = 20

// Uninvoiced returns months that need an invoice: those of the oldest pending charges. All months could be as many as
// there are pending charges, and each call would read them.
func (l ledger) Uninvoiced(ctx context.Context, now time.Time, limit int) ([]billing.OpenMonth, error) {
	span, err := billing.MonthSpan(billing.MonthOf(now))
	if err != nil {
		return nil, err
	}
	var rows []struct {
		AccountID       uuid.UUID
		Month, Currency string
	}
	reader := l.engine.reader(ctx)
	oldest := reader.Model(&chargeRow{}).Where("status = 'PENDING' AND due_at < ?", instant{span.Start}).
		Select("account_id, due_at, currency").Order("due_at, account_id").Limit(limit * chargesOfInvoice)
	month := l.engine.dialect().month("due_at")
	q := reader.Table("(?) AS oldest", oldest).Distinct("account_id, " + month + " AS month, currency")
	if err := q.Order("month, account_id, currency").Limit(limit).Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "list open months", err)
	}
	open := make([]billing.OpenMonth, len(rows))
	for i, r := range rows {
		open[i] = billing.OpenMonth{MerchantID: r.AccountID, Month: r.Month, Currency: r.Currency}
	}
	return open, nil
}

// Issue issues an invoice.
func (l ledger) Issue(ctx context.Context, m billing.OpenMonth, compose func(now time.Time, number int64,
	charges []billing.Charge) (billing.Invoice, []billing.Charge, []audit.Event, error)) error {
	month, err := billing.MonthSpan(m.Month)
	if err != nil {
		return err
	}
	err = l.write(ctx, biller(), held{}, func(tx *gorm.DB) error {
		if err := lockMerchant(tx, m.MerchantID, "UPDATE"); err != nil {
			return err
		}
		now, err := billingTime(tx)
		if err != nil {
			return err
		}
		if now.Before(month.End) {
			return fault.Errorf(fault.Conflict, "%s has not ended.", m.Month)
		}
		var last, same int64
		if err := tx.Model(&invoiceRow{}).Where("account_id = ?", m.MerchantID).Select("coalesce(max(number), 0)").
			Scan(&last).Error; err != nil {
			return err
		}
		if err := tx.Model(&invoiceRow{}).Where("account_id = ? AND month = ? AND currency = ?", m.MerchantID, m.Month,
			m.Currency).Count(&same).Error; err != nil {
			return err
		}
		if same > 0 {
			return fault.Errorf(fault.Conflict, "The invoice of %s in %s has been issued.", m.Month, m.Currency)
		}
		return l.issue(tx, m, month.End, func(charges []billing.Charge) (billing.Invoice, []billing.Charge,
			[]audit.Event, error) {
			return compose(now, last+1, charges)
		})
	})
	return failed(ctx, "issue an invoice", err)
}

// issue stores the invoice of the pending charges that fell due before a time. The merchant's row is locked, so that
// they stay the same.
func (l ledger) issue(tx *gorm.DB, m billing.OpenMonth, before time.Time, compose func(charges []billing.Charge) (
	billing.Invoice, []billing.Charge, []audit.Event, error)) error {
	var rows []chargeRow
	if err := pendingOf(tx, m.MerchantID, m.Currency, before).Order("due_at, id").Find(&rows).Error; err != nil {
		return err
	}
	if len(rows) == 0 {
		return fault.Errorf(fault.Conflict, "There is nothing to invoice for %s in %s.", m.Month, m.Currency)
	}
	// What an earlier month's invoice carried to the month between them is on the invoice of that one first.
	if month := billing.MonthOf(rows[0].DueAt.Time); month != m.Month {
		return fault.Errorf(fault.Conflict, "The invoice of %s has to be issued before that of %s.", month, m.Month)
	}
	charges := make([]billing.Charge, len(rows))
	for i, r := range rows {
		charges[i] = r.charge()
	}
	invoice, carried, events, err := compose(charges)
	if err != nil {
		return err
	}
	row := newInvoiceRow(invoice)
	if err := tx.Create(&row).Error; err != nil {
		return err
	}
	if err := pendingOf(tx, m.MerchantID, m.Currency, before).Updates(map[string]any{
		"status": billing.ChargeInvoiced, "invoice_id": invoice.ID}).Error; err != nil {
		return err
	}
	_, err = saveCharges(tx, l.engine.dialect(), billing.Changes{Charges: carried, Events: events})
	return err
}

// SetClock starts the test clock.
func (l ledger) SetClock(ctx context.Context, at time.Time) (now time.Time, err error) {
	err = l.write(ctx, biller(), held{}, func(tx *gorm.DB) error {
		var billed int64
		if err := tx.Raw(`SELECT count(*) FROM (SELECT 1 FROM checkouts
			WHERE NOT EXISTS (SELECT 1 FROM billing_clock) LIMIT 1) AS c`).Scan(&billed).Error; err != nil {
			return err
		}
		if billed > 0 {
			return fault.Errorf(fault.Conflict, "This database has checkouts that go by real time, so it cannot get a "+
				"test clock. Use another database for tests.")
		}
		if err := tx.Exec("INSERT INTO billing_clock (id, now) VALUES (1, ?) ON CONFLICT DO NOTHING",
			instant{at}).Error; err != nil {
			return err
		}
		now, err = billingTime(tx)
		return err
	})
	return now, failed(ctx, "start the test clock", err)
}

// HasClock reports whether there is a test clock.
func (l ledger) HasClock(ctx context.Context) (bool, error) {
	var n int64
	err := l.engine.reader(ctx).Raw("SELECT count(*) FROM billing_clock").Scan(&n).Error
	return n > 0, failed(ctx, "read the test clock", err)
}

// MoveClock moves the test clock.
func (l ledger) MoveClock(ctx context.Context, to time.Time) error {
	err := l.write(ctx, biller(), held{}, func(tx *gorm.DB) error {
		moved := tx.Exec("UPDATE billing_clock SET now = ? WHERE now <= ?", instant{to}, instant{to})
		if moved.Error == nil && moved.RowsAffected == 0 {
			return fault.Errorf(fault.Conflict, "There is no test clock, or it is past %s.", to.Format(time.RFC3339))
		}
		return moved.Error
	})
	return failed(ctx, "move the test clock", err)
}
