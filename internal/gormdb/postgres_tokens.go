package gormdb

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/token"
)

// issuing is a pair of statements, sent in one round trip, that PostgreSQL runs as one transaction. The first waits
// for other transactions that issue for the same owner or remove something from the actor. The second, under READ
// COMMITTED, sees what those have committed: it checks the actor again, counts, and inserts if the limit allows. It
// returns only the number of inserted tokens, which is cheapest: see insertToken.
type issuing struct {
	lock, insert string
	// arguments is the number of arguments of insert.
	arguments int
}

// issuings are the statements by the kind of the actor's credential and whether the owner is a store.
var issuings = func() map[auth.CredentialKind]map[bool]issuing {
	all := map[auth.CredentialKind]map[bool]issuing{}
	for kind, row := range actorRows {
		all[kind] = map[bool]issuing{
			false: newIssuing(kind, lockActor(row, "NO KEY UPDATE", ""), ""),
			true: newIssuing(kind, lockActor(row, row.account, "NO KEY UPDATE"),
				tokenColumns.parameter("store_id", 1)),
		}
	}
	return all
}()

// newIssuing returns the statements that insert the rows of a draft for the account or, if store is not empty, for the
// store in that parameter. The parameters of the insert are those of the token, the access token and the event, the
// limit, and those of the guard.
func newIssuing(kind auth.CredentialKind, lock, store string) issuing {
	tokenValues, next := tokenColumns.values(1)
	accessValues, next := accessColumns.values(next)
	event := func(column string) string { return firstEvents.parameter(column, next) }
	eventValues, limit := firstEvents.values(next)
	count := countLive(tokenColumns.parameter("account_id", 1), tokenColumns.parameter("created_at", 1), store)
	insert := `WITH kept AS (` + tokenColumns.insertInto() + `SELECT ` + tokenValues + `
			WHERE EXISTS (` + guardFor(kind, limit+1) + `) AND $` + strconv.Itoa(limit) + ` > (` + count + `) RETURNING id),
		accessed AS (` + accessColumns.insertInto() + `SELECT ` + accessValues + ` FROM kept),
		enqueued AS (` + enqueueOne(audit.APITokenCreated.Type(), "kept", event("account_id"), event("id")+"::uuid",
		event("target_kind"), event("target_key"), event("sequence")+"::bigint") + `)
		` + firstEvents.insertInto() + `SELECT ` + eventValues + ` FROM kept`
	return issuing{lock, insert, limit + guardParameters}
}

// actorRow is the table of the row that an actor locks, and the strength with which it locks its account, as in
// lockFor.
type actorRow struct{ table, account string }

var actorRows = map[auth.CredentialKind]actorRow{
	"":                      {account: "KEY SHARE"},
	auth.AccessToken:        {"api_tokens", "KEY SHARE"},
	auth.GrantedAccessToken: {"api_tokens", "KEY SHARE"},
	auth.ClientSecret:       {"api_tokens", "KEY SHARE"},
	auth.UserSession:        {"sessions", "SHARE"},
	auth.OwnerSession:       {"sessions", "SHARE"},
}

// lockActor returns a statement that takes advisory locks ($3) and then locks the account ($1), a store ($4) unless its
// lock is empty, and the actor's row ($2), in this order.
func lockActor(row actorRow, account, store string) string {
	from, where, locks := `accounts AS a`, takeAdvisoryFirst(`$3`)+` AND a.id = $1`, `FOR `+account+` OF a`
	if store != "" {
		from, where, locks = from+`, stores AS s`, where+` AND s.account_id = $1 AND s.id = $4`,
			locks+` FOR `+store+` OF s`
	}
	if row.table == "" {
		where += ` AND $2::uuid IS NULL`
	} else {
		from, where, locks = from+`, `+row.table+` AS x`, where+` AND x.account_id = $1 AND x.id = $2`,
			locks+` FOR KEY SHARE OF x`
	}
	return `SELECT a.id FROM ` + from + ` WHERE ` + where + ` ` + locks
}

