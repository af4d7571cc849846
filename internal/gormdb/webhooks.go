package gormdb

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// webhooks implements webhook.Repository.
type webhooks struct{ *DB }

var _ webhook.Repository = webhooks{}

// Webhooks returns the repository of webhooks.
func (db *DB) Webhooks() webhook.Repository { return webhooks{db} }

// managed is a query for the webhooks that the account manages, which event sources are not.
func managed(q *gorm.DB, accountID uuid.UUID) *gorm.DB {
	return q.Model(&webhookRow{}).Where("account_id = ? AND kind = ?", accountID, webhook.HTTP)
}

// lockedWebhook returns a webhook, locked against other writers. What inserts deliveries does not wait for the lock.
func lockedWebhook(q *gorm.DB) (*webhookRow, error) {
	row, err := one[webhookRow](q.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}), webhook.ErrNoWebhook())
	return &row, err
}

// Insert inserts a webhook within the limit of its account.
func (w webhooks) Insert(ctx context.Context, by auth.Actor, hook webhook.Webhook, most int, e audit.Event) error {
	row := newWebhookRow(hook)
	err := w.write(ctx, by, held{account: hook.AccountID}, func(tx *gorm.DB) error {
		var n int64
		if err := managed(tx, hook.AccountID).Count(&n).Error; err != nil {
			return err
		}
		if n >= int64(most) {
			return fault.Errorf(fault.LimitReached,
				"This account has %d webhooks, the most it may have. Delete one that is not used.", most)
		}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		// The types come last, so that a webhook does not receive the event of its own creation.
		if err := appendEvents(tx, e); err != nil {
			return err
		}
		return saveTypes(tx, hook)
	})
	return failed(ctx, "insert a webhook", err)
}

// saveTypes replaces the types by which events find the webhook. A disabled one has none.
func saveTypes(tx *gorm.DB, hook webhook.Webhook) error {
	old := tx.Where("account_id = ? AND webhook_id = ?", hook.AccountID, hook.ID)
	if err := old.Delete(&webhookTypeRow{}).Error; err != nil {
		return err
	}
	if hook.State == webhook.Disabled || len(hook.Types) == 0 {
		return nil
	}
	rows := make([]webhookTypeRow, len(hook.Types))
	for i, t := range hook.Types {
		rows[i] = webhookTypeRow{AccountID: hook.AccountID, Type: t, WebhookID: hook.ID}
	}
	return tx.Create(&rows).Error
}

// Change changes a webhook.
func (w webhooks) Change(ctx context.Context, by auth.Actor, accountID, id uuid.UUID,
	decide func(webhook.Webhook) (webhook.Webhook, []audit.Event, error)) error {
	settles := false
	err := w.write(ctx, by, held{tokensOf: accountID}, func(tx *gorm.DB) error {
		row, err := lockedWebhook(managed(tx, accountID).Where("id = ?", id))
		if err != nil {
			return err
		}
		before := row.webhook()
		after, events, err := decide(before)
		if err != nil {
			return err
		}
		settles = before.State == webhook.Enabled && sendsOtherwise(before, after)
		if err := saveWebhook(tx, row, after); err != nil {
			return err
		}
		return appendEvents(tx, events...)
	})
	if err == nil && settles {
		w.settle(ctx, id)
	}
	return failed(ctx, "change a webhook", err)
}

// sendsOtherwise reports whether attempts that go by the webhook before a change must not begin after it.
func sendsOtherwise(before, after webhook.Webhook) bool {
	return after.State != webhook.Enabled || after.URL != before.URL || !slices.Equal(after.Types, before.Types) ||
		!reflect.DeepEqual(after.Secret, before.Secret)
}

// saveWebhook stores what after changes of a webhook. A webhook that works again, or is no longer disabled, begins
// with a clean record. Pending deliveries of types that it no longer selects become Dead: who may change it now may not
// be allowed to read them.
func saveWebhook(tx *gorm.DB, row *webhookRow, after webhook.Webhook) error {
	before := row.webhook()
	changed := newWebhookRow(after)
	changed.AccountID, changed.ID = row.AccountID, row.ID
	changed.Failures, changed.FailingReported = row.Failures, row.FailingReported
	enabled := before.State == webhook.Disabled && after.State != webhook.Disabled
	if after.FailingSince.IsZero() || enabled {
		changed.Failures, changed.FailingSince, changed.FailingReported = 0, instant{}, false
	}
	if err := tx.Select(webhookColumns.changeable).Updates(&changed).Error; err != nil {
		return err
	}
	after.AccountID, after.ID = row.AccountID, row.ID
	if err := saveTypes(tx, after); err != nil {
		return err
	}
	switch {
	case before.State != webhook.Disabled && after.State == webhook.Disabled:
		return endDeliveries(tx, row.ID)
	case !slices.Equal(before.Types, after.Types):
		return endUnselected(tx, after)
	}
	return nil
}

