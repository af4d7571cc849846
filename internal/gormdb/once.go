package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/auth"
	"latchkey/internal/once"
)

// sentForms implements once.Repository.
type sentForms struct{ *DB }

var _ once.Repository = sentForms{}

// SentForms returns the repository of forms that were sent.
func (db *DB) SentForms() once.Repository { return sentForms{db} }

type sentFormRow struct {
	AccountID uuid.UUID
	ID        uuid.UUID
	SentAt    instant
}

// TableName tells gorm the table.
func (sentFormRow) TableName() string { return "sent_forms" }

// Claim keeps a row for the form, if there is none. That old rows are deleted
// has no part in the answer, so it is a statement of its own.
func (s sentForms) Claim(ctx context.Context, by auth.Actor, accountID, formID uuid.UUID, at, forget time.Time) (bool, error) {
	first := false
	err := s.write(ctx, by, held{}, func(tx *gorm.DB) error {
		kept := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&sentFormRow{accountID, formID, instant{at}})
		first = kept.RowsAffected == 1
		return kept.Error
	})
	if err != nil {
		return false, failed(ctx, "note that a form was sent", err)
	}
	err = s.write(ctx, auth.NoActor("forms that are too old to be sent are forgotten"), held{}, func(tx *gorm.DB) error {
		return tx.Where("sent_at < ?", instant{forget}).Delete(&sentFormRow{}).Error
	})
	return first, failed(ctx, "forget forms", err)
}
