package gormdb

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

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
	u := user.User{ID: r.User.ID, Email: r.User.Email, FirstName: r.User.FirstName, LastName: r.User.LastName, Locale: r.User.Locale, CreatedAt: r.User.CreatedAt.Time}
	return signin.Person{User: u, PasswordHash: textOf(r.PasswordHash), VouchedBy: r.VouchedBy.UUID}
}

// TableName tells gorm the table.
func (knownRow) TableName() string { return "users" }

// Person returns who has the address.
func (s signIns) Person(ctx context.Context, foldedEmail string) (signin.Person, error) {
	return s.person(ctx, "email_folded = ?", foldedEmail)
}

// Known returns who signs in with the address.
func (s signIns) Known(ctx context.Context, foldedEmail string) ([]signin.Person, error) {
	var rows []knownRow
	q := s.engine.reader(ctx).Raw(`SELECT * FROM users WHERE email_folded = ? UNION ALL
		SELECT u.* FROM account_users AS m JOIN users AS u ON u.id = m.user_id
			WHERE m.email_folded = ? AND u.email_folded <> m.email_folded AND u.password_hash IS NOT NULL`, foldedEmail, foldedEmail)
	if err := q.Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "read who signs in with an address", err)
	}
	known := make([]signin.Person, len(rows))
	for i, row := range rows {
		known[i] = row.person()
	}
	return known, nil
}

// EnsurePerson returns who has the address.
func (s signIns) EnsurePerson(ctx context.Context, foldedEmail string, at time.Time) (signin.Person, error) {
	var row knownRow
	err := s.write(ctx, auth.NoActor("it tells nobody anything, and gives nobody a right"), held{}, func(tx *gorm.DB) (err error) {
		row, err = ensurePerson(tx, foldedEmail, at)
		return err
	})
	return row.person(), failed(ctx, "keep a person", err)
}

// ensurePerson returns the row of the person who signs in with an address that
// some account has, which is made if there is none.
func ensurePerson(tx *gorm.DB, foldedEmail string, at time.Time) (knownRow, error) {
	var records []recordRow
	q := tx.Table("account_users AS a").Joins("JOIN users AS u ON u.id = a.user_id").Where("a.email_folded = ?", foldedEmail)
	if err := q.Select(recordColumns).Order("a.created_at").Limit(1).Scan(&records).Error; err != nil {
		return knownRow{}, err
	}
	for _, r := range records {
		row := userRow{ID: uuid.Must(uuid.NewV7()), Email: r.Email, EmailFolded: foldedEmail, Locale: r.Locale, CreatedAt: instant{at}}
		if err := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error; err != nil {
			return knownRow{}, err
		}
	}
	return one[knownRow](tx.Where("email_folded = ?", foldedEmail), fault.Errorf(fault.NotFound, "Nobody has this e-mail address."))
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

// Accounts returns the accounts that a person is in: those that have the
// address, or for what one account records of somebody, that account.
func (s signIns) Accounts(ctx context.Context, personID uuid.UUID) ([]signin.Membership, error) {
	who, err := one[knownRow](s.engine.reader(ctx).Where("id = ?", personID), fault.Errorf(fault.NotFound, "There is no such person."))
	if fault.KindOf(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, failed(ctx, "read a person", err)
	}
	var rows []struct {
		Account     accountRow `gorm:"embedded"`
		UserID      uuid.UUID
		AcceptedAt  instant
		RecordVouch uuid.NullUUID
	}
	q := s.engine.reader(ctx).Table("accounts").Select("accounts.*, m.user_id, m.accepted_at, u.vouched_by AS record_vouch").
		Joins("JOIN account_users AS m ON m.account_id = accounts.id").Joins("JOIN users AS u ON u.id = m.user_id")
	if who.User.isPerson() {
		q = q.Where("m.email_folded = ?", who.User.EmailFolded)
	} else {
		q = q.Where("m.user_id = ?", personID)
	}
	if err := q.Order("accounts.name, accounts.id").Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "read a person's accounts", err)
	}
	all := make([]signin.Membership, len(rows))
	for i, row := range rows {
		// What somebody accepted with a password of the account's is not accepted
		// by the person.
		byOther := row.UserID != personID && row.RecordVouch.Valid
		all[i] = signin.Membership{
			Account: row.Account.account(), UserID: row.UserID, Pending: row.AcceptedAt.IsZero() || byOther,
			Barred: who.VouchedBy.Valid && who.VouchedBy.UUID != row.Account.ID,
		}
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
		// Invitations stay: of somebody who has a password they set none.
		if err := tx.Delete(&linkRow{}, "user_id = ? AND purpose <> ?", p.UserID, string(signin.Invitation)).Error; err != nil {
			return nil, err
		}
		if err := recordAll(tx, p.Own); err != nil {
			return nil, err
		}
		others := picked(user.SessionSelection{PersonID: p.UserID})
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
	started := n.Session
	var concerned uuid.UUID
	if n.Grounds.Session != uuid.Nil {
		concerned = started.PersonID
	}
	return s.endingSessions(ctx, by, "begin a session", concerned, func(tx *gorm.DB) ([]user.Session, error) {
		if err := hold(tx, n.Grounds); err != nil {
			return nil, err
		}
		if err := startSession(tx, started, n.Digest, n.Started); err != nil {
			return nil, err
		}
		ended, err := accept(tx, n.Acceptance)
		if err != nil {
			return nil, err
		}
		replaces := n.Grounds.Session
		places := tx.Table("store_users").Where("account_id = ? AND user_id = ?", started.AccountID, started.UserID)
		if err := places.Update("last_login_at", instant{started.CreatedAt}).Error; err != nil || replaces == uuid.Nil {
			return ended, err
		}
		which := user.SessionSelection{IDs: []uuid.UUID{replaces}, PersonID: started.PersonID}
		replaced, err := endSessions(tx, picked(which), started.CreatedAt, n.Ended)
		return append(ended, replaced...), err
	})
}

