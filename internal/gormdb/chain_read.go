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

// ofTotals is a FROM clause that has one row also if the totals were removed.
const ofTotals = " FROM (SELECT 1) AS one LEFT JOIN audit_totals AS s ON s.id = 1"

// State reads everything in one statement, and so in one state of the database.
func (c auditChain) State(ctx context.Context) (chain.State, error) {
	var row struct {
		Totals       totalsRow `gorm:"embedded"`
		Pending      instant
		FirstAccount instant
		Ahead        bool
	}
	ahead := "false"
	if c.Dialect() == postgresDialect.name {
		ahead = "coalesce(s.xid >= pg_snapshot_xmax(pg_current_snapshot()), false)"
	}
	err := c.engine.reader(ctx).Raw("SELECT s.*, " + oldestPending[c.Dialect()] + ` AS pending, ` + ahead + ` AS ahead,
		(SELECT created_at FROM accounts ORDER BY created_at LIMIT 1) AS first_account` + ofTotals).Scan(&row).Error
	return chain.State{Totals: row.Totals.totals(), Removed: row.Totals.ID == 0,
			Backlog: row.Totals.ID == 1 && !row.Totals.Swept,
			Pending: row.Pending.Time, FirstAccount: row.FirstAccount.Time, Ahead: row.Ahead},
		failed(ctx, "read the state of audit chains", err)
}

// headsAndTotals reads the totals once for each head, in one state of the database.
var headsAndTotals = "SELECT " + totalsColumns.list() + ", " + headColumns.list() +
	" FROM audit_totals CROSS JOIN audit_heads WHERE audit_totals.id = 1"

// Heads reads everything in one statement, unless there is no head.
func (c auditChain) Heads(ctx context.Context, each func(chain.Totals, chain.Head)) (totals chain.Totals, err error) {
	found := false
	read := func(scan scan) error {
		var t totalsRow
		var h headRow
		err := scan(append(totalsColumns.scanInto(&t), headColumns.scanInto(&h)...)...)
		if err == nil {
			found, totals = true, t.totals()
			each(totals, h.head())
		}
		return err
	}
	const attempts = 2 // the first head can be sealed between two statements
	for range attempts {
		rows, err := c.engine.reader(ctx).Raw(headsAndTotals).Rows()
		if err := eachRow(rows, err, read); err != nil || found {
			return totals, failed(ctx, "read the heads of audit chains", err)
		}
		row, err := readTotals(c.engine.reader(ctx))
		if totals = row.totals(); err != nil || totals.Events == 0 {
			return totals, failed(ctx, "read the totals of audit chains", err)
		}
	}
	return totals, nil
}

// Positions reads the positions of streams.
func (c auditChain) Positions(ctx context.Context) ([]chain.Position, error) {
	var rows []streamRow
	err := c.engine.reader(ctx).Table("audit_streams").Where("place IS NOT NULL").Order("target").Find(&rows).Error
	list := make([]chain.Position, len(rows))
	for i, r := range rows {
		list[i] = chain.Position{Target: r.Target, Place: *r.Place, Mark: digestOf(r.Mark, r.MarkKey)}
	}
	return list, failed(ctx, "read the positions of audit streams", err)
}

// Pending returns when the oldest event was recorded that waits to be sealed, or a zero time if there is none.
func (c auditChain) Pending(ctx context.Context) (time.Time, error) {
	var at instant
	err := c.engine.reader(ctx).Raw("SELECT " + oldestPending[c.Dialect()] + ofTotals).Scan(&at).Error
	return at.Time, failed(ctx, "read the oldest event that is not sealed", err)
}

// inTable is a recursive query of the accounts after one that have rows in a table. It jumps from account to account in
// the primary key. n counts them.
func inTable(table string) string {
	next := func(after string) string {
		return "(SELECT t.account_id FROM " + table + " AS t WHERE t.account_id > " + after +
			" ORDER BY t.account_id LIMIT 1)"
	}
	return "in_" + table + " (id, n) AS (SELECT " + next("@after") + ", 1 UNION ALL SELECT " + next("i.id") +
		", i.n + 1 FROM in_" + table + " AS i WHERE i.id IS NOT NULL AND i.n < @limit)"
}

var accountsWithChains = `WITH RECURSIVE ` + inTable("audit_events") + `, ` + inTable("audit_chain") + `, ` +
	inTable("audit_checkpoints") + `
	SELECT id FROM (SELECT id FROM accounts WHERE id > @after
		UNION SELECT account_id FROM audit_heads WHERE account_id > @after UNION SELECT id FROM in_audit_events UNION SELECT id FROM in_audit_chain UNION SELECT id FROM in_audit_checkpoints) AS a
	WHERE id IS NOT NULL ORDER BY id LIMIT @limit`

// Accounts returns the accounts that exist, and those of any row of an event or a chain.
func (c auditChain) Accounts(ctx context.Context, after uuid.UUID, limit int) (ids []uuid.UUID, err error) {
	err = c.engine.reader(ctx).Raw(accountsWithChains, map[string]any{"after": after, "limit": limit}).Scan(&ids).Error
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

var storedLinks = `SELECT ` + eventColumns.list() + `, c.number, c.event_id, c.hash, c.place, audit_events.id IS NULL AS gone
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
			list[i].Event.Place = r.Place
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
	err = q.Raw(`SELECT coalesce(min(c.place) - 1, (SELECT events FROM audit_totals)) FROM audit_events AS e
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
// statement as what is sealed. If the totals were removed, none waits. No event that is not sealed has an xid that the
// cluster has not reached.
var unsealed = map[string]string{
	postgresDialect.name: `SELECT e.id FROM audit_events AS e LEFT JOIN audit_totals AS s ON s.id = 1
		WHERE e.account_id = ? AND e.id > ?
			AND NOT EXISTS (SELECT FROM audit_chain AS c WHERE c.account_id = e.account_id AND c.event_id = e.id)
			AND CASE WHEN s.id IS NULL THEN true WHEN e.xid IS NULL THEN s.swept OR (e.account_id, e.id) <= (s.account_id, s.event_id)
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
