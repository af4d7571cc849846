package feed

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// staleAfter is how long a reader may pause and still find every row. It is much shorter than the time for which rows
// are kept (changesKept).
const staleAfter = time.Minute

// readChanges reads the rows that the current snapshot sees and the previous one did not, and the current snapshot.
// Transactions are numbered when they begin to write, but end in any order. New rows are those with numbers that had
// not been assigned ($1 and above) or whose transactions were in progress ($2).
const readChanges = `SELECT pg_current_snapshot()::text,
		coalesce((SELECT beat FROM heartbeats WHERE id = $3), 0), c.concerned
	FROM (VALUES (1)) AS always LEFT JOIN (
		SELECT coalesce(concerned_id, account_id) AS concerned FROM changes WHERE xid >= $1::text::xid8
		UNION ALL
		SELECT coalesce(concerned_id, account_id) FROM changes WHERE xid = ANY ($2::text[]::xid8[]) AND xid < $1::text::xid8
	) AS c ON true`

// snapshot is the result of pg_current_snapshot (PostgreSQL: "Transaction ID and Snapshot Information Functions"):
// transactions with numbers below xmax have ended, except those in progress.
type snapshot struct {
	xmax       string
	inProgress []string
}

// noTransaction is greater than every transaction number.
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

// changeReader reports each row of the table once.
type changeReader struct {
	conn       *pgx.Conn
	subscriber Subscriber
	// heartbeat is the id of the heartbeats of which it also reads the latest.
	heartbeat uuid.UUID
	seen      snapshot
	last      time.Time // zero before the first snapshot
}

// read reports new rows and returns the number of the latest heartbeat. It fails after a lease: a later result would
// prove nothing.
func (r *changeReader) read(ctx context.Context, now time.Time) (beat int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	fresh := r.last.IsZero() || stale(now.Sub(r.last), now.Round(0).Sub(r.last.Round(0)))
	if fresh {
		r.seen = snapshot{xmax: noTransaction, inProgress: []string{}}
	}
	rows, err := r.conn.Query(ctx, readChanges, r.seen.xmax, r.seen.inProgress, pgID(r.heartbeat))
	if err != nil {
		return 0, err
	}
	var text string
	var concerned *uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&text, &beat, &concerned}, func() error {
		if concerned != nil {
			r.subscriber.Changed(*concerned)
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
		// Changes committed before the snapshot are not read any more.
		r.subscriber.Forget()
	}
	r.seen, r.last = seen, now
	return beat, nil
}

// stale reports whether rows may have been deleted since the last read, by the monotonic clock or by the wall clock.
// The monotonic clock stops while the machine sleeps, and the wall clock may be set back, so both are needed.
func stale(byMonotonic, byWall time.Duration) bool {
	return max(byMonotonic, byWall.Abs()) > staleAfter
}
