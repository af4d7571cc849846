package gormdb

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"latchkey/internal/audit"
	"latchkey/internal/token"
)

// Issuing takes one round trip: two statements, sent together, that PostgreSQL
// runs as one transaction. The first waits until no other transaction issues
// for the same owner. The second, under READ COMMITTED, sees what those others
// committed, counts, and inserts if there is room.
const (
	lockAccount = `SELECT id FROM accounts WHERE id = $1 FOR NO KEY UPDATE`
	lockStore   = `SELECT id FROM stores WHERE account_id = $1 AND id = $2 FOR NO KEY UPDATE`

	insertAccountDraft = insertIfAbove + countAccountTokens + insertRest
	insertStoreDraft   = insertIfAbove + countStoreTokens + insertRest

	insertIfAbove = `WITH kept AS (` + intoTokens + `SELECT ` + tokenValues + ` WHERE $15 > (`
	insertRest    = `) RETURNING id),
		accessed AS (` + intoAccess + `SELECT ` + accessValues + ` FROM kept),
		logged AS (` + intoEvents + `SELECT ` + eventValues + ` FROM kept)
		SELECT count(*) FROM kept`
)

func (p *postgres) insertToken(ctx context.Context, d token.Draft) (insertion, error) {
	args, err := insertArguments(postgresDialect, d)
	if err != nil {
		return 0, err
	}
	var batch pgx.Batch
	if d.Token.StoreID == uuid.Nil {
		batch.Queue(lockAccount, args[0])
		batch.Queue(insertAccountDraft, args...)
	} else {
		batch.Queue(lockStore, args[0], args[2])
		batch.Queue(insertStoreDraft, args...)
	}
	results := p.pool.SendBatch(ctx, &batch)
	var owner key
	if err := results.QueryRow().Scan(&owner); errors.Is(err, pgx.ErrNoRows) {
		// The second statement fails on a foreign key, as it must.
		_ = results.Close()
		return ownerMissing, nil
	} else if err != nil {
		return 0, errors.Join(err, results.Close())
	}
	var kept int64
	err = results.QueryRow().Scan(&kept)
	// What closing reports is whether the transaction was committed.
	if err := errors.Join(err, results.Close()); err != nil {
		return 0, err
	}
	if kept == 0 {
		return limitReached, nil
	}
	return inserted, nil
}

// Revoking takes two round trips: the tokens must be read, and locked, before
// their events can be written. PostgreSQL would plan both statements anew each
// time, for the number of tokens at hand, which takes longer than to run them.
const (
	planOnce   = `SET LOCAL plan_cache_mode = force_generic_plan`
	lockTokens = `SELECT ` + tokenColumns + ` FROM api_tokens AS t
		LEFT JOIN stores AS s ON s.account_id = t.account_id AND s.id = t.store_id
		WHERE t.account_id = $1 AND t.id = ANY ($2) ORDER BY t.id FOR NO KEY UPDATE OF t`
	revokeTokens = `WITH ended AS (
		UPDATE api_tokens SET revoked_at = $3, revoked_by_kind = $4, revoked_by_id = $5, revoked_by_name = $6, revocation_reason = $7
		WHERE account_id = $1 AND id = ANY ($2)
	), logged AS (` + intoEvents + `
		SELECT * FROM unnest($8::uuid[], $9::uuid[], $10::timestamptz[], $11::text[], $12::uuid[], $13::text[], $14::text[],
			$15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::jsonb[])
	) INSERT INTO changes (account_id) VALUES ($1)`
)

func (p *postgres) revokeTokens(ctx context.Context, r revocation) (unknown []uuid.UUID, err error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	found, err := lockForRevocation(ctx, conn, r)
	if err == nil {
		unknown = r.unknown(found)
	}
	live := notRevoked(found)
	if err != nil || len(unknown) > 0 || len(live) == 0 {
		return unknown, errors.Join(err, rollback(ctx, conn))
	}
	args, err := revokeArguments(r, live)
	if err != nil {
		return nil, errors.Join(err, rollback(ctx, conn))
	}
	var batch pgx.Batch
	batch.Queue(revokeTokens, args...)
	batch.Queue("COMMIT")
	if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, errors.Join(err, rollback(ctx, conn))
	}
	return nil, nil
}

