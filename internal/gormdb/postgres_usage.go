package gormdb

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
)

// A usage charge takes two round trips, and no lock is held between them. The first reads what decides about the
// charge. The second, which is one transaction, locks the rows that such writes lock, in their order, and inserts the
// charge, its event and the period's new total if what was read still holds. If it does not, the charge is decided
// again, and at last by the transaction that locks first (bills.AddUsage). That one decides everything else, too: what
// is refused, replayed or a dry run, and what needs more locks.

// usageTries is how often a usage charge is decided without locks.
const usageTries = 2

// usageRequest is a usage charge to add.
type usageRequest struct {
	by                        auth.Actor
	partnerID, subscriptionID uuid.UUID
	source                    string
	decide                    func(time.Time, billing.Subscription, billing.UsageSums) (billing.Changes, error)
}

// usageFacts is what decides about a usage charge, without the terms.
type usageFacts struct {
	Row subscriptionRow `gorm:"embedded" sql:"s"`

	BillingTime instant
	// LastMonth is that of the merchant's newest invoice; null without one.
	LastMonth *string
	Suspended bool
	// ChargeLimit is that of the API token.
	ChargeLimit *int64
	// UsageStart is the start of the newest period with usage, and UsageTotal its total.
	UsageStart instant
	UsageTotal int64
}

// keptRow is the ID of a charge.
type keptRow struct {
	ID uuid.UUID `sql:"charges"`
}

var (
	usageFactColumns = columnsOf[usageFacts](map[string]string{
		"billing_time": "coalesce((SELECT k.now FROM billing_clock AS k), clock_timestamp())",
		"last_month":   "(SELECT max(i.month) FROM invoices AS i WHERE i.account_id = s.account_id)",
		"suspended":    "(a.status = 'suspended')",
		"charge_limit": "(SELECT t.charge_limit FROM api_tokens AS t WHERE t.account_id = $3 AND t.id = $4)",
		"usage_start":  "u.period_start",
		"usage_total":  "coalesce(u.amount, 0)",
	})
	readUsageFacts = `SELECT ` + usageFactColumns.list() + `
		FROM subscriptions AS s JOIN accounts AS a ON a.id = s.account_id
			LEFT JOIN LATERAL (SELECT x.period_start, x.amount FROM usage_totals AS x
				WHERE x.account_id = s.account_id AND x.subscription_id = s.id ORDER BY x.period_start DESC LIMIT 1) AS u ON true
		WHERE s.partner_id = $1 AND s.id = $2`
	ofSubscription = `account_id = (SELECT s.account_id FROM subscriptions AS s WHERE s.id = $1) AND `
	readTerms      = `SELECT ` + termColumns.list() + ` FROM subscription_terms WHERE ` + ofSubscription +
		`subscription_id = $1 ORDER BY seq`
	readSuspensions = `SELECT ` + suspensionColumns.list() + ` FROM subscription_suspensions WHERE ` + ofSubscription +
		`subscription_id = $1 ORDER BY seq`
	keptColumns  = columnsOf[keptRow](nil)
	findBySource = `SELECT ` + keptColumns.list() + ` FROM charges WHERE ` + ofSubscription + `source_key = $2`

	// lockUsage takes the advisory lock of a merchant ($3) and locks its row and a subscription.
	lockUsage = `SELECT s.id FROM billing_merchants AS m, subscriptions AS s
		WHERE ` + takeAdvisory(`$3`) + ` AND m.account_id = $1 AND s.account_id = $1 AND s.id = $2
		FOR SHARE OF m FOR NO KEY UPDATE OF s`
)

// usageInserts are the statements by the kind of the actor's credential.
var usageInserts = func() map[auth.CredentialKind]string {
	all := map[auth.CredentialKind]string{}
	for kind := range actorRows {
		all[kind] = insertUsage(kind)
	}
	return all
}()

// insertUsage returns the statement that inserts a usage charge. The parameters are those of the charge and its event,
// then the version of the subscription and the most that the total of the period may be, and those of the guard.
func insertUsage(kind auth.CredentialKind) string {
	values, next := chargeColumns.values(1)
	charge := func(column string) string { return chargeColumns.parameter(column, 1) }
	event := func(column string) string { return firstEvents.parameter(column, next) }
	eventValues, version := firstEvents.values(next)
	account, subscription := charge("account_id")+"::uuid", charge("subscription_id")+"::uuid"
	due, start := charge("due_at")+"::timestamptz", charge("period_start")+"::timestamptz"
	return `WITH kept AS (` + chargeColumns.insertInto() + `SELECT ` + values + `
			WHERE EXISTS (` + guardFor(kind, version+2) + `)
				AND EXISTS (SELECT 1 FROM billing_merchants WHERE account_id = ` + account + `)
				AND EXISTS (SELECT 1 FROM subscriptions WHERE account_id = ` + account + ` AND id = ` + subscription + `
					AND version = $` + strconv.Itoa(version) + ` AND billed_until <= ` + due + `)
				AND NOT EXISTS (SELECT 1 FROM invoices WHERE account_id = ` + account + `
					AND month >= ` + postgresDialect.month(due) + `)
				AND $` + strconv.Itoa(version+1) + `::bigint >= ` + charge("amount") + `::bigint + coalesce((SELECT amount FROM usage_totals
					WHERE account_id = ` + account + ` AND subscription_id = ` + subscription + ` AND period_start = ` + start + `), 0)
			ON CONFLICT (account_id, source_key) DO NOTHING RETURNING account_id, subscription_id, period_start, amount
		), total AS (
			INSERT INTO usage_totals (account_id, subscription_id, period_start, amount) SELECT * FROM kept
			ON CONFLICT (account_id, subscription_id, period_start) DO UPDATE SET amount = usage_totals.amount + excluded.amount
		), enqueued AS (` + enqueueOne(audit.ChargeCreated.Type(), "kept", event("account_id"), event("id")+"::uuid",
		event("target_kind"), event("target_key"), event("sequence")+"::bigint") + `)
		` + firstEvents.insertInto() + `SELECT ` + eventValues + ` FROM kept`
}

