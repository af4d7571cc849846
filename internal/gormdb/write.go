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

// held are the rows that a write locks against all other writers before it does
// anything else. They are locked together with the actor's, in one order for
// all writes, so that no two writes wait for each other:
//
//  1. the account's row, by every actor in it,
//  2. the row of a person,
//  3. API tokens, the actor's among them, by their ids,
//  4. the actor's session.
type held struct {
	// account is locked by writes to its people, and by issuing on its level.
	account uuid.UUID
	// person is locked by writes to what somebody signs in with, and by those
	// that end their sessions.
	person uuid.UUID
	// tokens are locked by writes that change or revoke them. They are API tokens
	// of the account tokensOf.
	tokensOf uuid.UUID
	tokens   []uuid.UUID
	// urgent writes overtake others on SQLite, which has one writer: those that
	// take rights away. They must be short.
	urgent bool
}

// turn is the write's place among those that wait for SQLite's writer.
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

// mostTries bounds how often a write is run. Only a deadlock has it run again:
// the one that is left is that of two tokens that revoke each other, one of
// them with people, whose tokens are not known before its transaction begins.
const mostTries = 3

// write runs work in a transaction that commits only what by may still do when
// its rows are locked. It is the one way to write: actorless writes say why
// (auth.NoActor).
//
// Revoking an API token, ending a session, removing a member and taking
// permissions away lock the rows that by needs, in a way that conflicts. So they
// are strictly before or after this write: it is committed before they are, or
// it is refused, with fault.Unauthenticated where the credential no longer works
// and with fault.Conflict where its rights changed.
func (db *DB) write(ctx context.Context, by auth.Actor, h held, work func(*gorm.DB) error) error {
	err := write(ctx, db.engine, by, h, work)
	db.stale(by, err)
	return err
}

// stale forgets what is cached of the actor's account when the database knew
// better, so that the same request is judged by what is true.
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
		if n == mostTries || !isDeadlock(err) {
			return err
		}
	}
}

// judge returns the error of a write by an actor that is refused, nil for one
// that is not.
func judge(ctx context.Context, e engine, by auth.Actor) error {
	return write(ctx, e, by, held{}, func(*gorm.DB) error { return nil })
}

func isDeadlock(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == pgDeadlock
}

// lockFor locks what the write holds and the rows of its actor. On SQLite the
// transaction itself keeps other writers out.
//
// The actor's locks are the weakest that conflict with a revocation: last uses,
// for example, do not wait for them. A person's rights are all over the
// account, so that a session takes its account's row, which every change of its
// people holds.
func lockFor(tx *gorm.DB, by auth.Actor, h held) error {
	if tx.Name() == sqliteDialect.name {
		return nil
	}
	l := locker{tx: tx}
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
	return l.err
}

// accountLock is how an actor that does not change its account's people locks
// the account. Only a suspension and a change of owner by the operator conflict
// with the weaker one.
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

// locker locks rows until one cannot be locked.
type locker struct {
	tx  *gorm.DB
	err error
}

func (l *locker) lock(table, strength, where string, args ...any) {
	if l.err != nil {
		return
	}
	var ids []uuid.UUID
	l.err = l.tx.Table(table).Clauses(clause.Locking{Strength: strength}).Where(where, args...).Order("id").Pluck("id", &ids).Error
}

// lockTokens keeps others from acting by the tokens, too, which is why it is
// stronger than what their change takes.
func (l *locker) lockTokens(accountID uuid.UUID, ids []uuid.UUID) {
	if len(ids) > 0 {
		l.lock("api_tokens", "UPDATE", "account_id = ? AND id IN ?", accountID, ids)
	}
}

// refuse returns the fault of an actor whose credential stopped working, or
// whose rights are no longer those that were judged.
func refuse(works bool) error {
	if works {
		return fault.Wrap(auth.ErrStale, fault.Conflict,
			"The rights of this credential changed while the request was under way. This change was not made. Send it again.")
	}
	return access.ErrRefused().Because(auth.ErrStale)
}

// errNoActor is a mistake of the caller's.
var errNoActor = errors.New("a write was attempted without an actor")

// mayStill reads the actor's rows as the verifier does, in the transaction that
// locked them, and refuses what no longer works as it was judged.
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
	defer func() { _ = rows.Close() }() // what it reports, rows.Err does
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

// errActorRefused is what hand-written statements return whose guard found
// nothing. DB.refused says what that means.
var errActorRefused = errors.New("the actor was refused")

// refused returns why a hand-written statement refused its actor: it is read
// once more, since the statement says no more than that.
func (db *DB) refused(ctx context.Context, by auth.Actor) error {
	err := judge(ctx, db.engine, by)
	if err == nil {
		err = refuse(true)
	}
	db.stale(by, err)
	return err
}
