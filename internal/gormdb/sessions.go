package gormdb

import (
	"context"
	"slices"
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

// StartSession inserts a session.
func (u users) StartSession(ctx context.Context, by auth.Actor, s user.Session, digest secret.KeyedDigest, started,
	accepted audit.Event) error {
	err := u.write(ctx, by, held{}, func(tx *gorm.DB) error {
		folded, err := holdMember(tx, s.AccountID, s.UserID)
		if err != nil {
			return err
		}
		if folded != user.Fold(s.Email) { // the address was changed meanwhile
			return errNoMember()
		}
		person, err := ensurePerson(tx, folded, s.CreatedAt)
		if err != nil {
			return err
		}
		s.PersonID = person.ID
		if err := startSession(tx, s, digest, uuid.Nil, started); err != nil {
			return err
		}
		_, err = acceptPending(tx, s.AccountID, s.UserID, s.CreatedAt, accepted)
		return err
	})
	return failed(ctx, "insert session", err)
}

// holdMember locks a user's membership in an account and returns the user's address, folded. Rows that belong to a
// membership, such as a session, are created only after this lock. A removal or a deactivation waits for the lock, or
// makes holdMember return fault.NotFound (lockMembers).
func holdMember(tx *gorm.DB, accountID, userID uuid.UUID) (folded string, err error) {
	var found []string
	q := tx.Table("account_users").Clauses(clause.Locking{Strength: "KEY SHARE"}).Where(
		"account_id = ? AND user_id = ? AND deactivated_at IS NULL", accountID, userID)
	if err := q.Pluck("email_folded", &found).Error; err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", errNoMember()
	}
	return found[0], nil
}

func errNoMember() *fault.Error {
	return fault.Errorf(fault.NotFound, "This user is not in this account.").On("account")
}

// holdMemberAs is holdMember for a person who signs in or accepts. It also returns fault.NotFound if the membership is
// not the person's: its address may have been changed since the person was looked up.
func holdMemberAs(tx *gorm.DB, accountID, userID, personID uuid.UUID) error {
	folded, err := holdMember(tx, accountID, userID)
	if err != nil || personID == userID {
		return err // what a record signs in with is removed when its address changes
	}
	var addresses []string
	if err := tx.Table("users").Where("id = ?", personID).Pluck("email_folded", &addresses).Error; err != nil {
		return err
	}
	if !slices.Contains(addresses, folded) {
		return errNoMember()
	}
	return nil
}

// lockMembers locks memberships that are about to be removed or deactivated. A transaction must
// call it before it reads what belongs to them: a session that is being started
// is visible only once its transaction, which holds the membership, has ended.
func lockMembers(tx *gorm.DB, accountID uuid.UUID, userIDs []uuid.UUID) error {
	var locked []uuid.UUID
	q := tx.Table("account_users").Clauses(clause.Locking{Strength: "UPDATE"}).Where("account_id = ? AND user_id IN ?",
		accountID, userIDs)
	return q.Order("user_id").Pluck("user_id", &locked).Error
}

// startSession inserts a session of a user whose membership is locked (holdMember). It replaces another session
// unless that is zero.
func startSession(tx *gorm.DB, s user.Session, digest secret.KeyedDigest, replaces uuid.UUID,
	started audit.Event) error {
	var before user.SessionSelection
	if replaces != uuid.Nil {
		before.IDs = []uuid.UUID{replaces}
	}
	origins, err := originsOf(tx, before)
	if err != nil {
		return err
	}
	row := sessionRow{
		AccountID: s.AccountID, ID: s.ID, UserID: s.UserID, PersonID: optional(s.PersonID), Digest: digest.Digest[:],
		DigestKey: string(digest.Key),
		CreatedAt: instant{s.CreatedAt}, ExpiresAt: instant{s.ExpiresAt},
		Method: s.Method, AuthenticatedAt: instant{s.AuthenticatedAt}, IP: s.IP, UserAgent: s.UserAgent,
	}
	for _, id := range origins {
		row.OriginID = optional(id)
	}
	if err := tx.Create(&row).Error; err != nil {
		return err
	}
	return appendEvents(tx, started)
}

// acceptPending accepts a membership if it is pending, records the event, and reports whether it was pending.
func acceptPending(tx *gorm.DB, accountID, userID uuid.UUID, at time.Time, accepted audit.Event) (bool, error) {
	done := tx.Table("account_users").Where("account_id = ? AND user_id = ? AND accepted_at IS NULL", accountID,
		userID).
		Updates(map[string]any{"accepted_at": instant{at}, "updated_at": instant{at}})
	if done.Error != nil || done.RowsAffected == 0 {
		return false, done.Error
	}
	return true, recordAccepted(tx, userID, accepted)
}

