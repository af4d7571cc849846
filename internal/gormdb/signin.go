package gormdb

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// signIns implements signin.Repository. It embeds users because both write sessions.
type signIns struct{ users }

var _ signin.Repository = signIns{}

// SignIn returns the repository of credentials for signing in.
func (db *DB) SignIn() signin.Repository { return signIns{users{db}} }

// Person returns the person with the address.
func (s signIns) Person(ctx context.Context, foldedEmail string) (signin.Person, error) {
	return s.person(ctx, "email_folded = ?", foldedEmail)
}

// Known returns all rows that can sign in with the address.
func (s signIns) Known(ctx context.Context, foldedEmail string) ([]signin.Person, error) {
	var rows []userRow
	q := s.engine.reader(ctx).Raw(`SELECT * FROM users WHERE email_folded = ? UNION ALL
		SELECT u.* FROM account_users AS m JOIN users AS u ON u.id = m.user_id
			WHERE m.email_folded = ? AND u.email_folded <> m.email_folded AND u.password_hash IS NOT NULL`, foldedEmail, foldedEmail)
	if err := q.Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "read the users who sign in with an address", err)
	}
	known := make([]signin.Person, len(rows))
	for i, row := range rows {
		known[i] = row.person()
	}
	return known, nil
}

// EnsurePerson returns the person with the address and creates it if it is missing.
func (s signIns) EnsurePerson(ctx context.Context, foldedEmail string, at time.Time) (signin.Person, error) {
	var row userRow
	err := s.write(ctx, auth.NoActor("it returns no data and grants no permission"), held{},
		func(tx *gorm.DB) (err error) {
			row, err = ensurePerson(tx, foldedEmail, at)
			return err
		})
	return row.person(), failed(ctx, "save a person", err)
}

// ensurePerson returns the row of the person who signs in with an address that an account has recorded. It inserts
// the row if it is missing, with the address in the spelling that was recorded first.
func ensurePerson(tx *gorm.DB, foldedEmail string, at time.Time) (userRow, error) {
	var records []recordRow
	q := tx.Table("account_users AS a").Joins("JOIN users AS u ON u.id = a.user_id").Where("a.email_folded = ?",
		foldedEmail)
	q = q.Select(recordColumns).Order("coalesce(a.addressed_at, a.created_at), a.user_id").Limit(1)
	if err := q.Scan(&records).Error; err != nil {
		return userRow{}, err
	}
	for _, r := range records {
		row := userRow{ID: uuid.Must(uuid.NewV7()), Email: r.Email, EmailFolded: foldedEmail, Locale: r.Locale,
			CreatedAt: instant{at}}
		if err := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error; err != nil {
			return userRow{}, err
		}
	}
	return one[userRow](tx.Where("email_folded = ?", foldedEmail),
		fault.Errorf(fault.NotFound, "No user has this email address."))
}

// errNoPerson is the error for the id or the address of no person.
func errNoPerson() *fault.Error { return fault.Errorf(fault.NotFound, "There is no such user.") }

// PersonByID returns the person with the id.
func (s signIns) PersonByID(ctx context.Context, id uuid.UUID) (signin.Person, error) {
	return s.person(ctx, "id = ?", id)
}

func (s signIns) person(ctx context.Context, where string, key any) (signin.Person, error) {
	row, err := one[userRow](s.engine.reader(ctx).Where(where, key), errNoPerson())
	if err != nil {
		return signin.Person{}, failed(ctx, "read a person", err)
	}
	return row.person(), nil
}

// Accounts returns the accounts of a person: those with a member of the same address who is not deactivated. If the id
// is that of an account's own record, it returns only that account.
func (s signIns) Accounts(ctx context.Context, personID uuid.UUID) ([]signin.Membership, error) {
	who, err := one[userRow](s.engine.reader(ctx).Where("id = ?", personID), errNoPerson())
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
	q := s.engine.reader(ctx).Table("accounts").Select(
		"accounts.*, m.user_id, m.accepted_at, u.vouched_by AS record_vouch").
		Joins("JOIN account_users AS m ON m.account_id = accounts.id AND m.deactivated_at IS NULL").Joins("JOIN users AS u ON u.id = m.user_id")
	if who.isPerson() {
		q = q.Where("m.email_folded = ?", who.EmailFolded)
	} else {
		q = q.Where("m.user_id = ?", personID)
	}
	if err := q.Order("accounts.name, accounts.id").Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "read a person's accounts", err)
	}
	all := make([]signin.Membership, len(rows))
	for i, row := range rows {
		// If the membership was accepted with a password that the account chose, the person has not accepted it.
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
		// The transaction that deletes the link sets the password; a later one fails.
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
		changed := tx.Table("users").Where("id = ?", p.UserID).Updates(newPassword(p))
		if changed.Error != nil {
			return nil, changed.Error
		}
		if changed.RowsAffected == 0 {
			return nil, errNoPerson()
		}
		// Invitations remain: for a user who has a password they cannot set one.
		if err := tx.Delete(&linkRow{}, "user_id = ? AND purpose <> ?", p.UserID,
			string(signin.Invitation)).Error; err != nil {
			return nil, err
		}
		if err := appendEvents(tx, p.Own...); err != nil {
			return nil, err
		}
		others := picked(user.SessionSelection{PersonID: p.UserID, SignedIn: p.SignedIn})
		others.and("sessions.id <> ?", p.Keep)
		return endSessions(tx, others, p.At, p.Ended)
	})
}