// addUsage adds a usage charge and returns it, unless the transaction that locks first has to decide.
func (p *postgres) addUsage(ctx context.Context, r usageRequest) (c billing.Charge, added bool, err error) {
	kind, err := kindOf(r.by)
	if err != nil {
		return c, false, err
	}
	for range usageTries {
		read, err := p.readUsage(ctx, r)
		if err != nil || !read.enough {
			return c, false, err
		}
		changes, err := r.decide(read.now, read.subscription, read.sums)
		if err != nil || len(changes.Charges) != 1 {
			return c, false, nil //nolint:nilerr // it is decided again
		}
		if changes.ChargeEvent != nil {
			changes.Events = append(slices.Clone(changes.Events), changes.ChargeEvent(changes.Charges[0]))
		}
		if len(changes.Events) != 1 {
			return c, false, nil
		}
		if stored, err := p.insertUsage(ctx, kind, r.by, read, changes); stored || err != nil {
			return changes.Charges[0], stored, err
		}
	}
	return c, false, nil
}

// usageRead is what was read for a usage charge.
type usageRead struct {
	now          time.Time
	subscription billing.Subscription
	sums         billing.UsageSums
	// enough is false if more has to be read or locked: the subscription is unknown, its source key is used, the token
	// has a limit, or there is usage of a later period.
	enough bool
}

// readUsage reads what decides about a usage charge, in one round trip.
func (p *postgres) readUsage(ctx context.Context, r usageRequest) (read usageRead, err error) {
	id := pgID(r.subscriptionID)
	token := uuid.Nil
	if r.by.NoCredential == "" && !r.by.Credential.Kind.IsSession() {
		token = r.by.ID
	}
	var facts []usageFacts
	var terms []termRow
	var suspensions []suspensionRow
	var kept []keptRow
	var batch pgx.Batch
	batch.Queue(readUsageFacts, pgID(r.partnerID), id, pgID(r.by.AccountID), pgID(token))
	batch.Queue(readTerms, id)
	batch.Queue(readSuspensions, id)
	batch.Queue(findBySource, id, r.source)
	results := p.pool.SendBatch(ctx, &batch)
	err = errors.Join(collect(results, usageFactColumns, &facts), collect(results, termColumns, &terms),
		collect(results, suspensionColumns, &suspensions), collect(results, keptColumns, &kept), results.Close())
	if err != nil || len(facts) == 0 || len(terms) == 0 || len(kept) > 0 || facts[0].ChargeLimit != nil {
		return read, err
	}
	f := facts[0]
	read.subscription = listedSubscription{Row: f.Row}.subscription(terms, suspensions)
	read.now = notBefore(f.BillingTime.Time, f.Row.BilledUntil.Time)
	if f.LastMonth != nil {
		month, err := billing.MonthSpan(*f.LastMonth)
		if err != nil {
			return read, err
		}
		read.now = notBefore(read.now, month.End)
	}
	read.sums.MerchantSuspended = f.Suspended
	period, _ := read.subscription.CurrentPeriod(read.now)
	if f.UsageStart.Equal(period.Start) {
		read.sums.Period = f.UsageTotal
	}
	read.enough = !f.UsageStart.After(period.Start)
	return read, nil
}

// collect reads the rows of the next statement of a batch.
func collect[R any](results pgx.BatchResults, c columns[R], into *[]R) error {
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var row R
		if err := rows.Scan(c.scanInto(&row)...); err != nil {
			return err
		}
		*into = append(*into, row)
	}
	return rows.Err()
}

// insertUsage inserts the charge and the event, if what was read still holds.
func (p *postgres) insertUsage(ctx context.Context, kind auth.CredentialKind, by auth.Actor, read usageRead,
	changes billing.Changes) (stored bool, err error) {
	event, err := newEventRow(changes.Events[0])
	if err != nil {
		return false, err
	}
	row := newChargeRow(changes.Charges[0])
	var merchant advisoryLocks
	merchant.share(ofMerchant, row.AccountID, row.AccountID)
	args := chargeColumns.arguments(nil, postgresDialect, &row)
	args = firstEvents.arguments(args, postgresDialect, &event)
	args = append(args, read.subscription.Version, *read.subscription.Term().Cap)
	var batch pgx.Batch
	locked := actorRows[kind]
	batch.Queue(lockActor(locked, locked.account, ""), pgID(by.AccountID), actorID(by), advisoryLocksOf(by, held{}))
	batch.Queue(lockUsage, pgID(row.AccountID), pgID(read.subscription.ID), merchant)
	batch.Queue(usageInserts[kind], append(args, guardValues(by)...)...)
	results := p.pool.SendBatch(ctx, &batch)
	_, lockErr := results.Exec()
	_, merchantErr := results.Exec()
	inserted, err := results.Exec()
	// Close reports whether the transaction was committed.
	if err := errors.Join(lockErr, merchantErr, err, results.Close()); err != nil {
		if isDeadlock(err) {
			return false, nil
		}
		return false, err
	}
	if inserted.RowsAffected() == 0 {
		return false, nil
	}
	p.stored()
	return true, nil
}
