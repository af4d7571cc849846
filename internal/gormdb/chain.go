package gormdb

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/auth"
	"latchkey/internal/chain"
	"latchkey/internal/secret"
)

// auditChain implements chain.Repository.
type auditChain struct{ *DB }

var _ chain.Repository = auditChain{}

// Chain returns the hash chains of the audit log.
func Chain(db *DB) chain.Repository { return auditChain{db} }

var sealing = auth.NoActor("the server seals committed events")

// toSeal is an event that is not sealed yet, in a batch.
type toSeal struct {
	Event eventRow `gorm:"embedded"`
	// OfAccount and OfEvent are its key, also if it was removed.
	OfAccount, OfEvent uuid.UUID
	// Place is its xid on PostgreSQL, and its number in audit_unsealed on SQLite.
	Place position
	// Sealed reports that the event is sealed already. Gone reports that it was removed meanwhile.
	Sealed, Gone bool
}

// The statements that read a batch of events to seal. Those of PostgreSQL continue after what audit_totals says: first
// the events without an xid, and then those whose transactions have ended, in the order of their transactions. No event
// can appear before one of these any more. An event can have been sealed already if the database was restored into
// another cluster, in which an earlier xid comes again.
var (
	eventsToSeal = `SELECT ` + eventColumns.list() + `, account_id AS of_account, id AS of_event,
			coalesce(xid, '0') AS place, EXISTS (SELECT FROM audit_chain AS c WHERE c.account_id = audit_events.account_id
				AND c.event_id = audit_events.id) AS sealed
		FROM audit_events WHERE `
	sweepPostgres  = eventsToSeal + `xid IS NULL AND (account_id, id) > (?, ?) ORDER BY account_id, id LIMIT ?`
	followPostgres = eventsToSeal + `xid IS NOT NULL AND (xid, account_id, id) > (CAST(CAST(? AS text) AS xid8), ?, ?)
			AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, account_id, id LIMIT ?`
	followSQLite = `SELECT ` + eventColumns.list() + `, q.account_id AS of_account, q.event_id AS of_event,
			q.number AS place, audit_events.id IS NULL AS gone, EXISTS (SELECT 1 FROM audit_chain AS c
				WHERE c.account_id = q.account_id AND c.event_id = q.event_id) AS sealed
		FROM audit_unsealed AS q LEFT JOIN audit_events ON audit_events.account_id = q.account_id
			AND audit_events.id = q.event_id
		ORDER BY q.number LIMIT ?`
)

// batch reads a batch of events after what s says.
func (c auditChain) batch(ctx context.Context, s totalsRow, limit int) (batch []toSeal, err error) {
	q := c.engine.reader(ctx)
	switch {
	case c.Dialect() == sqliteDialect.name:
		q = q.Raw(followSQLite, limit)
	case s.Swept:
		q = q.Raw(followPostgres, strconv.FormatUint(uint64(s.Xid), 10), s.AccountID, s.EventID, limit)
	default:
		q = q.Raw(sweepPostgres, s.AccountID, s.EventID, limit)
	}
	err = q.Scan(&batch).Error
	return batch, err
}

// Seal reads the events before it locks anything, and seals them if no other server has done so meanwhile.
func (c auditChain) Seal(ctx context.Context, keys *secret.Keyring, last chain.Totals, at time.Time, limit int) (
	chain.Sealed, error) {
	sealed, err := c.seal(ctx, keys, last, at, limit)
	return sealed, failed(ctx, "seal audit events", err)
}

func (c auditChain) seal(ctx context.Context, keys *secret.Keyring, last chain.Totals, at time.Time, limit int) (
	sealed chain.Sealed, err error) {
	before, err := readTotals(c.engine.reader(ctx))
	if err != nil {
		return sealed, err
	}
	if err := errors.Join(before.totals().Continues(last, keys), c.reached(ctx, before)); err != nil {
		return sealed, err
	}
	sealed.Totals = before.totals()
	batch, err := c.batch(ctx, before, limit)
	if err != nil || len(batch) == 0 && before.Swept {
		return sealed, err
	}
	after := before
	after.Swept = before.Swept || len(batch) < limit
	switch {
	case after.Swept && !before.Swept:
		after.AccountID, after.EventID = uuid.Nil, uuid.Nil // the events with an xid follow
	case len(batch) > 0:
		last := batch[len(batch)-1]
		after.AccountID, after.EventID = last.OfAccount, last.OfEvent
		if before.Swept {
			after.Xid = last.Place
		}
	}
	err = c.write(ctx, sealing, held{}, func(tx *gorm.DB) error {
		sealed = chain.Sealed{Totals: before.totals()}
		var now []totalsRow
		if err := c.locking(tx).Find(&now).Error; err != nil || len(now) == 0 || !now[0].is(before) {
			return err // another server seals
		}
		sealed.More = len(batch) == limit || after.Swept != before.Swept
		return c.append(tx, keys, at, batch, after, &sealed)
	})
	return sealed, err
}

