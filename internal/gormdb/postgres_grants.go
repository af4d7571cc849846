package gormdb

import (
	"context"
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/auth"
	"latchkey/internal/oauth"
)

// Granting takes one round trip, as issuing does (postgres_tokens.go): clients request access tokens all the time,
// and a process that is stopped meanwhile must not keep a lock on their API tokens. Rows that another transaction is
// deleting are skipped.
const pruneEnded = `DELETE FROM access_grants WHERE digest IN (SELECT digest FROM access_grants
	WHERE account_id = $1 AND expires_at < $2 ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED)`

// lockGrantee comes before pruneEnded, so that a transaction that waits for it holds no row.
var lockGrantee = `SELECT t.id FROM accounts AS a, api_tokens AS t
	WHERE ` + takeAdvisoryFirst(`$3`) + ` AND a.id = $1 AND t.account_id = $1 AND t.id = $2 AND t.revoked_at IS NULL
	FOR KEY SHARE OF a FOR NO KEY UPDATE OF t`

// grantings are the statements by the kind of the actor's credential.
var grantings = func() map[auth.CredentialKind]string {
	all := map[auth.CredentialKind]string{}
	for kind := range actorRows {
		all[kind] = insertGranted(kind)
	}
	return all
}()

// insertGranted returns the statement that inserts a granted access token and its event, which has no type. The
// parameters are those of the access token and of the event, the limit, and those of the guard.
func insertGranted(kind auth.CredentialKind) string {
	grantValues, next := grantColumns.values(1)
	eventValues, limit := untypedEvents.values(next)
	account, apiToken := grantColumns.parameter("account_id", 1), grantColumns.parameter("api_token_id", 1)
	ofToken := ` WHERE account_id = ` + account + ` AND api_token_id = ` + apiToken
	return `WITH actor AS MATERIALIZED (` + guardFor(kind, limit+1) + `), kept AS (
			` + grantColumns.insertInto() + `SELECT ` + grantValues + `
			WHERE EXISTS (SELECT FROM actor)
				AND EXISTS (SELECT FROM api_tokens WHERE account_id = ` + account + ` AND id = ` + apiToken + ` AND revoked_at IS NULL)
				AND $` + strconv.Itoa(limit) + ` > (SELECT count(*) FROM access_grants` + ofToken + `
					AND expires_at > ` + grantColumns.parameter("created_at", 1) + `)
			RETURNING id
		), logged AS (` + untypedEvents.insertInto() + `SELECT ` + eventValues + ` FROM kept)
		SELECT (SELECT count(*) FROM actor), (SELECT count(*) FROM kept)`
}

func (p *postgres) insertGrant(ctx context.Context, by auth.Actor, d oauth.Draft) (insertion, error) {
	kind, err := kindOf(by)
	if err != nil {
		return 0, err
	}
	event, err := newEventRow(d.Event)
	if err != nil {
		return 0, err
	}
	grant := newGrantRow(d)
	var batch pgx.Batch
	batch.Queue(lockGrantee, pgID(d.AccountID), pgID(d.TokenID), granteeLocks(by, d))
	batch.Queue(pruneEnded, pgID(d.AccountID), d.CreatedAt.Add(-clockSkew), grantsPruned)
	args := grantColumns.arguments(nil, postgresDialect, &grant)
	args = untypedEvents.arguments(args, postgresDialect, &event)
	args = append(args, int64(d.MaxLive))
	batch.Queue(grantings[kind], append(args, guardValues(by)...)...)
	results := p.pool.SendBatch(ctx, &batch)
	outcome, err := grantOutcome(results)
	// Close reports whether the transaction was committed.
	return outcome, errors.Join(err, results.Close())
}

// granteeLocks returns the advisory locks of a grant, which changes no right of its API token.
func granteeLocks(by auth.Actor, d oauth.Draft) advisoryLocks {
	l := advisoryLocksOf(by, held{})
	l.share(ofTokens, d.AccountID, d.AccountID)
	l.share(ofToken, d.AccountID, d.TokenID)
	return l
}

// grantOutcome reads the result of each statement.
func grantOutcome(results pgx.BatchResults) (insertion, error) {
	var live key
	switch err := results.QueryRow().Scan(&live); {
	case errors.Is(err, pgx.ErrNoRows):
		return ownerMissing, nil
	case err != nil:
		return 0, err
	}
	if _, err := results.Exec(); err != nil {
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
