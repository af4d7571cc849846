package gormdb

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// held are the rows that a write locks against all other writers before it does anything else. They are locked
// together with the actor's rows, in one order for all writes, so that writes do not deadlock:
//
//  1. the advisory locks (advisoryLocks), by their keys,
//  2. the account's row,
//  3. the row of a person,
//  4. API tokens, including the actor's, by their ids,
//  5. the actor's session.
type held struct {
	// account is locked by writes to its users, and by issuing account-level tokens.
	account uuid.UUID
	// person is locked by writes to a person's credentials, and by writes that revoke the person's sessions.
	person uuid.UUID
	// tokens are locked by writes that change or revoke them. They are API tokens of the account tokensOf.
	tokensOf uuid.UUID
	tokens   []uuid.UUID
	// allTokens is set by writes that revoke tokens of the account which they find themselves. No API token of the
	// account writes meanwhile.
	allTokens bool
	// sessions are those known before the transaction that the write revokes. It locks them itself; only their advisory
	// locks are taken with these rows.
	sessions []sessionKey
	// urgent writes overtake others on SQLite, which has one writer. They are the writes that remove permissions, and
	// must be short.
	urgent bool
}

// turn returns the write's place in the queue for SQLite's writer.
func (h held) turn(by auth.Actor) turn {
	t := turn{account: h.account, urgent: h.urgent}
	if t.account == uuid.Nil {
		t.account = h.tokensOf
	}
	if t.account == uuid.Nil {
		t.account = by.AccountID
	}
	return t
}

// mostTries bounds how often a write is run. Only a deadlock, and an event of a subject that was not locked
// (log_append.go), make it run again. One case of a deadlock remains: the manifest changes several accounts, and a
// write in one of them needs a row that the manifest has changed.
const mostTries = 3

// write runs work in a transaction that commits only if by still has its rights when its rows are locked. All writes
// go through it. Writes without an actor must give a reason (auth.NoActor).
//
// Revoking an API token or a session, removing a member, and removing permissions lock the rows that by needs with a
// conflicting lock. So such a change is strictly ordered with this write: this write is committed before it, or is
// refused after it. The error is fault.Unauthenticated if the credential no longer works, and fault.Conflict if its
// rights changed.
func (db *DB) write(ctx context.Context, by auth.Actor, h held, work func(*gorm.DB) error) error {
	err := write(ctx, db.engine, by, h, work)
	db.stale(by, err)
	return err
}

// stale removes the actor's account from the cache if the cached rights were out of date, so that a repeated request
// uses the current ones.
func (db *DB) stale(by auth.Actor, err error) {
	if errors.Is(err, auth.ErrStale) {
		db.changed(by.AccountID)
	}
}

func write(ctx context.Context, e engine, by auth.Actor, h held, work func(*gorm.DB) error) error {
	for n := 1; ; n++ {
		err := e.transaction(ctx, h.turn(by), func(tx *gorm.DB) error {
			if err := lockFor(tx, by, h); err != nil {
				return err
			}
			if err := mayStill(ctx, e.dialect(), tx.Statement.ConnPool, by); err != nil {
				return err
			}
			return work(tx)
		})
		if n == mostTries || !isDeadlock(err) && !isSequenceTaken(err) {
			return err
		}
	}
}

// judge returns the error with which a write by the actor is refused, or nil if it is allowed.
func judge(ctx context.Context, e engine, by auth.Actor) error {
	return write(ctx, e, by, held{}, func(*gorm.DB) error { return nil })
}

func isDeadlock(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == pgDeadlock
}

// isSequenceTaken reports whether another transaction stored an event of the same subject meanwhile.
func isSequenceTaken(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == pgUniqueViolation && pg.ConstraintName == "audit_events_subject"
}

// lockFor locks the rows in h and the rows of the actor. On SQLite the transaction itself excludes other writers.
//
// The actor's locks are the weakest that conflict with a revocation, so that last uses, for example, do not wait for
// them. A user's permissions are spread over the account, so a session locks its account's row, which every change of
// the account's users locks, too.
func lockFor(tx *gorm.DB, by auth.Actor, h held) error {
	if tx.Name() == sqliteDialect.name {
		return nil
	}
	l := locker{tx: tx, advisory: advisoryLocksOf(by, h)}
	if h.account != uuid.Nil {
		l.lock("accounts", "NO KEY UPDATE", "id = ?", h.account)
	}
	if by.AccountID != uuid.Nil && by.AccountID != h.account && by.NoCredential == "" {
		l.lock("accounts", accountLock(by), "id = ?", by.AccountID)
	}
	if h.person != uuid.Nil {
		l.lock("users", "NO KEY UPDATE", "id = ?", h.person)
	}
	switch {
	case by.NoCredential != "":
		l.lockTokens(h.tokensOf, h.tokens)
	case by.Credential.Kind.IsSession():
		l.lockTokens(h.tokensOf, h.tokens)
		l.lock("sessions", "KEY SHARE", "account_id = ? AND id = ?", by.AccountID, by.Credential.ID)
	default:
		before, after := around(by.ID, h.tokens)
		l.lockTokens(h.tokensOf, before)
		l.lock("api_tokens", "KEY SHARE", "account_id = ? AND id = ?", by.AccountID, by.ID)
		l.lockTokens(h.tokensOf, after)
	}
	return l.takeRest()
}

