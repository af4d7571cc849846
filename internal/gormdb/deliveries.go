package gormdb

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/paging"
	"latchkey/internal/webhook"
)

// deliveriesOf is a query for the deliveries of the account's webhooks that f selects: deliveries AS d joined with
// audit_events AS e. Deliveries of a deleted webhook, which wait to be pruned, are left out.
func deliveriesOf(q *gorm.DB, accountID uuid.UUID, webhookIDs []uuid.UUID, f webhook.DeliveryFilter) *gorm.DB {
	existing := managed(q.Session(&gorm.Session{NewDB: true}), accountID).Select("id").Where("id IN ?", webhookIDs)
	q = q.Table("deliveries AS d").Where("d.account_id = ? AND d.webhook_id IN (?)", accountID, existing).
		Joins("JOIN audit_events AS e ON e.account_id = d.account_id AND e.id = d.event_id")
	if len(f.States) > 0 {
		q = q.Where("d.state IN ?", f.States)
	}
	if len(f.Types) > 0 {
		q = q.Where("e.action IN ?", actionsOf(f.Types))
	}
	if f.EventID != nil {
		q = q.Where("d.event_id = ?", *f.EventID)
	}
	if !f.After.IsZero() {
		q = q.Where("e.at > ?", instant{f.After})
	}
	if !f.Before.IsZero() {
		q = q.Where("e.at < ?", instant{f.Before})
	}
	return q
}

// actionsOf returns the actions of the types that patterns select. It is not empty, since SQL does not have IN ().
func actionsOf(patterns []string) []audit.Action {
	actions := []audit.Action{""}
	for _, t := range audit.TypesOf(patterns) {
		actions = append(actions, audit.ActionsOf(t)...)
	}
	return actions
}

// Deliveries returns a page of each webhook's deliveries, with one statement for all, one for their attempts if they
// are wanted, and one for what pending ones wait for.
func (w webhooks) Deliveries(ctx context.Context, accountID uuid.UUID, webhookIDs []uuid.UUID, f webhook.DeliveryFilter,
	win paging.Window, withAttempts bool) (map[uuid.UUID]paging.Page[webhook.Delivery], error) {
	var rows []listedDelivery
	list := deliveriesOf(w.engine.reader(ctx), accountID, webhookIDs, f)
	var err error
	if len(webhookIDs) == 1 { // the window function would read all of its deliveries
		err = window(list.Select(listedDeliveryColumns), "d.event_id", win).Scan(&rows).Error
	} else {
		err = windowOfEach(list, listedDeliveryColumns, "d.webhook_id", "d.event_id", win).Scan(&rows).Error
	}
	if err != nil {
		return nil, failed(ctx, "list deliveries", err)
	}
	var attempts map[[2]uuid.UUID][]webhook.Attempt
	if withAttempts {
		if attempts, err = w.attempts(ctx, accountID, rows); err != nil {
			return nil, failed(ctx, "list attempts", err)
		}
	}
	behind, err := w.behind(ctx, accountID, rows)
	if err != nil {
		return nil, failed(ctx, "list waiting deliveries", err)
	}
	return pageOfEach(win, webhookIDs, rows, func(r listedDelivery) (uuid.UUID, paging.Item[webhook.Delivery], error) {
		d, err := r.delivery()
		d.Attempts = attempts[[2]uuid.UUID{r.WebhookID, r.Event.ID}]
		if behind[[2]uuid.UUID{r.WebhookID, r.Event.ID}] {
			d.NextAttemptAt = time.Time{}
		}
		return r.WebhookID, paging.Item[webhook.Delivery]{Node: d, Key: r.Event.ID}, err
	})
}

