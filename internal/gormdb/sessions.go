package gormdb

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

type sessionRow struct {
	AccountID uuid.UUID
	ID        uuid.UUID
	UserID    uuid.UUID
	PersonID  uuid.NullUUID
	Digest    []byte
	DigestKey string
	CreatedAt instant
	ExpiresAt instant
	EndedAt   instant

	Method          string
	AuthenticatedAt instant
	IP              string
	UserAgent       string
	LastUsedAt      instant
}

// TableName tells gorm the table.
func (sessionRow) TableName() string { return "sessions" }

// StartSession keeps a session.
func (u users) StartSession(ctx context.Context, by auth.Actor, s user.Session, digest secret.KeyedDigest, started, accepted audit.Event) error {
	err := u.write(ctx, by, held{}, func(tx *gorm.DB) error {
		var folded []string
		q := tx.Table("account_users").Where("account_id = ? AND user_id = ?", s.AccountID, s.UserID)
		if err := q.Pluck("email_folded", &folded).Error; err != nil {
			return err
		}
		person, err := ensurePerson(tx, strings.Join(folded, ""), s.CreatedAt)
		if err != nil && len(folded) > 0 {
			return err
		}
		s.PersonID = person.User.ID
		if err := startSession(tx, s, digest, started); err != nil {
			return err
		}
		_, err = acceptPending(tx, s.AccountID, s.UserID, s.CreatedAt, accepted)
		return err
	})
	return failed(ctx, "keep session", err)
}

// startSession keeps a session of somebody who is in its account.
func startSession(tx *gorm.DB, s user.Session, digest secret.KeyedDigest, started audit.Event) error {
	row := sessionRow{
		AccountID: s.AccountID, ID: s.ID, UserID: s.UserID, PersonID: optional(s.PersonID), Digest: digest.Digest[:], DigestKey: string(digest.Key),
		CreatedAt: instant{s.CreatedAt}, ExpiresAt: instant{s.ExpiresAt},
		Method: s.Method, AuthenticatedAt: instant{s.AuthenticatedAt}, IP: s.IP, UserAgent: s.UserAgent,
	}
	// Who is being taken out of the account waits, or is gone already.
	var member []uuid.UUID
	q := tx.Table("account_users").Clauses(clause.Locking{Strength: "KEY SHARE"}).Where("account_id = ? AND user_id = ?", s.AccountID, s.UserID)
	if err := q.Pluck("user_id", &member).Error; err != nil {
		return err
	}
	if len(member) == 0 {
		return fault.Errorf(fault.NotFound, "This person is not in this account.").On("account")
	}
	if err := tx.Create(&row).Error; err != nil {
		return err
	}
	return recordAll(tx, []audit.Event{started})
}

// acceptPending accepts a membership, with the event, and reports whether it
// was pending.
func acceptPending(tx *gorm.DB, accountID, userID uuid.UUID, at time.Time, accepted audit.Event) (bool, error) {
	done := tx.Table("account_users").Where("account_id = ? AND user_id = ? AND accepted_at IS NULL", accountID, userID).
		Updates(map[string]any{"accepted_at": instant{at}, "updated_at": instant{at}})
	if done.Error != nil || done.RowsAffected == 0 {
		return false, done.Error
	}
	return true, recordAll(tx, []audit.Event{accepted})
}

// sessionColumns are the columns of sessions that a user.Session is made of.
const sessionColumns = `sessions.id, sessions.account_id, sessions.user_id, coalesce(sessions.person_id, sessions.user_id) AS person_id,
	sessions.created_at, sessions.expires_at,
	sessions.method, sessions.authenticated_at, sessions.ip, sessions.user_agent, coalesce(sessions.last_used_at, sessions.created_at) AS last_used_at,
	(SELECT email FROM users WHERE users.id = sessions.user_id) AS email`

// condition is part of a statement, with its arguments.
type condition struct {
	sql  string
	args []any
}

func (c *condition) and(sql string, args ...any) {
	c.sql += " AND " + sql
	c.args = append(c.args, args...)
}

// picked is the condition that a session is of the selection and was not
// ended, expired or not.
func picked(which user.SessionSelection) condition {
	c := condition{sql: "sessions.ended_at IS NULL"}
	if len(which.IDs) > 0 {
		c.and("sessions.id IN ?", which.IDs)
	}
	if which.UserID != uuid.Nil {
		c.and("sessions.user_id = ?", which.UserID)
	}
	if which.PersonID != uuid.Nil {
		c.and("(sessions.person_id = ? OR sessions.person_id IS NULL AND sessions.user_id = ?)", which.PersonID, which.PersonID)
	}
	if which.EmailFolded != "" {
		c.and("sessions.user_id IN (SELECT m.user_id FROM account_users AS m WHERE m.email_folded = ?)", which.EmailFolded)
	}
	if which.AccountID != uuid.Nil {
		c.and("sessions.account_id = ?", which.AccountID)
	}
	return c
}

// sessionsOf reads the sessions that a query finds, newest first.
func sessionsOf(q *gorm.DB) ([]user.Session, error) {
	var rows []struct {
		ID, AccountID, UserID uuid.UUID
		PersonID              uuid.UUID
		CreatedAt, ExpiresAt  instant
		Email                 string
		Method                string
		AuthenticatedAt       instant
		LastUsedAt            instant
		IP, UserAgent         string
	}
	if err := q.Scan(&rows).Error; err != nil {
		return nil, err
	}
	all := make([]user.Session, len(rows))
	for i, r := range rows {
		all[i] = user.Session{
			ID: r.ID, AccountID: r.AccountID, UserID: r.UserID, PersonID: r.PersonID, Email: r.Email, CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time,
			Method: r.Method, AuthenticatedAt: r.AuthenticatedAt.Time, IP: r.IP, UserAgent: r.UserAgent, LastUsedAt: r.LastUsedAt.Time,
		}
	}
	slices.SortFunc(all, func(a, b user.Session) int { return slices.Compare(b.ID[:], a.ID[:]) })
	return all, nil
}

