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
		INSERT INTO changes (account_id, concerned_id) SELECT $1, $19::uuid WHERE EXISTS (SELECT FROM ended)
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
		event.IP, event.RequestID, details, newIDs(len(e.IDs)), pgID(concernedBy(e)))
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

// keepLatest changes rows in the order of their keys (see uses.KeepUses), first
// those of API tokens, as rotations do.
const keepLatest = `WITH tokens AS (
		UPDATE api_tokens AS t SET last_used_at = o.at, last_used_ip = o.ip
		FROM (SELECT t.account_id, t.id, u.at, u.ip FROM api_tokens AS t
			JOIN unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[]) AS u (account_id, id, at, ip)
				ON t.account_id = u.account_id AND t.id = u.id
			ORDER BY t.account_id, t.id FOR NO KEY UPDATE OF t) AS o
		WHERE t.account_id = o.account_id AND t.id = o.id AND (t.last_used_at IS NULL OR t.last_used_at < o.at)
		RETURNING 1
	), first AS MATERIALIZED (SELECT count(*) AS n FROM tokens)
	UPDATE access_tokens AS x SET last_used_at = o.at, last_used_ip = o.ip
	FROM (SELECT x.account_id, x.api_token_id, x.id, u.at, u.ip FROM first CROSS JOIN access_tokens AS x
		JOIN unnest($5::uuid[], $6::uuid[], $7::uuid[], $8::timestamptz[], $9::text[]) AS u (account_id, api_token_id, id, at, ip)
			ON x.account_id = u.account_id AND x.api_token_id = u.api_token_id AND x.id = u.id
		ORDER BY x.account_id, x.api_token_id, x.id FOR NO KEY UPDATE OF x) AS o
	WHERE x.account_id = o.account_id AND x.api_token_id = o.api_token_id AND x.id = o.id AND (x.last_used_at IS NULL OR x.last_used_at < o.at)`

func (p *postgres) keepUses(ctx context.Context, ofTokens, ofAccess []use) error {
	t, x := columnsOf(ofTokens), columnsOf(ofAccess)
	_, err := p.pool.Exec(ctx, keepLatest, t.accounts, t.tokens, t.times, t.ips, x.accounts, x.tokens, x.accesses, x.times, x.ips)
	return err
}

// useColumns are uses column by column, as arrays that a statement joins with.
type useColumns struct {
	accounts, tokens, accesses []pgtype.UUID
	times                      []time.Time
	ips                        []*string
}

func columnsOf(list []use) useColumns {
	var c useColumns
	for _, u := range list {
		c.accounts, c.tokens, c.accesses = append(c.accounts, pgID(u.accountID)), append(c.tokens, pgID(u.tokenID)), append(c.accesses, pgID(u.accessID))
		c.times, c.ips = append(c.times, u.at.UTC()), append(c.ips, u.ip)
	}
	return c
}

func pgIDs(ids []uuid.UUID) []pgtype.UUID {
	converted := make([]pgtype.UUID, len(ids))
	for i, id := range ids {
		converted[i] = pgID(id)
	}
	return converted
}