// readTotals returns chain.Broken if there are no totals.
func readTotals(q *gorm.DB) (row totalsRow, err error) {
	err = q.Take(&row, "id = 1").Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		err = noTotals()
	}
	return row, err
}

func noTotals() error { return &chain.Broken{Problem: "the totals of the audit chains were removed"} }

// reached returns chain.Broken if sealing is to continue after a transaction that the cluster has not reached, so that
// later events would never be sealed. DB.AgreeOnEra mends that in a database that was restored into another cluster.
func (c auditChain) reached(ctx context.Context, s totalsRow) error {
	if c.Dialect() == sqliteDialect.name {
		return nil
	}
	var ahead bool
	q := c.engine.reader(ctx).Raw("SELECT CAST(CAST(? AS text) AS xid8) >= pg_snapshot_xmax(pg_current_snapshot())",
		strconv.FormatUint(uint64(s.Xid), 10))
	if err := q.Scan(&ahead).Error; err != nil || !ahead {
		return err
	}
	return &chain.Broken{Problem: "sealing is to continue after a transaction that the database has not reached"}
}

// locking locks rows on PostgreSQL, without those that another transaction has locked.
func (c auditChain) locking(tx *gorm.DB) *gorm.DB {
	if c.Dialect() == sqliteDialect.name {
		return tx
	}
	return tx.Clauses(clause.Locking{Strength: "UPDATE", Options: "SKIP LOCKED"})
}

// append appends the batch to the chains and records that the events up to after are sealed.
func (c auditChain) append(tx *gorm.DB, keys *secret.Keyring, at time.Time, batch []toSeal, after totalsRow,
	sealed *chain.Sealed) error {
	ledger, err := after.totals().Open(keys)
	if err != nil {
		return err
	}
	heads, order, err := c.headsOf(tx, keys, batch)
	if err != nil {
		return err
	}
	before := map[uuid.UUID]chain.Head{}
	for id, h := range heads {
		before[id] = *h
	}
	var links []linkedRow
	for _, e := range batch {
		if e.Sealed || e.Gone {
			continue
		}
		link, place := ledger.Append(heads[e.OfAccount], e.Event.record())
		links = append(links, linkedRow{e.OfAccount, link.Number, link.EventID, link.Hash[:], place})
	}
	rows := make([]headRow, len(order))
	for i, id := range order {
		heads[id].SealedAt = at
		heads[id].Sign(keys)
		ledger.Replace(before[id], *heads[id])
		rows[i] = newHeadRow(*heads[id])
	}
	if err := c.insert(tx, links, rows); err != nil {
		return err
	}
	sealed.Events = len(links)
	sealed.Totals = ledger.Sign()
	after.set(sealed.Totals)
	if err := tx.Save(&after).Error; err != nil || c.Dialect() != sqliteDialect.name {
		return err
	}
	return tx.Exec("DELETE FROM audit_unsealed WHERE number <= ?", int64(batch[len(batch)-1].Place)).Error
}

