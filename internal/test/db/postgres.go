// Package dbtest gives each test a new database, on both engines. It needs only PostgreSQL's programs to be
// installed or started.
//
// `make test` starts one PostgreSQL cluster for the whole run and passes its URL in LATCHKEY_TEST_POSTGRES. A plain `go
// test` of one package starts a cluster for that package, which ends with the test binary in any case. Without
// PostgreSQL's programs the test fails: it is never skipped.
package dbtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// EnvPostgres is the environment variable with the URL of a running PostgreSQL server whose user may create databases.
// If it is not set, tests start a server of their own.
const EnvPostgres = "LATCHKEY_TEST_POSTGRES"

// Timeouts for waiting for the server. They are generous, because machines that run tests are often busy.
const (
	createTimeout = time.Minute
	dropTimeout   = time.Minute
)

// PostgresDSN returns the URL of a new, empty PostgreSQL database that is dropped when t ends.
func PostgresDSN(t testing.TB) string {
	t.Helper()
	return freshDatabase(t, postgresServer(t), "template1")
}

// PostgresFrom returns the URL of a new copy of a template database, dropped when t ends. The first caller with a
// templateKey, across all processes that share the server, creates the template by calling prepare with the URL of an
// empty database; the others wait for it. The key must change whenever prepare's result does: a digest of the
// migrations is a good key. prepare must close its connections before it returns, because a database in use cannot be
// copied.
func PostgresFrom(t testing.TB, templateKey string, prepare func(dsn string) error) string {
	t.Helper()
	server := postgresServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), createTimeout)
	defer cancel()
	template, err := server.template(ctx, templateKey, prepare)
	if err != nil {
		t.Fatalf("dbtest: make the template database %q: %v", templateKey, err)
	}
	return freshDatabase(t, server, template)
}

// ownCluster is the cluster of this test binary, started by the first test that needs it. It is a package variable
// because it must live as long as the test binary. The cluster's guard ends it.
var ownCluster = sync.OnceValues(func() (*Cluster, error) { return StartCluster(Options{}) })

// postgresServer returns the server to test on: the one that the environment names, or this binary's own.
func postgresServer(t testing.TB) server {
	t.Helper()
	if named := os.Getenv(EnvPostgres); named != "" {
		u, err := url.Parse(named)
		if err != nil || u.Host == "" {
			t.Fatalf("dbtest: %s: got %v, want a URL such as postgres://user@127.0.0.1:5432/postgres", EnvPostgres, err)
		}
		return server{url: u}
	}
	cluster, err := ownCluster()
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	return cluster.server
}

// freshDatabase copies template to a database for t.
func freshDatabase(t testing.TB, s server, template string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), createTimeout)
	defer cancel()
	name := "latchkey_test_" + strings.ToLower(rand.Text())
	if err := s.createDatabase(ctx, name, template); err != nil {
		t.Fatalf("dbtest: create a database: %v", err)
	}
	t.Cleanup(func() {
		// t's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
		defer cancel()
		searchPostgres(ctx, t, s.dsn(name))
		if err := s.dropDatabase(ctx, name); err != nil {
			t.Errorf("dbtest: drop the database: %v", err)
		}
	})
	return s.dsn(name)
}

// server is a PostgreSQL server as clients see it.
type server struct {
	url *url.URL // of its maintenance database
}

// dsn returns the URL of one of the server's databases.
func (s server) dsn(database string) string {
	u := *s.url
	u.Path = "/" + database
	return u.String()
}

// connect opens a connection to the maintenance database. No connection is kept between calls, so that a test that
// looks for leaked goroutines and connections finds only its own.
func (s server) connect(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, s.url.String())
}

func (s server) createDatabase(ctx context.Context, name, template string) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return createDatabase(ctx, conn, name, template)
}

func (s server) dropDatabase(ctx context.Context, name string) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return dropDatabase(ctx, conn, name)
}

// template returns the name of the template database for key. It calls prepare if there is none.
func (s server) template(ctx context.Context, key string, prepare func(dsn string) error) (string, error) {
	digest := sha256.Sum256([]byte(key))
	name := "latchkey_template_" + hex.EncodeToString(digest[:12])

	conn, err := s.connect(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	if exists, err := databaseExists(ctx, conn, name); exists || err != nil {
		return name, err
	}

	// The lock ends with the connection, so a process that dies here does not block the next one.
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", lockKey(name)); err != nil {
		return "", err
	}
	if exists, err := databaseExists(ctx, conn, name); exists || err != nil {
		return name, err
	}
	// The template gets its name only after prepare. The remains of a failed attempt are dropped.
	unready := name + "_unready"
	if err := dropDatabase(ctx, conn, unready); err != nil {
		return "", err
	}
	if err := createDatabase(ctx, conn, unready, "template1"); err != nil {
		return "", err
	}
	if err := prepare(s.dsn(unready)); err != nil {
		return "", fmt.Errorf("prepare: %w", err)
	}
	_, err = conn.Exec(ctx, fmt.Sprintf("ALTER DATABASE %s RENAME TO %s", quote(unready), quote(name)))
	return name, err
}

func databaseExists(ctx context.Context, conn *pgx.Conn, name string) (bool, error) {
	var exists bool
	err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists)
	return exists, err
}

// createDatabase copies the template's files. By default PostgreSQL 15 and newer write every page to the write-ahead
// log instead, which takes three times as long. Older versions always copy files and do not know the option.
func createDatabase(ctx context.Context, conn *pgx.Conn, name, template string) error {
	statement := fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", quote(name), quote(template))
	major, _, _ := strings.Cut(conn.PgConn().ParameterStatus("server_version"), ".")
	if n, err := strconv.Atoi(major); err == nil && n >= 15 {
		statement += " STRATEGY file_copy"
	}
	_, err := conn.Exec(ctx, statement)
	return err
}

// dropDatabase terminates connections that a test left open, so that they do not affect later tests.
func dropDatabase(ctx context.Context, conn *pgx.Conn, name string) error {
	_, err := conn.Exec(ctx, fmt.Sprintf("DROP DATABASE IF EXISTS %s WITH (FORCE)", quote(name)))
	return err
}

func quote(identifier string) string { return pgx.Identifier{identifier}.Sanitize() }

// lockKey maps a name to a key for PostgreSQL's advisory locks, which are numbers.
func lockKey(name string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return int64(h.Sum64())
}
