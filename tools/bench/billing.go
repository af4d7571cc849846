package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// billedTable is a table with the rows that a billing run stored, in a file.
type billedTable struct {
	name string
	// rows selects them in the database of the run, and create makes the table if it is not one of Latchkey's.
	rows, create string
}

// billedTables are all rows of a run. It updates subscriptions, whose new state COPY inserts into a table.
var billedTables = []billedTable{
	{name: "charges", rows: "SELECT * FROM charges WHERE due_at >= '2026-02-01Z'"},
	{name: "audit_events", rows: "SELECT * FROM audit_events WHERE action = 'charge.created'"},
	{name: "billed", rows: "SELECT account_id, id, billed_until, next_due_at FROM subscriptions WHERE billed_until > '2026-02-02Z'",
		create: `CREATE TABLE billed (account_id uuid NOT NULL, id uuid NOT NULL UNIQUE, billed_until timestamptz NOT NULL,
			next_due_at timestamptz, PRIMARY KEY (account_id, id))`},
}

func (t billedTable) file(dir string) string { return filepath.Join(dir, t.name+".copy") }

// onMarket runs load on a copy of the market, and drops the copy.
func (s *suite) onMarket(ctx context.Context, name string, load func(dsn string) (measurement, error)) (measurement,
	error) {
	dsn, err := s.copyFiles(ctx, marketDatabase, name)
	if err != nil {
		return measurement{}, err
	}
	m, err := load(dsn)
	return m, errors.Join(err, s.dropDatabase(context.WithoutCancel(ctx), name))
}

func (s *suite) dropDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, s.cluster.DSN("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
	return errors.Join(err, conn.Close(ctx))
}

// bill bills every subscription of the market in one run, however long that takes, and returns how many it billed in a
// second. It keeps what the run stored for copyBilled.
func (s *suite) bill(ctx context.Context, _ time.Duration) (measurement, error) {
	return s.onMarket(ctx, "billing_run", func(dsn string) (measurement, error) {
		if err := setClock(ctx, dsn, clockAfter); err != nil {
			return measurement{}, err
		}
		m, err := working(func() (measurement, error) { return s.runBilling(ctx, dsn) })
		if err != nil {
			return m, err
		}
		db, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return m, err
		}
		for _, t := range billedTables {
			if err := t.save(ctx, db, s.dir, s.bills.count); err != nil {
				return m, errors.Join(err, db.Close(ctx))
			}
		}
		return m, db.Close(ctx)
	})
}

// runBilling runs the command that bills, and keeps how much memory it took.
func (s *suite) runBilling(ctx context.Context, dsn string) (measurement, error) {
	began := time.Now()
	p, err := startProcess(s.dir, s.postgres.on(dsn).env, s.binary, "billing", "run")
	if err != nil {
		return measurement{}, err
	}
	stopped := context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })
	defer stopped()
	sampling, end := context.WithCancel(ctx)
	sampled := make(chan int64)
	go func() {
		most, _ := p.mostResident(sampling) // it fails once the process has ended
		sampled <- most
	}()
	err = p.wait()
	took := time.Since(began)
	end()
	s.bills.mostResident = max(s.bills.mostResident, <-sampled)
	return measurement{perSecond: float64(s.bills.count) / took.Seconds()}, err
}

// save writes the table's rows, of which there must be count, to a file.
func (t billedTable) save(ctx context.Context, db *pgx.Conn, dir string, count int) error {
	file, err := os.Create(t.file(dir))
	if err != nil {
		return err
	}
	done, err := db.PgConn().CopyTo(ctx, file, "COPY ("+t.rows+") TO STDOUT (FORMAT binary)")
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	if n := done.RowsAffected(); n != int64(count) {
		return fmt.Errorf("a billing run stored %d rows in %s, want %d", n, t.name, count)
	}
	return nil
}

// load inserts the rows of the file.
func (t billedTable) load(ctx context.Context, db *pgx.Conn, dir string) error {
	file, err := os.Open(t.file(dir))
	if err != nil {
		return err
	}
	_, err = db.PgConn().CopyFrom(ctx, file, "COPY "+t.name+" FROM STDIN (FORMAT binary)")
	return errors.Join(err, file.Close())
}

// copyBilled inserts the rows of the last billing run by COPY.
func (s *suite) copyBilled(ctx context.Context, _ time.Duration) (measurement, error) {
	return s.onMarket(ctx, "billing_copy", func(dsn string) (measurement, error) {
		db, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return measurement{}, err
		}
		m, err := s.copyInto(ctx, db)
		return m, errors.Join(err, db.Close(ctx))
	})
}

func (s *suite) copyInto(ctx context.Context, db *pgx.Conn) (measurement, error) {
	for _, t := range billedTables {
		if _, err := db.Exec(ctx, t.create); err != nil {
			return measurement{}, err
		}
	}
	return working(func() (measurement, error) {
		began := time.Now()
		for _, t := range billedTables {
			if err := t.load(ctx, db, s.dir); err != nil {
				return measurement{}, fmt.Errorf("%s: %w", t.name, err)
			}
		}
		return measurement{perSecond: float64(s.bills.count) / time.Since(began).Seconds()}, nil
	})
}

// figures returns the memory of the billing runs, if there were any.
func (b *bills) figures() []figure {
	if b.mostResident == 0 {
		return nil
	}
	return []figure{{fmt.Sprintf("resident memory, billing %d subscriptions", b.count),
		float64(b.mostResident) / (1 << 20), "MB", 120, 60}}
}
