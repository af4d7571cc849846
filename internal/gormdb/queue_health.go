package gormdb

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/audit"
	"latchkey/internal/fault"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// Finish records outcomes. A webhook whose receiver answered 410 is disabled in a transaction of its own: if it is not,
// since the process ends, the next attempt does it.
func (q queue) Finish(ctx context.Context, done []deliver.Finished, release []deliver.Lease) ([]bool, error) {
	if len(done) == 0 {
		return nil, nil
	}
	order := make([]int, len(done))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(endOf(done[a].Outcome.Attempt), endOf(done[b].Outcome.Attempt))
	})
	sorted := make([]deliver.Finished, len(done))
	for i, from := range order {
		sorted[i] = done[from]
	}
	inSorted, err := q.engine.finishDeliveries(ctx, sorted, inOrder(release))
	if err != nil {
		return nil, failed(ctx, "finish deliveries", err)
	}
	recorded := make([]bool, len(done))
	for i, to := range order {
		recorded[to] = inSorted[i]
	}
	for i, f := range sorted {
		if !inSorted[i] || !f.Outcome.Gone {
			continue
		}
		exists := func(*webhookRow) bool { return true }
		if _, err := q.disable(ctx, f.Job.Webhook, deliver.GoneReason(f.Job.Webhook), f.Disabled,
			exists); err != nil {
			return recorded, err
		}
	}
	return recorded, nil
}

func endOf(a webhook.Attempt) int64 { return a.At.Add(a.Duration).UnixNano() }

// Failing returns enabled webhooks that have been failing since before the time.
func (q queue) Failing(ctx context.Context, before time.Time) ([]deliver.Failing, error) {
	var rows []webhookRow
	failing := q.engine.reader(ctx).Where("failing_since < ? AND state = ?", instant{before}, webhook.Enabled)
	if err := failing.Order("failing_since").Find(&rows).Error; err != nil {
		return nil, failed(ctx, "list failing webhooks", err)
	}
	list := make([]deliver.Failing, len(rows))
	for i, r := range rows {
		list[i] = deliver.Failing{Webhook: r.webhook(), Reported: r.FailingReported}
	}
	return list, nil
}

// ReportFailing records that a webhook's failure was reported.
func (q queue) ReportFailing(ctx context.Context, w webhook.Webhook, e audit.Event) (bool, error) {
	return q.ifStill(ctx, w, "report a failing webhook", []audit.Event{e}, func(r *webhookRow) bool {
		return !r.FailingReported && stillFails(r, w)
	}, func(tx *gorm.DB, row *webhookRow) error {
		return tx.Model(row).Update("failing_reported", true).Error
	})
}

// Disable disables a webhook that is still failing.
func (q queue) Disable(ctx context.Context, w webhook.Webhook, reason string, e audit.Event) (bool, error) {
	return q.disable(ctx, w, reason, e, func(r *webhookRow) bool { return stillFails(r, w) })
}

func stillFails(r *webhookRow, w webhook.Webhook) bool {
	return !r.FailingSince.IsZero() && r.FailingSince.Equal(w.FailingSince)
}

func (q queue) disable(ctx context.Context, w webhook.Webhook, reason string, e audit.Event,
	still func(*webhookRow) bool) (bool, error) {
	return q.ifStill(ctx, w, "disable a webhook", []audit.Event{e}, func(r *webhookRow) bool {
		return webhook.State(r.State) != webhook.Disabled && still(r)
	}, func(tx *gorm.DB, row *webhookRow) error {
		after := row.webhook()
		after.State, after.StateReason = webhook.Disabled, reason
		return saveWebhook(tx, row, after)
	})
}

// ifStill changes a webhook of any kind and stores the events, if the condition holds for it.
func (q queue) ifStill(ctx context.Context, w webhook.Webhook, what string, events []audit.Event,
	holds func(*webhookRow) bool, change func(*gorm.DB, *webhookRow) error) (changed bool, err error) {
	err = q.write(ctx, queueing, held{tokensOf: w.AccountID}, func(tx *gorm.DB) error {
		changed = false
		row, err := lockedWebhook(tx.Where("account_id = ? AND id = ?", w.AccountID, w.ID))
		if fault.KindOf(err) == fault.NotFound {
			return nil
		}
		if err != nil || !holds(row) {
			return err
		}
		if err := change(tx, row); err != nil {
			return err
		}
		changed = true
		return appendEvents(tx, events...)
	})
	return changed && err == nil, failed(ctx, what, err)
}

// pruneSlice is the maximum number of deliveries or attempts that one transaction of Prune deletes.
const pruneSlice = 250

