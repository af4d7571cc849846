package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/auth"
	"latchkey/internal/oauth"
)

// insertGrant is a transaction of several statements. No other write can run meanwhile.
func (s *sqlite) insertGrant(ctx context.Context, by auth.Actor, d oauth.Draft) (outcome insertion, err error) {
	row := newGrantRow(d)
	err = write(ctx, s, by, held{tokensOf: d.AccountID}, func(tx *gorm.DB) error {
		if err := pruneGrants(tx, d.AccountID, d.CreatedAt); err != nil {
			return err
		}
		if outcome, err = roomForGrant(tx, d); err != nil || outcome != inserted {
			return err
		}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		return appendEvents(tx, d.Event)
	})
	return outcome, err
}

func pruneGrants(tx *gorm.DB, accountID uuid.UUID, now time.Time) error {
	ended := tx.Table("access_grants").Select("digest").Where("account_id = ? AND expires_at < ?", accountID,
		instant{now.Add(-clockSkew)})
	return tx.Where("digest IN (?)", ended.Order("expires_at").Limit(grantsPruned)).Delete(&grantRow{}).Error
}

// roomForGrant returns the outcome that inserting the draft would have.
func roomForGrant(tx *gorm.DB, d oauth.Draft) (insertion, error) {
	var live, granted int64
	token := tx.Table("api_tokens").Where("account_id = ? AND id = ? AND revoked_at IS NULL", d.AccountID, d.TokenID)
	if err := token.Count(&live).Error; err != nil || live == 0 {
		return ownerMissing, err
	}
	theirs := tx.Table("access_grants").Where("account_id = ? AND api_token_id = ? AND expires_at > ?", d.AccountID,
		d.TokenID, instant{d.CreatedAt})
	if err := theirs.Count(&granted).Error; err != nil || granted >= int64(d.MaxLive) {
		return limitReached, err
	}
	return inserted, nil
}
