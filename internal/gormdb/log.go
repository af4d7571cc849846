package gormdb

import (
	"context"
	"strconv"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/audit"
	"latchkey/internal/paging"
)

// eventLog implements audit.Log.
type eventLog struct{ *DB }

var _ audit.Log = eventLog{}

// Log returns the reader of the event log.
func (db *DB) Log() audit.Log { return eventLog{db} }

// committed is the condition on PostgreSQL that no event can appear before an event of the log any more: all
// transactions up to the event's position have ended. Those of another cluster have ended, too.
const committed = "(era < " + currentEra + " OR position < pg_snapshot_xmin(pg_current_snapshot()))"

// admitted is a query for the account's events of the log that match f.
func (l eventLog) admitted(ctx context.Context, accountID uuid.UUID, f audit.LogFilter) *gorm.DB {
	q := l.engine.reader(ctx).Model(&eventRow{}).Where("account_id = ? AND sequence > 0", accountID)
	if l.Dialect() == postgresDialect.name {
		q = q.Where(committed)
	}
	if len(f.Types) > 0 {
		actions := []audit.Action{""} // an unknown type selects no event
		for _, t := range f.Types {
			actions = append(actions, audit.ActionsOf(t)...)
		}
		q = q.Where("action IN ?", actions)
	}
	if f.SubjectKind != "" {
		q = q.Where("target_kind = ?", string(f.SubjectKind))
	}
	if f.SubjectKey != "" {
		q = q.Where("target_key = ?", f.SubjectKey)
	}
	if !f.After.IsZero() {
		q = q.Where("at > ?", instant{f.After})
	}
	if !f.Before.IsZero() {
		q = q.Where("at < ?", instant{f.Before})
	}
	return q
}

// Log returns a page of the account's events.
func (l eventLog) Log(ctx context.Context, accountID uuid.UUID, f audit.LogFilter,
	w audit.LogWindow) (paging.Page[audit.Event], error) {
	q := l.admitted(ctx, accountID, f)
	const keys = "(era, position, sequence, id)"
	compare := func(operator string, p *paging.Position) {
		if p == nil {
			return
		}
		commit := "CAST(CAST(? AS text) AS xid8)"
		if l.Dialect() == sqliteDialect.name {
			commit = "CAST(? AS INTEGER)"
		}
		q = q.Where(keys+" "+operator+" (?, "+commit+", ?, ?)", p.Era, strconv.FormatUint(p.Commit, 10), p.Sequence,
			p.ID)
	}
	if err := l.checkRemoved(ctx, accountID, w.After); err != nil {
		return paging.Page[audit.Event]{}, failed(ctx, "read the event log", err)
	}
	compare(">", w.After)
	compare("<", w.Before)
	order := "era, position, sequence, id"
	if w.Backward {
		order = "era DESC, position DESC, sequence DESC, id DESC"
	}
	var rows []eventRow
	if err := q.Order(order).Limit(w.Size + 1).Find(&rows).Error; err != nil {
		return paging.Page[audit.Event]{}, failed(ctx, "read the event log", err)
	}
	items := make([]paging.Item[audit.Event], len(rows))
	for i, r := range rows {
		event, err := r.event()
		if err != nil {
			return paging.Page[audit.Event]{}, failed(ctx, "read the event log", err)
		}
		items[i] = paging.Item[audit.Event]{Node: event, Key: r.ID,
			Position: paging.Position{Era: r.Era, Commit: uint64(r.Position), Sequence: r.Sequence, ID: r.ID}}
	}
	return paging.Cut(w, items), nil
}

// checkRemoved returns fault.Invalid if events after a position were removed because they were old: a reader that
// continues from there would miss them and not know.
func (l eventLog) checkRemoved(ctx context.Context, accountID uuid.UUID, after *paging.Position) error {
	if after == nil {
		return nil
	}
	var last []removedRow
	q := l.engine.reader(ctx).Where("account_id = ? AND target_kind = '' AND target_key = ''", accountID)
	if err := q.Find(&last).Error; err != nil || len(last) == 0 {
		return err
	}
	r := last[0]
	if removed := (paging.Position{Era: r.Era, Commit: uint64(r.Position), Sequence: r.Sequence,
		ID: r.EventID}); after.Before(removed) {
		return paging.ErrRemoved()
	}
	return nil
}

// CountLog returns how many of the account's events of the log match f.
func (l eventLog) CountLog(ctx context.Context, accountID uuid.UUID, f audit.LogFilter) (int64, error) {
	var n int64
	err := l.admitted(ctx, accountID, f).Count(&n).Error
	return n, failed(ctx, "count the events of the log", err)
}

// EventsByID returns the account's events of the log among ids.
func (l eventLog) EventsByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]audit.Event,
	error) {
	var rows []eventRow
	q := l.engine.reader(ctx).Where("account_id = ? AND id IN ? AND sequence > 0", accountID, ids)
	if err := q.Find(&rows).Error; err != nil {
		return nil, failed(ctx, "read events", err)
	}
	found := make(map[uuid.UUID]audit.Event, len(rows))
	for _, r := range rows {
		event, err := r.event()
		if err != nil {
			return nil, failed(ctx, "read events", err)
		}
		found[r.ID] = event
	}
	return found, nil
}