// attempts returns the attempts of deliveries by webhook and event.
func (w webhooks) attempts(ctx context.Context, accountID uuid.UUID,
	of []listedDelivery) (map[[2]uuid.UUID][]webhook.Attempt, error) {
	if len(of) == 0 {
		return nil, nil //nolint:nilnil // the attempts of no delivery
	}
	keys := make([][]any, len(of))
	for i, d := range of {
		keys[i] = []any{d.WebhookID, d.Event.ID}
	}
	var rows []attemptRow
	q := w.engine.reader(ctx).Where("account_id = ? AND (webhook_id, event_id) IN ?", accountID, keys)
	// Deliveries from before the number was limited have more until their next attempt.
	q = q.Where(`number > (SELECT d.numbered FROM deliveries AS d WHERE d.account_id = attempts.account_id
		AND d.webhook_id = attempts.webhook_id AND d.event_id = attempts.event_id) - ?`, webhook.MaxAttempts)
	if err := q.Order("number").Find(&rows).Error; err != nil {
		return nil, err
	}
	found := make(map[[2]uuid.UUID][]webhook.Attempt, len(of))
	for _, r := range rows {
		key := [2]uuid.UUID{r.WebhookID, r.EventID}
		found[key] = append(found[key], r.attempt())
	}
	return found, nil
}

// behind returns the pending deliveries, by webhook and event, that wait for an earlier one of their subject. Their
// next_at is not the time of an attempt (queue).
func (w webhooks) behind(ctx context.Context, accountID uuid.UUID,
	of []listedDelivery) (map[[2]uuid.UUID]bool, error) {
	var keys [][]any
	for _, d := range of {
		if d.State == string(webhook.Pending) {
			keys = append(keys, []any{d.WebhookID, d.Event.ID})
		}
	}
	if len(keys) == 0 {
		return nil, nil //nolint:nilnil // no delivery waits
	}
	var rows []struct{ WebhookID, EventID uuid.UUID }
	q := w.engine.reader(ctx).Table("deliveries AS d").Select("d.webhook_id, d.event_id").
		Where("d.account_id = ? AND (d.webhook_id, d.event_id) IN ?", accountID, keys).
		Where(`EXISTS (SELECT 1 FROM deliveries AS b WHERE b.state = 'PENDING' AND b.webhook_id = d.webhook_id
			AND b.subject = d.subject AND (b.sequence, b.event_id) < (d.sequence, d.event_id))`)
	if err := q.Scan(&rows).Error; err != nil {
		return nil, err
	}
	found := make(map[[2]uuid.UUID]bool, len(rows))
	for _, r := range rows {
		found[[2]uuid.UUID{r.WebhookID, r.EventID}] = true
	}
	return found, nil
}

// CountDeliveries counts the deliveries of each webhook.
func (w webhooks) CountDeliveries(ctx context.Context, accountID uuid.UUID, webhookIDs []uuid.UUID,
	f webhook.DeliveryFilter) (map[uuid.UUID]int64, error) {
	counts, err := countOfEach(deliveriesOf(w.engine.reader(ctx), accountID, webhookIDs, f), "d.webhook_id")
	return counts, failed(ctx, "count deliveries", err)
}

// CountStates counts a webhook's deliveries by state with one statement.
func (w webhooks) CountStates(ctx context.Context, accountID, webhookID uuid.UUID,
	f webhook.DeliveryFilter) (map[webhook.DeliveryState]int64, error) {
	var rows []struct {
		State webhook.DeliveryState
		Items int64
	}
	q := deliveriesOf(w.engine.reader(ctx), accountID, []uuid.UUID{webhookID}, f)
	if err := q.Select("d.state, count(*) AS items").Group("d.state").Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "count deliveries by state", err)
	}
	counts := make(map[webhook.DeliveryState]int64, len(rows))
	for _, r := range rows {
		counts[r.State] = r.Items
	}
	return counts, nil
}

// History counts attempts by hour.
func (w webhooks) History(ctx context.Context, accountID, webhookID uuid.UUID, since,
	until time.Time) ([]webhook.HourCount, error) {
	since = since.UTC().Truncate(time.Hour)
	var rows []struct{ Hour, Delivered, Failed int64 }
	hour := w.engine.dialect().hour("at")
	q := w.engine.reader(ctx).Model(&attemptRow{}).Where("account_id = ? AND webhook_id = ? AND at >= ? AND at < ?",
		accountID, webhookID, instant{since}, instant{until})
	q = q.Select(hour + " AS hour, count(CASE WHEN error = '' THEN 1 END) AS delivered, " +
		"count(CASE WHEN error <> '' THEN 1 END) AS failed")
	if err := q.Group(hour).Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "count attempts", err)
	}
	counted := make(map[int64]webhook.HourCount, len(rows))
	for _, r := range rows {
		counted[r.Hour] = webhook.HourCount{Delivered: r.Delivered, Failed: r.Failed}
	}
	var all []webhook.HourCount
	for at := since; at.Before(until); at = at.Add(time.Hour) {
		count := counted[at.Unix()/int64(time.Hour/time.Second)]
		count.Hour = at
		all = append(all, count)
	}
	return all, nil
}

