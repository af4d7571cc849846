package gormdb

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/chain"
	"latchkey/internal/secret"
)

// WithOld finds the accounts by the first link of each chain.
func (c auditChain) WithOld(ctx context.Context, before time.Time, after uuid.UUID, limit int) (ids []uuid.UUID,
	err error) {
	const statement = `SELECT h.account_id FROM audit_heads AS h WHERE h.account_id > ? AND (SELECT e.at
			FROM audit_chain AS c JOIN audit_events AS e ON e.account_id = c.account_id AND e.id = c.event_id
			WHERE c.account_id = h.account_id ORDER BY c.number LIMIT 1) < ?
		ORDER BY h.account_id LIMIT ?`
	err = c.engine.reader(ctx).Raw(statement, after, instant{before}, limit).Scan(&ids).Error
	return ids, failed(ctx, "find accounts with old audit events", err)
}

// streamAway is how long after its last lease a stream counts as removed from the settings, so that its place no longer
// keeps events.
const streamAway = 7 * 24 * time.Hour

// Prune locks the webhooks first, as a replay does, so that no event is removed that is being scheduled.
func (c auditChain) Prune(ctx context.Context, keys *secret.Keyring, accountID uuid.UUID, through int64,
	at time.Time) (removed int64, err error) {
	err = auth.BoundWrite(ctx, func(ctx context.Context) error {
		return c.write(ctx, sealing, held{tokensOf: accountID}, func(tx *gorm.DB) error {
			removed = 0
			if err := lockWebhooks(tx, accountID); err != nil {
				return err
			}
			last, err := c.removable(tx, keys, accountID, through, at)
			if err != nil || last.Number == 0 {
				return err
			}
			if err := keepRemoved(tx, accountID, last.Number); err != nil {
				return err
			}
			removed, err = removeEvents(tx, keys, last, at)
			return err
		})
	})
	if err != nil {
		removed = 0
	}
	return removed, failed(ctx, "prune an audit chain", err)
}

func lockWebhooks(tx *gorm.DB, accountID uuid.UUID) error {
	var ids []uuid.UUID
	q := tx.Model(&webhookRow{}).Clauses(clause.Locking{Strength: "NO KEY UPDATE"})
	return q.Where("account_id = ?", accountID).Order("id").Pluck("id", &ids).Error
}

const (
	// deliveringHooks finds the webhooks for which the account has deliveries, also deleted ones. It jumps from webhook
	// to webhook in the primary key of deliveries.
	deliveringHooks = `WITH RECURSIVE hook (id) AS (
			SELECT (SELECT webhook_id FROM deliveries WHERE account_id = @account ORDER BY webhook_id LIMIT 1)
			UNION ALL
			SELECT (SELECT d.webhook_id FROM deliveries AS d WHERE d.account_id = @account AND d.webhook_id > hook.id
				ORDER BY d.webhook_id LIMIT 1)
			FROM hook WHERE hook.id IS NOT NULL
		)
		SELECT id FROM hook WHERE id IS NOT NULL`
	// lastStreamed finds the last of an account's links up to a number whose event has arrived at all streams.
	lastStreamed = `SELECT coalesce(max(c.number), 0) FROM audit_chain AS c
		WHERE c.account_id = @account AND c.number <= @through
			AND NOT EXISTS (SELECT 1 FROM audit_streams AS s WHERE s.until_at > @away AND s.place < c.place)`
)

// removable returns the last link up to through that can be removed with all before it, or a zero one if none can. The
// last link of the chain stays, and so do events with deliveries and those that a stream has not sent.
func (c auditChain) removable(tx *gorm.DB, keys *secret.Keyring, accountID uuid.UUID, through int64, at time.Time) (
	last linkedRow, err error) {
	var head headRow
	locked := tx
	if c.Dialect() == postgresDialect.name {
		locked = tx.Clauses(clause.Locking{Strength: "UPDATE"})
	}
	err = locked.Where("account_id = ?", accountID).Take(&head).Error
	if errors.Is(err, gorm.ErrRecordNotFound) || err == nil && !head.head().Signed(keys) {
		return last, chain.ErrBroken()
	}
	through = min(through, head.Number-1)
	args := map[string]any{"account": accountID, "through": through, "away": instant{at.Add(-streamAway)}}
	if err == nil {
		err = tx.Raw(lastStreamed, args).Scan(&through).Error
	}
	var links []linkedRow
	if err == nil {
		err = tx.Where("account_id = ? AND number <= ?", accountID, through).Order("number").Find(&links).Error
	}
	if err == nil {
		links, err = c.withoutDeliveries(tx, accountID, links)
	}
	if err != nil || len(links) == 0 {
		return linkedRow{}, err
	}
	return links[len(links)-1], nil
}