// recordAccepted records the event of an accepted membership with the data of its user.
func recordAccepted(tx *gorm.DB, userID uuid.UUID, accepted audit.Event) error {
	q := tx.Table("account_users AS a").Joins("JOIN users AS u ON u.id = a.user_id").
		Where("a.account_id = ? AND a.user_id = ?", accepted.AccountID, userID).Select(personColumns)
	row, err := one[personRow](q, fault.Errorf(fault.NotFound, "This user is not in this account."))
	if err != nil {
		return err
	}
	accepted.Data = row.person().Data()
	return appendEvents(tx, accepted)
}

// condition is part of a statement, with its arguments.
type condition struct {
	sql  string
	args []any
}

func (c *condition) and(sql string, args ...any) {
	c.sql += " AND " + sql
	c.args = append(c.args, args...)
}

// picked returns the condition that a session is in the selection and not revoked. It may have expired.
func picked(which user.SessionSelection) condition {
	c := condition{sql: "sessions.ended_at IS NULL"}
	if len(which.IDs) > 0 {
		c.and("sessions.id IN ?", which.IDs)
	}
	if which.UserID != uuid.Nil {
		c.and("sessions.user_id = ?", which.UserID)
	}
	if which.PersonID != uuid.Nil {
		c.and("(sessions.person_id = ? OR sessions.person_id IS NULL AND sessions.user_id = ?)", which.PersonID,
			which.PersonID)
	}
	if which.Except != uuid.Nil {
		c.and("sessions.id <> ?", which.Except)
	}
	if which.SignedIn {
		c.and("sessions.method <> ''")
	}
	if which.EmailFolded != "" {
		c.and("sessions.user_id IN (SELECT m.user_id FROM account_users AS m WHERE m.email_folded = ?)",
			which.EmailFolded)
	}
	if which.AccountID != uuid.Nil {
		c.and("sessions.account_id = ?", which.AccountID)
	}
	return c
}

