package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	dbtest "latchkey/internal/test/db"
)

// suite holds everything that runs during a benchmark.
type suite struct {
	dir, binary, pgbench string

	cluster  *dbtest.Cluster
	db       *pgx.Conn // to Latchkey's database on PostgreSQL
	rawDSN   string    // a copy of that database for raw
	postgres *latchkey
	embedded *latchkey // on SQLite
	rawFile  string    // a copy of that database for raw on SQLite

	accounts []account
	// Stores and, by account, their owners' sessions, in either database.
	owners, embeddedOwners     []owner
	sessions, embeddedSessions map[string]string
	token                      string // account-level, of the first account, on PostgreSQL

	gatewayKey    string
	warm, revoked []knownToken // tokens to be checked repeatedly, and to be revoked
	// directoryTokens are access tokens for reading the crowd, by server.
	directoryTokens map[*latchkey]string
	few, many       *cold // with a thousand and a million tokens
	untracked       *latchkey
	sampled         *latchkey   // records traces of one request in a hundred
	others          []*latchkey // replicas of postgres

	bare, hand       *process
	bareURL, handURL string
	revokeRates      map[int]float64 // calls a second in the last round, by tokens in a call

	hooks hooks
	bills bills
}

// prepare starts the database and both installations, and fills them.
func (s *suite) prepare(ctx context.Context) error {
	s.accounts = accounts()
	s.revokeRates = map[int]float64{}
	for _, step := range []func(context.Context) error{s.prepareDatabase, s.preparePostgres, s.prepareSQLite,
		s.prepareGateway, s.prepareYardsticks, s.prepareWebhooks, s.prepareBilling} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) prepareDatabase(ctx context.Context) error {
	var err error
	if s.cluster, err = dbtest.StartCluster(dbtest.Options{Durable: true}); err != nil {
		return err
	}
	_, err = s.cluster.CreateDatabase(ctx, "latchkey")
	return err
}

// preparePostgres installs Latchkey on PostgreSQL, creates its accounts and stores, and copies the database for raw.
func (s *suite) preparePostgres(ctx context.Context) error {
	dir := filepath.Join(s.dir, "postgres")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	var err error
	if s.postgres, err = install(ctx, s.binary, dir, s.cluster.DSN("latchkey"), manifest(s.accounts)); err != nil {
		return err
	}
	if s.sessions, err = s.sessionsOn(ctx, s.postgres); err != nil {
		return err
	}
	if err := s.fill(ctx); err != nil {
		return err
	}
	if s.db, err = pgx.Connect(ctx, s.cluster.DSN("latchkey")); err != nil {
		return err
	}
	if _, err := s.postgres.start(ctx); err != nil {
		return err
	}
	s.token, err = s.issueAccountToken(ctx)
	return errors.Join(err, s.postgres.stop())
}

// sessionsOn returns a session of every account's owner.
func (s *suite) sessionsOn(ctx context.Context, l *latchkey) (map[string]string, error) {
	sessions := map[string]string{}
	for _, a := range s.accounts {
		var err error
		if sessions[a.uuid], err = l.session(ctx, a); err != nil {
			return nil, err
		}
	}
	return sessions, nil
}

// fill adds the remaining rows, which are inserted directly to save time, and copies the database while no connection
// uses it.
func (s *suite) fill(ctx context.Context) error {
	db, err := pgx.Connect(ctx, s.cluster.DSN("latchkey"))
	if err != nil {
		return err
	}
	if s.owners, err = owners(ctx, db); err != nil {
		return err
	}
	if want := len(s.accounts) * storesOfAccount; len(s.owners) != want {
		return fmt.Errorf("%d stores after apply, want %d", len(s.owners), want)
	}
	if err := errors.Join(addUsers(ctx, db, s.accounts[0]), db.Close(ctx)); err != nil {
		return err
	}
	if s.rawDSN, err = s.copyDatabase(ctx, "latchkey", "raw"); err != nil {
		return err
	}
	raw, err := pgx.Connect(ctx, s.rawDSN)
	if err != nil {
		return err
	}
	return errors.Join(numberOwners(ctx, raw), raw.Close(ctx))
}

func (s *suite) copyDatabase(ctx context.Context, from, to string) (string, error) {
	conn, err := pgx.Connect(ctx, s.cluster.DSN("postgres"))
	if err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+to+" TEMPLATE "+from)
	return s.cluster.DSN(to), errors.Join(err, conn.Close(ctx))
}

// prepareSQLite installs Latchkey on SQLite with the same accounts, and copies the database for raw.
func (s *suite) prepareSQLite(ctx context.Context) error {
	dir := filepath.Join(s.dir, "sqlite")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	file := filepath.Join(dir, "latchkey.db")
	var err error
	if s.embedded, err = install(ctx, s.binary, dir, "sqlite:"+file, manifest(s.accounts)); err != nil {
		return err
	}
	if s.embeddedSessions, err = s.sessionsOn(ctx, s.embedded); err != nil {
		return err
	}
	if s.embeddedOwners, err = sqliteOwners(ctx, file); err != nil {
		return err
	}
	s.rawFile = filepath.Join(dir, "raw.db")
	return copySQLite(ctx, file, s.rawFile)
}

