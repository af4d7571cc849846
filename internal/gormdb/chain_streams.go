package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/auth"
	"latchkey/internal/chain/stream"
)

// auditStreams implements stream.Positions.
type auditStreams struct{ *DB }

var _ stream.Positions = auditStreams{}

// AuditStreams returns how far the streams of sealed events are.
func AuditStreams(db *DB) stream.Positions { return auditStreams{db} }

var streaming = auth.NoActor("the server streams audit events")

// Lease also sets the place of a new target.
func (s auditStreams) Lease(ctx context.Context, target string, holder uuid.UUID, ttl time.Duration) (place int64,
	ours bool, err error) {
	take := takeLease("audit_streams", "target", s.engine.dialect())
	err = s.write(ctx, streaming, held{}, func(tx *gorm.DB) error {
		taken := tx.Exec(take, target, holder, ttl.Microseconds())
		if ours = taken.RowsAffected == 1; taken.Error != nil || !ours {
			return taken.Error
		}
		err := tx.Exec("UPDATE audit_streams SET place = (SELECT events FROM audit_sealing) WHERE target = ? AND place IS NULL",
			target).Error
		if err != nil {
			return err
		}
		return tx.Raw("SELECT place FROM audit_streams WHERE target = ?", target).Scan(&place).Error
	})
	return place, ours && err == nil, failed(ctx, "take the lease of an audit stream", err)
}

// Save stores a place.
func (s auditStreams) Save(ctx context.Context, target string, holder uuid.UUID, place int64) (ours bool, err error) {
	err = s.write(ctx, streaming, held{}, func(tx *gorm.DB) error {
		saved := tx.Exec("UPDATE audit_streams SET place = ? WHERE target = ? AND holder = ?", place, target, holder)
		ours = saved.RowsAffected == 1
		return saved.Error
	})
	return ours && err == nil, failed(ctx, "store the place of an audit stream", err)
}

// Release ends the lease and keeps the place.
func (s auditStreams) Release(ctx context.Context, target string, holder uuid.UUID) error {
	err := s.write(ctx, streaming, held{}, func(tx *gorm.DB) error {
		return tx.Exec("UPDATE audit_streams SET until_at = "+s.engine.dialect().now+" WHERE target = ? AND holder = ?",
			target, holder).Error
	})
	return failed(ctx, "release the lease of an audit stream", err)
}
