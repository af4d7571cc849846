package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// staleAfter is how long a reader may pause and still find every row: much
// less than rows are kept (see pruneChanges).
const staleAfter = time.Minute

// readChanges reads the rows of transactions that may not have been committed
// when the last snapshot was taken, by the number of the oldest one that was
// running then, and the same number for next time. Transactions get numbers
// when they begin to write, but end in any order: to look for numbers higher
// than those seen would miss some.
const readChanges = `SELECT pg_snapshot_xmin(pg_current_snapshot())::text, c.xid::text, coalesce(c.concerned_id, c.account_id)
	FROM (VALUES (1)) AS always LEFT JOIN changes AS c ON c.xid >= $1::text::xid8`

// noTransaction is above every number of a transaction.
const noTransaction = "18446744073709551615"

// change is a row of the table.
type change struct {
	xid       string
	concerned uuid.UUID
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
	_, err = pgx.ForEachRow(rows, []any{&r.xmin, &xid, (*key)(&c.concerned)}, func() error {
		if xid == nil {
			return nil // nothing is new
		}
		c.xid = *xid
		if !r.told[c] {
			r.ears.Changed(c.concerned)
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