// sessionsOf returns the sessions that a query finds, newest first.
func sessionsOf(q *gorm.DB) ([]user.Session, error) {
	var rows []listedSession
	if err := q.Scan(&rows).Error; err != nil {
		return nil, err
	}
	all := make([]user.Session, len(rows))
	for i, r := range rows {
		all[i] = r.session()
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

// originsOf returns the sessions created at sign-in from which the sessions with the selection's ids descend.
func originsOf(tx *gorm.DB, which user.SessionSelection) ([]uuid.UUID, error) {
	if len(which.IDs) == 0 {
		return nil, nil
	}
	q := tx.Table("sessions").Where("id IN ?", which.IDs)
	if which.AccountID != uuid.Nil {
		q = q.Where("account_id = ?", which.AccountID)
	}
	var origins []uuid.UUID
	return origins, q.Distinct().Pluck("coalesce(origin_id, id)", &origins).Error
}

// toEnd returns the condition of the sessions to revoke for a selection: those with its ids, and those that replaced
// them, in every account.
func toEnd(tx *gorm.DB, which user.SessionSelection) (condition, error) {
	if len(which.IDs) == 0 {
		return picked(which), nil
	}
	origins, err := originsOf(tx, which)
	which.IDs, which.AccountID = nil, uuid.Nil
	c := picked(which)
	c.and("(sessions.id IN ? OR sessions.origin_id IN ?)", origins, origins)
	return c, err
}

// lockPersonsOf locks the users who signed in to the sessions of a selection, as every write that replaces a session
// does (hold). Otherwise a session that is replaced while others are locked would be missed. The person of a
// selection is already locked (held).
func lockPersonsOf(tx *gorm.DB, which user.SessionSelection) error {
	q := tx.Table("users").Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Order("id")
	switch {
	case which.PersonID != uuid.Nil:
		return nil
	case len(which.IDs) > 0:
		q = q.Where("id IN (SELECT coalesce(person_id, user_id) FROM sessions WHERE sessions.id IN ?)", which.IDs)
	case which.EmailFolded != "":
		q = q.Where("email_folded = ? OR id IN (SELECT user_id FROM account_users AS m WHERE m.email_folded = ?)",
			which.EmailFolded, which.EmailFolded)
	default:
		q = q.Where("id = ? OR email_folded IN (SELECT email_folded FROM account_users AS m WHERE m.user_id = ?)",
			which.UserID, which.UserID)
	}
	var locked []uuid.UUID
	return q.Pluck("id", &locked).Error
}

// sessionKey are the keys of a session.
type sessionKey struct{ AccountID, ID uuid.UUID }

// knownToEnd returns the sessions of toEnd, for held. It is empty on SQLite. The transaction reads them again.
func (u users) knownToEnd(ctx context.Context, which user.SessionSelection) (known []sessionKey, err error) {
	if u.Dialect() == sqliteDialect.name {
		return nil, nil
	}
	tx := u.engine.reader(ctx)
	these, err := toEnd(tx, which)
	if err != nil {
		return nil, err
	}
	return known, tx.Table("sessions").Select("account_id, id").Where(these.sql, these.args...).Scan(&known).Error
}

// EndSessions revokes the sessions of a selection and those that replaced them, and returns those that were live.
func (u users) EndSessions(ctx context.Context, by auth.Actor, which user.SessionSelection, at time.Time,
	event func(user.Session) audit.Event) ([]user.Session, error) {
	var ended []user.Session
	var concerned []uuid.UUID
	known, err := u.knownToEnd(ctx, which)
	if err != nil {
		return nil, failed(ctx, "find sessions", err)
	}
	err = u.write(ctx, by, held{person: which.PersonID, sessions: known, urgent: true}, func(tx *gorm.DB) error {
		if err := lockPersonsOf(tx, which); err != nil {
			return err
		}
		these, err := toEnd(tx, which)
		if err != nil {
			return err
		}
		if ended, err = endSessions(tx, these, at, event); err != nil {
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
		// Another replica may have just revoked them, and this one may not have received that change yet.
		u.publish(err, union(accountsOf(ended), concerned)...)
	}
	if err != nil {
		return nil, failed(ctx, "end sessions", err)
	}
	return liveAt(ended, at), nil
}

// liveAt returns the sessions that expire after at.
func liveAt(sessions []user.Session, at time.Time) []user.Session {
	var live []user.Session
	for _, s := range sessions {
		if s.ExpiresAt.After(at) {
			live = append(live, s)
		}
	}
	return live
}

// endSessions revokes the sessions that meet the condition, and returns them. It also revokes expired ones, because
// they may still be live by the clock of another server, but records no event for those. The caller must announce
// their accounts in the transaction and report them after it.
func endSessions(tx *gorm.DB, c condition, at time.Time, event func(user.Session) audit.Event) ([]user.Session, error) {
	// In the order of their ids. UPDATE conflicts with the lock of requests that use the sessions.
	var locked []uuid.UUID
	lock := tx.Table("sessions").Clauses(clause.Locking{Strength: "UPDATE"}).Where(c.sql, c.args...)
	if err := lock.Order("id").Pluck("id", &locked).Error; err != nil {
		return nil, err
	}
	args := append([]any{instant{at}}, c.args...)
	ended, err := sessionsOf(tx.Raw("UPDATE sessions SET ended_at = ? WHERE "+c.sql+" RETURNING "+sessionColumns,
		args...))
	if err != nil {
		return nil, err
	}
	live := liveAt(ended, at)
	events := make([]audit.Event, len(live))
	for i, s := range live {
		events[i] = event(s)
	}
	return ended, appendEvents(tx, events...)
}

// accountsOf returns the accounts of sessions, without duplicates.
func accountsOf(sessions []user.Session) []uuid.UUID {
	var ids []uuid.UUID
	for _, s := range sessions {
		if !slices.Contains(ids, s.AccountID) {
			ids = append(ids, s.AccountID)
		}
	}
	return ids
}

// selected returns the ids under which sessions of the selection, revoked or not, are cached: those of users or of
// accounts. It returns user.ErrNoSession if the selection has an unknown session id.
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

// usersOf returns the ids of the users that a selection selects, in all their accounts. It returns none for a
// selection without a user or person.
func usersOf(tx *gorm.DB, which user.SessionSelection) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	of := tx.Table("account_users AS m")
	switch {
	case which.UserID != uuid.Nil:
		return []uuid.UUID{which.UserID}, nil
	case which.PersonID != uuid.Nil:
		err := of.Joins("JOIN users AS u ON u.email_folded = m.email_folded").Where("u.id = ?",
			which.PersonID).Pluck("m.user_id", &ids).Error
		return union(ids, []uuid.UUID{which.PersonID}), err
	case which.EmailFolded != "":
		err := of.Where("m.email_folded = ?", which.EmailFolded).Pluck("m.user_id", &ids).Error
		return ids, err
	}
	return nil, nil
}

// union returns the ids of both lists without duplicates.
func union(a, b []uuid.UUID) []uuid.UUID {
	all := slices.Clone(a)
	for _, id := range b {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all
}
