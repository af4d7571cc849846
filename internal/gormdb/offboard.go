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
	return o.changePeople(ctx, by, held{account: accountID, urgent: true}, func(c peopleChange) error { return work(c) })
}

// ChangeSlice is Change without urgency.
func (o offboarding) ChangeSlice(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(offboard.Change) error) error {
	return o.changePeople(ctx, by, held{account: accountID}, func(c peopleChange) error { return work(c) })
}

// SliceSize returns how many people a slice is of at most.
func (o offboarding) SliceSize() int { return o.engine.dialect().slice }

// View runs work, which reads what it would change.
func (o offboarding) View(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(offboard.Change) error) error {
	err := o.engine.snapshot(ctx, func(tx *gorm.DB) error {
		if err := mayStill(ctx, o.engine.dialect(), tx.Statement.ConnPool, by); err != nil {
			return err
		}
		c := peopleChange{o.DB, tx, accountID, new(bool)}
		if _, err := c.Account(ctx); err != nil {
			return err
		}
		return work(c)
	})
	o.stale(by, err)
	return failed(ctx, "read people to change", err)
}

// knownDirectly finds the tokens that people created, whose client secret they
// know for good, and those whose access token they saw. Revoked ones count
// too: while they worked, their bearers could issue others.
const knownDirectly = `SELECT t.created_by_id AS user_id, t.id FROM api_tokens AS t
		WHERE t.account_id = @account AND t.created_by_kind = 'USER' AND t.created_by_id IN @people
	UNION SELECT x.seen_by, x.api_token_id FROM access_tokens AS x
		WHERE x.account_id = @account AND x.seen_by IN @people AND x.ended_at IS NULL AND (x.expires_at IS NULL OR x.expires_at > @now)`

// TokensKnownTo returns the live tokens that people know.
func (c peopleChange) TokensKnownTo(ctx context.Context, userIDs []uuid.UUID, now time.Time) (map[uuid.UUID][]token.Token, error) {
	known, tx := holders{}, c.tx.WithContext(ctx)
	for chunk := range slices.Chunk(userIDs, peoplePerStatement) {
		var rows []struct{ UserID, ID uuid.UUID }
		args := map[string]any{"account": c.accountID, "now": instant{now}, "people": chunk}
		if err := tx.Raw(knownDirectly, args).Scan(&rows).Error; err != nil {
			return nil, failed(ctx, "find the tokens that people know", err)
		}
		for _, r := range rows {
			known.add(r.ID, map[uuid.UUID]bool{r.UserID: true})
		}
	}
	if err := known.addIssued(tx, c.accountID, now); err != nil {
		return nil, failed(ctx, "find the tokens that people's tokens issued", err)
	}
	byPerson := map[uuid.UUID][]token.Token{}
	for chunk := range slices.Chunk(known.tokens(), peoplePerStatement) {
		found, err := tokensByID(tx, c.accountID, chunk)
		if err != nil {
			return nil, failed(ctx, "read the tokens that people know", err)
		}
		for _, t := range found {
			if t.Status(now) != token.Active {
				continue
			}
			for id := range known[t.ID] {
				byPerson[id] = append(byPerson[id], t)
			}
		}
	}
	return byPerson, nil
}

// EndTokens ends tokens.
func (c peopleChange) EndTokens(ctx context.Context, e token.Ending) ([]uuid.UUID, error) {
	if len(e.IDs) == 0 {
		return nil, nil
	}
	ended, err := endLive(c.writing(ctx), e, e.IDs)
	return ended, failed(ctx, "revoke API tokens", err)
}

// endLive ends those of the tokens that are not revoked, with their events, and
// returns them. It locks them in the order of their ids, as any revocation
// does.
func endLive(tx *gorm.DB, e token.Ending, ids []uuid.UUID) ([]uuid.UUID, error) {
	var ended []uuid.UUID
	for chunk := range slices.Chunk(ids, peoplePerStatement) {
		// Against those who act by them, too.
		lock := tx.Table("api_tokens").Clauses(clause.Locking{Strength: "UPDATE"})
		var live []uuid.UUID
		err := lock.Where("account_id = ? AND id IN ? AND revoked_at IS NULL", e.AccountID, chunk).Order("id").Pluck("id", &live).Error
		if err != nil {
			return nil, err
		}
		found, err := tokensByID(tx, e.AccountID, live)
		if err == nil && len(found) > 0 {
			err = endTokens(tx, e, found)
		}
		if err != nil {
			return nil, err
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