// withoutDeliveries returns the links before the first whose event has a delivery.
func (c auditChain) withoutDeliveries(tx *gorm.DB, accountID uuid.UUID, links []linkedRow) ([]linkedRow, error) {
	var hooks []uuid.UUID
	if err := tx.Raw(deliveringHooks, map[string]any{"account": accountID}).Scan(&hooks).Error; err != nil {
		return nil, err
	}
	d := c.engine.dialect()
	statement := "SELECT d.event_id FROM " + d.each("deliveries", "d",
		"d.account_id = ? AND d.webhook_id = ? AND d.event_id = "+d.asID("wanted.value"))
	for _, hook := range hooks {
		ids := make([]uuid.UUID, len(links))
		for i, l := range links {
			ids[i] = l.EventID
		}
		var delivered []uuid.UUID
		if err := tx.Raw(statement, idList(ids), accountID, hook).Scan(&delivered).Error; err != nil {
			return nil, err
		}
		first := slices.IndexFunc(links, func(l linkedRow) bool { return slices.Contains(delivered, l.EventID) })
		if first >= 0 {
			links = links[:first]
		}
	}
	return links, nil
}

// removed selects the events that are about to be removed.
const removed = ` FROM audit_chain AS c JOIN audit_events AS e ON e.account_id = c.account_id AND e.id = c.event_id
	WHERE c.account_id = @account AND c.number <= @last`

// keepSubjects keeps the last number of each subject without a later event. An API token that was removed has no
// further events.
func keepSubjects(d dialect) string {
	return `INSERT INTO audit_removed (account_id, target_kind, target_key, sequence, era, position, event_id)
		SELECT e.account_id, e.target_kind, e.target_key, e.sequence, e.era, e.position, e.id` + removed + `
			AND e.sequence > 0 AND NOT EXISTS (SELECT 1 FROM audit_events AS x WHERE x.account_id = e.account_id
				AND x.target_kind = e.target_kind AND x.target_key = e.target_key AND x.sequence > e.sequence)
			AND CASE WHEN e.target_kind = '` + string(audit.TargetAPIToken) + `'
				THEN EXISTS (SELECT 1 FROM api_tokens AS t WHERE t.account_id = e.account_id
					AND t.id = ` + d.asID("e.target_key") + `)
				ELSE true END
		` + keepLater
}

// keepLast keeps the last event of the log.
const keepLast = `INSERT INTO audit_removed (account_id, target_kind, target_key, sequence, era, position, event_id)
	SELECT e.account_id, '', '', e.sequence, e.era, e.position, e.id` + removed + ` AND e.sequence > 0
	ORDER BY e.era DESC, e.position DESC, e.sequence DESC, e.id DESC LIMIT 1
	` + keepLater

const keepLater = `ON CONFLICT (account_id, target_kind, target_key) DO UPDATE SET sequence = excluded.sequence,
	era = excluded.era, position = excluded.position, event_id = excluded.event_id
	WHERE (excluded.era, excluded.position, excluded.sequence, excluded.event_id) >
		(audit_removed.era, audit_removed.position, audit_removed.sequence, audit_removed.event_id)`

// keepRemoved keeps what is needed of the events up to a number: the numbers that later events continue, and the users
// to whom API tokens gave rights.
func keepRemoved(tx *gorm.DB, accountID uuid.UUID, last int64) error {
	args := map[string]any{"account": accountID, "last": last}
	d := sqliteDialect
	if tx.Name() == postgresDialect.name {
		d = postgresDialect
	}
	for _, statement := range []string{keepSubjects(d), keepLast, keepGranted(d)} {
		if err := tx.Exec(statement, args).Error; err != nil {
			return err
		}
	}
	return nil
}

// keepGranted returns the statement that keeps the users to whom API tokens gave rights.
func keepGranted(d dialect) string {
	users := make([]string, len(grantedUsers))
	for i, g := range grantedUsers {
		users[i] = "SELECT e.account_id, e.actor_id, " + d.asID(g.user) + removed + " AND " + g.condition() + `
			AND EXISTS (SELECT 1 FROM api_tokens AS t WHERE t.account_id = e.account_id AND t.id = e.actor_id)`
	}
	return "INSERT INTO granted_users (account_id, token_id, user_id) SELECT * FROM (" +
		strings.Join(users, " UNION ALL ") + ") AS g WHERE true ON CONFLICT DO NOTHING"
}

// removeEvents removes the events up to a link, their links and checkpoints, and signs that they were.
func removeEvents(tx *gorm.DB, keys *secret.Keyring, last linkedRow, at time.Time) (int64, error) {
	checkpoint := chain.Checkpoint{AccountID: last.AccountID, Number: last.Number, Hash: hashOf(last.Hash), At: at,
		Pruned: true}
	checkpoint.Sign(keys)
	const old = "account_id = ? AND number <= ?"
	events := tx.Where("account_id = ? AND id IN (SELECT event_id FROM audit_chain WHERE "+old+")", last.AccountID,
		last.AccountID, last.Number).Delete(&eventRow{})
	if events.Error != nil {
		return 0, events.Error
	}
	for _, model := range []any{&linkedRow{}, &checkpointRow{}} {
		if err := tx.Where(old, last.AccountID, last.Number).Delete(model).Error; err != nil {
			return 0, err
		}
	}
	return events.RowsAffected, tx.Create(new(newCheckpointRow(checkpoint))).Error
}
