package gormdb

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/offboard"
	"latchkey/internal/token"
)

// offboarding implements offboard.Repository.
type offboarding struct{ *DB }

var _ offboard.Repository = offboarding{}

// Offboard returns the repository of changes to people that reach their API
// tokens.
func (db *DB) Offboard() offboard.Repository { return offboarding{db} }

// Change runs work on the account's people and what they know of its tokens.
func (o offboarding) Change(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(offboard.Change) error) error {
	return o.changePeople(ctx, by, accountID, func(c peopleChange) error { return work(c) })
}

// TokensKnownTo returns the live tokens that people know.
func (c peopleChange) TokensKnownTo(ctx context.Context, userIDs []uuid.UUID, now time.Time) (map[uuid.UUID][]token.Token, error) {
	// Who created a token saw its client secret, which stays.
	const known = `SELECT t.created_by_id AS user_id, t.id FROM api_tokens AS t
			WHERE t.account_id = @account AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > @now)
			AND t.created_by_kind = 'USER' AND t.created_by_id IN @people
		UNION SELECT x.seen_by, t.id FROM api_tokens AS t JOIN access_tokens AS x ON x.account_id = t.account_id AND x.api_token_id = t.id
			WHERE t.account_id = @account AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > @now)
			AND x.seen_by IN @people AND x.ended_at IS NULL AND (x.expires_at IS NULL OR x.expires_at > @now)`
	holders := map[uuid.UUID][]uuid.UUID{}
	var ids []uuid.UUID
	for chunk := range slices.Chunk(userIDs, peoplePerStatement) {
		var rows []struct{ UserID, ID uuid.UUID }
		args := map[string]any{"account": c.accountID, "now": instant{now}, "people": chunk}
		if err := c.tx.WithContext(ctx).Raw(known, args).Scan(&rows).Error; err != nil {
			return nil, failed(ctx, "find the tokens that people know", err)
		}
		for _, r := range rows {
			if holders[r.ID] == nil {
				ids = append(ids, r.ID)
			}
			holders[r.ID] = append(holders[r.ID], r.UserID)
		}
	}
	byPerson := map[uuid.UUID][]token.Token{}
	for chunk := range slices.Chunk(ids, peoplePerStatement) {
		found, err := tokensByID(c.tx.WithContext(ctx), c.accountID, chunk)
		if err != nil {
			return nil, failed(ctx, "read the tokens that people know", err)
		}
		for _, t := range found {
			for _, id := range holders[t.ID] {
				byPerson[id] = append(byPerson[id], t)
			}
		}
	}
	return byPerson, nil
}

// EndTokens ends tokens.
func (c peopleChange) EndTokens(ctx context.Context, e token.Ending) ([]uuid.UUID, error) {
	var ended []uuid.UUID
	for chunk := range slices.Chunk(e.IDs, peoplePerStatement) {
		tx := c.writing(ctx)
		// In the order of their ids, and against those who act by them, as any
		// revocation locks them.
		lock := tx.Table("api_tokens").Clauses(clause.Locking{Strength: "UPDATE"})
		var live []uuid.UUID
		err := lock.Where("account_id = ? AND id IN ? AND revoked_at IS NULL", c.accountID, chunk).Order("id").Pluck("id", &live).Error
		if err != nil {
			return nil, failed(ctx, "lock API tokens", err)
		}
		found, err := tokensByID(tx, c.accountID, live)
		if err == nil && len(found) > 0 {
			err = endTokens(tx, e, found)
		}
		if err != nil {
			return nil, failed(ctx, "revoke API tokens", err)
		}
		ended = append(ended, live...)
	}
	return ended, nil
}

// tokensByID reads those of the tokens that are the account's, in the order of
// their ids.
func tokensByID(tx *gorm.DB, accountID uuid.UUID, ids []uuid.UUID) ([]token.Token, error) {
	var rows []tokenRow
	if err := tokensOf(tx, accountID).Select(tokenColumns).Where("t.id IN ?", ids).Order("t.id").Scan(&rows).Error; err != nil {
		return nil, err
	}
	found := make([]token.Token, len(rows))
	for i, row := range rows {
		t, err := row.token()
		if err != nil {
			return nil, err
		}
		found[i] = t
	}
	return found, nil
}

// endTokens ends tokens that are live, with their events.
func endTokens(tx *gorm.DB, e token.Ending, live []token.Token) error {
	ids := make([]uuid.UUID, len(live))
	logged := make([]eventRow, len(live))
	for i, t := range live {
		event := e.Event
		event.ID = uuid.Must(uuid.NewV7())
		event.Target = audit.Target{Kind: audit.TargetAPIToken, Key: t.ID.String(), Name: t.Name}
		row, err := newEventRow(event)
		if err != nil {
			return err
		}
		ids[i], logged[i] = t.ID, row
	}
	r := e.Revocation
	end := map[string]any{
		"revoked_at": instant{r.At}, "revoked_by_kind": string(r.By.Kind), "revoked_by_id": optional(r.By.ID),
		"revoked_by_name": r.By.Name, "revocation_reason": r.Reason,
	}
	if err := tx.Table("api_tokens").Where("account_id = ? AND id IN ?", e.AccountID, ids).Updates(end).Error; err != nil {
		return err
	}
	return tx.CreateInBatches(logged, rowsPerInsert).Error
}
