package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/token"
)

// Expirations returns the repository of the job that reports expirations of API tokens.
func (db *DB) Expirations() token.ExpirationRepository { return tokens{db} }

// expirationsPerWrite bounds the tokens in one transaction, so that no other write waits for long.
const expirationsPerWrite = 200

// reporting is the actor of the events of expirations.
var reporting = auth.NoActor("expirations are reported")

// ReportExpirations stores the stages of tokens with the events.
func (t tokens) ReportExpirations(ctx context.Context, now time.Time,
	event func(token.Token, token.ExpiryStage) audit.Event) (more bool, err error) {
	err = t.write(ctx, reporting, held{}, func(tx *gorm.DB) error {
		more = false // write may run this again
		expiring, err := dueAt(tx, token.Unreported, now.Add(token.ExpiryNotice))
		if err != nil {
			return err
		}
		expired, err := dueAt(tx, token.ReportedExpiring, now)
		if err != nil {
			return err
		}
		more = len(expiring) == expirationsPerWrite || len(expired) == expirationsPerWrite
		reached := map[uuid.UUID]map[token.ExpiryStage][]uuid.UUID{}
		var events []audit.Event
		for _, due := range append(expiring, expired...) {
			stage := token.ReportedExpiring
			if due.Status(now) == token.Expired {
				stage = token.ReportedExpired
			}
			if reached[due.AccountID] == nil {
				reached[due.AccountID] = map[token.ExpiryStage][]uuid.UUID{}
			}
			reached[due.AccountID][stage] = append(reached[due.AccountID][stage], due.ID)
			events = append(events, event(due, stage))
		}
		for accountID, stages := range reached {
			for stage, ids := range stages {
				these := tx.Table("api_tokens").Where("account_id = ? AND id IN ?", accountID, ids)
				if err := these.Update("expiry_stage", int64(stage)).Error; err != nil {
					return err
				}
			}
		}
		return appendEvents(tx, events...)
	})
	return more, failed(ctx, "report expirations of API tokens", err)
}

// dueAt locks and returns tokens of the stage that expire by the time. It skips tokens that other transactions have
// locked, such as those of another server's report: the next report considers them again.
func dueAt(tx *gorm.DB, stage token.ExpiryStage, by time.Time) ([]token.Token, error) {
	var rows []listedToken
	err := tx.Table("api_tokens AS t").Select(listedTokenColumns).
		Joins("LEFT JOIN stores AS s ON s.account_id = t.account_id AND s.id = t.store_id").
		Where("t.revoked_at IS NULL AND t.expires_at IS NOT NULL AND t.expiry_stage < 2").
		Where("t.expiry_stage = ? AND t.expires_at <= ?", int64(stage), instant{by}).
		Order("t.expires_at").Limit(expirationsPerWrite).
		Clauses(clause.Locking{Strength: "UPDATE", Table: clause.Table{Name: "t"}, Options: "SKIP LOCKED"}).
		Scan(&rows).Error
	if err != nil {
		return nil, err
	}
	due := make([]token.Token, len(rows))
	for i, r := range rows {
		if due[i], err = r.token(); err != nil {
			return nil, err
		}
	}
	return due, nil
}