// actorID returns the id of the row that an actor locks, or null if there is none.
func actorID(by auth.Actor) pgtype.UUID {
	switch {
	case by.NoCredential != "":
		return pgID(uuid.Nil)
	case by.Credential.Kind.IsSession():
		return pgID(by.Credential.ID)
	}
	return pgID(by.ID)
}

// guardValues returns the arguments of the actor's guard. A write without a credential has none.
func guardValues(by auth.Actor) []any {
	if by.NoCredential != "" {
		return nil
	}
	return []any{pgID(by.AccountID), pgID(by.ID), pgID(by.Credential.ID), by.Credential.VerifiedAt.UTC(),
		by.Credential.Rights[:]}
}

// kindOf returns the kind of credential that selects the statements. It returns an error if there is no actor.
func kindOf(by auth.Actor) (auth.CredentialKind, error) {
	if by.NoCredential != "" {
		return "", nil
	}
	if _, known := actorGuards[by.Credential.Kind]; !known {
		return "", errNoActor
	}
	return by.Credential.Kind, nil
}

func (p *postgres) insertToken(ctx context.Context, by auth.Actor, d token.Draft) (insertion, error) {
	kind, err := kindOf(by)
	if err != nil {
		return 0, err
	}
	rows, err := newIssuedRows(d)
	if err != nil {
		return 0, err
	}
	statements := issuings[kind][d.Token.StoreID != uuid.Nil]
	var h held
	if d.Token.StoreID == uuid.Nil {
		h.account = d.Token.AccountID
	}
	locked := []any{pgID(d.Token.AccountID), actorID(by), advisoryLocksOf(by, h)}
	if d.Token.StoreID != uuid.Nil {
		locked = append(locked, pgID(d.Token.StoreID))
	}
	args := make([]any, 0, statements.arguments)
	args = tokenColumns.arguments(args, postgresDialect, &rows.token)
	args = accessColumns.arguments(args, postgresDialect, &rows.access)
	args = firstEvents.arguments(args, postgresDialect, &rows.event)
	args = append(args, int64(d.MaxLive))
	var batch pgx.Batch
	batch.Queue(statements.lock, locked...)
	batch.Queue(statements.insert, append(args, guardValues(by)...)...)
	results := p.pool.SendBatch(ctx, &batch)
	outcome, err := insertOutcome(results)
	// Close reports whether the transaction was committed.
	if closed := results.Close(); outcome != ownerMissing {
		err = errors.Join(err, closed)
	}
	switch {
	case err == nil && outcome == inserted:
		p.stored()
	case err == nil && outcome == limitReached: // or the actor was refused
		err = judge(ctx, p, by)
	}
	return outcome, err
}

// insertOutcome reads the results of both statements. If there is no owner to lock, the second one fails on a foreign
// key, unless it refuses the actor: then, too, the outcome is limitReached.
func insertOutcome(results pgx.BatchResults) (insertion, error) {
	var owner key
	lockErr := results.QueryRow().Scan(&owner)
	if lockErr != nil && !errors.Is(lockErr, pgx.ErrNoRows) {
		return 0, lockErr
	}
	kept, err := results.Exec()
	switch {
	case err == nil && kept.RowsAffected() == 1:
		return inserted, nil
	case err == nil:
		return limitReached, nil
	case lockErr != nil:
		return ownerMissing, nil //nolint:nilerr // the missing row is the outcome
	}
	return 0, err
}