// Test stores an event and its only delivery.
func (w webhooks) Test(ctx context.Context, by auth.Actor, accountID, id uuid.UUID, e audit.Event) error {
	err := w.write(ctx, by, held{tokensOf: accountID}, func(tx *gorm.DB) error {
		if _, err := lockedWebhook(managed(tx, accountID).Where("id = ?", id)); err != nil {
			return err
		}
		if err := appendEvents(tx, e); err != nil {
			return err
		}
		_, err := w.schedule(tx, accountID, id, []uuid.UUID{e.ID})
		return err
	})
	return failed(ctx, "store a test event", err)
}

// Replay schedules deliveries again, at most scheduleSlice in one transaction.
func (w webhooks) Replay(ctx context.Context, by auth.Actor, r webhook.Replay,
	event func(scheduled int) audit.Event) (scheduled int, err error) {
	named := len(r.EventIDs) > 0
	ids := unique(r.EventIDs)
	if !named {
		var end func()
		if end, err = w.beginReplay(ctx, by, r.AccountID); err != nil {
			return 0, err
		}
		defer end()
		if ids, err = w.replayable(ctx, r); err != nil {
			return 0, failed(ctx, "select what to replay", err)
		}
	}
	ids = ids[:min(len(ids), r.Limit)]
	if len(ids) == 0 {
		return 0, failed(ctx, "replay deliveries", judge(ctx, w.engine, by))
	}
	recorded := false
	for len(ids) > 0 {
		few := ids[:min(len(ids), scheduleSlice)]
		ids = ids[len(few):]
		var n int
		err = auth.BoundWrite(ctx, func(ctx context.Context) error {
			n, err = w.replaySlice(ctx, by, r, few, func(n int) []audit.Event {
				if recorded {
					return nil
				}
				return []audit.Event{event(n + len(ids))}
			})
			return failed(ctx, "replay deliveries", err)
		})
		if err != nil {
			return scheduled, err
		}
		scheduled += n
		recorded = recorded || n > 0
	}
	return scheduled, nil
}

// replayLease is how long an account's replay of a time range keeps other ones away if its server crashes. It is more
// than the slices of a replay can take.
const replayLease = 2 * time.Minute

// beginReplay begins the only replay of a time range of the account, on any server. It returns webhook.ErrReplaying if
// there is one already.
func (w webhooks) beginReplay(ctx context.Context, by auth.Actor, accountID uuid.UUID) (end func(), err error) {
	holder := uuid.New()
	take := takeLease("replay_leases", "account_id", w.engine.dialect())
	err = auth.BoundWrite(ctx, func(ctx context.Context) error {
		err := w.write(ctx, by, held{}, func(tx *gorm.DB) error {
			taken := tx.Exec(take, accountID, holder, replayLease.Microseconds())
			if taken.Error == nil && taken.RowsAffected == 0 {
				return webhook.ErrReplaying()
			}
			return taken.Error
		})
		return failed(ctx, "begin a replay", err)
	})
	return func() {
		// The request may have ended meanwhile. A lease that stays ends by itself.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auth.WriteTimeout)
		defer cancel()
		_ = w.write(ctx, queueing, held{}, func(tx *gorm.DB) error {
			return tx.Exec("DELETE FROM replay_leases WHERE account_id = ? AND holder = ?", accountID, holder).Error
		})
	}, err
}

// replayable returns the events of a time range that r selects, newest first. It locks nothing.
func (w webhooks) replayable(ctx context.Context, r webhook.Replay) (ids []uuid.UUID, err error) {
	q := w.engine.reader(ctx)
	row, err := one[webhookRow](managed(q, r.AccountID).Where("id = ?", r.WebhookID), webhook.ErrNoWebhook())
	if err != nil {
		return nil, err
	}
	q = replayed(q, row.webhook(), r)
	if !r.Since.IsZero() {
		q = q.Where("e.at >= ?", instant{r.Since})
	}
	if !r.Until.IsZero() {
		q = q.Where("e.at < ?", instant{r.Until})
	}
	return ids, q.Order("e.at DESC, e.id DESC").Limit(r.Limit).Pluck("e.id", &ids).Error
}

