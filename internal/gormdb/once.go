package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm/clause"

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
func (s sentForms) Claim(ctx context.Context, accountID, formID uuid.UUID, at, forget time.Time) (bool, error) {
	kept := s.engine.writer(ctx).Clauses(clause.OnConflict{DoNothing: true}).Create(&sentFormRow{accountID, formID, instant{at}})
	if kept.Error != nil {
		return false, failed(ctx, "note that a form was sent", kept.Error)
	}
	err := s.engine.writer(ctx).Where("sent_at < ?", instant{forget}).Delete(&sentFormRow{}).Error
	return kept.RowsAffected == 1, failed(ctx, "forget forms", err)
}
