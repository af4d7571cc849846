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
	"latchkey/internal/membership"
	"latchkey/internal/token"
)

// memberships implements membership.Repository.
type memberships struct{ *DB }

var _ membership.Repository = memberships{}

// Memberships returns the repository of changes to users that also revoke their API tokens.
func (db *DB) Memberships() membership.Repository { return memberships{db} }

// Change runs work, which may change the account's users and revoke the tokens they know.
func (o memberships) Change(ctx context.Context, by auth.Actor, accountID uuid.UUID,
	work func(membership.Change) error) error {
	h := held{account: accountID, allTokens: true, urgent: true}
	return o.changeUsers(ctx, by, h, func(c userChange) error { return work(c) })
}

// ChangeSlice is Change without urgency.
func (o memberships) ChangeSlice(ctx context.Context, by auth.Actor, accountID uuid.UUID,
	work func(membership.Change) error) error {
	h := held{account: accountID, allTokens: true}
	return o.changeUsers(ctx, by, h, func(c userChange) error { return work(c) })
}

// SliceSize returns the maximum number of users in a slice.
func (o memberships) SliceSize() int { return o.engine.dialect().slice }

// View runs work in a read-only transaction.
func (o memberships) View(ctx context.Context, by auth.Actor, accountID uuid.UUID,
	work func(membership.Change) error) error {
	err := o.engine.snapshot(ctx, func(tx *gorm.DB) error {
		if err := mayStill(ctx, o.engine.dialect(), tx.Statement.ConnPool, by); err != nil {
			return err
		}
		c := userChange{o.DB, tx, accountID, new(bool)}
		if _, err := c.Account(ctx); err != nil {
			return err
		}
		return work(c)
	})
	o.stale(by, err)
	return failed(ctx, "read the users to change", err)
}

// receivedBy finds the secrets that users received: those of the tokens that they created, whose client secret works
// without an end, and the access tokens that they saw. It includes what no longer works: other tokens could be issued
// with it before.
const receivedBy = `SELECT created_by_id AS holder, id, created_at AS from_time, NULL AS ends_at, 1 = 0 AS ended FROM api_tokens
		WHERE account_id = @account AND created_by_kind = 'USER' AND created_by_id IN @users
	UNION ALL SELECT seen_by, api_token_id, created_at, COALESCE(ended_at, expires_at), ended_at IS NOT NULL FROM access_tokens
		WHERE account_id = @account AND seen_by IN @users`

// TokensKnownTo returns the live tokens that the users know.
func (c userChange) TokensKnownTo(ctx context.Context, userIDs []uuid.UUID, now time.Time) (map[uuid.UUID][]token.Token,
	error) {
	known, tx := holders{}, c.tx.WithContext(ctx)
	for chunk := range slices.Chunk(userIDs, usersPerStatement) {
		var rows []secretRow
		args := map[string]any{"account": c.accountID, "users": chunk}
		if err := tx.Raw(receivedBy, args).Scan(&rows).Error; err != nil {
			return nil, failed(ctx, "find the tokens that users know", err)
		}
		for _, r := range rows {
			known.add(r.ID, r.Holder, r.period())
		}
	}
	if err := known.addIssued(tx, c.accountID); err != nil {
		return nil, failed(ctx, "find the tokens that users' tokens issued", err)
	}
	byPerson := map[uuid.UUID][]token.Token{}
	for chunk := range slices.Chunk(known.tokens(now), usersPerStatement) {
		found, err := tokensByID(tx, c.accountID, chunk)
		if err != nil {
			return nil, failed(ctx, "read the tokens that users know", err)
		}
		for _, t := range found {
			if t.Status(now) != token.Active {
				continue
			}
			for _, id := range known.of(t.ID, now) {
				byPerson[id] = append(byPerson[id], t)
			}
		}
	}
	return byPerson, nil
}

// RevokeTokens revokes tokens.
func (c userChange) RevokeTokens(ctx context.Context, e token.RevocationDraft) ([]uuid.UUID, error) {
	if len(e.IDs) == 0 {
		return nil, nil
	}
	ended, err := revokeLive(c.writing(ctx), e, e.IDs)
	return ended, failed(ctx, "revoke API tokens", err)
}

// revokeLive revokes the tokens that are not revoked yet, records their events, and returns their ids. It locks them in
// the order of their ids, as every revocation does.
func revokeLive(tx *gorm.DB, e token.RevocationDraft, ids []uuid.UUID) ([]uuid.UUID, error) {
	var ended []uuid.UUID
	for chunk := range slices.Chunk(ids, usersPerStatement) {
		// UPDATE also conflicts with the lock of requests that use the tokens.
		lock := tx.Table("api_tokens").Clauses(clause.Locking{Strength: "UPDATE"})
		var live []uuid.UUID
		err := lock.Where("account_id = ? AND id IN ? AND revoked_at IS NULL", e.AccountID,
			chunk).Order("id").Pluck("id", &live).Error
		if err != nil {
			return nil, err
		}
		found, err := tokensByID(tx, e.AccountID, live)
		if err == nil && len(found) > 0 {
			err = revokeEach(tx, e, found)
		}
		if err != nil {
			return nil, err
		}
		ended = append(ended, live...)
	}
	return ended, nil
}

// tokensByID reads the account's tokens among ids, in the order of their ids.
func tokensByID(tx *gorm.DB, accountID uuid.UUID, ids []uuid.UUID) ([]token.Token, error) {
	var rows []listedToken
	if err := tokensOf(tx, accountID).Select(listedTokenColumns).Where("t.id IN ?",
		ids).Order("t.id").Scan(&rows).Error; err != nil {
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

// revokeEach revokes live tokens and records their events.
func revokeEach(tx *gorm.DB, e token.RevocationDraft, live []token.Token) error {
	ids := make([]uuid.UUID, len(live))
	logged := make([]audit.Event, len(live))
	for i, t := range live {
		ids[i], logged[i] = t.ID, e.EventOf(t)
	}
	r := e.Revocation
	end := map[string]any{
		"revoked_at": instant{r.At}, "revoked_by_kind": string(r.By.Kind), "revoked_by_id": optional(r.By.ID),
		"revoked_by_name": r.By.Name, "revocation_reason": r.Reason,
	}
	if err := tx.Table("api_tokens").Where("account_id = ? AND id IN ?", e.AccountID,
		ids).Updates(end).Error; err != nil {
		return err
	}
	return appendEvents(tx, logged...)
}