// replaySlice schedules those of the events that r selects, with the audit events that events returns if there are any.
func (w webhooks) replaySlice(ctx context.Context, by auth.Actor, r webhook.Replay, of []uuid.UUID,
	events func(n int) []audit.Event) (n int, err error) {
	err = w.write(ctx, by, held{tokensOf: r.AccountID}, func(tx *gorm.DB) error {
		n = 0
		row, err := lockedWebhook(managed(tx, r.AccountID).Where("id = ?", r.WebhookID))
		if err != nil {
			return err
		}
		if webhook.State(row.State) == webhook.Disabled {
			return webhook.ErrDisabled()
		}
		var ids []uuid.UUID
		if err := replayed(tx, row.webhook(), r).Where("e.id IN ?", of).Order("e.id DESC").
			Pluck("e.id", &ids).Error; err != nil {
			return err
		}
		if len(r.EventIDs) > 0 && len(ids) < len(of) {
			return webhook.ErrNoEvent()
		}
		if n, err = w.schedule(tx, r.AccountID, r.WebhookID, ids); err != nil || n == 0 {
			return err
		}
		return appendEvents(tx, events(n)...)
	})
	return n, err
}

// replayed is a query for the events that r selects at any time and with any ID: audit_events AS e joined with
// deliveries AS d.
func replayed(q *gorm.DB, hook webhook.Webhook, r webhook.Replay) *gorm.DB {
	q = q.Table("audit_events AS e").Where("e.account_id = ?", r.AccountID).
		Joins("LEFT JOIN deliveries AS d ON d.account_id = e.account_id AND d.webhook_id = ? AND d.event_id = e.id",
			r.WebhookID)
	// Tests are for one webhook of any types.
	q = q.Where("(e.action IN ? AND e.action <> ? OR e.action = ? AND d.event_id IS NOT NULL)", actionsOf(hook.Types),
		audit.WebhookTest, audit.WebhookTest)
	if r.Readable != nil {
		readable := make([]string, len(r.Readable))
		for i, t := range r.Readable {
			readable[i] = string(t)
		}
		q = q.Where("e.action IN ?", actionsOf(readable))
	}
	if len(r.States) > 0 {
		q = q.Where("d.state IN ?", r.States)
	}
	return q
}

func unique(ids []uuid.UUID) []uuid.UUID {
	seen := make(map[uuid.UUID]bool, len(ids))
	var list []uuid.UUID
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			list = append(list, id)
		}
	}
	return list
}

// scheduleSlice is the maximum number of deliveries that one transaction schedules, so that it is short: meanwhile no
// outcome of the webhook is recorded, and on SQLite no other transaction writes.
const scheduleSlice = 100

// ofTest makes each test of a webhook a subject of its own: it does not wait for earlier tests that failed.
const ofTest = `CASE WHEN e.action = '` + string(audit.WebhookTest) + `' AND e.target_key = CAST(? AS text)
	THEN ':' || CAST(e.id AS text) ELSE '' END`

// schedule makes the events pending deliveries of the webhook, which the transaction has locked, as if they had just
// happened. A delivery that a server holds is not attempted twice at a time: no other one has the webhook's lease.
func (w webhooks) schedule(tx *gorm.DB, accountID, webhookID uuid.UUID, events []uuid.UUID) (n int, err error) {
	now := w.engine.dialect().now
	statement := strings.NewReplacer("NOW", now).Replace(`INSERT INTO deliveries
			(account_id, webhook_id, event_id, subject, sequence, state, attempts, numbered, next_at, created_at)
		SELECT e.account_id, ` + w.engine.dialect().asID("?") + `, e.id, e.target_kind || ':' || e.target_key || ` + ofTest + `, e.sequence, 'PENDING', 0, 0, NOW, NOW
			FROM audit_events AS e WHERE e.account_id = ? AND e.id IN ?
		ON CONFLICT (account_id, webhook_id, event_id) DO UPDATE SET state = 'PENDING', attempts = 0, created_at = NOW, next_at = NOW`)
	if len(events) == 0 {
		return 0, nil
	}
	done := tx.Exec(statement, webhookID, webhookID.String(), accountID, events)
	return int(done.RowsAffected), done.Error
}
