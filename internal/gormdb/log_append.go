package gormdb

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/audit"
)

// Every event with a type gets the next sequence of its subject and a position in the log, and is enqueued for the
// webhooks that select its type, in the transaction of the change. The subject's row must be locked by a statement
// before the one that inserts the event: otherwise that statement would not see the events for whose transactions it
// waited. Without the lock, two transactions can compute the same sequence. Then the index audit_events_subject fails
// the second one, and write repeats it.

// appendEvents adds events to the log in the transaction tx.
func appendEvents(tx *gorm.DB, events ...audit.Event) error {
	if len(events) == 0 {
		return nil
	}
	rows, err := newEventRows(events)
	if err != nil {
		return err
	}
	switch pool := tx.Statement.ConnPool.(type) {
	case *writing:
		return pool.appendEvents(tx.Statement.Context, rows)
	case *transaction:
		return pool.appendEvents(tx.Statement.Context, rows)
	}
	return errNoTransaction
}

// errNoTransaction is a programming error of the caller.
var errNoTransaction = errors.New("events were appended outside a transaction")

// number gives the rows their sequences among those of the same subject in the list, in its order.
func number(rows []eventRow) {
	type subject struct {
		account   uuid.UUID
		kind, key string
	}
	last := map[subject]int64{}
	for i := range rows {
		if r := &rows[i]; r.hasType() {
			of := subject{r.AccountID, r.TargetKind, r.TargetKey}
			last[of]++
			r.Sequence = last[of]
		}
	}
}

// hasType reports whether the event, which is to be inserted, has a type.
func (r eventRow) hasType() bool { return r.Sequence > 0 }

// quoted returns texts as a list of SQL literals.
func quoted[T ~string](texts []T) string {
	list := make([]string, len(texts))
	for i, t := range texts {
		list[i] = "'" + strings.ReplaceAll(string(t), "'", "''") + "'"
	}
	return strings.Join(list, ", ")
}

// previousEvent is a subquery for the last event with a sequence of a subject, which may have been removed.
func previousEvent(account, kind, key string) string {
	subject := func(alias string) string {
		return alias + ".account_id = " + account + " AND " + alias + ".target_kind = " + kind + " AND " + alias +
			".target_key = " + key
	}
	return `(SELECT * FROM (
			(SELECT x.sequence, x.era, x.position FROM audit_events AS x WHERE ` + subject("x") + `
				AND x.sequence > 0 ORDER BY x.sequence DESC LIMIT 1)
			UNION ALL SELECT g.sequence, g.era, g.position FROM audit_removed AS g WHERE ` + subject("g") + `) AS previous
		ORDER BY sequence DESC LIMIT 1)`
}

const (
	currentEra = "(SELECT era FROM log_era)"
	// nextPosition is the position of an event after the subject's previous one, p. The transaction of that one can
	// have a larger number, if this transaction began first and waited for it.
	nextPosition = "greatest(pg_current_xact_id(), CASE WHEN p.era = l.era THEN p.position END)"
)

var (
	// firstEvents are the columns of the first event of its subject, and untypedEvents those of an event without a
	// type.
	firstEvents   = eventColumns.with(map[string]string{"era": currentEra, "position": "pg_current_xact_id()"})
	untypedEvents = eventColumns.with(map[string]string{"era": "0", "position": "'0'::xid8"})

	appendRecords = newAppendRecords()
)

// newAppendRecords returns the statement that appends events, encoded as records of untypedEvents, and enqueues them.
func newAppendRecords() string {
	expressions := map[string]string{}
	for _, c := range eventColumns.inserted {
		expressions[c.name] = "e." + c.name
	}
	expressions["details"] = "e.details::jsonb"
	expressions["sequence"] = "CASE WHEN e.sequence > 0 THEN e.sequence + coalesce(p.sequence, 0) ELSE 0 END"
	expressions["era"] = "CASE WHEN e.sequence > 0 THEN l.era ELSE 0 END"
	expressions["position"] = "CASE WHEN e.sequence > 0 THEN " + nextPosition + " ELSE '0'::xid8 END"
	appended := eventColumns.with(expressions)
	values, _ := appended.values(1)
	return `WITH logged AS (` + appended.insertInto() + `SELECT ` + values + `
		FROM log_era AS l CROSS JOIN ` + untypedEvents.recordset("e", "$1") + `
			LEFT JOIN LATERAL ` + previousEvent("e.account_id", "e.target_kind", "e.target_key") + ` AS p ON e.sequence > 0
		RETURNING account_id, id, action, target_kind, target_key, sequence)
	` + enqueue + `SELECT DISTINCT w.account_id, w.webhook_id, e.id, e.target_kind || ':' || e.target_key, e.sequence
		FROM (SELECT *, ` + typeOf("action") + ` AS type FROM logged WHERE sequence > 0) AS e
			JOIN webhook_types AS w ON w.account_id = e.account_id
				AND w.type IN (e.type, split_part(e.type, '.', 1) || '.*', ` + quoted([]string{audit.AllTypes}) + `)
		WHERE ` + isEnqueued("e.type")
}

// isEnqueued is the condition that webhooks receive events of the type. A test event is enqueued only for its webhook.
func isEnqueued(column string) string {
	return column + " <> " + quoted([]audit.Type{audit.WebhookTestType})
}

const enqueue = `INSERT INTO deliveries (account_id, webhook_id, event_id, subject, sequence) `

// typeOf returns an expression for the type of an action that has one.
func typeOf(action string) string {
	cases := "CASE " + action
	for _, t := range audit.Types() {
		for _, a := range audit.ActionsOf(t) {
			if string(a) != string(t) {
				cases += " WHEN " + quoted([]audit.Action{a}) + " THEN " + quoted([]audit.Type{t})
			}
		}
	}
	return cases + " ELSE " + action + " END"
}

// enqueueOne returns an insert of the deliveries of one event of the type that a statement stores. from is a FROM item
// with a row if it does. The others are expressions for the account and for columns of the event.
func enqueueOne(t audit.Type, from, account, id, kind, key, sequence string) string {
	return enqueue + `SELECT DISTINCT w.account_id, w.webhook_id, ` + id + `, ` + kind + `::text || ':' || ` + key + `::text, ` + sequence + `
		FROM ` + from + ` CROSS JOIN webhook_types AS w WHERE w.account_id = ` + account + ` AND w.type IN (` + quoted(t.Patterns()) + `)`
}

func (t *transaction) appendEvents(ctx context.Context, rows []eventRow) error {
	for chunk := range slices.Chunk(rows, usersPerStatement) {
		number(chunk)
		records, err := untypedEvents.records(postgresDialect, chunk)
		if err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, appendRecords, records); err != nil {
			return err
		}
		t.stored = t.stored || slices.ContainsFunc(chunk, eventRow.hasType)
	}
	return nil
}
