package gormdb

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"latchkey/internal/fault"
)

// A transaction that takes a right away keeps that in the table changes. That
// is what the feed rests on; a replica reads it every proofInterval. So that
// replicas hear within milliseconds, the process that committed sends a
// notification besides, afterwards: a transaction that notifies in itself
// keeps all others that do so from being committed together with it, which
// costs most of the speed of revoking.

func (p *postgres) announce(tx *gorm.DB, accountID uuid.UUID) error {
	return tx.Exec("INSERT INTO changes (account_id) VALUES (?)", accountID).Error
}

func (p *postgres) hurry(accountIDs []uuid.UUID) { p.notifier.add(accountIDs) }

// listen hears on a connection outside the pool. Each time it has read the
// table, everything committed before it asked has been told. A process that
// was stopped for a while therefore works off what it slept through before it
// counts as hearing again.
func (p *postgres) listen(ctx context.Context, f *Feed) error {
	conn, err := p.connectListener(ctx, f)
	if err != nil {
		return err
	}
	defer func() {
		f.proof.Store(nil) // before anything that takes time
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease)
		defer cancel()
		_ = conn.Close(closing) // it failed, or is not needed any more
	}()
	reader := changeReader{conn: conn, ears: f.ears}
	for {
		sent := time.Now()
		if err := reader.read(ctx, sent); err != nil {
			return err
		}
		f.heard(sent)
		if err := wait(ctx, conn); err != nil {
			return err
		}
	}
}

// errDeaf is a connection on which nothing can be heard: a pooler that hands
// out connections by the transaction has none to listen on.
func errDeaf() error {
	return fault.Errorf(fault.Conflict, "Nothing that is notified in --database is heard at the feed's address. "+
		"Behind a pooler such as pgbouncer, give the direct address of the same database in --feed-database.")
}

// connectListener makes a connection on which notifications are heard, and
// proves that they are, with one that goes the way of all others.
func (p *postgres) connectListener(ctx context.Context, f *Feed) (*pgx.Conn, error) {
	config := p.feed.Copy()
	config.RuntimeParams["application_name"] = "latchkey feed"
	probe, proved := "hear me "+uuid.NewString(), false
	config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) {
		proved = proved || n.Payload == probe
		// Anybody may notify; the table tells what is true.
		if accountID, err := uuid.Parse(n.Payload); err == nil {
			f.ears.Changed(accountID)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*lease)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, "LISTEN "+channel)
	if err == nil {
		_, err = p.pool.Exec(context.WithValue(ctx, background{}, true), "SELECT pg_notify($1, $2)", channel, probe)
	}
	for err == nil && !proved {
		err = conn.PgConn().WaitForNotification(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = errDeaf()
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, nil
}

// wait lets notifications come in until it is time for another proof.
func wait(ctx context.Context, conn *pgx.Conn) error {
	interval, cancel := context.WithTimeout(ctx, proofInterval)
	defer cancel()
	for {
		err := conn.PgConn().WaitForNotification(interval)
		switch {
		case err == nil:
			continue
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			return nil
		default:
			return err
		}
	}
}

// staleAfter is how long a reader may pause and still find every row: much
// less than rows are kept (see pruneChanges).
const staleAfter = time.Minute

// readChanges reads the rows of transactions that may not have been committed
// when the last snapshot was taken, by the number of the oldest one that was
// running then, and the same number for next time. Transactions get numbers
// when they begin to write, but end in any order: to look for numbers higher
// than those seen would miss some.
const readChanges = `SELECT pg_snapshot_xmin(pg_current_snapshot())::text, c.xid::text, c.account_id
	FROM (VALUES (1)) AS always LEFT JOIN changes AS c ON c.xid >= $1::text::xid8`

// noTransaction is above every number of a transaction.
const noTransaction = "18446744073709551615"

// change is a row of the table.
type change struct {
	xid       string
	accountID uuid.UUID
}

// changeReader tells of each row of the table once.
type changeReader struct {
	conn *pgx.Conn
	ears Ears
	xmin string
	last time.Time // zero before the first snapshot
	// told are the rows told of that are read again while a transaction older
	// than they are goes on.
	told map[change]bool
}

// read tells what is new. It gives up after a lease: a later answer would
// prove nothing.
func (r *changeReader) read(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	// The wall clock, since it goes on while the machine sleeps.
	fresh := r.last.IsZero() || now.Round(0).Sub(r.last.Round(0)).Abs() > staleAfter
	if fresh {
		r.xmin = noTransaction
	}
	rows, err := r.conn.Query(ctx, readChanges, r.xmin)
	if err != nil {
		return err
	}
	seen := map[change]bool{}
	var xid *string
	var c change
	_, err = pgx.ForEachRow(rows, []any{&r.xmin, &xid, (*key)(&c.accountID)}, func() error {
		if xid == nil {
			return nil // nothing is new
		}
		c.xid = *xid
		if !r.told[c] {
			r.ears.Changed(c.accountID)
		}
		seen[c] = true
		return nil
	})
	if err != nil {
		return err
	}
	if fresh {
		// What was committed before the snapshot is not read any more.
		r.ears.Forget()
	}
	r.told, r.last = seen, now
	return nil
}