// newPassword returns the new values of the password columns.
func newPassword(p signin.NewPassword) map[string]any {
	columns := map[string]any{"password_hash": p.Hash, "password_id": p.ID, "vouched_by": optional(p.VouchedBy)}
	if p.Hash == "" {
		columns["password_hash"] = gorm.Expr("CASE WHEN vouched_by IS NULL THEN password_hash END")
		columns["password_id"] = gorm.Expr("CASE WHEN vouched_by IS NULL THEN password_id ELSE ? END", p.ID)
	}
	return columns
}

// Begin starts a session and revokes the session that it replaces.
func (s signIns) Begin(ctx context.Context, by auth.Actor, n signin.NewSession) error {
	started := n.Session
	var concerned uuid.UUID
	if n.Grounds.Session != uuid.Nil {
		concerned = started.PersonID
	}
	return s.endingSessions(ctx, by, "begin a session", concerned, func(tx *gorm.DB) ([]user.Session, error) {
		// The membership is locked first: a removal locks it before sessions.
		if err := holdMemberAs(tx, started.AccountID, started.UserID, started.PersonID); err != nil {
			return nil, err
		}
		if err := hold(tx, n.Grounds); err != nil {
			return nil, err
		}
		if err := startSession(tx, started, n.Digest, n.Grounds.Session, n.Started); err != nil {
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
		// The membership is locked first: a removal or a deactivation locks it before links.
		if err := holdMemberAs(tx, a.AccountID, a.UserID, a.PersonID); err != nil {
			if a.Link != uuid.Nil && fault.KindOf(err) == fault.NotFound {
				err = noLink()
			}
			return nil, err
		}
		// The transaction that deletes the link accepts; a later one fails.
		if a.Link != uuid.Nil {
			if used := tx.Delete(&linkRow{}, "id = ?", a.Link); used.Error != nil || used.RowsAffected == 0 {
				return nil, errors.Join(used.Error, noLink())
			}
		}
		return accept(tx, a)
	})
}

// accept accepts a membership if it is pending. If the person proved their identity themselves, it also removes what
// others may know: a password that the account chose, factors that were added with it, and the sessions it started.
func accept(tx *gorm.DB, a signin.Acceptance) ([]user.Session, error) {
	pending, err := acceptPending(tx, a.AccountID, a.UserID, a.At, a.Event)
	if err != nil || a.PersonID == a.UserID {
		return nil, err
	}
	dropped := tx.Table("users").Where("id = ? AND vouched_by IS NOT NULL",
		a.UserID).Updates(map[string]any{"password_hash": nil, "vouched_by": nil})
	if dropped.Error != nil {
		return nil, dropped.Error
	}
	if err := tx.Delete(&linkRow{}, "user_id = ? AND account_id = ?", a.UserID, a.AccountID).Error; err != nil ||
		dropped.RowsAffected == 0 {
		return nil, err
	}
	if _, err := removeAll(tx, a.UserID, a.Removed); err != nil {
		return nil, err
	}
	if !pending { // it was already accepted with the account's password
		if err := recordAccepted(tx, a.UserID, a.Event); err != nil {
			return nil, err
		}
	}
	return endSessions(tx, picked(user.SessionSelection{PersonID: a.UserID}), a.At, a.Ended)
}

// endingSessions runs a transaction that revokes sessions of a person, and announces it. If personID is not zero, it
// reports all users of the person even if no session was left to revoke: another replica may have just revoked them,
// and this one may not have received that change yet.
func (s signIns) endingSessions(ctx context.Context, by auth.Actor, doing string, personID uuid.UUID,
	work func(*gorm.DB) ([]user.Session, error)) error {
	var ended []user.Session
	var concerned []uuid.UUID
	h := held{person: personID, urgent: true}
	if personID != uuid.Nil {
		known, err := s.knownToEnd(ctx, user.SessionSelection{PersonID: personID})
		if err != nil {
			return failed(ctx, doing, err)
		}
		h.sessions = known
	}
	err := s.write(ctx, by, h, func(tx *gorm.DB) (err error) {
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
	s.publish(err, union(accountsOf(ended), concerned)...)
	return failed(ctx, doing, err)
}
