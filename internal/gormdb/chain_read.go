package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/chain"
	"latchkey/internal/fault"
)

// oldestPending are expressions for the time of the oldest event that waits to be sealed, of those with an xid on
// PostgreSQL. An xid that the cluster has not reached is that of an event which was sealed in another cluster.
var oldestPending = map[string]string{
	postgresDialect.name: `(SELECT e.at FROM audit_events AS e WHERE e.xid IS NOT NULL AND (e.xid, e.account_id, e.id) >
		(s.xid, CASE WHEN s.swept THEN s.account_id ELSE '` + nilID + `' END, CASE WHEN s.swept THEN s.event_id ELSE '` + nilID + `' END)
			AND e.xid < pg_snapshot_xmax(pg_current_snapshot())
		ORDER BY e.xid, e.account_id, e.id LIMIT 1)`,
	sqliteDialect.name: `(SELECT e.at FROM audit_unsealed AS q JOIN audit_events AS e ON e.account_id = q.account_id
		AND e.id = q.event_id ORDER BY q.number LIMIT 1)`,
}

// State reads everything in one statement, and so in one state of the database.
func (c auditChain) State(ctx context.Context) (chain.State, error) {
	var row struct {
		Sealing sealingRow `gorm:"embedded"`
		Numbers int64
		Pending instant
	}
	err := c.engine.reader(ctx).Raw(`SELECT s.*, (SELECT CAST(coalesce(sum(number), 0) AS bigint) FROM audit_heads) AS numbers,
		` + oldestPending[c.Dialect()] + ` AS pending FROM audit_sealing AS s`).Scan(&row).Error
	return chain.State{Totals: row.Sealing.totals(), Numbers: row.Numbers, Backlog: !row.Sealing.Swept,
		Pending: row.Pending.Time}, failed(ctx, "read the state of audit chains", err)
}

// Pending returns when the oldest event was recorded that waits to be sealed, or a zero time if there is none.
func (c auditChain) Pending(ctx context.Context) (time.Time, error) {
	var at instant
	err := c.engine.reader(ctx).Raw("SELECT " + oldestPending[c.Dialect()] + " FROM audit_sealing AS s").Scan(&at).Error
	return at.Time, failed(ctx, "read the oldest event that is not sealed", err)
}

// Accounts returns the accounts that exist or have a chain.
func (c auditChain) Accounts(ctx context.Context, after uuid.UUID, limit int) (ids []uuid.UUID, err error) {
	err = c.engine.reader(ctx).Raw(`SELECT id FROM (SELECT id FROM accounts WHERE id > ? UNION
		SELECT account_id FROM audit_heads WHERE account_id > ?) AS a ORDER BY id LIMIT ?`, after, after, limit).Scan(&ids).Error
	return ids, failed(ctx, "list accounts with audit chains", err)
}

// Head returns the head of the account's chain.
func (c auditChain) Head(ctx context.Context, accountID uuid.UUID) (chain.Head, error) {
	var rows []headRow
	err := c.engine.reader(ctx).Where("account_id = ?", accountID).Find(&rows).Error
	switch {
	case err != nil:
		return chain.Head{}, failed(ctx, "read the head of an audit chain", err)
	case len(rows) == 0:
		return chain.Head{}, fault.Errorf(fault.NotFound, "This account has no sealed event.")
	}
	return rows[0].head(), nil
}

// storedLink is a link with its event. Gone reports that there is no such event.
type storedLink struct {
	Event   eventRow `gorm:"embedded"`
	Number  int64
	EventID uuid.UUID
	Hash    []byte
	Gone    bool
	Place   int64
}

var storedLinks = `SELECT ` + eventColumns.list() + `, c.number, c.event_id, c.hash, audit_events.id IS NULL AS gone
	FROM audit_chain AS c LEFT JOIN audit_events ON audit_events.account_id = c.account_id AND audit_events.id = c.event_id
	WHERE c.account_id = ? AND c.number > ? ORDER BY c.number LIMIT ?`

// Links returns links with their events.
func (c auditChain) Links(ctx context.Context, accountID uuid.UUID, after int64, limit int) ([]chain.Stored, error) {
	var rows []storedLink
	err := c.engine.reader(ctx).Raw(storedLinks, accountID, after, limit).Scan(&rows).Error
	list := make([]chain.Stored, len(rows))
	for i, r := range rows {
		list[i].Link = chain.Link{Number: r.Number, EventID: r.EventID, Hash: hashOf(r.Hash)}
		if !r.Gone {
			list[i].Event = new(r.Event.record())
		}
	}
	return list, failed(ctx, "read an audit chain", err)
}

