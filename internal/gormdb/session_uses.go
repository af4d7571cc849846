package gormdb

import (
	"context"

	"gorm.io/gorm"
)

// keepLatestOfSessions changes rows in the order in which sessions are revoked, so that statements wait for each
// other and do not deadlock.
const keepLatestOfSessions = `UPDATE sessions AS s SET last_used_at = o.at
	FROM (SELECT s.account_id, s.id, u.at FROM sessions AS s
		JOIN unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS u (account_id, id, at)
			ON s.account_id = u.account_id AND s.id = u.id
		WHERE s.ended_at IS NULL
		ORDER BY s.id FOR NO KEY UPDATE OF s) AS o
	WHERE s.account_id = o.account_id AND s.id = o.id AND (s.last_used_at IS NULL OR s.last_used_at < o.at)`

func (p *postgres) saveSessionUses(ctx context.Context, list []use) error {
	c := useColumnsOf(list)
	_, err := p.pool.Exec(ctx, keepLatestOfSessions, c.accounts, c.tokens, c.times)
	return err
}

func (s *sqlite) saveSessionUses(ctx context.Context, list []use) error {
	batch, err := usesAsJSON(list)
	if err != nil {
		return err
	}
	return write(ctx, s, noting, held{}, func(tx *gorm.DB) error {
		return tx.Exec(`UPDATE sessions AS s SET last_used_at = u.at `+fromUses+
			`WHERE s.account_id = u.account_id AND s.id = u.token_id AND (s.last_used_at IS NULL OR s.last_used_at < u.at)`, batch).Error
	})
}
