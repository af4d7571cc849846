package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"
	_ "modernc.org/sqlite" // the driver that Latchkey uses
)

// The rows written by issuing a token. The arguments are the values that must differ: see insertOnce.
const (
	sqliteToken = `INSERT INTO api_tokens (account_id, id, store_id, client_id, client_secret_digest, created_at, created_by_id, name,
		client_secret_key, scopes, allowed_ip_ranges, created_by_kind, created_by_name)
	VALUES (?, ?, ?, ?, ?, ?, ?, 'Order sync', 'benchkey',
		'store_v2_orders store_v2_orders_read_only store_v2_products_read_only', '', 'USER', 'owner@bench.example')`
	sqliteAccess = `INSERT INTO access_tokens (account_id, api_token_id, id, digest, created_at, digest_key, hint)
	VALUES (?, ?, ?, ?, ?, 'benchkey', 'lks_…abcd')`
	sqliteEvent = `INSERT INTO audit_events (account_id, id, at, actor_id, target_key, request_id, actor_kind, actor_name, action,
		target_kind, target_name, ip, details, version, sequence, data, era, position)
	VALUES (?, ?, ?, ?, ?, ?, 'USER', 'owner@bench.example', 'api_token.created', 'apiToken', 'Order sync', '127.0.0.1',
		'[{"name": "scopes", "value": "store_v2_orders store_v2_orders_read_only"}]', 1, 1,
		'{"id":"bc/account/apiToken/01900000-0000-7000-8000-000000000001","name":"Order sync","level":"STORE","store":{"id":'
		|| '"bc/account/store/01900000-0000-7000-8000-000000000001","storeHash":"shop1"},"clientId":"0123456789abcdef0123456789abcdef",'
		|| '"scopes":["store_v2_orders","store_v2_orders_read_only","store_v2_products_read_only"],"status":"ACTIVE",'
		|| '"allowedIpRanges":[],"chargeLimit":null,"createdAt":"2026-01-01T00:00:00.123456Z","createdBy":{"kind":"USER","id":'
		|| '"bc/account/user/01900000-0000-7000-8000-000000000001","name":"owner@bench.example"},"expiresAt":null,"lastUsedAt":null,'
		|| '"lastUsedIp":null,"revokedAt":null,"revokedBy":null,"revocationReason":null}', 1, ?)`
)

// insertIntoSQLite inserts those rows for d, one transaction after the other, each on disk before the next begins. This
// is the upper bound for a single writer with the same driver, without HTTP, GraphQL or any rule.
func insertIntoSQLite(ctx context.Context, file string, owners []owner, d time.Duration) (measurement, error) {
	db, conn, err := openSQLite(ctx, file)
	if err != nil {
		return measurement{}, err
	}
	defer func() { _ = errors.Join(conn.Close(), db.Close()) }()
	statements, err := prepareAll(ctx, conn, sqliteToken, sqliteAccess, sqliteEvent)
	if err != nil {
		return measurement{}, err
	}

	return working(func() (measurement, error) {
		var latencies []time.Duration
		start := time.Now()
		for i := 0; time.Since(start) < d; i++ {
			before := time.Now()
			if err := insertOnce(ctx, conn, statements, owners[i%len(owners)]); err != nil {
				return measurement{}, err
			}
			latencies = append(latencies, time.Since(before))
		}
		perSecond := float64(len(latencies)) / time.Since(start).Seconds()
		slices.Sort(latencies)
		return measurement{perSecond: perSecond, p50: percentile(latencies, 50), p99: percentile(latencies, 99)}, nil
	})
}

// openSQLite opens a database with the same durability as Latchkey's.
func openSQLite(ctx context.Context, file string) (*sql.DB, *sql.Conn, error) {
	db, err := sql.Open("sqlite",
		"file:"+file+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)")
	if err != nil {
		return nil, nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, conn, nil
}

// sqliteOwners returns all stores, the accounts taking turns.
func sqliteOwners(ctx context.Context, file string) ([]owner, error) {
	db, conn, err := openSQLite(ctx, file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = errors.Join(conn.Close(), db.Close()) }()
	rows, err := conn.QueryContext(ctx, "SELECT account_id, id FROM stores "+inTurns)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []owner
	for rows.Next() {
		var o owner
		if err := rows.Scan(&o.account, &o.store); err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, rows.Err()
}

// copySQLite copies a database, including its write-ahead log.
func copySQLite(ctx context.Context, from, to string) error {
	db, conn, err := openSQLite(ctx, from)
	if err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "VACUUM INTO ?", to)
	return errors.Join(err, conn.Close(), db.Close())
}

func prepareAll(ctx context.Context, conn *sql.Conn, texts ...string) ([]*sql.Stmt, error) {
	var statements []*sql.Stmt
	for _, text := range texts {
		statement, err := conn.PrepareContext(ctx, text) //nolint:sqlclosecheck // the connection's end closes it
		if err != nil {
			return nil, err
		}
		statements = append(statements, statement)
	}
	return statements, nil
}

func insertOnce(ctx context.Context, conn *sql.Conn, statements []*sql.Stmt, o owner) error {
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	key, digest, now := id.String(), sha256.Sum256(id[:]), time.Now().UnixMicro()
	for i, args := range [][]any{
		{o.account, key, o.store, key, digest[:], now, o.account},
		{o.account, key, key, digest[:], now},
		{o.account, key, now, o.account, key, key, now},
	} {
		if _, err := statements[i].ExecContext(ctx, args...); err != nil {
			return fmt.Errorf("insert: %w", err)
		}
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

// fdatasyncTime returns how long the disk of dir takes to store 8 KiB, which limits the commit rate of any database
// there.
func fdatasyncTime(dir string) (time.Duration, error) {
	file, err := os.CreateTemp(dir, "fdatasync")
	if err != nil {
		return 0, err
	}
	defer func() { _ = errors.Join(file.Close(), os.Remove(file.Name())) }()
	var times []time.Duration
	for range 100 {
		if _, err := file.WriteAt(make([]byte, 8192), 0); err != nil {
			return 0, err
		}
		before := time.Now()
		if err := datasync(file); err != nil {
			return 0, err
		}
		times = append(times, time.Since(before))
	}
	return median(times), nil
}