// Prune deletes old deliveries with their attempts, those of deleted webhooks, and old attempts.
func (q queue) Prune(ctx context.Context, before time.Time, most int) (int64, error) {
	var n int64
	for _, s := range []webhook.DeliveryState{webhook.Delivered, webhook.Dead, webhook.Pending} {
		few, err := q.pruneSlices(ctx, most-int(n), func(tx *gorm.DB) *gorm.DB {
			return tx.Where("state = ? AND created_at < ?", s, instant{before}).Order("created_at")
		})
		if n += few; err != nil {
			return n, failed(ctx, "prune deliveries", err)
		}
	}
	deleted, err := q.deletedWebhooks(ctx)
	if err != nil {
		return n, failed(ctx, "find deliveries of deleted webhooks", err)
	}
	for _, key := range deleted {
		few, err := q.pruneSlices(ctx, most-int(n), func(tx *gorm.DB) *gorm.DB {
			return tx.Where("account_id = ? AND webhook_id = ?", key[0], key[1])
		})
		if n += few; err != nil {
			return n, failed(ctx, "prune deliveries of a deleted webhook", err)
		}
	}
	err = q.write(ctx, queueing, held{}, func(tx *gorm.DB) error {
		return tx.Exec("DELETE FROM webhook_leases WHERE until_at < " + q.engine.dialect().now +
			" AND NOT EXISTS (SELECT 1 FROM webhooks AS w WHERE w.id = webhook_leases.webhook_id)").Error
	})
	if err != nil {
		return n, failed(ctx, "prune leases of deleted webhooks", err)
	}
	attempts, err := q.pruneAttempts(ctx, before, most)
	return n + attempts, failed(ctx, "prune attempts", err)
}

// pruneSlices deletes at most most of the deliveries that which selects.
func (q queue) pruneSlices(ctx context.Context, most int, which func(*gorm.DB) *gorm.DB) (n int64, err error) {
	for int(n) < most {
		size := min(pruneSlice, most-int(n))
		var keys [][]any
		err := q.write(ctx, queueing, held{}, func(tx *gorm.DB) error {
			var rows []deliveryRow
			keys = nil
			old := which(tx).Clauses(clause.Locking{Strength: "UPDATE", Options: "SKIP LOCKED"})
			if err := old.Select("account_id", "webhook_id", "event_id").Limit(size).Find(&rows).Error; err != nil {
				return err
			}
			if len(rows) == 0 {
				return nil
			}
			for _, r := range rows {
				keys = append(keys, []any{r.AccountID, r.WebhookID, r.EventID})
			}
			const these = "(account_id, webhook_id, event_id) IN ?"
			if err := tx.Where(these, keys).Delete(&attemptRow{}).Error; err != nil {
				return err
			}
			return tx.Where(these, keys).Delete(&deliveryRow{}).Error
		})
		if n += int64(len(keys)); err != nil || len(keys) < size {
			return n, err
		}
	}
	return n, nil
}

// deletedWebhooks returns the accounts and IDs of webhooks that were deleted and have deliveries. It jumps from
// account to account and from webhook to webhook in the primary key.
func (q queue) deletedWebhooks(ctx context.Context) (keys [][2]uuid.UUID, err error) {
	const statement = `WITH RECURSIVE account (id) AS (
			SELECT (SELECT account_id FROM deliveries ORDER BY account_id LIMIT 1)
			UNION ALL
			SELECT (SELECT d.account_id FROM deliveries AS d WHERE d.account_id > account.id ORDER BY d.account_id LIMIT 1)
			FROM account WHERE account.id IS NOT NULL
		), hook (account_id, id) AS (
			SELECT account.id, (SELECT d.webhook_id FROM deliveries AS d WHERE d.account_id = account.id ORDER BY d.webhook_id LIMIT 1)
			FROM account WHERE account.id IS NOT NULL
			UNION ALL
			SELECT hook.account_id, (SELECT d.webhook_id FROM deliveries AS d WHERE d.account_id = hook.account_id AND d.webhook_id > hook.id
				ORDER BY d.webhook_id LIMIT 1)
			FROM hook WHERE hook.id IS NOT NULL
		)
		SELECT hook.account_id, hook.id FROM hook WHERE hook.id IS NOT NULL
			AND NOT EXISTS (SELECT 1 FROM webhooks AS w WHERE w.account_id = hook.account_id AND w.id = hook.id)`
	err = q.engine.readQueue(ctx, statement, nil, func(scan scan) error {
		var account, hook key
		err := scan(&account, &hook)
		keys = append(keys, [2]uuid.UUID{uuid.UUID(account), uuid.UUID(hook)})
		return err
	})
	return keys, err
}

// pruneAttempts deletes old attempts of deliveries that were scheduled again since.
func (q queue) pruneAttempts(ctx context.Context, before time.Time, most int) (n int64, err error) {
	for int(n) < most {
		size := min(pruneSlice, most-int(n))
		var few int64
		err := q.write(ctx, queueing, held{}, func(tx *gorm.DB) error {
			var rows []attemptRow
			old := tx.Where("at < ?", instant{before}).Order("at").Limit(size)
			if err := old.Select("account_id", "webhook_id", "event_id", "number").Find(&rows).Error; err != nil {
				return err
			}
			keys := make([][]any, len(rows))
			for i, r := range rows {
				keys[i] = []any{r.AccountID, r.WebhookID, r.EventID, r.Number}
			}
			if few = int64(len(rows)); few == 0 {
				return nil
			}
			return tx.Where("(account_id, webhook_id, event_id, number) IN ?", keys).Delete(&attemptRow{}).Error
		})
		if n += few; err != nil || few < int64(size) {
			return n, err
		}
	}
	return n, nil
}
