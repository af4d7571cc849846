package gormdb

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/auth"
	"latchkey/internal/oauth"
)

// Granting takes one round trip, as issuing does (postgres_tokens.go): clients
// ask for access tokens all the time, and a process that is stopped meanwhile
// must hold no lock on their API tokens until it goes on. Rows that another
// transaction is deleting are left alone.
const (
	pruneEnded = `DELETE FROM access_grants WHERE digest IN (SELECT digest FROM access_grants
		WHERE account_id = $1 AND expires_at < $2 ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED)`
	lockGrantee = `SELECT t.id FROM accounts AS a, api_tokens AS t WHERE a.id = $1 AND t.account_id = $1 AND t.id = $2 AND t.revoked_at IS NULL
		FOR KEY SHARE OF a FOR NO KEY UPDATE OF t`
	keepGrant = `, kept AS (
			INSERT INTO access_grants (account_id, api_token_id, id, digest, digest_key, hint, scopes, created_at, expires_at)
			SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9
			WHERE EXISTS (SELECT FROM actor) AND EXISTS (SELECT FROM api_tokens WHERE account_id = $1 AND id = $2 AND revoked_at IS NULL)
				AND $10 > (SELECT count(*) FROM access_grants WHERE account_id = $1 AND api_token_id = $2 AND expires_at > $8)
			RETURNING id
		), logged AS (` + intoEvents + `SELECT $1, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22 FROM kept)
		SELECT (SELECT count(*) FROM actor), (SELECT count(*) FROM kept)`
)

// grantParameters is how many parameters keepGrant has before the guard's.
const grantParameters = 22

// grantings are the statements by the kind of the actor's credential.
var grantings = func() map[auth.CredentialKind]string {
	all := map[auth.CredentialKind]string{}
	for kind := range actorRows {
		all[kind] = `WITH actor AS MATERIALIZED (` + guardFor(kind, grantParameters+1) + `)` + keepGrant
	}
	return all
}()

func (p *postgres) insertGrant(ctx context.Context, by auth.Actor, d oauth.Draft) (insertion, error) {
	kind, err := kindOf(by)
	if err != nil {
		return 0, err
	}
	details, err := encodeDetails(d.Event.Details)
	if err != nil {
		return 0, err
	}
	e := d.Event
	var batch pgx.Batch
	batch.Queue(pruneEnded, pgID(d.AccountID), d.CreatedAt.Add(-grantSlack), grantsPruned)
	batch.Queue(lockGrantee, pgID(d.AccountID), pgID(d.TokenID))
	args := []any{
		pgID(d.AccountID), pgID(d.TokenID), pgID(d.ID), d.Digest.Digest[:], string(d.Digest.Key), d.Hint,
		d.Scopes.String(), d.CreatedAt.UTC(), d.ExpiresAt.UTC(), int64(d.MaxLive),
		pgID(e.ID), e.At.UTC(), string(e.Actor.Kind), pgID(e.Actor.ID), e.Actor.Name, string(e.Action),
		string(e.Target.Kind), e.Target.Key, e.Target.Name, e.IP, e.RequestID, details,
	}
	batch.Queue(grantings[kind], append(args, guardValues(by)...)...)
	results := p.pool.SendBatch(ctx, &batch)
	outcome, err := grantOutcome(results)
	// What closing reports is whether the transaction was committed.
	return outcome, errors.Join(err, results.Close())
}

// grantOutcome reads what became of each statement.
func grantOutcome(results pgx.BatchResults) (insertion, error) {
	if _, err := results.Exec(); err != nil {
		return 0, err
	}
	var live key
	switch err := results.QueryRow().Scan(&live); {
	case errors.Is(err, pgx.ErrNoRows):
		return ownerMissing, nil
	case err != nil:
		return 0, err
	}
	var actors, kept int64
	if err := results.QueryRow().Scan(&actors, &kept); err != nil {
		return 0, err
	}
	switch {
	case actors == 0:
		return actorRefused, nil
	case kept == 0:
		return limitReached, nil
	}
	return inserted, nil
}
