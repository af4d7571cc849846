package gormdb

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/auth"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// queue implements deliver.Queue. These are its rules:
//
//   - The lease belongs to the webhook, in the table webhook_leases. A claim takes or extends it, and only reads the
//     deliveries: the server knows which ones it holds. A delivery is first changed when an outcome is recorded.
//   - A claim reads the deliveries in a statement after the one that takes the lease, so that it sees what the server
//     that had the lease before has recorded. Finish locks the lease before it records.
//   - A pending delivery is due from next_at on, so the deliveries of a webhook that may be claimed are the beginning
//     of one index, deliveries_due, however many are pending.
//   - A delivery behind another pending one of its subject is postponed when a claim comes across it: to the next_at of
//     the first one, but at least by postponed. Finish makes the next delivery of the subject due when one is delivered
//     or dead. If that does not happen, because the first one was pruned, a claim looks again then.
//   - A transaction that changes deliveries of a webhook first locks the webhook's row, then its lease if it needs
//     that, and then deliveries. Inserting deliveries takes no lock: they are the last of their subject.
//   - A claim serves all accounts, so it never waits until another transaction has changed deliveries of a webhook, as
//     replays do. It waits only for leases, which are locked for a short time. What it changes itself, it does without
//     waiting: it skips what is locked, which the next claim comes across again.
//   - Claims find the webhooks with pending deliveries by jumping from webhook to webhook in deliveries_due, which is
//     one look-up for each with any number of deliveries.
//   - A transaction that ends pending deliveries of a webhook together raises its edition, so that those which a server
//     claimed before do not begin.
//   - A transaction that read the types of a webhook before they were changed can record a delivery after the change
//     has ended those of other types. So a claim ends what the webhook's types do not select.
//   - A claim or an outcome that a crash of the database loses is made again: the delivery is attempted once more. So
//     these transactions do not wait until they are durable.
type queue struct{ *DB }

var _ deliver.Queue = queue{}

// Queue returns the queue of pending deliveries.
func (db *DB) Queue() deliver.Queue { return queue{db} }

// queueEngine is the part of an engine that claims and finishes deliveries.
type queueEngine interface {
	// claimDeliveries takes the leases of webhooks and reads their due deliveries, with one transaction.
	claimDeliveries(ctx context.Context, c claim) ([]leasedWebhook, []candidate, error)
	// finishDeliveries records the outcomes, which are in the order in which the attempts ended, releases leases, and
	// returns whether each outcome was recorded.
	finishDeliveries(ctx context.Context, done []deliver.Finished, release []deliver.Lease) ([]bool, error)
	// readQueue is query for a statement that reads deliveries.
	readQueue(ctx context.Context, sql string, args []any, row func(scan) error) error
}

// extendBefore is how long before its end Recheck extends a lease. An attempt can begin with less.
const extendBefore = deliver.Timeout + 10*time.Second

// queueing is the actor of the queue.
var queueing = auth.NoActor("the server delivers events")

// Release ends leases that were not claimed again.
func (q queue) Release(ctx context.Context, leases []deliver.Lease) error {
	err := q.write(ctx, queueing, held{}, func(tx *gorm.DB) error {
		to := q.engine.dialect()
		for _, l := range inOrder(leases) {
			_, err := tx.Statement.ConnPool.ExecContext(ctx, releaseLease[to.name], to.id(l.WebhookID), to.id(l.Token),
				l.Claims)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return failed(ctx, "release webhooks", err)
}

// inOrder returns leases in the order in which all transactions lock them.
func inOrder(leases []deliver.Lease) []deliver.Lease {
	return slices.SortedFunc(slices.Values(leases), func(a, b deliver.Lease) int {
		return bytes.Compare(a.WebhookID[:], b.WebhookID[:])
	})
}

// delayOf returns how long after the attempt the delivery is due again, which does not depend on the database's clock.
func delayOf(o deliver.Outcome) time.Duration {
	if o.State != webhook.Pending {
		return 0
	}
	return max(0, o.NextAt.Sub(o.Attempt.At.Add(o.Attempt.Duration)))
}

// Recheck returns the job with its webhook and lease in their present state, and whether its attempt may begin.
func (q queue) Recheck(ctx context.Context, j deliver.Job) (deliver.Job, bool, error) {
	to, begun := q.engine.dialect(), time.Now()
	until := j.Lease.Until
	if until.Sub(begun) < extendBefore {
		until = begun.Add(deliver.LeaseTime)
		err := q.write(ctx, queueing, held{tokensOf: j.Webhook.AccountID}, func(tx *gorm.DB) error {
			return tx.Exec(`UPDATE webhook_leases SET until_at = `+to.after(deliver.LeaseTime)+
				` WHERE webhook_id = ? AND token = ?`, j.Lease.WebhookID, j.Lease.Token).Error
		})
		if err != nil {
			return j, false, failed(ctx, "extend a lease", err)
		}
	}
	var row webhookRow
	err := q.engine.readQueue(ctx, checkedLease[to.name], []any{to.id(j.Lease.WebhookID), to.id(j.Lease.Token)},
		func(scan scan) error { return scan(webhookColumns.scanInto(&row)...) })
	if err != nil || row.Edition != j.Lease.Edition {
		return j, false, failed(ctx, "check a lease", err)
	}
	j.Webhook, j.Lease.Until, j.Lease.Checked = row.webhook(), until, begun
	return j, row.ID != uuid.Nil && j.Webhook.Selects(j.Event.Action), nil
}

// NextDue returns when the next delivery is due, or when the lease of its webhook ends, if that is later.
func (q queue) NextDue(ctx context.Context) (time.Time, error) {
	var seconds *float64
	err := q.engine.readQueue(ctx, nextDue[q.engine.dialect().name], nil,
		func(scan scan) error { return scan(&seconds) })
	if err != nil || seconds == nil {
		return time.Time{}, failed(ctx, "find the next delivery", err)
	}
	return time.Now().Add(time.Duration(*seconds * float64(time.Second))), nil
}

// Any reports whether there is a webhook.
func (q queue) Any(ctx context.Context) (bool, error) {
	any := false
	err := q.engine.lookUp(ctx, `SELECT 1 FROM webhooks LIMIT 1`, nil, func(scan scan) error {
		any = true
		return scan(new(int64))
	})
	return any, failed(ctx, "look for a webhook", err)
}

// Stats returns the figures for metrics.
func (q queue) Stats(ctx context.Context) (deliver.Stats, error) {
	stats := deliver.Stats{Webhooks: map[webhook.State]int64{}}
	err := q.engine.query(ctx, `SELECT state, count(*) FROM webhooks GROUP BY state`, nil, func(scan scan) error {
		var state string
		var n int64
		err := scan(&state, &n)
		stats.Webhooks[webhook.State(state)] = n
		return err
	})
	if err != nil {
		return deliver.Stats{}, failed(ctx, "count webhooks", err)
	}
	const oldest = `SELECT d.created_at FROM deliveries AS d JOIN webhooks AS w ON w.id = d.webhook_id
		WHERE d.state = 'PENDING' AND w.state = 'ENABLED' ORDER BY d.created_at LIMIT 1`
	var at instant
	err = q.engine.readQueue(ctx, oldest, nil, func(scan scan) error { return scan(&at) })
	stats.OldestDue = at.Time
	return stats, failed(ctx, "find the oldest delivery", err)
}
