package gormdb

import (
	"cmp"
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
// charge, but not what the second checks by itself: the usage of the period, the merchant's account and its invoices.
// The second, which is one transaction, locks the rows that such writes lock, in their order, and inserts the charge,
// its event and the period's new total if what was read still holds. If it does not, the transaction that locks first
// decides the charge again (bills.AddUsage). That one decides everything else, too: what is refused, replayed or a dry
// run, what needs more locks, and what is charged at a time of which there is an invoice already, as after the test
// clock was set back.

// usageRequest is a usage charge to add.
type usageRequest struct {
	by                        auth.Actor
	partnerID, subscriptionID uuid.UUID
	source                    string
	decide                    func(time.Time, billing.Subscription, billing.UsageSums) (billing.Changes, error)
}

// usageFacts is what decides about a usage charge, with one of the subscription's terms.
type usageFacts struct {
	Row  subscriptionRow `gorm:"embedded" sql:"s"`
	Term termRow         `gorm:"embedded;embeddedPrefix:term_" sql:"t"`
	// Interrupted reports whether the subscription was ever suspended, and Used whether a charge has the source key.
	Interrupted, Used bool

	BillingTime instant
	// ChargeLimit is that of the API token.
	ChargeLimit *int64
}

var (
	usageFactColumns = columnsOf[usageFacts](map[string]string{
		"interrupted":  wasSuspended,
		"used":         "EXISTS (SELECT 1 FROM charges AS c WHERE c.account_id = s.account_id AND c.source_key = $5)",
		"billing_time": "coalesce((SELECT k.now FROM billing_clock AS k), clock_timestamp())",
		"charge_limit": "(SELECT o.charge_limit FROM api_tokens AS o WHERE o.account_id = $3 AND o.id = $4)",
	})
	readUsageFacts = `SELECT ` + usageFactColumns.list() + `
		FROM subscriptions AS s JOIN subscription_terms AS t ON t.account_id = s.account_id AND t.subscription_id = s.id
		WHERE s.partner_id = $1 AND s.id = $2`
)

// usageWrite is the pair of statements that write a usage charge, as issuing.
type usageWrite struct{ lock, insert string }

// usageWrites are the statements by the kind of the actor's credential.
var usageWrites = func() map[auth.CredentialKind]usageWrite {
	all := map[auth.CredentialKind]usageWrite{}
	for kind, row := range actorRows {
		all[kind] = usageWrite{lockUsage(row), insertUsage(kind)}
	}
	return all
}()

// lockUsage returns a statement that takes advisory locks ($3) and then locks an actor's account ($4) and row ($5), a
// merchant's account and row ($1) and its subscription ($2), in this order. If the actor's row is missing, it locks
// nothing, and nothing is inserted.
func lockUsage(row actorRow) string {
	from, where, locks := ``, ``, `FOR KEY SHARE OF c FOR SHARE OF m FOR NO KEY UPDATE OF s`
	if row.table != "" {
		from = `accounts AS a, ` + row.table + ` AS x, `
		where = ` AND a.id = $4 AND x.account_id = $4 AND x.id = $5`
		locks = `FOR ` + row.account + ` OF a FOR KEY SHARE OF x ` + locks
	}
	return `SELECT s.id FROM ` + from + `accounts AS c, billing_merchants AS m, subscriptions AS s
		WHERE ` + takeAdvisoryFirst(`$3`) + ` AND c.id = $1 AND m.account_id = $1 AND s.account_id = $1 AND s.id = $2` + where + ` ` + locks
}

// insertUsage returns the statement that inserts a usage charge. The parameters are those of the charge and its event,
// then the version of the subscription and the most that the total of the period may be, and those of the guard. A
// source key that another charge got meanwhile is a unique violation, which undoes the total, too.
func insertUsage(kind auth.CredentialKind) string {
	values, next := chargeColumns.values(1)
	charge := func(column string) string { return chargeColumns.parameter(column, 1) }
	event := func(column string) string { return firstEvents.parameter(column, next) }
	eventValues, version := firstEvents.values(next)
	account, subscription := charge("account_id")+"::uuid", charge("subscription_id")+"::uuid"
	due, start := charge("due_at")+"::timestamptz", charge("period_start")+"::timestamptz"
	amount, most := charge("amount")+"::bigint", "$"+strconv.Itoa(version+1)+"::bigint"
	return `WITH total AS (
			INSERT INTO usage_totals (account_id, subscription_id, period_start, amount)
			SELECT ` + account + `, ` + subscription + `, ` + start + `, ` + amount + `
			WHERE ` + amount + ` <= ` + most + ` AND EXISTS (` + guardFor(kind, version+2) + `)
				AND EXISTS (SELECT 1 FROM subscriptions AS s JOIN accounts AS c ON c.id = s.account_id
					WHERE s.account_id = ` + account + ` AND s.id = ` + subscription + ` AND s.version = $` + strconv.Itoa(version) + `
						AND s.billed_until <= ` + due + ` AND c.status <> 'suspended')
				AND NOT EXISTS (SELECT 1 FROM invoices WHERE account_id = ` + account + `
					AND month >= ` + postgresDialect.month(due) + `)
			ON CONFLICT (account_id, subscription_id, period_start) DO UPDATE SET amount = usage_totals.amount + excluded.amount
				WHERE usage_totals.amount + excluded.amount <= ` + most + ` RETURNING account_id
		), kept AS (` + chargeColumns.insertInto() + `SELECT ` + values + ` FROM total RETURNING account_id
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
	read, err := p.readUsage(ctx, r)
	if err != nil || !read.enough {
		return c, false, err
	}
	changes, err := r.decide(read.now, read.subscription, billing.UsageSums{})
	if err != nil || len(changes.Charges) != 1 {
		return c, false, nil //nolint:nilerr // it is decided again
	}
	if changes.ChargeEvent != nil {
		changes.Events = append(slices.Clone(changes.Events), changes.ChargeEvent(changes.Charges[0]))
	}
	if len(changes.Events) != 1 {
		return c, false, nil
	}
	stored, err := p.insertUsage(ctx, kind, r.by, read, changes)
	return changes.Charges[0], stored, err
}

// usageRead is what was read for a usage charge.
type usageRead struct {
	now          time.Time
	subscription billing.Subscription
	// enough is false if more has to be read or locked: the subscription is unknown, its source key is used, or the
	// token has a limit.
	enough bool
}

// readUsage reads what decides about a usage charge, in one round trip unless the subscription was ever suspended. If
// it is suspended or resumed in between, its version changes.
func (p *postgres) readUsage(ctx context.Context, r usageRequest) (read usageRead, err error) {
	id := pgID(r.subscriptionID)
	token := uuid.Nil
	if r.by.NoCredential == "" && !r.by.Credential.Kind.IsSession() {
		token = r.by.ID
	}
	var f usageFacts
	to := usageFactColumns.scanInto(&f)
	var terms []termRow
	err = p.query(ctx, readUsageFacts, []any{pgID(r.partnerID), id, pgID(r.by.AccountID), pgID(token), r.source},
		func(scan scan) error {
			err := scan(to...)
			terms = append(terms, f.Term)
			return err
		})
	if err != nil || len(terms) == 0 || f.Used || f.ChargeLimit != nil {
		return read, err
	}
	var suspensions map[uuid.UUID][]suspensionRow
	if f.Interrupted {
		if suspensions, err = suspensionsByID(p.reader(ctx), postgresDialect, []uuid.UUID{f.Row.ID}); err != nil {
			return read, err
		}
	}
	slices.SortFunc(terms, func(a, b termRow) int { return cmp.Compare(a.Seq, b.Seq) })
	read.subscription = listedSubscription{Row: f.Row}.subscription(terms, suspensions[f.Row.ID])
	read.now = notBefore(f.BillingTime.Time, f.Row.BilledUntil.Time)
	read.enough = true
	return read, nil
}

// insertUsage inserts the charge and the event, if what was read still holds.
func (p *postgres) insertUsage(ctx context.Context, kind auth.CredentialKind, by auth.Actor, read usageRead,
	changes billing.Changes) (stored bool, err error) {
	event, err := newEventRow(changes.Events[0])
	if err != nil {
		return false, err
	}
	row := newChargeRow(changes.Charges[0])
	locks := advisoryLocksOf(by, held{})
	locks.share(ofMerchant, row.AccountID, row.AccountID)
	args := chargeColumns.arguments(nil, postgresDialect, &row)
	args = firstEvents.arguments(args, postgresDialect, &event)
	args = append(args, read.subscription.Version, *read.subscription.Term().Cap)
	var batch pgx.Batch
	write := usageWrites[kind]
	locked := []any{pgID(row.AccountID), pgID(read.subscription.ID), locks}
	if actorRows[kind].table != "" {
		locked = append(locked, pgID(by.AccountID), actorID(by))
	}
	batch.Queue(write.lock, locked...)
	batch.Queue(write.insert, append(args, guardValues(by)...)...)
	results := p.pool.SendBatch(ctx, &batch)
	_, lockErr := results.Exec()
	inserted, err := results.Exec()
	// Close reports whether the transaction was committed.
	if err := errors.Join(lockErr, err, results.Close()); err != nil {
		if isDeadlock(err) || isDuplicate(err) {
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