// Sessions returns the live sessions of a selection.
func (u users) Sessions(ctx context.Context, which user.SessionSelection, at time.Time) ([]user.Session, error) {
	c := picked(which)
	c.and("sessions.expires_at > ?", instant{at})
	all, err := sessionsOf(u.engine.reader(ctx).Raw("SELECT "+sessionColumns+" FROM sessions WHERE "+c.sql, c.args...))
	return all, failed(ctx, "list sessions", err)
}

// EndSessions ends the sessions of a selection, and returns those that were
// live.
func (u users) EndSessions(ctx context.Context, by auth.Actor, which user.SessionSelection, at time.Time, event func(user.Session) audit.Event) ([]user.Session, error) {
	var ended []user.Session
	var concerned []uuid.UUID
	err := u.write(ctx, by, held{person: which.UserID, urgent: true}, func(tx *gorm.DB) error {
		var err error
		if ended, err = endSessions(tx, picked(which), at, event); err != nil {
			return err
		}
		for _, id := range accountsOf(ended) {
			if err := u.engine.announce(tx, id); err != nil {
				return err
			}
		}
		concerned, err = selected(tx, which)
		return err
	})
	if !isFault(err) { // all or none
		// Another replica may have ended them a moment ago, unheard by this one.
		u.tell(err, union(accountsOf(ended), concerned)...)
	}
	if err != nil {
		return nil, failed(ctx, "end sessions", err)
	}
	return liveAt(ended, at), nil
}

// liveAt returns those of the sessions that expire after the moment.
func liveAt(sessions []user.Session, at time.Time) []user.Session {
	var live []user.Session
	for _, s := range sessions {
		if s.ExpiresAt.After(at) {
			live = append(live, s)
		}
	}
	return live
}

// endSessions ends the sessions that meet the condition, and returns them. An
// expired one is ended, too, since by the clock of another server it may be
// live; it has no event. Who holds the transaction announces their accounts in
// it, and tells of them after it.
func endSessions(tx *gorm.DB, c condition, at time.Time, event func(user.Session) audit.Event) ([]user.Session, error) {
	// In the order of their ids, and against those who act by them.
	var locked []uuid.UUID
	lock := tx.Table("sessions").Clauses(clause.Locking{Strength: "UPDATE"}).Where(c.sql, c.args...)
	if err := lock.Order("id").Pluck("id", &locked).Error; err != nil {
		return nil, err
	}
	args := append([]any{instant{at}}, c.args...)
	ended, err := sessionsOf(tx.Raw("UPDATE sessions SET ended_at = ? WHERE "+c.sql+" RETURNING "+sessionColumns, args...))
	if err != nil {
		return nil, err
	}
	live := liveAt(ended, at)
	rows := make([]eventRow, len(live))
	for i, s := range live {
		if rows[i], err = newEventRow(event(s)); err != nil {
			return nil, err
		}
	}
	if len(rows) == 0 {
		return ended, nil
	}
	return ended, tx.CreateInBatches(rows, rowsPerInsert).Error
}

// accountsOf returns the accounts of sessions, each once.
func accountsOf(sessions []user.Session) []uuid.UUID {
	var ids []uuid.UUID
	for _, s := range sessions {
		if !slices.Contains(ids, s.AccountID) {
			ids = append(ids, s.AccountID)
		}
	}
	return ids
}

// selected returns the ids under which sessions of the selection are cached,
// ended or not: a user's, or those of accounts. It returns user.ErrNoSession if
// an id of the selection names no session.
func selected(tx *gorm.DB, which user.SessionSelection) ([]uuid.UUID, error) {
	concerned, err := usersOf(tx, which)
	if err != nil {
		return nil, err
	}
	if len(concerned) == 0 && which.AccountID != uuid.Nil {
		concerned = []uuid.UUID{which.AccountID}
	}
	if len(which.IDs) == 0 {
		return concerned, nil
	}
	q := tx.Table("sessions").Select("id, account_id").Where("id IN ?", which.IDs)
	if which.AccountID != uuid.Nil {
		q = q.Where("account_id = ?", which.AccountID)
	}
	var rows []struct{ ID, AccountID uuid.UUID }
	if err := q.Scan(&rows).Error; err != nil {
		return nil, err
	}
	known := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		known[i] = r.ID
		concerned = union(concerned, []uuid.UUID{r.AccountID})
	}
	if unknown := missing(which.IDs, known); len(unknown) > 0 {
		return nil, user.ErrNoSession(unknown[0])
	}
	return concerned, nil
}

// usersOf returns the ids of the users whose sessions a selection is of, in all
// their accounts; none for a selection of no person.
func usersOf(tx *gorm.DB, which user.SessionSelection) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	of := tx.Table("account_users AS m")
	switch {
	case which.UserID != uuid.Nil:
		return []uuid.UUID{which.UserID}, nil
	case which.PersonID != uuid.Nil:
		err := of.Joins("JOIN users AS u ON u.email_folded = m.email_folded").Where("u.id = ?", which.PersonID).Pluck("m.user_id", &ids).Error
		return union(ids, []uuid.UUID{which.PersonID}), err
	case which.EmailFolded != "":
		err := of.Where("m.email_folded = ?", which.EmailFolded).Pluck("m.user_id", &ids).Error
		return ids, err
	}
	return nil, nil
}

// union returns the ids of both lists, each once.
func union(a, b []uuid.UUID) []uuid.UUID {
	all := slices.Clone(a)
	for _, id := range b {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all
}
