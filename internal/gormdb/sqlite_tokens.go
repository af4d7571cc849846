package gormdb

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/token"
)

func (s *sqlite) insertToken(ctx context.Context, d token.Draft) (insertion, error) {
	outcome := inserted
	err := s.writer(ctx).Transaction(func(tx *gorm.DB) (err error) {
		if outcome, err = room(tx, d); err != nil || outcome != inserted {
			return err
		}
		kept, accessed := newTokenRow(d), newAccessRow(d.Token.AccountID, d.Access)
		logged, err := newEventRow(d.Event)
		if err != nil {
			return err
		}
		for _, row := range []any{&kept, &accessed, &logged} {
			if err := tx.Create(row).Error; err != nil {
				return err
			}
		}
		return nil
	})
	return outcome, err
}

// room says whether the draft's owner is there and may have one more token.
func room(tx *gorm.DB, d token.Draft) (insertion, error) {
	t := d.Token
	owner, live := tx.Table("accounts").Where("id = ?", t.AccountID), tx.Table("api_tokens AS t").Where("t.account_id = ?", t.AccountID)
	if t.StoreID == uuid.Nil {
		live = live.Where("t.store_id IS NULL")
	} else {
		owner = tx.Table("stores").Where("account_id = ? AND id = ?", t.AccountID, t.StoreID)
		live = live.Where("t.store_id = ?", t.StoreID)
	}
	var owners, tokens int64
	if err := owner.Count(&owners).Error; err != nil || owners == 0 {
		return ownerMissing, err
	}
	query := token.Query{Filter: token.Filter{Statuses: []token.Status{token.Active}}, Now: t.CreatedAt}
	if err := withStatus(live, query).Count(&tokens).Error; err != nil || tokens >= int64(d.MaxLive) {
		return limitReached, err
	}
	return inserted, nil
}

func (s *sqlite) revokeTokens(ctx context.Context, r revocation) (unknown []uuid.UUID, err error) {
	err = s.writer(ctx).Transaction(func(tx *gorm.DB) error {
		found, err := tokensByID(tx, r.accountID, r.ids)
		if err != nil {
			return err
		}
		live := notRevoked(found)
		if unknown = r.unknown(found); len(unknown) > 0 || len(live) == 0 {
			return nil
		}
		return endTokens(tx, r, live)
	})
	return unknown, err
}

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

func endTokens(tx *gorm.DB, r revocation, live []token.Token) error {
	ids := make([]uuid.UUID, len(live))
	logged := make([]eventRow, len(live))
	for i, t := range live {
		event, err := newEventRow(r.event(t))
		if err != nil {
			return err
		}
		ids[i], logged[i] = t.ID, event
	}
	end := map[string]any{
		"revoked_at": instant{r.record.At}, "revoked_by_kind": string(r.record.By.Kind), "revoked_by_id": optional(r.record.By.ID),
		"revoked_by_name": r.record.By.Name, "revocation_reason": r.record.Reason,
	}
	if err := tx.Table("api_tokens").Where("account_id = ? AND id IN ?", r.accountID, ids).Updates(end).Error; err != nil {
		return err
	}
	return tx.Create(&logged).Error
}

// keepUses hands the batch over as one value: the driver looks a parameter up
// by walking along all of them, which thousands would make slow.
func (s *sqlite) keepUses(ctx context.Context, list []use) error {
	type row struct {
		AccountID, TokenID uuid.UUID
		At                 int64
		IP                 *string
	}
	rows := make([]row, len(list))
	for i, u := range list {
		rows[i] = row{u.accountID, u.tokenID, u.at.UnixMicro(), u.ip}
	}
	batch, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	return s.writer(ctx).Exec(`UPDATE api_tokens AS t SET last_used_at = u.at, last_used_ip = u.ip
		FROM (SELECT value ->> 'AccountID' AS account_id, value ->> 'TokenID' AS id, value ->> 'At' AS at, value ->> 'IP' AS ip
			FROM json_each(?)) AS u
		WHERE t.account_id = u.account_id AND t.id = u.id AND (t.last_used_at IS NULL OR t.last_used_at < u.at)`, string(batch)).Error
}
