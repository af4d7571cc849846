package gormdb

import (
	"context"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
)

func noTOTP() error { return fault.Errorf(fault.NotFound, "There is no authenticator app.") }

// TOTP returns a person's TOTP secret.
func (s signIns) TOTP(ctx context.Context, userID uuid.UUID) (signin.TOTP, error) {
	row, err := one[totpRow](s.engine.reader(ctx).Where("user_id = ?", userID), noTOTP())
	if err != nil {
		return signin.TOTP{}, failed(ctx, "read the TOTP secret", err)
	}
	return signin.TOTP{
		UserID: row.UserID, Secret: secret.Sealed{Key: secret.KeyID(row.SealedKey), Text: row.Sealed},
		LastStep: row.LastStep, CreatedAt: row.CreatedAt.Time,
	}, nil
}

// SaveTOTP inserts a TOTP secret with recovery codes.
func (s signIns) SaveTOTP(ctx context.Context, by auth.Actor, t signin.TOTP, g signin.Grounds,
	codes []secret.KeyedDigest, events []audit.Event) error {
	row := totpRow{UserID: t.UserID, Sealed: t.Secret.Text, SealedKey: string(t.Secret.Key), LastStep: t.LastStep,
		CreatedAt: instant{t.CreatedAt}}
	err := s.withEvents(ctx, by, t.UserID, events, func(tx *gorm.DB) error {
		if err := hold(tx, g); err != nil {
			return err
		}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		return replaceCodes(tx, t.UserID, codes)
	})
	return failed(ctx, "insert the TOTP secret", err)
}

// UseStep records that a code was used. One statement checks and records it, so that of two concurrent uses of a code
// only one succeeds.
func (s signIns) UseStep(ctx context.Context, userID uuid.UUID, step int64) error {
	err := s.write(ctx, proving, held{}, func(tx *gorm.DB) error {
		used := tx.Model(&totpRow{}).Where("user_id = ? AND last_step < ?", userID, step).Update("last_step", step)
		return requireRow(used, fault.Errorf(fault.NotFound, "The code was used."))
	})
	return failed(ctx, "use a code", err)
}

// RemoveTOTP removes the TOTP secret and the recovery codes.
func (s signIns) RemoveTOTP(ctx context.Context, by auth.Actor, g signin.Grounds, events []audit.Event) error {
	err := s.withEvents(ctx, by, g.UserID, events, func(tx *gorm.DB) error {
		if err := hold(tx, g); err != nil {
			return err
		}
		if err := tx.Where("user_id = ?", g.UserID).Delete(&codeRow{}).Error; err != nil {
			return err
		}
		return requireRow(tx.Where("user_id = ?", g.UserID).Delete(&totpRow{}), noTOTP())
	})
	return failed(ctx, "remove the TOTP secret", err)
}

// ReplaceCodes replaces the recovery codes.
func (s signIns) ReplaceCodes(ctx context.Context, by auth.Actor, g signin.Grounds, codes []secret.KeyedDigest,
	events []audit.Event) error {
	err := s.withEvents(ctx, by, g.UserID, events, func(tx *gorm.DB) error {
		if err := hold(tx, g); err != nil {
			return err
		}
		// An update that changes nothing locks the row, so that a concurrent removal waits.
		held := tx.Model(&totpRow{}).Where("user_id = ?", g.UserID).Update("last_step", gorm.Expr("last_step"))
		if err := requireRow(held, noTOTP()); err != nil {
			return err
		}
		return replaceCodes(tx, g.UserID, codes)
	})
	return failed(ctx, "replace recovery codes", err)
}

func replaceCodes(tx *gorm.DB, userID uuid.UUID, codes []secret.KeyedDigest) error {
	if err := tx.Where("user_id = ?", userID).Delete(&codeRow{}).Error; err != nil {
		return err
	}
	rows := make([]codeRow, len(codes))
	for i, c := range codes {
		rows[i] = codeRow{UserID: userID, Digest: c.Digest[:], DigestKey: string(c.Key)}
	}
	return tx.Create(&rows).Error
}

// UseCode removes a recovery code.
func (s signIns) UseCode(ctx context.Context, userID uuid.UUID, candidates []secret.KeyedDigest,
	events []audit.Event) error {
	err := s.withEvents(ctx, proving, userID, events, func(tx *gorm.DB) error {
		used := tx.Where("user_id = ? AND digest IN ?", userID, digestsOf(candidates)).Delete(&codeRow{})
		return requireRow(used, fault.Errorf(fault.NotFound, "There is no such recovery code."))
	})
	return failed(ctx, "use a recovery code", err)
}

// CountCodes returns the number of unused recovery codes.
func (s signIns) CountCodes(ctx context.Context, userID uuid.UUID) (int, error) {
	var n int64
	err := s.engine.reader(ctx).Model(&codeRow{}).Where("user_id = ?", userID).Count(&n).Error
	return int(n), failed(ctx, "count recovery codes", err)
}

// proving is the actor of writes made while a person signs in.
var proving = auth.NoActor("the person is about to prove who they are")

// Record inserts audit events.
func (s signIns) Record(ctx context.Context, by auth.Actor, events []audit.Event) error {
	return failed(ctx, "insert audit events",
		s.write(ctx, by, held{}, func(tx *gorm.DB) error { return appendEvents(tx, events...) }))
}

// withEvents runs a transaction about a person and records its audit events.
func (s signIns) withEvents(ctx context.Context, by auth.Actor, userID uuid.UUID, events []audit.Event,
	work func(*gorm.DB) error) error {
	return s.write(ctx, by, held{person: userID}, func(tx *gorm.DB) error {
		if err := work(tx); err != nil {
			return err
		}
		return appendEvents(tx, events...)
	})
}

// requireRow returns the error of a statement, or missing if the statement changed no row.
func requireRow(done *gorm.DB, missing error) error {
	if done.Error == nil && done.RowsAffected == 0 {
		return missing
	}
	return done.Error
}
