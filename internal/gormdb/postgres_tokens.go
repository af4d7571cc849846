package gormdb

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

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

// Revoking takes one statement, and so one round trip and no transaction of
// several. It locks the tokens in the order of their ids, lest two revocations
// of the same tokens wait for each other, and ends those that are live if all
// that were asked for are there. It answers with the ones that are.
//
// The list of ids is a subquery, whose length the planner does not look at:
// otherwise it would plan anew for each list, which takes longer than to run
// the plan.
const revokeTokens = `WITH asked AS MATERIALIZED (
		SELECT id, name, revoked_at IS NULL AS live FROM api_tokens
		WHERE account_id = $1 AND id = ANY ((SELECT $2::uuid[])::uuid[]) AND ($3::uuid[] IS NULL OR store_id = ANY ($3))
		ORDER BY id FOR NO KEY UPDATE
	), ended AS (
		UPDATE api_tokens AS t
		SET revoked_at = $4, revoked_by_kind = $5, revoked_by_id = $6, revoked_by_name = $7, revocation_reason = $8
		FROM asked WHERE t.account_id = $1 AND t.id = asked.id AND asked.live AND (SELECT count(*) FROM asked) = cardinality($2)
		RETURNING t.id, t.name
	), logged AS (` + intoEvents + `
		SELECT $1, e.id, $9, $10, $11, $12, $13, $14, ended.id::text, ended.name, $15, $16, $17
		FROM ended JOIN unnest($2, $18::uuid[]) AS e (token_id, id) ON e.token_id = ended.id
	), told AS (
		INSERT INTO changes (account_id) SELECT $1 WHERE EXISTS (SELECT FROM ended)
	) SELECT id FROM asked`

func (p *postgres) revokeTokens(ctx context.Context, e token.Ending) ([]uuid.UUID, error) {
	details, err := encodeDetails(e.Event.Details)
	if err != nil {
		return nil, err
	}
	var only []pgtype.UUID
	if e.OnlyStores != nil {
		only = pgIDs(e.OnlyStores)
	}
	r, event := e.Revocation, e.Event
	rows, err := p.pool.Query(ctx, revokeTokens, pgID(e.AccountID), pgIDs(e.IDs), only,
		r.At.UTC(), string(r.By.Kind), pgID(r.By.ID), r.By.Name, r.Reason,
		event.At.UTC(), string(event.Actor.Kind), pgID(event.Actor.ID), event.Actor.Name, string(event.Action), string(audit.TargetAPIToken),
		event.IP, event.RequestID, details, newIDs(len(e.IDs)))
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, err
	}
	return missing(e.IDs, found), nil
}

// newIDs returns n fresh ids, in their order.
func newIDs(n int) []pgtype.UUID {
	ids := make([]pgtype.UUID, n)
	for i := range ids {
		ids[i] = pgID(uuid.Must(uuid.NewV7()))
	}
	return ids
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
