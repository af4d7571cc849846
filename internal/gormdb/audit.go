package gormdb

import (
	"context"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/audit"
	"latchkey/internal/page"
)

// events implements audit.Reader.
type events struct{ *DB }

var _ audit.Reader = events{}

// Audit returns the reader of the audit log.
func (db *DB) Audit() audit.Reader { return events{db} }

type eventRow struct {
	AccountID  uuid.UUID
	ID         uuid.UUID
	At         instant
	ActorKind  string
	ActorID    uuid.NullUUID
	ActorName  string
	Action     string
	TargetKind string
	TargetKey  string
	TargetName string
	IP         string
	RequestID  string
	Details    string
}

// TableName tells gorm the table.
func (eventRow) TableName() string { return "audit_events" }

func newEventRow(e audit.Event) (eventRow, error) {
	details, err := encodeDetails(e.Details)
	return eventRow{
		AccountID: e.AccountID, ID: e.ID, At: instant{e.At},
		ActorKind: string(e.Actor.Kind), ActorID: optional(e.Actor.ID), ActorName: e.Actor.Name, Action: string(e.Action),
		TargetKind: string(e.Target.Kind), TargetKey: e.Target.Key, TargetName: e.Target.Name,
		IP: e.IP, RequestID: e.RequestID, Details: details,
	}, err
}

func (r eventRow) event() (audit.Event, error) {
	details, err := decodeDetails(r.Details)
	return audit.Event{
		ID: r.ID, AccountID: r.AccountID, At: r.At.Time,
		Actor:  audit.Actor{Kind: audit.ActorKind(r.ActorKind), ID: r.ActorID.UUID, Name: r.ActorName},
		Action: audit.Action(r.Action),
		Target: audit.Target{Kind: audit.TargetKind(r.TargetKind), Key: r.TargetKey, Name: r.TargetName},
		IP:     r.IP, RequestID: r.RequestID, Details: details,
	}, err
}

// admitted is a query for the account's events that f admits.
func (e events) admitted(ctx context.Context, accountID uuid.UUID, f audit.Filter) *gorm.DB {
	q := e.engine.reader(ctx).Model(&eventRow{}).Where("account_id = ?", accountID)
	if len(f.Actions) > 0 {
		q = q.Where("action IN ?", f.Actions)
	}
	if f.ActorID != uuid.Nil {
		q = q.Where("actor_id = ?", f.ActorID)
	}
	for column, text := range map[string]string{"actor_name": f.ActorName, "target_key": f.TargetKey, "target_name": f.TargetName} {
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
func (e events) Events(ctx context.Context, accountID uuid.UUID, f audit.Filter, w page.Window) (page.Page[audit.Event], error) {
	var rows []eventRow
	if err := window(e.admitted(ctx, accountID, f), "id", w).Find(&rows).Error; err != nil {
		return page.Page[audit.Event]{}, failed(ctx, "list audit events", err)
	}
	return pageOf(w, rows, func(r eventRow) (page.Item[audit.Event], error) {
		event, err := r.event()
		return page.Item[audit.Event]{Node: event, Key: r.ID}, err
	})
}

// CountEvents returns how many of the account's events f admits.
func (e events) CountEvents(ctx context.Context, accountID uuid.UUID, f audit.Filter) (int64, error) {
	var n int64
	err := e.admitted(ctx, accountID, f).Count(&n).Error
	return n, failed(ctx, "count audit events", err)
}
