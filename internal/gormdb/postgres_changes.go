package gormdb

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// staleAfter is how long a reader may pause and still find every row: much
// less than rows are kept (defaultChangesKept).
const staleAfter = time.Minute

// readChanges reads the rows that a snapshot sees and the previous one did not,
// and the snapshot for next time. Transactions get their numbers when they
// begin to write, but end in any order: what is new are the numbers that had
// not been given out ($1 and above) and those that were in progress ($2).
const readChanges = `SELECT pg_current_snapshot()::text, coalesce((SELECT beat FROM heartbeats WHERE id = $3), 0), c.concerned
	FROM (VALUES (1)) AS always LEFT JOIN (
		SELECT coalesce(concerned_id, account_id) AS concerned FROM changes WHERE xid >= $1::text::xid8
		UNION ALL
		SELECT coalesce(concerned_id, account_id) FROM changes WHERE xid = ANY ($2::text[]::xid8[]) AND xid < $1::text::xid8
	) AS c ON true`

// snapshot is what pg_current_snapshot returns (PostgreSQL: "Transaction ID and
// Snapshot Information Functions"): numbers below xmax have ended, but for those
// in progress.
type snapshot struct {
	xmax       string
	inProgress []string
}

// noTransaction is above every number of a transaction.
const noTransaction = "18446744073709551615"

func parseSnapshot(text string) (snapshot, error) {
	parts := strings.Split(text, ":") // xmin:xmax:xip,xip
	if len(parts) != 3 {
		return snapshot{}, fmt.Errorf("read a snapshot: %q", text)
	}
	s := snapshot{xmax: parts[1], inProgress: []string{}}
	if parts[2] != "" {
		s.inProgress = strings.Split(parts[2], ",")
	}
	return s, nil
}

// changeReader tells of each row of the table once.
type changeReader struct {
	conn *pgx.Conn
	ears Ears
	// heart is whose heartbeat it reads, too.
	heart uuid.UUID
	seen  snapshot
	last  time.Time // zero before the first snapshot
}

// read tells what is new, and returns the latest heartbeat that was there. It
// gives up after a lease: a later answer would prove nothing.
func (r *changeReader) read(ctx context.Context, now time.Time) (beat int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	fresh := r.last.IsZero() || stale(now.Sub(r.last), now.Round(0).Sub(r.last.Round(0)))
	if fresh {
		r.seen = snapshot{xmax: noTransaction, inProgress: []string{}}
	}
	rows, err := r.conn.Query(ctx, readChanges, r.seen.xmax, r.seen.inProgress, pgID(r.heart))
	if err != nil {
		return 0, err
	}
	var text string
	var concerned *uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&text, &beat, &concerned}, func() error {
		if concerned != nil {
			r.ears.Changed(*concerned)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	seen, err := parseSnapshot(text)
	if err != nil {
		return 0, err
	}
	if fresh {
		// What was committed before the snapshot is not read any more.
		r.ears.Forget()
	}
	r.seen, r.last = seen, now
	return beat, nil
}

// stale reports whether rows may have been deleted since the last reading, by
// the monotonic clock or by the wall clock: only the latter goes on while the
// machine sleeps, and it may be set back. Each sees what the other misses.
func stale(byMonotonic, byWall time.Duration) bool {
	return max(byMonotonic, byWall.Abs()) > staleAfter
}