// Accept accepts a membership.
func (s signIns) Accept(ctx context.Context, by auth.Actor, a signin.Acceptance) error {
	return s.endingSessions(ctx, by, "accept a membership", a.UserID, func(tx *gorm.DB) ([]user.Session, error) {
		// Whoever takes the link away accepts; others come too late.
		if a.Link != uuid.Nil {
			if used := tx.Delete(&linkRow{}, "id = ?", a.Link); used.Error != nil || used.RowsAffected == 0 {
				return nil, errors.Join(used.Error, noLink())
			}
		}
		return accept(tx, a)
	})
}

// accept accepts a membership if it is pending. With the person's own proof, what
// others may know ends: a password that the account chose, what was added with
// it, and the sessions that it began.
func accept(tx *gorm.DB, a signin.Acceptance) ([]user.Session, error) {
	pending, err := acceptPending(tx, a.AccountID, a.UserID, a.At, a.Event)
	if err != nil || a.PersonID == a.UserID {
		return nil, err
	}
	dropped := tx.Table("users").Where("id = ? AND vouched_by IS NOT NULL", a.UserID).Updates(map[string]any{"password_hash": nil, "vouched_by": nil})
	if dropped.Error != nil {
		return nil, dropped.Error
	}
	if err := tx.Delete(&linkRow{}, "user_id = ? AND account_id = ?", a.UserID, a.AccountID).Error; err != nil || dropped.RowsAffected == 0 {
		return nil, err
	}
	if _, err := removeAll(tx, a.UserID, a.Removed); err != nil {
		return nil, err
	}
	if !pending { // others had accepted it
		if err := recordAll(tx, []audit.Event{a.Event}); err != nil {
			return nil, err
		}
	}
	return endSessions(tx, picked(user.SessionSelection{PersonID: a.UserID}), a.At, a.Ended)
}

// endingSessions runs a transaction that ends sessions of a person, and tells of
// them. The person is told of whatever was left to end, since another replica may
// have ended the rest a moment ago, unheard by this one; a zero personID is not.
func (s signIns) endingSessions(ctx context.Context, by auth.Actor, doing string, personID uuid.UUID, work func(*gorm.DB) ([]user.Session, error)) error {
	var ended []user.Session
	var concerned []uuid.UUID
	err := s.write(ctx, by, held{person: personID, urgent: true}, func(tx *gorm.DB) (err error) {
		if ended, err = work(tx); err != nil {
			return err
		}
		for _, id := range accountsOf(ended) {
			if err := s.engine.announce(tx, id); err != nil {
				return err
			}
		}
		if personID != uuid.Nil {
			concerned, err = usersOf(tx, user.SessionSelection{PersonID: personID})
		}
		return err
	})
	s.tell(err, union(accountsOf(ended), concerned)...)
	return failed(ctx, doing, err)
}