var sealedEvents = `SELECT ` + eventColumns.list() + `, c.number, c.event_id, c.hash, c.place FROM audit_chain AS c
	JOIN audit_events ON audit_events.account_id = c.account_id AND audit_events.id = c.event_id WHERE c.place > ?`

// Sealed returns sealed events in the order of their places.
func (c auditChain) Sealed(ctx context.Context, f chain.Filter, after int64, limit int) ([]chain.SealedEvent, error) {
	statement, args := sealedEvents, []any{after}
	if f.AccountID != uuid.Nil {
		statement, args = statement+" AND c.account_id = ?", append(args, f.AccountID)
	}
	if !f.Since.IsZero() {
		statement, args = statement+" AND audit_events.at >= ?", append(args, instant{f.Since})
	}
	var rows []storedLink
	err := c.engine.reader(ctx).Raw(statement+" ORDER BY c.place LIMIT ?", append(args, limit)...).Scan(&rows).Error
	list := make([]chain.SealedEvent, len(rows))
	for i, r := range rows {
		list[i] = chain.SealedEvent{Link: chain.Link{Number: r.Number, EventID: r.EventID, Hash: hashOf(r.Hash)},
			Event: r.Event.record(), Place: r.Place}
	}
	return list, failed(ctx, "read sealed audit events", err)
}

// PlaceBefore finds the events by the index of their times.
func (c auditChain) PlaceBefore(ctx context.Context, since time.Time) (place int64, err error) {
	q := c.engine.reader(ctx)
	err = q.Raw(`SELECT coalesce(min(c.place) - 1, (SELECT events FROM audit_sealing)) FROM audit_events AS e
		JOIN audit_chain AS c ON c.account_id = e.account_id AND c.event_id = e.id WHERE e.at >= ?`, instant{since}).
		Scan(&place).Error
	return place, failed(ctx, "find the first audit event since a time", err)
}

// Checkpoints returns checkpoints of the account.
func (c auditChain) Checkpoints(ctx context.Context, accountID uuid.UUID, after int64, limit int) ([]chain.Checkpoint,
	error) {
	var rows []checkpointRow
	err := c.engine.reader(ctx).Where("account_id = ? AND number > ?", accountID, after).Order("number").Limit(limit).
		Find(&rows).Error
	list := make([]chain.Checkpoint, len(rows))
	for i, r := range rows {
		list[i] = r.checkpoint()
	}
	return list, failed(ctx, "read audit checkpoints", err)
}

// unsealed selects the events of an account that should have been sealed. What waits to be sealed is read in the same
// statement as what is sealed. No event that is not sealed has an xid that the cluster has not reached.
var unsealed = map[string]string{
	postgresDialect.name: `SELECT e.id FROM audit_events AS e CROSS JOIN audit_sealing AS s
		WHERE e.account_id = ? AND e.id > ?
			AND NOT EXISTS (SELECT FROM audit_chain AS c WHERE c.account_id = e.account_id AND c.event_id = e.id)
			AND CASE WHEN e.xid IS NULL THEN s.swept OR (e.account_id, e.id) <= (s.account_id, s.event_id)
				ELSE (e.xid, e.account_id, e.id) <= (s.xid, CASE WHEN s.swept THEN s.account_id ELSE '` + nilID + `' END,
					CASE WHEN s.swept THEN s.event_id ELSE '` + nilID + `' END)
					OR e.xid >= pg_snapshot_xmax(pg_current_snapshot()) END
		ORDER BY e.id LIMIT ?`,
	sqliteDialect.name: `SELECT e.id FROM audit_events AS e WHERE e.account_id = ? AND e.id > ?
			AND NOT EXISTS (SELECT 1 FROM audit_chain AS c WHERE c.account_id = e.account_id AND c.event_id = e.id)
			AND e.id NOT IN (SELECT q.event_id FROM audit_unsealed AS q)
		ORDER BY e.id LIMIT ?`,
}

// Unsealed returns events that should have been sealed.
func (c auditChain) Unsealed(ctx context.Context, accountID, after uuid.UUID, limit int) (ids []uuid.UUID, err error) {
	err = c.engine.reader(ctx).Raw(unsealed[c.Dialect()], accountID, after, limit).Scan(&ids).Error
	return ids, failed(ctx, "find audit events that are not sealed", err)
}
