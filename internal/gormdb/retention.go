package gormdb

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/retention"
)

// ended implements retention.Repository.
type ended struct{ *DB }

var _ retention.Repository = ended{}

// Retention returns the repository that removes what ended.
func Retention(db *DB) retention.Repository { return ended{db} }

var removing = auth.NoActor("the server removes old rows")

// Lease takes or renews the lease.
func (e ended) Lease(ctx context.Context, holder uuid.UUID, ttl time.Duration) (ours bool, err error) {
	take := takeLease("retention_lease", "id", e.engine.dialect())
	err = e.bounded(ctx, func(tx *gorm.DB) error {
		taken := tx.Exec(take, 1, holder, ttl.Microseconds())
		ours = taken.RowsAffected == 1
		return taken.Error
	})
	return ours && err == nil, failed(ctx, "take the lease of retention", err)
}

// Release gives the lease back.
func (e ended) Release(ctx context.Context, holder uuid.UUID) error {
	err := e.bounded(ctx, func(tx *gorm.DB) error {
		return tx.Exec("DELETE FROM retention_lease WHERE id = 1 AND holder = ?", holder).Error
	})
	return failed(ctx, "release the lease of retention", err)
}

func (e ended) bounded(ctx context.Context, work func(*gorm.DB) error) error {
	return auth.BoundWrite(ctx, func(ctx context.Context) error { return e.write(ctx, removing, held{}, work) })
}

// endedRow is a row that ended.
type endedRow struct {
	AccountID, ID, APITokenID uuid.UUID
	EndedAt                   instant
}

// next returns where the batch after rows begins.
func next(rows []endedRow, limit int) retention.Cursor {
	if len(rows) < limit {
		return retention.Cursor{}
	}
	last := rows[len(rows)-1]
	return retention.Cursor{EndedAt: last.EndedAt.Time, AccountID: last.AccountID, ID: last.ID}
}

// batchOf locks and returns the rows that q selects, in the order in which they ended. It skips rows that another
// transaction has locked, which the next run comes across again.
func batchOf(q *gorm.DB, column string, before time.Time, after retention.Cursor, limit int) (rows []endedRow,
	err error) {
	q = q.Where(column+" < ?", instant{before})
	if !after.EndedAt.IsZero() {
		q = q.Where("("+column+", account_id, id) > (?, ?, ?)", instant{after.EndedAt}, after.AccountID, after.ID)
	}
	err = q.Clauses(clause.Locking{Strength: "UPDATE", Options: "SKIP LOCKED"}).
		Order(column + ", account_id, id").Limit(limit).Scan(&rows).Error
	return rows, err
}

// RemoveRevoked removes revoked API tokens.
func (e ended) RemoveRevoked(ctx context.Context, before time.Time, after retention.Cursor, limit int) (
	retention.Ended, error) {
	return e.removeTokens(ctx, "revoked_at", "revoked_at IS NOT NULL", before, after, limit)
}

// RemoveExpired removes expired API tokens whose expiration was reported.
func (e ended) RemoveExpired(ctx context.Context, before time.Time, after retention.Cursor, limit int) (
	retention.Ended, error) {
	return e.removeTokens(ctx, "expires_at", "expires_at IS NOT NULL AND revoked_at IS NULL AND expiry_stage = 2", before,
		after, limit)
}

func (e ended) removeTokens(ctx context.Context, column, which string, before time.Time, after retention.Cursor,
	limit int) (result retention.Ended, err error) {
	err = e.bounded(ctx, func(tx *gorm.DB) error {
		result = retention.Ended{}
		q := tx.Table("api_tokens").Select("account_id, id, " + column + " AS ended_at").Where(which)
		rows, err := batchOf(q, column, before, after, limit)
		if err != nil {
			return err
		}
		result.Next = next(rows, limit)
		of := map[uuid.UUID][]uuid.UUID{}
		for _, r := range rows {
			of[r.AccountID] = append(of[r.AccountID], r.ID)
		}
		for accountID, ids := range of {
			removable, err := withoutIssued(tx, accountID, ids, before)
			if err == nil && len(removable) > 0 {
				err = deleteTokens(tx, accountID, removable)
			}
			if err != nil {
				return err
			}
			result.Removed += int64(len(removable))
		}
		return nil
	})
	return result, failed(ctx, "remove API tokens that ended", err)
}

// deleteTokens deletes API tokens and what belongs to them.
func deleteTokens(tx *gorm.DB, accountID uuid.UUID, ids []uuid.UUID) error {
	const of = "account_id = ? AND api_token_id IN ?"
	for _, model := range []any{&accessRow{}, &grantRow{}} {
		if err := tx.Where(of, accountID, ids).Delete(model).Error; err != nil {
			return err
		}
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = id.String()
	}
	// No event of these tokens follows.
	err := tx.Where("account_id = ? AND target_kind = ? AND target_key IN ?", accountID, audit.TargetAPIToken, keys).
		Delete(&removedRow{}).Error
	if err == nil {
		err = tx.Exec("DELETE FROM granted_users WHERE account_id = ? AND token_id IN ?", accountID, ids).Error
	}
	if err == nil {
		err = tx.Where("account_id = ? AND id IN ?", accountID, ids).Delete(&tokenRow{}).Error
	}
	return err
}