// accountLock returns the strength with which an actor that does not change its account's users locks the account.
// Only a suspension and a change of owner by the operator conflict with the weaker one.
func accountLock(by auth.Actor) string {
	if by.Credential.Kind.IsSession() {
		return "SHARE"
	}
	return "KEY SHARE"
}

// around divides tokens into those up to the actor's and those after it.
func around(actor uuid.UUID, tokens []uuid.UUID) (before, after []uuid.UUID) {
	for _, id := range tokens {
		if slices.Compare(id[:], actor[:]) <= 0 {
			before = append(before, id)
		} else {
			after = append(after, id)
		}
	}
	return before, after
}

// locker locks rows until an error occurs.
type locker struct {
	tx *gorm.DB
	// advisory are advisory locks that the next statement takes first.
	advisory advisoryLocks
	err      error
}

func (l *locker) lock(table, strength, where string, args ...any) {
	if l.err != nil {
		return
	}
	var ids []uuid.UUID
	q := l.tx.Table(table).Clauses(clause.Locking{Strength: strength}).Where(where, args...)
	if len(l.advisory) > 0 && l.tx.Name() != sqliteDialect.name {
		q = q.Where(takeAdvisory("?"), l.advisory.array())
		l.advisory = nil
	}
	l.err = q.Order("id").Pluck("id", &ids).Error
}

// takeRest takes the advisory locks that no statement has taken yet, and returns the first error.
func (l *locker) takeRest() error {
	if l.err == nil && len(l.advisory) > 0 {
		l.err = l.tx.Exec("SELECT "+takeAdvisory("?"), l.advisory.array()).Error
		l.advisory = nil
	}
	return l.err
}

// lockTokens also excludes requests that use the tokens. Therefore it is stronger than the lock that changing them
// takes.
func (l *locker) lockTokens(accountID uuid.UUID, ids []uuid.UUID) {
	if len(ids) > 0 {
		l.lock("api_tokens", "UPDATE", "account_id = ? AND id IN ?", accountID, ids)
	}
}

// refuse returns the error for an actor whose credential stopped working, or whose rights have changed since they
// were read.
func refuse(works bool) error {
	if works {
		return fault.Wrap(auth.ErrStale, fault.Conflict,
			"The rights of this credential changed while the request was under way. This change was not made. Send it again.")
	}
	return access.ErrRefused().Because(auth.ErrStale)
}

// errNoActor is a programming error of the caller.
var errNoActor = errors.New("a write was attempted without an actor")

// mayStill reads the actor's rows like the verifier does, in the transaction that locked them. It refuses an actor
// whose credential no longer works or whose rights have changed.
func mayStill(ctx context.Context, d dialect, tx gorm.ConnPool, by auth.Actor) error {
	if by.NoCredential != "" {
		return nil
	}
	read, known := actorReads[by.Credential.Kind]
	if !known {
		return errNoActor
	}
	args := []any{d.id(by.AccountID), d.id(by.ID), d.id(by.Credential.ID)}
	rows, err := tx.QueryContext(ctx, read.statement, args[:read.keys]...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports the error
	if !rows.Next() {
		return errors.Join(rows.Err(), refuse(false))
	}
	record, err := read.read(rows.Scan)
	if err != nil {
		return err
	}
	if !record.Works(by.Credential.VerifiedAt) || record.Principal.ID != by.ID {
		return refuse(false)
	}
	if record.Principal.Credential.Rights != by.Credential.Rights {
		return refuse(true)
	}
	return rows.Err()
}

// errActorRefused is returned by hand-written statements whose guard found no row. DB.refused finds the reason.
var errActorRefused = errors.New("the actor was refused")

// refused returns the reason why a hand-written statement refused its actor. It reads the actor again, because the
// statement does not return a reason.
func (db *DB) refused(ctx context.Context, by auth.Actor) error {
	err := judge(ctx, db.engine, by)
	if err == nil {
		err = refuse(true)
	}
	db.stale(by, err)
	return err
}
