package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/auth"
	"latchkey/internal/chain"
	"latchkey/internal/chain/stream"
	"latchkey/internal/secret"
)

// auditStreams implements stream.Positions.
type auditStreams struct {
	*DB

	keys *secret.Keyring
}

// streamRow is how far a stream is.
type streamRow struct {
	Target  string
	Place   *int64
	Mark    []byte
	MarkKey string
}

var _ stream.Positions = auditStreams{}

// AuditStreams returns how far the streams of sealed events are. Positions are signed with the keys.
func AuditStreams(db *DB, keys *secret.Keyring) stream.Positions { return auditStreams{db, keys} }

var streaming = auth.NoActor("the server streams audit events")

// Lease also sets the place of a new target.
func (s auditStreams) Lease(ctx context.Context, target string, holder uuid.UUID, ttl time.Duration) (at stream.Leased,
	err error) {
	take := takeLease("audit_streams", "target", s.engine.dialect())
	err = s.write(ctx, streaming, held{}, func(tx *gorm.DB) error {
		at = stream.Leased{}
		taken := tx.Exec(take, target, holder, ttl.Microseconds())
		if at.Ours = taken.RowsAffected == 1; taken.Error != nil || !at.Ours {
			return taken.Error
		}
		totals, err := s.totals(tx)
		if err != nil {
			return err
		}
		var row streamRow
		if err := tx.Table("audit_streams").Where("target = ?", target).Take(&row).Error; err != nil {
			return err
		}
		if at.New = row.Place == nil; at.New {
			at.Place = totals.Events
			_, err := s.store(tx, totals, target, holder, at.Place)
			return err
		}
		p := chain.Position{Epoch: totals.Epoch, Target: target, Place: *row.Place,
			Mark: digestOf(row.Mark, row.MarkKey)}
		if at.Place = p.Place; !p.Signed(s.keys) || p.Place > totals.Events {
			at.Place, at.Changed = 0, true
		}
		return nil
	})
	if err != nil {
		at = stream.Leased{}
	}
	return at, failed(ctx, "take the lease of an audit stream", err)
}

// totals returns chain.Broken unless the totals are signed.
func (s auditStreams) totals(tx *gorm.DB) (chain.Totals, error) {
	row, err := readTotals(tx)
	if err != nil {
		return chain.Totals{}, err
	}
	return row.totals(), row.totals().Continues(chain.Totals{}, s.keys)
}

// store signs and stores a place, and reports whether the holder has the lease.
func (s auditStreams) store(tx *gorm.DB, totals chain.Totals, target string, holder uuid.UUID, place int64) (bool,
	error) {
	p := chain.Position{Epoch: totals.Epoch, Target: target, Place: place}
	p.Sign(s.keys)
	saved := tx.Exec("UPDATE audit_streams SET place = ?, mark = ?, mark_key = ? WHERE target = ? AND holder = ?", place,
		p.Mark.Digest[:], string(p.Mark.Key), target, holder)
	return saved.RowsAffected == 1, saved.Error
}

// Save stores a place.
func (s auditStreams) Save(ctx context.Context, target string, holder uuid.UUID, place int64) (ours bool, err error) {
	err = s.write(ctx, streaming, held{}, func(tx *gorm.DB) error {
		totals, err := s.totals(tx)
		if err != nil {
			return err
		}
		ours, err = s.store(tx, totals, target, holder, place)
		return err
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
