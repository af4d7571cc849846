package gormdb

import (
	"context"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/audit"
	"latchkey/internal/paging"
)

// events implements audit.Reader.
type events struct{ *DB }

var _ audit.Reader = events{}

// Audit returns the reader of the audit log.
func (db *DB) Audit() audit.Reader { return events{db} }

// admitted is a query for the account's events that match f.
func (e events) admitted(ctx context.Context, accountID uuid.UUID, f audit.Filter) *gorm.DB {
	q := e.engine.reader(ctx).Model(&eventRow{}).Where("account_id = ?", accountID)
	if len(f.Actions) > 0 {
		q = q.Where("action IN ?", f.Actions)
	}
	if f.ActorID != nil {
		q = q.Where("actor_id = ?", *f.ActorID)
	}
	if f.TargetKey != "" {
		// A user is also the target of the events of their store memberships.
		q = q.Where("(target_key = ? OR target_kind = ? AND substr(target_key, 1, 37) = ?)", f.TargetKey,
			audit.TargetStoreUser, f.TargetKey+":")
	}
	for column, text := range map[string]string{"actor_name": f.ActorName, "target_name": f.TargetName} {
		if text != "" {
			q = q.Where(column+" = ?", text)
		}
	}
	if !f.After.IsZero() {
		q = q.Where("at > ?", instant{f.After})
	}
	if !f.Before.IsZero() {
		q = q.Where("at < ?", instant{f.Before})
	}
	return q
}

// Events returns a page of the account's events.
func (e events) Events(ctx context.Context, accountID uuid.UUID, f audit.Filter,
	w paging.Window) (paging.Page[audit.Event], error) {
	var rows []eventRow
	if err := window(e.admitted(ctx, accountID, f), "id", w).Find(&rows).Error; err != nil {
		return paging.Page[audit.Event]{}, failed(ctx, "list audit events", err)
	}
	return pageOf(w, rows, func(r eventRow) (paging.Item[audit.Event], error) {
		event, err := r.event()
		return paging.Item[audit.Event]{Node: event, Key: r.ID}, err
	})
}

// CountEvents returns how many of the account's events match f.
func (e events) CountEvents(ctx context.Context, accountID uuid.UUID, f audit.Filter) (int64, error) {
	var n int64
	err := e.admitted(ctx, accountID, f).Count(&n).Error
	return n, failed(ctx, "count audit events", err)
}
