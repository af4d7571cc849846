package gormdb

import (
	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/chain"
	"latchkey/internal/secret"
)

// linkedRow is the model of an event in its account's chain.
type linkedRow struct {
	AccountID uuid.UUID `gorm:"type:uuid;primaryKey;uniqueIndex:audit_chain_events"`
	Number    int64     `gorm:"primaryKey;autoIncrement:false"`
	EventID   uuid.UUID `gorm:"type:uuid;not null;uniqueIndex:audit_chain_events"`
	Hash      []byte    `gorm:"not null"`
	// Place counts the events of all accounts in the order in which they were sealed, from 1 on.
	Place int64 `gorm:"not null;index"`
}

// TableName tells gorm the table.
func (linkedRow) TableName() string { return "audit_chain" }

// headRow is the model of the end of a chain.
type headRow struct {
	AccountID uuid.UUID `gorm:"type:uuid;primaryKey"`
	Number    int64     `gorm:"not null"`
	Hash      []byte    `gorm:"not null"`
	SealedAt  instant   `gorm:"not null"`
	Mark      []byte    `gorm:"not null"`
	MarkKey   string    `gorm:"not null"`
	// SignedNumber is the number of the last checkpoint. Mark covers it.
	SignedNumber int64 `gorm:"not null"`
	SignedAt     instant
}

// TableName tells gorm the table.
func (headRow) TableName() string { return "audit_heads" }

func newHeadRow(h chain.Head) headRow {
	return headRow{AccountID: h.AccountID, Number: h.Number, Hash: h.Hash[:], SealedAt: instant{h.SealedAt},
		Mark: h.Mark.Digest[:], MarkKey: string(h.Mark.Key), SignedNumber: h.SignedNumber,
		SignedAt: instant{h.SignedAt}}
}

func (r headRow) head() chain.Head {
	return chain.Head{AccountID: r.AccountID, Number: r.Number, Hash: hashOf(r.Hash), SealedAt: r.SealedAt.Time,
		SignedNumber: r.SignedNumber, SignedAt: r.SignedAt.Time, Mark: digestOf(r.Mark, r.MarkKey)}
}

// checkpointRow is the model of a signed hash of a chain.
type checkpointRow struct {
	AccountID    uuid.UUID `gorm:"type:uuid;primaryKey"`
	Number       int64     `gorm:"primaryKey;autoIncrement:false"`
	Hash         []byte    `gorm:"not null"`
	At           instant   `gorm:"not null"`
	Pruned       bool      `gorm:"not null"`
	Signature    []byte    `gorm:"not null"`
	SignatureKey string    `gorm:"not null;index;index:audit_checkpoints_pruned,where:pruned"`
	Previous     int64     `gorm:"not null"`
}

// TableName tells gorm the table.
func (checkpointRow) TableName() string { return "audit_checkpoints" }

func newCheckpointRow(c chain.Checkpoint) checkpointRow {
	return checkpointRow{AccountID: c.AccountID, Number: c.Number, Hash: c.Hash[:], At: instant{c.At}, Pruned: c.Pruned,
		Signature: c.Signature.Digest[:], SignatureKey: string(c.Signature.Key), Previous: c.Previous}
}

func (r checkpointRow) checkpoint() chain.Checkpoint {
	return chain.Checkpoint{AccountID: r.AccountID, Number: r.Number, Hash: hashOf(r.Hash), At: r.At.Time,
		Pruned: r.Pruned, Previous: r.Previous, Signature: digestOf(r.Signature, r.SignatureKey)}
}

// removedRow is the model of what later events continue after the earlier ones were removed. The row with an empty kind
// is the last event of the account's log that was removed.
type removedRow struct {
	AccountID  uuid.UUID `gorm:"type:uuid;primaryKey"`
	TargetKind string    `gorm:"primaryKey"`
	TargetKey  string    `gorm:"primaryKey"`
	Sequence   int64     `gorm:"not null"`
	Era        int64     `gorm:"not null"`
	Position   position  `gorm:"not null"`
	EventID    uuid.UUID `gorm:"type:uuid;not null"`
}

// TableName tells gorm the table.
func (removedRow) TableName() string { return "audit_removed" }

// totalsRow is the model of the signed totals, and of how far events are sealed.
type totalsRow struct {
	ID       int64     `gorm:"primaryKey;autoIncrement:false"`
	Epoch    uuid.UUID `gorm:"type:uuid;not null"`
	BegunAt  instant
	Version  int64     `gorm:"not null"`
	Events   int64     `gorm:"not null"`
	Restarts int64     `gorm:"not null"`
	HeadSum  []byte    `gorm:"not null"`
	Nonce    uuid.UUID `gorm:"type:uuid;not null"`
	Mark     []byte    `gorm:"not null"`
	MarkKey  string    `gorm:"not null"`

	Xid       position  `gorm:"not null"`
	AccountID uuid.UUID `gorm:"type:uuid;not null"`
	EventID   uuid.UUID `gorm:"type:uuid;not null"`
	Swept     bool      `gorm:"not null"`
}

// TableName tells gorm the table.
func (totalsRow) TableName() string { return "audit_totals" }

func (r totalsRow) totals() chain.Totals {
	return chain.Totals{Epoch: r.Epoch, BegunAt: r.BegunAt.Time, Version: r.Version, Events: r.Events,
		Restarts: r.Restarts, Sum: chain.Sum(hashOf(r.HeadSum)), Nonce: r.Nonce, Mark: digestOf(r.Mark, r.MarkKey)}
}

// set stores totals in the row, and leaves how far events are sealed.
func (r *totalsRow) set(t chain.Totals) {
	r.Epoch, r.BegunAt, r.Version, r.Events, r.Restarts = t.Epoch, instant{t.BegunAt}, t.Version, t.Events, t.Restarts
	r.HeadSum, r.Nonce, r.Mark, r.MarkKey = t.Sum[:], t.Nonce, t.Mark.Digest[:], string(t.Mark.Key)
}

// is reports whether both rows have the same totals, and say that the same events are sealed.
func (r totalsRow) is(other totalsRow) bool {
	return r.totals() == other.totals() && r.Xid == other.Xid && r.AccountID == other.AccountID &&
		r.EventID == other.EventID && r.Swept == other.Swept
}

// hashOf returns the hash in a column, or the zero hash if it has another length because it was changed.
func hashOf(column []byte) (h chain.Hash) {
	if len(column) == len(h) {
		copy(h[:], column)
	}
	return h
}

func digestOf(column []byte, key string) (d secret.KeyedDigest) {
	d.Key = secret.KeyID(key)
	if len(column) == len(d.Digest) {
		copy(d.Digest[:], column)
	}
	return d
}

// record returns the event for its hash. Details that cannot be read, because they were changed, are one detail with
// their text, so that the record has another hash.
func (r eventRow) record() chain.Record {
	event, err := r.event()
	if err != nil {
		event.Details = []audit.Detail{{Value: r.Details}}
	}
	return chain.Record{Event: event, Era: r.Era, Position: uint64(r.Position)}
}
