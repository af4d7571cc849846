package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// The size of the test data. Tokens are issued to the stores in turn, so that, as in production, a store has a few
// dozen tokens and not a hundred thousand.
const (
	accountCount    = 10
	storesOfAccount = 400
	listedUsers     = 50
)

// account is one of the tenants, with its owner's email address.
type account struct{ uuid, email string }

// owner is a store that gets tokens, and its account.
type owner struct{ account, store string }

func accounts() []account {
	var all []account
	for i := range accountCount {
		all = append(all, account{
			uuid:  uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "bench account %d", i)).String(),
			email: fmt.Sprintf("owner%d@bench.example", i),
		})
	}
	return all
}

// manifest declares the accounts and their stores in the format of `latchkey apply`.
func manifest(all []account) string {
	var y strings.Builder
	y.WriteString("accounts:\n")
	for i, a := range all {
		fmt.Fprintf(&y, "  - uuid: %s\n    name: Bench %d\n", a.uuid, i)
		fmt.Fprintf(&y, "    owner: {email: %s, first_name: Bench, last_name: Owner, locale: en}\n    stores:\n",
			a.email)
		for j := range storesOfAccount {
			fmt.Fprintf(&y, "      - {hash: bench%dx%d, name: Store %d}\n", i, j, j)
		}
	}
	return y.String()
}

// inTurns orders stores so that the accounts take turns.
const inTurns = "ORDER BY row_number() OVER (PARTITION BY account_id ORDER BY id), account_id"

// owners returns all stores, the accounts taking turns.
func owners(ctx context.Context, db *pgx.Conn) ([]owner, error) {
	rows, err := db.Query(ctx, "SELECT account_id::text, id::text FROM stores "+inTurns)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (owner, error) {
		var o owner
		err := row.Scan(&o.account, &o.store)
		return o, err
	})
}

// addUsers adds users to an account, so that its list of users has a full page.
func addUsers(ctx context.Context, db *pgx.Conn, a account) error {
	for i := range listedUsers {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		email := fmt.Sprintf("person%d@bench.example", i)
		if _, err := db.Exec(ctx, `WITH person AS (
			INSERT INTO users (id, email, email_folded, first_name, last_name, locale, created_at)
			VALUES ($1, $2, $2, $3, 'Person', 'en', now()) RETURNING id, created_at)
			INSERT INTO account_users (account_id, user_id, created_at) SELECT $4, id, created_at FROM person`,
			id.String(), email, fmt.Sprintf("Number %d", i), a.uuid); err != nil {
			return fmt.Errorf("add user: %w", err)
		}
	}
	return nil
}

// numberOwners creates a table from which raw picks an owner by number, because pgbench can only generate numbers.
func numberOwners(ctx context.Context, db *pgx.Conn) error {
	_, err := db.Exec(ctx,
		"CREATE TABLE bench_owners AS SELECT row_number() OVER ()::int AS n, account_id, id AS store_id FROM stores")
	if err == nil {
		_, err = db.Exec(ctx, "ALTER TABLE bench_owners ADD PRIMARY KEY (n)")
	}
	return err
}

// toRevokeName is the name of the tokens that are created to be revoked.
const toRevokeName = "To be revoked"

// replaceTokensToRevoke deletes the last round's tokens to be revoked and creates count new ones. It returns them by
// account, in the order of accounts.
func replaceTokensToRevoke(ctx context.Context, db *pgx.Conn, all []account, count int) ([][]string, error) {
	for _, statement := range []string{
		"DELETE FROM access_tokens a USING api_tokens t WHERE t.account_id = a.account_id AND t.id = a.api_token_id AND t.name = '" + toRevokeName + "'",
		"DELETE FROM audit_events WHERE target_name = '" + toRevokeName + "'",
		"DELETE FROM api_tokens WHERE name = '" + toRevokeName + "'",
		"VACUUM (ANALYZE) api_tokens, access_tokens, audit_events",
	} {
		if _, err := db.Exec(ctx, statement); err != nil {
			return nil, fmt.Errorf("remove the last round's tokens: %w", err)
		}
	}
	toRevoke := make([][]string, len(all))
	for i, a := range all {
		rows, err := db.Query(ctx, insertTokensToRevoke, a.uuid, count/len(all)+1, toRevokeName)
		if err != nil {
			return nil, err
		}
		if toRevoke[i], err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return nil, fmt.Errorf("make tokens to revoke: %w", err)
		}
	}
	_, err := db.Exec(ctx, "VACUUM (ANALYZE) api_tokens, access_tokens")
	return toRevoke, err
}

const insertTokensToRevoke = `WITH token AS (
	INSERT INTO api_tokens (account_id, id, name, client_id, client_secret_digest, client_secret_key, scopes,
		allowed_ip_ranges, created_at, created_by_kind, created_by_name)
	SELECT $1, gen_random_uuid(), $3, replace(gen_random_uuid()::text, '-', ''), sha256(uuid_send(gen_random_uuid())),
		'benchkey', 'account_read', '', now(), 'OPERATOR', 'bench'
	FROM generate_series(1, $2) RETURNING account_id, id, created_at
), access AS (
	INSERT INTO access_tokens (account_id, api_token_id, id, digest, digest_key, hint, created_at)
	SELECT account_id, id, gen_random_uuid(), sha256(uuid_send(gen_random_uuid())), 'benchkey', 'lka_…abcd', created_at FROM token
)
SELECT id::text FROM token`