// withoutIssued returns those of the tokens that issued, at any depth, only tokens that ended before a time.
func withoutIssued(tx *gorm.DB, accountID uuid.UUID, ids []uuid.UUID, before time.Time) ([]uuid.UUID, error) {
	// origins has, for each token that was reached, the tokens of ids that issued it.
	origins := map[uuid.UUID]map[uuid.UUID]bool{}
	for _, id := range ids {
		origins[id] = map[uuid.UUID]bool{id: true}
	}
	for issuers := ids; len(issuers) > 0; {
		var rows []secretRow
		args := map[string]any{"account": accountID, "issuers": issuers}
		if err := tx.Raw(issuedBy, args).Scan(&rows).Error; err != nil {
			return nil, err
		}
		reached := map[uuid.UUID]bool{}
		for _, r := range rows {
			if origins[r.ID] == nil {
				origins[r.ID] = map[uuid.UUID]bool{}
			}
			for origin := range origins[r.Holder] {
				if !origins[r.ID][origin] {
					origins[r.ID][origin] = true
					reached[r.ID] = true
				}
			}
		}
		issuers = slices.Collect(maps.Keys(reached))
	}
	reached := slices.Collect(maps.Keys(origins))
	kept := map[uuid.UUID]bool{}
	for len(reached) > 0 {
		chunk := reached[:min(len(reached), usersPerStatement)]
		reached = reached[len(chunk):]
		var live []uuid.UUID
		q := tx.Table("api_tokens").Where("account_id = ? AND id IN ?", accountID, chunk)
		q = q.Where("coalesce(revoked_at, expires_at) IS NULL OR coalesce(revoked_at, expires_at) >= ?", instant{before})
		if err := q.Pluck("id", &live).Error; err != nil {
			return nil, err
		}
		for _, id := range live {
			for origin := range origins[id] {
				kept[origin] = true
			}
		}
	}
	var removable []uuid.UUID
	for _, id := range ids {
		if !kept[id] {
			removable = append(removable, id)
		}
	}
	return removable, nil
}

// RemoveAccess removes access tokens that were replaced.
func (e ended) RemoveAccess(ctx context.Context, before time.Time, after retention.Cursor, limit int) (
	result retention.Ended, err error) {
	err = e.bounded(ctx, func(tx *gorm.DB) error {
		result = retention.Ended{}
		q := tx.Table("access_tokens").Where(replacedAccess).
			Select("account_id, api_token_id, id, expires_at AS ended_at")
		rows, err := batchOf(q, "expires_at", before, after, limit)
		if err != nil || len(rows) == 0 {
			return err
		}
		result.Next = next(rows, limit)
		keys := make([][]any, len(rows))
		for i, r := range rows {
			keys[i] = []any{r.AccountID, r.APITokenID, r.ID}
		}
		deleted := tx.Where("(account_id, api_token_id, id) IN ?", keys).Delete(&accessRow{})
		result.Removed = deleted.RowsAffected
		return deleted.Error
	})
	return result, failed(ctx, "remove access tokens that ended", err)
}

// replacedAccess is the condition of access tokens whose API token has a later one, and issued no other: otherwise it
// can matter who saw them.
const replacedAccess = `seen_by_token IS NULL
	AND EXISTS (SELECT 1 FROM access_tokens AS x WHERE x.account_id = access_tokens.account_id
		AND x.api_token_id = access_tokens.api_token_id AND x.id > access_tokens.id)
	AND NOT EXISTS (SELECT 1 FROM api_tokens AS c WHERE c.account_id = access_tokens.account_id
		AND c.created_by_kind = 'API_TOKEN' AND c.created_by_id = access_tokens.api_token_id)
	AND NOT EXISTS (SELECT 1 FROM access_tokens AS c WHERE c.account_id = access_tokens.account_id
		AND c.seen_by_token = access_tokens.api_token_id)`

// RemoveSessions removes sessions.
func (e ended) RemoveSessions(ctx context.Context, before time.Time, limit int) (result retention.Ended, err error) {
	err = e.bounded(ctx, func(tx *gorm.DB) error {
		result = retention.Ended{}
		q := tx.Table("sessions").Select("account_id, id, expires_at AS ended_at")
		rows, err := batchOf(q, "expires_at", before, retention.Cursor{}, limit)
		if err != nil || len(rows) == 0 {
			return err
		}
		result.Next = next(rows, limit)
		keys := make([][]any, len(rows))
		for i, r := range rows {
			keys[i] = []any{r.AccountID, r.ID}
		}
		deleted := tx.Where("(account_id, id) IN ?", keys).Delete(&sessionRow{})
		result.Removed = deleted.RowsAffected
		return deleted.Error
	})
	return result, failed(ctx, "remove sessions that ended", err)
}
