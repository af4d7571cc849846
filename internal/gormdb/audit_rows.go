package gormdb

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"latchkey/internal/audit"
)

// eventRow is the model of an audit event. It refers to no other row, since events outlive what they are about.
type eventRow struct {
	AccountID  uuid.UUID     `gorm:"type:uuid;primaryKey;index:audit_events_users;index:audit_events_store_users;index:audit_events_log,priority:1;index:audit_events_xid,priority:2;uniqueIndex:audit_events_subject"`
	ID         uuid.UUID     `gorm:"type:uuid;primaryKey;index:audit_events_log,priority:5,where:sequence > 0;index:audit_events_xid,priority:3"`
	At         instant       `gorm:"not null;index:audit_events_at"`
	ActorKind  string        `gorm:"not null"`
	ActorID    uuid.NullUUID `gorm:"type:uuid;index:audit_events_users;index:audit_events_store_users"`
	ActorName  string        `gorm:"not null"`
	Action     string        `gorm:"not null"`
	TargetKind string        `gorm:"not null;uniqueIndex:audit_events_subject"`
	TargetKey  string        `gorm:"not null;uniqueIndex:audit_events_subject;index:audit_events_users,where:actor_kind = 'API_TOKEN' AND target_kind = 'user';index:audit_events_store_users,where:actor_kind = 'API_TOKEN' AND target_kind = 'storeUser'"`
	TargetName string        `gorm:"not null"`
	IP         string        `gorm:"not null"`
	RequestID  string        `gorm:"not null"`
	Details    string        `gorm:"type:jsonb;not null"`
	Version    int64         `gorm:"not null"`
	// Sequence is 0 for an event without a type. In a row to insert it is the number of the event among
	// those of its target that one statement inserts.
	Sequence int64  `gorm:"not null;index:audit_events_log,priority:4;uniqueIndex:audit_events_subject,where:sequence > 0"`
	Data     string `gorm:"not null"`
	// Era and Position are set by statements only (log_append.go).
	Era      int64    `gorm:"not null;index:audit_events_log,priority:2"`
	Position position `gorm:"not null;index:audit_events_log,priority:3"`
	// Xid is set by the database, and used by statements only (chain.go).
	Xid position `gorm:"->:false;<-:false;index:audit_events_xid,priority:1,where:xid IS NOT NULL"`
}

// TableName tells gorm the table.
func (eventRow) TableName() string { return "audit_events" }

func newEventRow(e audit.Event) (eventRow, error) {
	details, err := encodeDetails(e.Details)
	row := eventRow{
		AccountID: e.AccountID, ID: e.ID, At: instant{e.At},
		ActorKind: string(e.Actor.Kind), ActorID: optional(e.Actor.ID), ActorName: e.Actor.Name,
		Action:     string(e.Action),
		TargetKind: string(e.Target.Kind), TargetKey: e.Target.Key, TargetName: e.Target.Name,
		IP: e.IP, RequestID: e.RequestID, Details: details,
		Version: max(1, int64(e.Version)), Data: "{}",
	}
	if e.Data != nil {
		row.Data = string(e.Data)
	}
	if e.Action.Type() != "" {
		row.Sequence = 1
	}
	return row, err
}

func newEventRows(events []audit.Event) ([]eventRow, error) {
	rows := make([]eventRow, len(events))
	for i, e := range events {
		var err error
		if rows[i], err = newEventRow(e); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (r eventRow) event() (audit.Event, error) {
	details, err := decodeDetails(r.Details)
	return audit.Event{
		ID: r.ID, AccountID: r.AccountID, At: r.At.Time,
		Actor:  audit.Actor{Kind: audit.ActorKind(r.ActorKind), ID: r.ActorID.UUID, Name: r.ActorName},
		Action: audit.Action(r.Action),
		Target: audit.Target{Kind: audit.TargetKind(r.TargetKind), Key: r.TargetKey, Name: r.TargetName},
		IP:     r.IP, RequestID: r.RequestID, Details: details,
		Version: int(r.Version), Sequence: r.Sequence, Data: json.RawMessage(r.Data),
	}, err
}

// position orders the commits of events: the number of a transaction on PostgreSQL, and a count on SQLite.
type position uint64

// GormDataType makes gorm treat a position as a number.
func (position) GormDataType() string { return "int" }

// GormDBDataType returns the type of the column, for gorm's migrator.
func (position) GormDBDataType(db *gorm.DB, _ *schema.Field) string {
	if db.Name() == sqliteDialect.name {
		return "INTEGER"
	}
	return "xid8"
}

// Scan reads the value of either database. PostgreSQL's is a text if it is larger than a signed number can be.
func (p *position) Scan(src any) error {
	switch v := src.(type) {
	case int64:
		*p = position(v)
	case uint64:
		*p = position(v)
	case string:
		n, err := strconv.ParseUint(v, 10, 64)
		*p = position(n)
		return err
	default:
		return fmt.Errorf("a position cannot be read from %T", src)
	}
	return nil
}

var eventColumns = columnsOf[eventRow](nil)
