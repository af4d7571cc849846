package gormdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
)

// The statements that append events. A single event is inserted with VALUES: see insertRow. Many are inserted from a
// JSON list, because the driver searches all arguments for each parameter.
var (
	insertUntypedEvent = insertRow(eventColumns.with(map[string]string{"era": "0", "position": "0"}))
	insertTypedEvent   = insertRow(typedEvents)
	typedEvents        = eventColumns.with(map[string]string{
		"sequence": nextSequence("1", eventColumns.parameter("account_id", 1), eventColumns.parameter("target_kind", 1),
			eventColumns.parameter("target_key", 1)),
		"era": "1", "position": nextCount("1", eventColumns.parameter("account_id", 1)),
	})
	insertEvents = newInsertEvents()

	hasWebhooks = `SELECT 1 FROM webhook_types WHERE account_id = $1 LIMIT 1`
	// enqueueOf ends with the events, e.
	enqueueOf = `INSERT INTO deliveries (account_id, webhook_id, event_id, subject, sequence, next_at, created_at)
		SELECT DISTINCT w.account_id, w.webhook_id, e.id, e.target_kind || ':' || e.target_key, e.sequence, $1, $1 FROM `
	enqueueRow = enqueueOf + `audit_events AS e JOIN webhook_types AS w ON w.account_id = e.account_id AND w.type IN ($4, $5, $6)
		WHERE e.account_id = $2 AND e.id = $3`
	enqueueAll = enqueueOf + `(SELECT x.*, ` + typeOf("x.action") + ` AS type FROM json_each($2) AS r
				CROSS JOIN audit_events AS x ON x.account_id = r.value ->> 'account_id' AND x.id = r.value ->> 'id'
			WHERE x.sequence > 0) AS e
		JOIN webhook_types AS w ON w.account_id = e.account_id
			AND w.type IN (e.type, substr(e.type, 1, instr(e.type, '.')) || '*', ` + quoted([]string{audit.AllTypes}) + `)
		WHERE EXISTS (SELECT 1 FROM webhook_types) AND ` + isEnqueued("e.type")
)

// nextOf returns an expression for the value of a column that is so many after the last one among the account's events
// for which the condition holds, and after that of the removed events of a subject.
func nextOf(column, many, account, condition, kind, key string) string {
	return fmt.Sprintf(`%[2]s + max(coalesce((SELECT max(x.%[1]s) FROM audit_events AS x WHERE x.account_id = %[3]s AND %[4]s AND x.sequence > 0), 0),
			coalesce((SELECT g.%[1]s FROM audit_removed AS g WHERE g.account_id = %[3]s AND g.target_kind = %[5]s AND g.target_key = %[6]s), 0))`,
		column, many, account, condition, kind, key)
}

func nextSequence(many, account, kind, key string) string {
	return nextOf("sequence", many, account, "x.target_kind = "+kind+" AND x.target_key = "+key, kind, key)
}

// nextCount returns the next position. On SQLite it is a count.
func nextCount(many, account string) string {
	return nextOf("position", many, account, "x.era = 1", "''", "''")
}

// newInsertEvents returns the statement that inserts events, encoded as records of untypedEvents.
func newInsertEvents() string {
	field := func(name string) string { return "(r.value ->> '" + name + "')" }
	expressions := map[string]string{}
	for _, c := range eventColumns.inserted {
		expressions[c.name] = field(c.name)
	}
	ifTyped := func(expression string) string {
		return "CASE WHEN " + field("sequence") + " > 0 THEN " + expression + " ELSE 0 END"
	}
	expressions["sequence"] = ifTyped(nextSequence(field("sequence"), field("account_id"), field("target_kind"),
		field("target_key")))
	expressions["era"] = ifTyped("1")
	expressions["position"] = ifTyped(nextCount("1 + r.key", field("account_id")))
	values, _ := eventColumns.with(expressions).values(1)
	return eventColumns.insertInto() + "SELECT " + values + " FROM json_each($1) AS r"
}

func (w *writing) appendEvents(ctx context.Context, rows []eventRow) error {
	if len(rows) == 1 {
		return w.appendEvent(ctx, &rows[0])
	}
	for chunk := range slices.Chunk(rows, usersPerStatement) {
		number(chunk)
		records, err := untypedEvents.records(sqliteDialect, chunk)
		if err != nil {
			return err
		}
		if err := w.run(ctx, insertEvents, []any{records}); err != nil {
			return err
		}
		if !slices.ContainsFunc(chunk, eventRow.hasType) {
			continue
		}
		w.stored = true
		if err := w.run(ctx, enqueueAll, []any{time.Now().UnixMicro(), records}); err != nil {
			return err
		}
	}
	return nil
}

func (w *writing) appendEvent(ctx context.Context, r *eventRow) error {
	if !r.hasType() {
		return w.run(ctx, insertUntypedEvent, untypedEvents.arguments(nil, sqliteDialect, r))
	}
	w.stored = true
	if err := w.run(ctx, insertTypedEvent, typedEvents.arguments(nil, sqliteDialect, r)); err != nil {
		return err
	}
	some, err := w.hasWebhooks(ctx, r.AccountID)
	if err != nil || !some || r.Action == string(audit.WebhookTestType) {
		return err
	}
	args := []any{time.Now().UnixMicro(), sqliteDialect.id(r.AccountID), sqliteDialect.id(r.ID)}
	for _, p := range audit.Action(r.Action).Type().Patterns() {
		args = append(args, p)
	}
	return w.run(ctx, enqueueRow, args)
}

// hasWebhooks reports whether the account has a webhook that is not disabled.
func (w *writing) hasWebhooks(ctx context.Context, accountID uuid.UUID) (bool, error) {
	w.s.onStatement(hasWebhooks)
	var one int
	err := w.QueryRowContext(ctx, hasWebhooks, sqliteDialect.id(accountID)).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
