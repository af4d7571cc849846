package gormdb

import (
	"context"
	"time"

	"gorm.io/gorm"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
)

// SaveFlow inserts a flow and deletes expired ones.
func (s signIns) SaveFlow(ctx context.Context, by auth.Actor, f signin.Flow, at time.Time) error {
	row := flowRow{
		Digest: f.Digest.Digest[:], DigestKey: string(f.Digest.Key), Purpose: f.Purpose,
		Sealed: f.Content.Text, SealedKey: string(f.Content.Key), ExpiresAt: instant{f.ExpiresAt},
	}
	err := s.write(ctx, by, held{}, func(tx *gorm.DB) error {
		if err := tx.Where("expires_at <= ?", instant{at}).Delete(&flowRow{}).Error; err != nil {
			return err
		}
		return tx.Create(&row).Error
	})
	return failed(ctx, "insert a flow", err)
}

// Flow returns a flow.
func (s signIns) Flow(ctx context.Context, purpose string, candidates []secret.KeyedDigest, at time.Time) (signin.Flow,
	error) {
	q := s.engine.reader(ctx).Where("digest IN ? AND purpose = ? AND expires_at > ?", digestsOf(candidates), purpose,
		instant{at})
	row, err := one[flowRow](q, noFlow())
	if err != nil {
		return signin.Flow{}, failed(ctx, "read a flow", err)
	}
	return row.flow(), nil
}

// TakeFlow returns a flow and deletes it in one statement, so that a concurrent second call finds nothing.
func (s signIns) TakeFlow(ctx context.Context, purpose string, candidates []secret.KeyedDigest,
	at time.Time) (signin.Flow, error) {
	const take = `DELETE FROM signin_flows WHERE digest IN ? AND purpose = ? AND expires_at > ?
		RETURNING digest, digest_key, purpose, sealed, sealed_key, expires_at`
	var rows []flowRow
	err := s.write(ctx, proving, held{}, func(tx *gorm.DB) error {
		return tx.Raw(take, digestsOf(candidates), purpose, instant{at}).Scan(&rows).Error
	})
	if err != nil {
		return signin.Flow{}, failed(ctx, "take a flow", err)
	}
	if len(rows) == 0 {
		return signin.Flow{}, noFlow()
	}
	return rows[0].flow(), nil
}

func noFlow() error { return fault.Errorf(fault.NotFound, "There is no such flow.") }

// digestsOf returns the candidates' digests. The ids of the keys need not be compared: two keys never produce the
// same digest.
func digestsOf(candidates []secret.KeyedDigest) [][]byte {
	all := make([][]byte, len(candidates))
	for i, c := range candidates {
		all[i] = c.Digest[:]
	}
	return all
}
