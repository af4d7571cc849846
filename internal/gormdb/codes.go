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

type totpRow struct {
	UserID    uuid.UUID
	Sealed    []byte
	SealedKey string
	LastStep  int64
	CreatedAt instant
}

// TableName tells gorm the table.
func (totpRow) TableName() string { return "totp_secrets" }

type codeRow struct {
	UserID    uuid.UUID
	Digest    []byte
	DigestKey string
}

// TableName tells gorm the table.
func (codeRow) TableName() string { return "recovery_codes" }

func noTOTP() error { return fault.Errorf(fault.NotFound, "There is no authenticator app.") }

// TOTP returns the secret of a person's codes.
func (s signIns) TOTP(ctx context.Context, userID uuid.UUID) (signin.TOTP, error) {
	row, err := one[totpRow](s.engine.reader(ctx).Where("user_id = ?", userID), noTOTP())
	if err != nil {
		return signin.TOTP{}, failed(ctx, "read the secret of codes", err)
	}
	return signin.TOTP{
		UserID: row.UserID, Secret: secret.Sealed{Key: secret.KeyID(row.SealedKey), Text: row.Sealed}, LastStep: row.LastStep, CreatedAt: row.CreatedAt.Time,
	}, nil
}

// KeepTOTP keeps a secret with recovery codes.
func (s signIns) KeepTOTP(ctx context.Context, by auth.Actor, t signin.TOTP, g signin.Grounds, codes []secret.KeyedDigest, events []audit.Event) error {
	row := totpRow{UserID: t.UserID, Sealed: t.Secret.Text, SealedKey: string(t.Secret.Key), LastStep: t.LastStep, CreatedAt: instant{t.CreatedAt}}
	err := s.telling(ctx, by, t.UserID, events, func(tx *gorm.DB) error {
		if err := hold(tx, g); err != nil {
			return err
		}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		return replaceCodes(tx, t.UserID, codes)
	})
	return failed(ctx, "keep the secret of codes", err)
}

// UseStep notes that a code was used. The statement both asks and notes, so
// that of two at once the second finds the first's.
func (s signIns) UseStep(ctx context.Context, userID uuid.UUID, step int64) error {
	err := s.write(ctx, proving, held{}, func(tx *gorm.DB) error {
		used := tx.Model(&totpRow{}).Where("user_id = ? AND last_step < ?", userID, step).Update("last_step", step)
		return missingUnless(used, fault.Errorf(fault.NotFound, "The code was used."))
	})
	return failed(ctx, "use a code", err)
}

// RemoveTOTP removes the secret and the recovery codes.
func (s signIns) RemoveTOTP(ctx context.Context, by auth.Actor, g signin.Grounds, events []audit.Event) error {
	err := s.telling(ctx, by, g.UserID, events, func(tx *gorm.DB) error {
		if err := hold(tx, g); err != nil {
			return err
		}
		if err := tx.Where("user_id = ?", g.UserID).Delete(&codeRow{}).Error; err != nil {
			return err
		}
		return missingUnless(tx.Where("user_id = ?", g.UserID).Delete(&totpRow{}), noTOTP())
	})
	return failed(ctx, "remove the secret of codes", err)
}

// ReplaceCodes replaces the recovery codes.
func (s signIns) ReplaceCodes(ctx context.Context, by auth.Actor, g signin.Grounds, codes []secret.KeyedDigest, events []audit.Event) error {
	err := s.telling(ctx, by, g.UserID, events, func(tx *gorm.DB) error {
		if err := hold(tx, g); err != nil {
			return err
		}
		// To write the row, as it is, makes another request wait that removes it.
		held := tx.Model(&totpRow{}).Where("user_id = ?", g.UserID).Update("last_step", gorm.Expr("last_step"))
		if err := missingUnless(held, noTOTP()); err != nil {
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
		rows[i] = codeRow{userID, c.Digest[:], string(c.Key)}
	}
	return tx.Create(&rows).Error
}

// UseCode removes a recovery code.
func (s signIns) UseCode(ctx context.Context, userID uuid.UUID, candidates []secret.KeyedDigest, events []audit.Event) error {
	err := s.telling(ctx, proving, userID, events, func(tx *gorm.DB) error {
		used := tx.Where("user_id = ? AND digest IN ?", userID, digestsOf(candidates)).Delete(&codeRow{})
		return missingUnless(used, fault.Errorf(fault.NotFound, "There is no such recovery code."))
	})
	return failed(ctx, "use a recovery code", err)
}

// CountCodes returns how many recovery codes are left.
func (s signIns) CountCodes(ctx context.Context, userID uuid.UUID) (int, error) {
	var n int64
	err := s.engine.reader(ctx).Model(&codeRow{}).Where("user_id = ?", userID).Count(&n).Error
	return int(n), failed(ctx, "count recovery codes", err)
}

// proving is the actor of what is noted while a person proves who they are.
var proving = auth.NoActor("the person is about to prove who they are")

// Record keeps events.
func (s signIns) Record(ctx context.Context, by auth.Actor, events []audit.Event) error {
	return failed(ctx, "keep events", s.write(ctx, by, held{}, func(tx *gorm.DB) error { return recordAll(tx, events) }))
}

// telling runs a transaction about a person with its events.
func (s signIns) telling(ctx context.Context, by auth.Actor, userID uuid.UUID, events []audit.Event, work func(*gorm.DB) error) error {
	return s.write(ctx, by, held{person: userID}, func(tx *gorm.DB) error {
		if err := work(tx); err != nil {
			return err
		}
		return recordAll(tx, events)
	})
}

// missingUnless returns the error of a statement, and missing if it met no row.
func missingUnless(done *gorm.DB, missing error) error {
	if done.Error == nil && done.RowsAffected == 0 {
		return missing
	}
	return done.Error
}
