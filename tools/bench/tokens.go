package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/internal/secret"
)

// knownToken is a store-level token whose access token the benchmark has, and the hash of its store.
type knownToken struct{ id, value, store string }

const insertFiller = `WITH token AS (
	INSERT INTO api_tokens (account_id, id, store_id, name, client_id, client_secret_digest, client_secret_key, scopes,
		allowed_ip_ranges, created_at, created_by_kind, created_by_name)
	SELECT account_id, gen_random_uuid(), id, 'Filler', replace(gen_random_uuid()::text, '-', ''), sha256(uuid_send(gen_random_uuid())),
		'benchkey', 'store_v2_orders store_v2_orders_read_only', '', now(), 'OPERATOR', 'bench'
	FROM stores, generate_series(1, $1) RETURNING account_id, id, created_at
)
INSERT INTO access_tokens (account_id, api_token_id, id, digest, digest_key, hint, created_at)
SELECT account_id, id, gen_random_uuid(), sha256(uuid_send(gen_random_uuid())), 'benchkey', 'lks_…abcd', created_at FROM token`

// addTokens inserts tokens into a database: ofStore filler tokens in every store, whose secrets are not returned, and
// then count tokens that it returns, one store after the other.
func addTokens(ctx context.Context, dsn string, keys *secret.Keyring, ofStore, count int) ([]knownToken, error) {
	db, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	// The foreign keys are known to be valid. Checking each would take most of the time.
	_, err = db.Exec(ctx, "SET session_replication_role = replica")
	if err == nil && ofStore > 0 {
		_, err = db.Exec(ctx, insertFiller, ofStore)
	}
	var tokens []knownToken
	if err == nil {
		tokens, err = addKnown(ctx, db, keys, count)
	}
	if err == nil {
		_, err = db.Exec(ctx, "VACUUM (ANALYZE) api_tokens, access_tokens")
	}
	return tokens, errors.Join(err, db.Close(ctx))
}

func addKnown(ctx context.Context, db *pgx.Conn, keys *secret.Keyring, count int) ([]knownToken, error) {
	rows, err := db.Query(ctx, "SELECT account_id, id, hash FROM stores "+inTurns)
	if err != nil {
		return nil, err
	}
	type store struct {
		AccountID, ID uuid.UUID
		Hash          string
	}
	stores, err := pgx.CollectRows(rows, pgx.RowToStructByPos[store])
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var tokens []knownToken
	var records, access [][]any
	for i := range count {
		s := stores[i%len(stores)]
		value, err := secret.Generate(rand.Reader, secret.StoreAccessToken)
		if err != nil {
			return nil, err
		}
		id, digest := uuid.New(), keys.Digest(value)
		tokens = append(tokens, knownToken{id.String(), value.Reveal(), s.Hash})
		records = append(records, []any{s.AccountID, id, s.ID, fmt.Sprintf("Known %d", i), rand.Text(),
			digest.Digest[:], string(digest.Key),
			"store_v2_products store_v2_products_read_only", "", now, "OPERATOR", "bench"})
		access = append(access, []any{s.AccountID, id, uuid.New(), digest.Digest[:], string(digest.Key), value.Hint(),
			now})
	}
	_, err = db.CopyFrom(ctx, pgx.Identifier{"api_tokens"},
		[]string{"account_id", "id", "store_id", "name", "client_id", "client_secret_digest",
			"client_secret_key", "scopes", "allowed_ip_ranges", "created_at", "created_by_kind", "created_by_name"},
		pgx.CopyFromRows(records))
	if err != nil {
		return nil, err
	}
	_, err = db.CopyFrom(ctx, pgx.Identifier{"access_tokens"},
		[]string{"account_id", "api_token_id", "id", "digest", "digest_key", "hint",
			"created_at"}, pgx.CopyFromRows(access))
	return tokens, err
}
