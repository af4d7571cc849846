package gormdb

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// signIns implements signin.Repository. What it keeps of sessions is what
// users keeps.
type signIns struct{ users }

var _ signin.Repository = signIns{}

// SignIn returns the repository of what people are known by.
func (db *DB) SignIn() signin.Repository { return signIns{users{db}} }

type knownRow struct {
	User         userRow `gorm:"embedded"`
	PasswordHash *string
	VouchedBy    uuid.NullUUID
}

func (r knownRow) person() signin.Person {
	return signin.Person{User: r.User.user(), PasswordHash: textOf(r.PasswordHash), VouchedBy: r.VouchedBy.UUID}
}

// TableName tells gorm the table.
func (knownRow) TableName() string { return "users" }

// Person returns who has the address.
func (s signIns) Person(ctx context.Context, foldedEmail string) (signin.Person, error) {
	return s.person(ctx, "email_folded = ?", foldedEmail)
}

// PersonByID returns a person.
func (s signIns) PersonByID(ctx context.Context, id uuid.UUID) (signin.Person, error) {
	return s.person(ctx, "id = ?", id)
}

func (s signIns) person(ctx context.Context, where string, key any) (signin.Person, error) {
	missing := fault.Errorf(fault.NotFound, "There is no such person.")
	row, err := one[knownRow](s.engine.reader(ctx).Where(where, key), missing)
	if err != nil {
		return signin.Person{}, failed(ctx, "read a person", err)
	}
	return row.person(), nil
}

// Accounts returns the accounts that a person is in.
func (s signIns) Accounts(ctx context.Context, userID uuid.UUID) ([]signin.Membership, error) {
	var rows []struct {
		Account accountRow `gorm:"embedded"`
		Barred  bool
	}
	q := s.engine.reader(ctx).Table("accounts").Select("accounts.*, u.vouched_by IS NOT NULL AND u.vouched_by <> accounts.id AS barred").
		Joins("JOIN account_users AS m ON m.account_id = accounts.id").Joins("JOIN users AS u ON u.id = m.user_id").Where("m.user_id = ?", userID)
	if err := q.Order("accounts.name, accounts.id").Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "read a person's accounts", err)
	}
	all := make([]signin.Membership, len(rows))
	for i, row := range rows {
		all[i] = signin.Membership{Account: row.Account.account(), Barred: row.Barred}
	}
	return all, nil
}

// SetPassword replaces a person's password.
func (s signIns) SetPassword(ctx context.Context, by auth.Actor, p signin.NewPassword) error {
	return s.endingSessions(ctx, by, "keep a password", p.UserID, func(tx *gorm.DB) ([]user.Session, error) {
		// Whoever takes the link away sets the password; others come too late.
		if p.Link != uuid.Nil {
			if used := tx.Delete(&linkRow{}, "id = ?", p.Link); used.Error != nil || used.RowsAffected == 0 {
				return nil, errors.Join(used.Error, noLink())
			}
		}
		if p.Grounds != (signin.Grounds{}) {
			if err := hold(tx, p.Grounds); err != nil {
				return nil, err
			}
		}
		if err := dropKnown(tx, p); err != nil {
			return nil, err
		}
		changed := tx.Table("users").Where("id = ?", p.UserID).Updates(map[string]any{"password_hash": newHash(p), "vouched_by": optional(p.VouchedBy)})
		if changed.Error != nil {
			return nil, changed.Error
		}
		if changed.RowsAffected == 0 {
			return nil, fault.Errorf(fault.NotFound, "There is no such person.")
		}
		if err := tx.Delete(&linkRow{}, "user_id = ?", p.UserID).Error; err != nil {
			return nil, err
		}
		if err := recordAll(tx, p.Own); err != nil {
			return nil, err
		}
		others := picked(user.SessionSelection{UserID: p.UserID})
		others.and("sessions.id <> ?", p.Keep)
		if p.SignedIn {
			others.and("sessions.method <> ''")
		}
		return endSessions(tx, others, p.At, p.Ended)
	})
}

// newHash is what the column of a password becomes.
func newHash(p signin.NewPassword) any {
	if p.Hash == "" {
		return gorm.Expr("CASE WHEN vouched_by IS NULL THEN password_hash END")
	}
	return p.Hash
}

// recordAll keeps audit events.
func recordAll(tx *gorm.DB, events []audit.Event) error {
	for _, e := range events {
		row, err := newEventRow(e)
		if err != nil {
			return err
		}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
	}
	return nil
}

// Begin keeps a session, and ends the one that it replaces.
func (s signIns) Begin(ctx context.Context, by auth.Actor, n signin.NewSession) error {
	event, err := newEventRow(n.Started)
	if err != nil {
		return err
	}
	var concerned uuid.UUID
	if n.Grounds.Session != uuid.Nil {
		concerned = n.UserID
	}
	return s.endingSessions(ctx, by, "begin a session", concerned, func(tx *gorm.DB) ([]user.Session, error) {
		if err := hold(tx, n.Grounds); err != nil {
			return nil, err
		}
		if err := startSession(tx, n.Session, n.Digest, event); err != nil {
			return nil, err
		}
		replaces := n.Grounds.Session
		places := tx.Table("store_users").Where("account_id = ? AND user_id = ?", n.AccountID, n.UserID)
		if err := places.Update("last_login_at", instant{n.CreatedAt}).Error; err != nil || replaces == uuid.Nil {
			return nil, err
		}
		which := user.SessionSelection{IDs: []uuid.UUID{replaces}, UserID: n.UserID}
		return endSessions(tx, picked(which), n.CreatedAt, n.Ended)
	})
}

// endingSessions runs a transaction that ends sessions of a user, and tells of
// them. The user is told of whatever was left to end, since another replica may
// have ended the rest a moment ago, unheard by this one; a zero userID is not.
func (s signIns) endingSessions(ctx context.Context, by auth.Actor, doing string, userID uuid.UUID, work func(*gorm.DB) ([]user.Session, error)) error {
	var ended []user.Session
	err := s.write(ctx, by, held{person: userID}, func(tx *gorm.DB) (err error) {
		if ended, err = work(tx); err != nil {
			return err
		}
		for _, id := range accountsOf(ended) {
			if err := s.engine.announce(tx, id); err != nil {
				return err
			}
		}
		return nil
	})
	concerned := accountsOf(ended)
	if userID != uuid.Nil {
		concerned = append(concerned, userID)
	}
	s.tell(err, concerned...)
	return failed(ctx, doing, err)
}