// revocation returns the statement that revokes tokens. Revoking also takes one round trip: two statements that run as
// one transaction. The first (queueLocks) locks the actor's row and the tokens. The second sees what the transactions
// committed for which the first waited, events of the tokens included. It checks the actor again, and revokes the live
// tokens if all requested tokens exist. It returns the tokens that exist.
//
// The parameters from $11 on are those of the event, and then those of the guard.
func revocation(kind auth.CredentialKind) string {
	eventValues, guard := revokedEvents.values(11)
	return `WITH actor AS MATERIALIZED (` + guardFor(kind, guard) + `), requested AS MATERIALIZED (
		SELECT id, revoked_at IS NULL AS live FROM api_tokens
		WHERE account_id = $1 AND id = ` + anyOf(`$2`) + ` AND ($3::uuid[] IS NULL OR store_id = ANY ($3))
			AND EXISTS (SELECT FROM actor)
	), revoked AS (
		UPDATE api_tokens AS t
		SET revoked_at = $4, revoked_by_kind = $5, revoked_by_id = $6, revoked_by_name = $7, revocation_reason = $8
		FROM requested AS r WHERE t.account_id = $1 AND t.id = r.id AND r.live AND (SELECT count(*) FROM requested) = cardinality($2)
		RETURNING t.id, t.name, ` + revokedData + ` AS data
	), logged AS (` + revokedEvents.insertInto() + `SELECT ` + eventValues + `
		FROM revoked JOIN unnest($2, $9::uuid[]) AS e (token_id, id) ON e.token_id = revoked.id
			CROSS JOIN log_era AS l
			LEFT JOIN LATERAL ` + previousEvent("$1", "'"+string(audit.TargetAPIToken)+"'", "revoked.id::text") + ` AS p ON true
		RETURNING id, target_kind, target_key, sequence
	), enqueued AS (` + enqueueOne(audit.APITokenRevoked.Type(), "logged AS e", "$1", "e.id", "e.target_kind", "e.target_key",
		"e.sequence") + `
	), announced AS (
		INSERT INTO changes (account_id, concerned_id) SELECT $1, $10::uuid WHERE EXISTS (SELECT FROM revoked)
	) SELECT NULL FROM actor UNION ALL SELECT id FROM requested`
}

// anyOf compares with the ids in a parameter. They are a subquery, so that the planner ignores their number. Otherwise
// it would plan again for each list, which takes longer than running the plan.
func anyOf(parameter string) string { return `ANY ((SELECT ` + parameter + `::uuid[])::uuid[])` }

// revokedEvents are the columns of the events of revoked tokens, in the statement that finds those tokens.
var revokedEvents = eventColumns.with(map[string]string{"id": "e.id", "target_key": "revoked.id::text",
	"target_name": "revoked.name", "sequence": "1 + coalesce(p.sequence, 0)", "data": "revoked.data", "era": "l.era",
	"position": nextPosition})

// revocations are the statements by the kind of the actor's credential.
var revocations = func() map[auth.CredentialKind]string {
	all := map[auth.CredentialKind]string{}
	for kind := range actorRows {
		all[kind] = revocation(kind)
	}
	return all
}()

var (
	// lockTokens takes advisory locks and then locks tokens, also against requests that use them.
	lockTokens = `SELECT id FROM api_tokens WHERE ` + takeAdvisoryFirst(`$3`) + ` AND account_id = $1 AND id = ` + anyOf(`$2`) + `
		ORDER BY id FOR UPDATE`
	// lockActorAmong locks an actor's row together with the tokens that it revokes.
	lockActorAmong = `SELECT t.id FROM accounts AS a, api_tokens AS t
		WHERE ` + takeAdvisoryFirst(`$3`) + ` AND a.id = $1 AND t.account_id = $1 AND t.id = ` + anyOf(`$2`) + `
		ORDER BY t.id FOR KEY SHARE OF a FOR UPDATE OF t`
	// lockActorAndTokens are the statements that lock an actor's row and then tokens, by the kind of its credential. If
	// the actor's row or all tokens are missing, they lock nothing, and nothing is revoked.
	lockActorAndTokens = func() map[auth.CredentialKind]string {
		all := map[auth.CredentialKind]string{}
		for kind, row := range actorRows {
			if row.table != "" {
				all[kind] = `SELECT t.id FROM accounts AS a, ` + row.table + ` AS x, api_tokens AS t
					WHERE ` + takeAdvisoryFirst(`$3`) + ` AND a.id = $1 AND x.account_id = $1 AND x.id = $2
						AND t.account_id = $4 AND t.id = ` + anyOf(`$5`) + `
					ORDER BY t.id FOR ` + row.account + ` OF a FOR KEY SHARE OF x FOR UPDATE OF t`
			}
		}
		return all
	}()
)