func (s *suite) prepareYardsticks(ctx context.Context) error {
	var err error
	if s.bare, s.bareURL, err = startYardstick(ctx, s.dir, "bare", ""); err != nil {
		return err
	}
	s.hand, s.handURL, err = startYardstick(ctx, s.dir, "hand", s.cluster.DSN("latchkey"))
	return err
}

// renew restarts every measured server. The location of a process in memory makes it faster or slower by some percent
// for its lifetime, so that two processes of the same program differ.
func (s *suite) renew(ctx context.Context) error {
	for _, l := range []*latchkey{s.postgres, s.embedded, s.few.latchkey, s.many.latchkey, s.untracked, s.sampled,
		s.others[0]} {
		if err := l.stop(); err != nil {
			return err
		}
		if _, err := l.start(ctx); err != nil {
			return err
		}
	}
	if err := errors.Join(s.bare.stop(), s.hand.stop()); err != nil {
		return err
	}
	if err := errors.Join(s.hooks.renew(ctx, s.dir), s.bills.renew(ctx, s.dir, s.cluster.DSN("bills"))); err != nil {
		return err
	}
	return s.prepareYardsticks(ctx)
}

// close ends everything that prepare started, even if prepare failed.
func (s *suite) close() error {
	var errs []error
	for _, p := range []*process{s.bare, s.hand} {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	errs = append(errs, s.stopGateway(), s.hooks.close(), s.bills.close())
	for _, l := range []*latchkey{s.postgres, s.embedded} {
		if l != nil {
			errs = append(errs, l.stop())
		}
	}
	if s.db != nil {
		errs = append(errs, s.db.Close(context.Background()))
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.Close())
	}
	return errors.Join(errs...)
}

const (
	starts    = 11              // how often the start is timed
	idleDelay = 2 * time.Second // how long a server runs after its start before it counts as idle
)

// figures measures the single numbers, and leaves both servers running.
func (s *suite) figures(ctx context.Context, each time.Duration) ([]figure, error) {
	info, err := os.Stat(s.binary)
	if err != nil {
		return nil, err
	}
	ready, err := s.timeStart(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.postgres.start(ctx); err != nil {
		return nil, err
	}
	time.Sleep(idleDelay)
	idle, err := s.postgres.server.resident()
	if err != nil {
		return nil, err
	}
	busy, err := s.residentUnderLoad(ctx, each)
	if err != nil {
		return nil, err
	}
	beside, err := s.besideBulk(ctx, revokedInBulk)
	if err != nil {
		return nil, err
	}
	attempts, err := s.firstAttempts(ctx, attemptsMeasured)
	if err != nil {
		return nil, err
	}
	lags, err := s.revocationLag(ctx)
	const megabyte = 1 << 20
	return []figure{
		{"start to ready, existing SQLite", float64(ready) / float64(time.Millisecond), "ms", 30, 15},
		{"resident memory, idle", float64(idle) / megabyte, "MB", 40, 30},
		{"resident memory, under the warm check", float64(busy) / megabyte, "MB", 60, 45},
		{"binary, stripped", float64(info.Size()) / megabyte, "MB", 48, 40},
		{"revocation answered → refused by all of 3 replicas, p99",
			float64(percentile(lags, 99)) / float64(time.Millisecond), "ms", 10, 3},
		{"revoke one beside three bulk loops, SQLite, p99", float64(percentile(beside, 99)) / float64(time.Millisecond),
			"ms", 150, 50},
		{"webhook: event → first attempt, idle, p99",
			float64(percentile(attempts, 99)) / float64(time.Millisecond), "ms", 100, 20},
	}, err
}

// timeStart returns the median time from the start of the process to its first response that it is ready.
func (s *suite) timeStart(ctx context.Context) (time.Duration, error) {
	var times []time.Duration
	for range starts {
		if err := s.embedded.stop(); err != nil {
			return 0, err
		}
		t, err := s.embedded.start(ctx)
		if err != nil {
			return 0, err
		}
		times = append(times, t)
	}
	return median(times), nil
}

func (s *suite) residentUnderLoad(ctx context.Context, each time.Duration) (int64, error) {
	done, finish := context.WithCancel(ctx)
	defer finish()
	loaded := make(chan error, 1)
	go func() {
		defer finish()
		_, err := s.checkWarm(ctx, each)
		loaded <- err
	}()
	most, err := s.postgres.server.mostResident(done)
	return most, errors.Join(err, <-loaded)
}
