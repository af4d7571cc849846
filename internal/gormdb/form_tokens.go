package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/auth"
	"latchkey/internal/signin/formtoken"
)

// sentForms implements formtoken.Repository.
type sentForms struct{ *DB }

var _ formtoken.Repository = sentForms{}

// SentForms returns the repository of forms that were sent.
func (db *DB) SentForms() formtoken.Repository { return sentForms{db} }

// Claim records the form as sent and reports whether it is the first to do so. It deletes old rows in a second
// transaction, because the result does not depend on them.
func (s sentForms) Claim(ctx context.Context, by auth.Actor, accountID, formID uuid.UUID, at, forget time.Time) (bool,
	error) {
	first := false
	err := s.write(ctx, by, held{}, func(tx *gorm.DB) error {
		kept := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&sentFormRow{AccountID: accountID, ID: formID,
			SentAt: instant{at}})
		first = kept.RowsAffected == 1
		return kept.Error
	})
	if err != nil {
		return false, failed(ctx, "record a sent form", err)
	}
	err = s.write(ctx, auth.NoActor("expired forms are deleted"), held{}, func(tx *gorm.DB) error {
		return tx.Where("sent_at < ?", instant{forget}).Delete(&sentFormRow{}).Error
	})
	return first, failed(ctx, "delete expired forms", err)
}
