package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
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
	return signin.Person{User: row.User.user(), PasswordHash: textOf(row.PasswordHash)}, nil
}

// Accounts returns the accounts that a person is in.
func (s signIns) Accounts(ctx context.Context, userID uuid.UUID) ([]account.Account, error) {
	var rows []accountRow
	q := s.engine.reader(ctx).Joins("JOIN account_users AS m ON m.account_id = accounts.id").Where("m.user_id = ?", userID)
	if err := q.Order("accounts.name, accounts.id").Find(&rows).Error; err != nil {
		return nil, failed(ctx, "read a person's accounts", err)
	}
	all := make([]account.Account, len(rows))
	for i, row := range rows {
		all[i] = row.account()
	}
	return all, nil
}

// SetPassword replaces a person's password.
func (s signIns) SetPassword(ctx context.Context, userID uuid.UUID, hash string, keep uuid.UUID, at time.Time, own []audit.Event, ended func(user.Session) audit.Event) error {
	return s.endingSessions(ctx, "keep a password", func(tx *gorm.DB) ([]user.Session, error) {
		changed := tx.Model(&userRow{}).Where("id = ?", userID).Update("password_hash", hash)
		if changed.Error != nil {
			return nil, changed.Error
		}
		if changed.RowsAffected == 0 {
			return nil, fault.Errorf(fault.NotFound, "There is no such person.")
		}
		for _, e := range own {
			row, err := newEventRow(e)
			if err != nil {
				return nil, err
			}
			if err := tx.Create(&row).Error; err != nil {
				return nil, err
			}
		}
		others := picked(user.SessionSelection{UserID: userID}, at)
		others.and("sessions.id <> ?", keep)
		return endSessions(tx, others, at, ended)
	})
}

// Begin keeps a session, and ends the one that it replaces.
func (s signIns) Begin(ctx context.Context, started user.Session, digest secret.KeyedDigest, e audit.Event, replaces uuid.UUID, ended func(user.Session) audit.Event) error {
	event, err := newEventRow(e)
	if err != nil {
		return err
	}
	return s.endingSessions(ctx, "begin a session", func(tx *gorm.DB) ([]user.Session, error) {
		if err := startSession(tx, started, digest, event); err != nil {
			return nil, err
		}
		places := tx.Table("store_users").Where("account_id = ? AND user_id = ?", started.AccountID, started.UserID)
		if err := places.Update("last_login_at", instant{started.CreatedAt}).Error; err != nil || replaces == uuid.Nil {
			return nil, err
		}
		which := user.SessionSelection{IDs: []uuid.UUID{replaces}, UserID: started.UserID}
		return endSessions(tx, picked(which, started.CreatedAt), started.CreatedAt, ended)
	})
}

// endingSessions runs a transaction that ends sessions, and tells of them.
func (s signIns) endingSessions(ctx context.Context, doing string, work func(*gorm.DB) ([]user.Session, error)) error {
	var ended []user.Session
	err := s.engine.writer(ctx).Transaction(func(tx *gorm.DB) (err error) {
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
	s.tell(err, accountsOf(ended)...)
	return failed(ctx, doing, err)
}