// endUnselected makes the pending deliveries of events that a webhook's types do not select Dead, and those that wait
// behind them due. Tests are for one webhook of any types. The transaction has locked the webhook.
func endUnselected(tx *gorm.DB, hook webhook.Webhook) error {
	if err := takeOrder(tx, hook); err != nil {
		return err
	}
	const other = `NOT EXISTS (SELECT 1 FROM audit_events AS e WHERE e.account_id = deliveries.account_id
		AND e.id = deliveries.event_id AND e.action IN ?)`
	if err := endDeliveries(tx.Where(other, append(actionsOf(hook.Types), audit.WebhookTest)), hook.ID); err != nil {
		return err
	}
	// A delivery without an attempt is due later only if it waits behind another one.
	now := instant{time.Now()}
	return tx.Model(&deliveryRow{}).Where("webhook_id = ? AND state = 'PENDING' AND attempts = 0 AND next_at > ?",
		hook.ID, now).Update("next_at", now).Error
}

// endDeliveries makes the pending deliveries of a webhook that q selects Dead. Those that a server has claimed do not
// begin, but the outcomes of attempts in flight are recorded.
func endDeliveries(q *gorm.DB, webhookID uuid.UUID) error {
	tx := q.Session(&gorm.Session{NewDB: true})
	ended := q.Model(&deliveryRow{}).Where("webhook_id = ? AND state = 'PENDING'", webhookID).
		Update("state", webhook.Dead)
	if ended.Error != nil || ended.RowsAffected == 0 {
		return ended.Error
	}
	return tx.Exec("UPDATE webhooks SET edition = edition + 1 WHERE id = ?", webhookID).Error
}

// Delete deletes a webhook. Its deliveries are pruned later: there can be many.
func (w webhooks) Delete(ctx context.Context, by auth.Actor, accountID, id uuid.UUID,
	event func(webhook.Webhook) audit.Event) error {
	err := w.write(ctx, by, held{tokensOf: accountID}, func(tx *gorm.DB) error {
		row, err := lockedWebhook(managed(tx, accountID).Where("id = ?", id))
		if err != nil {
			return err
		}
		// The types are deleted with the webhook.
		if err := tx.Where("account_id = ? AND id = ?", accountID, id).Delete(&webhookRow{}).Error; err != nil {
			return err
		}
		return appendEvents(tx, event(row.webhook()))
	})
	if err == nil {
		w.settle(ctx, id)
	}
	return failed(ctx, "delete a webhook", err)
}

const (
	// settleTime bounds the wait for attempts in flight, and settlePoll is the pause between looks at them.
	settleTime = 2 * time.Second
	settlePoll = 20 * time.Millisecond
)

// settle waits after a change that stops the attempts to a webhook. Attempts whose claim or check was before the change
// begin within deliver.Fresh or not at all. settle also waits until the lease is released, which happens when those
// that have begun are finished, but not for longer than settleTime or ctx. The change is committed, so errors do not
// matter.
func (w webhooks) settle(ctx context.Context, id uuid.UUID) {
	begun := time.Now()
	time.Sleep(deliver.Fresh + deliver.Fresh/2)
	inFlight := `SELECT count(*) FROM webhook_leases WHERE webhook_id = $1 AND until_at > ` + w.engine.dialect().now
	for time.Since(begun) < settleTime && ctx.Err() == nil {
		var n int64
		err := w.engine.query(ctx, inFlight, []any{w.engine.dialect().id(id)}, func(scan scan) error {
			return scan(&n)
		})
		if err != nil || n == 0 {
			return
		}
		time.Sleep(settlePoll)
	}
}

// Webhook returns a webhook.
func (w webhooks) Webhook(ctx context.Context, accountID, id uuid.UUID) (webhook.Webhook, error) {
	row, err := one[webhookRow](managed(w.engine.reader(ctx), accountID).Where("id = ?", id), webhook.ErrNoWebhook())
	if err != nil {
		return webhook.Webhook{}, failed(ctx, "read a webhook", err)
	}
	return row.webhook(), nil
}

// WebhooksByID returns webhooks by their IDs.
func (w webhooks) WebhooksByID(ctx context.Context, accountID uuid.UUID,
	ids []uuid.UUID) (map[uuid.UUID]webhook.Webhook, error) {
	var rows []webhookRow
	if err := managed(w.engine.reader(ctx), accountID).Where("id IN ?", ids).Find(&rows).Error; err != nil {
		return nil, failed(ctx, "read webhooks", err)
	}
	found := make(map[uuid.UUID]webhook.Webhook, len(rows))
	for _, r := range rows {
		found[r.ID] = r.webhook()
	}
	return found, nil
}

// Webhooks returns a page of the account's webhooks.
func (w webhooks) Webhooks(ctx context.Context, accountID uuid.UUID, win paging.Window) (paging.Page[webhook.Webhook],
	error) {
	var rows []webhookRow
	if err := window(managed(w.engine.reader(ctx), accountID), "id", win).Find(&rows).Error; err != nil {
		return paging.Page[webhook.Webhook]{}, failed(ctx, "list webhooks", err)
	}
	return pageOf(win, rows, func(r webhookRow) (paging.Item[webhook.Webhook], error) {
		return paging.Item[webhook.Webhook]{Node: r.webhook(), Key: r.ID}, nil
	})
}

// CountWebhooks counts the account's webhooks.
func (w webhooks) CountWebhooks(ctx context.Context, accountID uuid.UUID) (int64, error) {
	var n int64
	err := managed(w.engine.reader(ctx), accountID).Count(&n).Error
	return n, failed(ctx, "count webhooks", err)
}