func (p *postgres) revokeTokens(ctx context.Context, by auth.Actor, e token.RevocationDraft) ([]uuid.UUID, error) {
	kind, err := kindOf(by)
	if err != nil {
		return nil, err
	}
	event := e.Event
	event.AccountID, event.Target.Kind = e.AccountID, audit.TargetAPIToken
	logged, err := newEventRow(event)
	if err != nil {
		return nil, err
	}
	var only []pgtype.UUID
	if e.OnlyStores != nil {
		only = pgIDs(e.OnlyStores)
	}
	r := e.Revocation
	args := []any{
		pgID(e.AccountID), pgIDs(e.IDs), only,
		r.At.UTC(), string(r.By.Kind), pgID(r.By.ID), r.By.Name, r.Reason,
		newIDs(len(e.IDs)), pgID(concernedBy(e)),
	}
	args = revokedEvents.arguments(args, postgresDialect, &logged)
	var batch pgx.Batch
	queueLocks(&batch, kind, by, e)
	batch.Queue(revocations[kind], append(args, guardValues(by)...)...)
	found, err := collectFound(p.pool.SendBatch(ctx, &batch), batch.Len())
	if err != nil {
		return nil, err
	}
	p.stored()
	return missing(e.IDs, found), nil
}

// queueLocks queues the statement that locks the actor's row and the tokens, in the order of their ids. So two
// revocations of the same tokens do not deadlock, and neither do two tokens that revoke each other.
func queueLocks(batch *pgx.Batch, kind auth.CredentialKind, by auth.Actor, e token.RevocationDraft) {
	row := actorRows[kind]
	advisory := advisoryLocksOf(by, held{tokensOf: e.AccountID, tokens: e.IDs})
	before, _ := around(by.ID, e.IDs)
	switch {
	case row.table == "":
		batch.Queue(lockTokens, pgID(e.AccountID), pgIDs(e.IDs), advisory)
	case row.table == "api_tokens" && len(before) > 0 && by.AccountID == e.AccountID:
		batch.Queue(lockActorAmong, pgID(by.AccountID), pgIDs(append([]uuid.UUID{by.ID}, e.IDs...)), advisory)
	default:
		batch.Queue(lockActorAndTokens[kind], pgID(by.AccountID), actorID(by), advisory, pgID(e.AccountID),
			pgIDs(e.IDs))
	}
}

// collectFound reads the result of the last of several statements: a null for the actor, and the ids that were found.
func collectFound(results pgx.BatchResults, statements int) ([]uuid.UUID, error) {
	for range statements - 1 {
		if _, err := results.Exec(); err != nil {
			return nil, errors.Join(err, results.Close())
		}
	}
	rows, err := results.Query()
	if err != nil {
		return nil, errors.Join(err, results.Close())
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[uuid.NullUUID])
	// Close reports whether the transaction was committed.
	if err := errors.Join(err, results.Close()); err != nil {
		return nil, err
	}
	var ids []uuid.UUID
	refused := true
	for _, id := range found {
		if !id.Valid {
			refused = false
			continue
		}
		ids = append(ids, id.UUID)
	}
	if refused {
		return nil, errActorRefused
	}
	return ids, nil
}

// newIDs returns n new ids in ascending order.
func newIDs(n int) []pgtype.UUID {
	ids := make([]pgtype.UUID, n)
	for i := range ids {
		ids[i] = pgID(uuid.Must(uuid.NewV7()))
	}
	return ids
}

// keepLatest changes rows in the order of their keys (see uses.SaveUses), and those of API tokens first, as rotations
// do.
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

func (p *postgres) saveUses(ctx context.Context, ofTokens, ofAccess []use) error {
	t, x := useColumnsOf(ofTokens), useColumnsOf(ofAccess)
	_, err := p.pool.Exec(ctx, keepLatest, t.accounts, t.tokens, t.times, t.ips, x.accounts, x.tokens, x.accesses,
		x.times, x.ips)
	return err
}

// useColumns are uses column by column, as arrays that a statement joins with.
type useColumns struct {
	accounts, tokens, accesses []pgtype.UUID
	times                      []time.Time
	ips                        []*string
}

func useColumnsOf(list []use) useColumns {
	var c useColumns
	for _, u := range list {
		c.accounts, c.tokens, c.accesses = append(c.accounts, pgID(u.accountID)), append(c.tokens, pgID(u.tokenID)),
			append(c.accesses, pgID(u.accessID))
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
