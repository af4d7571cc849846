package gormdb

import (
	"github.com/google/uuid"

	"latchkey/internal/audit"
)

// eventRow is the model of an audit event. It refers to no other row, since events outlive what they are about.
type eventRow struct {
	AccountID  uuid.UUID     `gorm:"type:uuid;primaryKey;index:audit_events_users"`
	ID         uuid.UUID     `gorm:"type:uuid;primaryKey"`
	At         instant       `gorm:"not null"`
	ActorKind  string        `gorm:"not null"`
	ActorID    uuid.NullUUID `gorm:"type:uuid;index:audit_events_users"`
	ActorName  string        `gorm:"not null"`
	Action     string        `gorm:"not null"`
	TargetKind string        `gorm:"not null"`
	TargetKey  string        `gorm:"not null;index:audit_events_users,where:actor_kind = 'API_TOKEN' AND target_kind = 'user'"`
	TargetName string        `gorm:"not null"`
	IP         string        `gorm:"not null"`
	RequestID  string        `gorm:"not null"`
	Details    string        `gorm:"type:jsonb;not null"`
}

// TableName tells gorm the table.
func (eventRow) TableName() string { return "audit_events" }

func newEventRow(e audit.Event) (eventRow, error) {
	details, err := encodeDetails(e.Details)
	return eventRow{
		AccountID: e.AccountID, ID: e.ID, At: instant{e.At},
		ActorKind: string(e.Actor.Kind), ActorID: optional(e.Actor.ID), ActorName: e.Actor.Name,
		Action:     string(e.Action),
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

var eventColumns = columnsOf[eventRow](nil)
