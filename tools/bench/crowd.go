package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// The size of a large account, and the position in its list where page 10,000 begins.
const (
	crowdSize = 1_000_000
	deepPage  = 10_000
)

// crowdKey is the ID of user number n of the crowd. The IDs sort by number.
const crowdKey = `('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid`

// addCrowd adds users to an account. It disables foreign keys and triggers, so it updates the count itself.
func addCrowd(ctx context.Context, dsn string, a account, size int) error {
	db, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	for _, statement := range []string{
		"SET session_replication_role = replica",
		fmt.Sprintf(`INSERT INTO users (id, email, email_folded, first_name, last_name, locale, created_at)
			SELECT `+crowdKey+`, e, e, 'Number ' || n, 'Crowd', 'en', now()
			FROM generate_series(1, %d) AS n, LATERAL (SELECT 'crowd' || n || '@bench.example') AS x (e)`, size),
		fmt.Sprintf(`INSERT INTO account_users (account_id, user_id, email_folded, email, created_at, updated_at)
			SELECT '%s', `+crowdKey+`, e, e, now(), now()
			FROM generate_series(1, %d) AS n, LATERAL (SELECT 'crowd' || n || '@bench.example') AS x (e)`, a.uuid, size),
		fmt.Sprintf(`UPDATE accounts SET user_count = user_count + %d WHERE id = '%s'`, size, a.uuid),
		"VACUUM (ANALYZE) users, account_users, accounts",
	} {
		if _, err := db.Exec(ctx, statement); err != nil {
			return errors.Join(fmt.Errorf("make a crowd: %w", err), db.Close(ctx))
		}
	}
	return db.Close(ctx)
}

const (
	crowdDocument = `query($first: Int, $after: String) { account { users(first: $first, after: $after) {
		edges { cursor node { id email firstName lastName locale } } } } }`
	totalDocument = `{ account { users(first: 0) { collectionInfo { totalItems } } } }`
)

// crowdAccount returns the account with the crowd. Its owner is its newest user.
func (s *suite) crowdAccount() account { return s.accounts[1] }

func (s *suite) firstPage(ctx context.Context, d time.Duration) (measurement, error) {
	return s.crowdPage(ctx, crowdSize+2, d)
}

func (s *suite) deepPage(ctx context.Context, d time.Duration) (measurement, error) {
	return s.crowdPage(ctx, crowdSize+2-(deepPage-1)*listedUsers, d)
}

// crowdPage lists the users after the one with that number. The owner of the account is first in the list.
func (s *suite) crowdPage(ctx context.Context, after int, d time.Duration) (measurement, error) {
	variables := map[string]any{"first": listedUsers}
	first := after - 2 // of a page that begins with the owner
	if after <= crowdSize {
		key := uuid.MustParse(fmt.Sprintf("01900000-0000-7000-8000-%012x", after))
		variables["after"], first = base64.RawURLEncoding.EncodeToString(key[:]), after-1
	}
	return s.queryMany(ctx, s.crowdAccount(), crowdDocument, variables, fmt.Sprintf(`"crowd%d@bench.example"`, first),
		d)
}

func (s *suite) totalOfMany(ctx context.Context, d time.Duration) (measurement, error) {
	return s.queryMany(ctx, s.crowdAccount(), totalDocument, nil, fmt.Sprintf(`"totalItems":%d`, crowdSize+1), d)
}

func (s *suite) totalOfFew(ctx context.Context, d time.Duration) (measurement, error) {
	return s.queryMany(ctx, s.accounts[0], totalDocument, nil, fmt.Sprintf(`"totalItems":%d`, listedUsers+1), d)
}

// queryMany queries the server on the large database, as the account's owner.
func (s *suite) queryMany(ctx context.Context, a account, document string, variables any, expected string,
	d time.Duration) (measurement, error) {
	r, err := graphql(a, s.sessions[a.uuid], document, variables)
	if err != nil {
		return measurement{}, err
	}
	return wrk{url: s.many.url, expected: expected}.run(ctx, s.dir, []request{r}, d)
}