// headsOf returns the heads of the chains that the batch continues, and their accounts in order. It returns
// chain.Broken if one was not signed by the server's keys, or was removed.
func (c auditChain) headsOf(tx *gorm.DB, keys *secret.Keyring, batch []toSeal) (heads map[uuid.UUID]*chain.Head,
	order []uuid.UUID, err error) {
	heads = map[uuid.UUID]*chain.Head{}
	for _, e := range batch {
		if heads[e.OfAccount] == nil && !e.Sealed && !e.Gone {
			heads[e.OfAccount] = &chain.Head{AccountID: e.OfAccount}
			order = append(order, e.OfAccount)
		}
	}
	if len(order) == 0 {
		return heads, order, nil
	}
	var stored []headRow
	if err := tx.Where("account_id IN ?", order).Find(&stored).Error; err != nil {
		return nil, nil, err
	}
	for _, r := range stored {
		if *heads[r.AccountID] = r.head(); !r.head().Signed(keys) {
			return nil, nil, &chain.Broken{AccountID: r.AccountID,
				Problem: "the head of the audit chain is not signed by this server's keys"}
		}
	}
	for _, id := range order {
		if heads[id].Number > 0 {
			continue
		}
		var some bool
		q := tx.Raw(`SELECT EXISTS (SELECT 1 FROM audit_chain WHERE account_id = ?)
			OR EXISTS (SELECT 1 FROM audit_checkpoints WHERE account_id = ?)`, id, id)
		if err := q.Scan(&some).Error; err != nil {
			return nil, nil, err
		}
		if some {
			return nil, nil, &chain.Broken{AccountID: id, Problem: "the head of the audit chain was removed"}
		}
	}
	return heads, order, nil
}

var (
	linkedColumns, headColumns = columnsOf[linkedRow](nil), columnsOf[headRow](nil)

	// insertLinks and insertHeads store rows that are encoded as records.
	insertLinks = insertRecords(linkedColumns, "")
	insertHeads = insertRecords(headColumns, ` ON CONFLICT (account_id) DO UPDATE SET number = excluded.number,
		hash = excluded.hash, sealed_at = excluded.sealed_at, mark = excluded.mark, mark_key = excluded.mark_key,
		signed_number = excluded.signed_number, signed_at = excluded.signed_at`)
)

// insertRecords returns the statements that insert records, by the dialect's name. Their text does not depend on the
// number of rows.
func insertRecords[R any](of columns[R], conflict string) map[string]string {
	insert := func(value func(name string) string, from string) string {
		expressions := map[string]string{}
		for _, c := range of.inserted {
			expressions[c.name] = value(c.name)
		}
		values, _ := of.with(expressions).values(1)
		return of.insertInto() + "SELECT " + values + " FROM " + from + " WHERE true" + conflict
	}
	return map[string]string{
		postgresDialect.name: insert(func(name string) string { return "c." + name }, of.recordset("c", "$1")),
		sqliteDialect.name: insert(func(name string) string {
			if name == "hash" || name == "mark" {
				return "unhex(c.value ->> '" + name + "')"
			}
			return "c.value ->> '" + name + "'"
		}, "json_each($1) AS c"),
	}
}

func (c auditChain) insert(tx *gorm.DB, links []linkedRow, heads []headRow) error {
	if len(links) == 0 {
		return nil
	}
	ctx, pool, d := tx.Statement.Context, tx.Statement.ConnPool, c.engine.dialect()
	encodedLinks, err := linkedColumns.records(d, links)
	if err != nil {
		return err
	}
	encodedHeads, err := headColumns.records(d, heads)
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(ctx, insertLinks[d.name], encodedLinks)
	_, headErr := pool.ExecContext(ctx, insertHeads[d.name], encodedHeads)
	return errors.Join(err, headErr)
}

// resealOnPostgres prepares for a new era, in which xids are those of another cluster: events that are not sealed yet
// lose their xid, and are sealed first (00050_audit_chain.sql). No event is inserted meanwhile.
func resealOnPostgres(tx *gorm.DB) error {
	const statements = `UPDATE audit_events AS e SET xid = NULL FROM audit_totals AS s WHERE e.xid IS NOT NULL
			AND (e.xid, e.account_id, e.id) > (s.xid, CASE WHEN s.swept THEN s.account_id ELSE '` + nilID + `' END,
				CASE WHEN s.swept THEN s.event_id ELSE '` + nilID + `' END);
		UPDATE audit_totals SET xid = pg_current_xact_id(), account_id = '` + nilID + `', event_id = '` + nilID + `',
			swept = false`
	for statement := range strings.SplitSeq(statements, ";") {
		if err := tx.Exec(statement).Error; err != nil {
			return err
		}
	}
	return nil
}

const nilID = "00000000-0000-0000-0000-000000000000"