// lockForRevocation begins a transaction and reads the tokens.
func lockForRevocation(ctx context.Context, conn *pgxpool.Conn, r revocation) ([]token.Token, error) {
	var batch pgx.Batch
	batch.Queue("BEGIN")
	batch.Queue(planOnce)
	batch.Queue(lockTokens, pgID(r.accountID), pgIDs(r.ids))
	results := conn.SendBatch(ctx, &batch)
	for range 2 {
		if _, err := results.Exec(); err != nil {
			return nil, errors.Join(err, results.Close())
		}
	}
	rows, err := results.Query()
	if err != nil {
		return nil, errors.Join(err, results.Close())
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (token.Token, error) { return scanToken(row.Scan) })
	return found, errors.Join(err, results.Close())
}

// rollback ends the transaction of a connection that goes back to the pool,
// also when ctx has ended. If it cannot, the pool throws the connection away.
func rollback(ctx context.Context, conn *pgxpool.Conn) error {
	if conn.Conn().IsClosed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err := conn.Exec(ctx, "ROLLBACK")
	return err
}

func revokeArguments(r revocation, live []token.Token) ([]any, error) {
	ids := make([]pgtype.UUID, len(live))
	happened := make([]audit.Event, len(live))
	for i, t := range live {
		ids[i], happened[i] = pgID(t.ID), r.event(t)
	}
	columns, err := eventColumns(happened)
	if err != nil {
		return nil, err
	}
	by := r.record.By
	args := []any{pgID(r.accountID), ids, r.record.At.UTC(), string(by.Kind), pgID(by.ID), by.Name, r.record.Reason}
	return append(args, columns...), nil
}

// eventColumns are events, column by column, for unnest.
func eventColumns(events []audit.Event) ([]any, error) {
	n := len(events)
	accounts, ids, actors := make([]pgtype.UUID, n), make([]pgtype.UUID, n), make([]pgtype.UUID, n)
	times := make([]time.Time, n)
	var texts [9][]string
	for i, e := range events {
		details, err := encodeDetails(e.Details)
		if err != nil {
			return nil, err
		}
		accounts[i], ids[i], times[i], actors[i] = pgID(e.AccountID), pgID(e.ID), e.At.UTC(), pgID(e.Actor.ID)
		row := [len(texts)]string{
			string(e.Actor.Kind), e.Actor.Name, string(e.Action), string(e.Target.Kind), e.Target.Key, e.Target.Name,
			e.IP, e.RequestID, details,
		}
		for column, text := range row {
			texts[column] = append(texts[column], text)
		}
	}
	return []any{
		accounts, ids, times, texts[0], actors, texts[1], texts[2], texts[3], texts[4], texts[5], texts[6], texts[7], texts[8],
	}, nil
}

// keepLatest changes rows in the order of their key (see uses.KeepUses).
const keepLatest = `UPDATE api_tokens AS t SET last_used_at = o.at, last_used_ip = o.ip
	FROM (SELECT t.account_id, t.id, u.at, u.ip FROM api_tokens AS t
		JOIN unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[]) AS u (account_id, id, at, ip)
			ON t.account_id = u.account_id AND t.id = u.id
		ORDER BY t.account_id, t.id FOR NO KEY UPDATE OF t) AS o
	WHERE t.account_id = o.account_id AND t.id = o.id AND (t.last_used_at IS NULL OR t.last_used_at < o.at)`

func (p *postgres) keepUses(ctx context.Context, list []use) error {
	accounts, ids := make([]pgtype.UUID, len(list)), make([]pgtype.UUID, len(list))
	times, ips := make([]time.Time, len(list)), make([]*string, len(list))
	for i, u := range list {
		accounts[i], ids[i], times[i], ips[i] = pgID(u.accountID), pgID(u.tokenID), u.at.UTC(), u.ip
	}
	_, err := p.pool.Exec(ctx, keepLatest, accounts, ids, times, ips)
	return err
}

func pgIDs(ids []uuid.UUID) []pgtype.UUID {
	converted := make([]pgtype.UUID, len(ids))
	for i, id := range ids {
		converted[i] = pgID(id)
	}
	return converted
}
