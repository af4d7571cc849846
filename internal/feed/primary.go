package feed

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/singleflight"

	"latchkey/internal/fault"
)

// A lagging standby accepts tokens that were revoked, and so does a former primary that still runs after a failover.
// A server detects both by heartbeats: writes that are committed as durably as those of tokens. A primary whose
// synchronous standby was promoted, or does not answer, cannot commit one.
//
// The result of a look-up is accepted if the server that answered was not in recovery, had this process's latest
// heartbeat, and answered less than a lease after that heartbeat began. An accepted result therefore misses only
// changes that a new primary committed less than a lease ago.

const (
	// commitHeartbeat waits for synchronous standbys even if the session's setting is off.
	commitHeartbeat = `WITH durable AS (SELECT set_config('synchronous_commit', 'on', true) AS setting)
		INSERT INTO heartbeats (id, beat, at) SELECT $1, $2, now() FROM durable WHERE setting <> ''
		ON CONFLICT (id) DO UPDATE SET beat = greatest(heartbeats.beat, excluded.beat), at = excluded.at`
	// readHeartbeat reads the values that decide whether a look-up is accepted.
	readHeartbeat = `SELECT pg_is_in_recovery(), coalesce((SELECT beat FROM heartbeats WHERE id = $1), 0)`
	// deleteHeartbeats also deletes the heartbeats of processes that ended without deleting theirs.
	deleteHeartbeats = `DELETE FROM heartbeats WHERE id = ANY ($1::uuid[]) OR at < now() - interval '1 day'`
)

// Primary looks rows up over a pool and, once a Feed runs, accepts only what the current primary answers. It commits
// this process's heartbeats over the same pool. It is safe for concurrent use.
type Primary struct {
	pool *pgxpool.Pool
	// reset makes the process replace its connections: the old ones may lead to another server than new ones would.
	reset func()
	// id is the id of this process's heartbeats.
	id uuid.UUID
	// beating is set in servers, where look-ups need heartbeats.
	beating atomic.Bool
	numbers atomic.Int64
	latest  atomic.Pointer[heartbeat]
	// failing is when the first failed heartbeat since the latest successful one began; nil if none failed.
	failing atomic.Pointer[time.Time]
	flights singleflight.Group
}

// heartbeat is a committed heartbeat.
type heartbeat struct {
	number int64
	begun  time.Time
}

// NewPrimary returns a Primary that uses a pool of connections to primaries, for statements that never wait for a
// lock. reset must replace all connections of the process.
func NewPrimary(pool *pgxpool.Pool, reset func()) *Primary {
	return &Primary{pool: pool, reset: reset, id: uuid.New()}
}

// beat commits a heartbeat and coalesces concurrent calls. It returns an error after a lease, or when ctx ends.
func (p *Primary) beat(ctx context.Context) error {
	p.beating.Store(true)
	done := p.flights.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(inBackground(ctx)), lease)
		defer cancel()
		h := heartbeat{p.numbers.Add(1), time.Now()}
		if _, err := p.pool.Exec(ctx, commitHeartbeat, pgID(p.id), h.number); err != nil {
			p.failing.CompareAndSwap(nil, &h.begun)
			return nil, fmt.Errorf("commit a heartbeat: %w", err)
		}
		p.latest.Store(&h)
		p.failing.Store(nil)
		return h, nil
	})
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fresh returns a heartbeat that is less than a lease old.
func (p *Primary) fresh(ctx context.Context) (heartbeat, error) {
	for range 2 {
		if h := p.latest.Load(); h != nil && elapsed(h.begun) < lease {
			return *h, nil
		}
		if err := p.beat(ctx); err != nil {
			return heartbeat{}, err
		}
	}
	return heartbeat{}, fmt.Errorf("a heartbeat took more than %v: %w", lease, fault.ErrUnavailable)
}

// Silent reports whether all heartbeats have failed for at least the duration. A process that was stopped for a while
// sent none in that time and does not count as failing.
func (p *Primary) Silent(d time.Duration) bool {
	since := p.failing.Load()
	return since != nil && elapsed(*since) > d
}

// keepBeating sends heartbeats until ctx ends. It ignores errors: look-ups fail for the same reason and report it.
func (p *Primary) keepBeating(ctx context.Context) {
	ticker := time.NewTicker(proofInterval)
	defer ticker.Stop()
	for {
		_ = p.beat(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// LookUp runs a query and calls row with the scan function of each row. In a server, a result that did not come from
// the primary is discarded and the query repeated once on new connections. If that fails, too, LookUp returns
// fault.ErrUnavailable.
func (p *Primary) LookUp(ctx context.Context, sql string, args []any, row func(scan func(...any) error) error) error {
	if !p.beating.Load() {
		rows, err := p.pool.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		return EachRow(rows, row)
	}
	for range 2 {
		latest, err := p.fresh(ctx)
		if err != nil {
			return err
		}
		accepted, err := p.lookUpSince(ctx, latest, sql, args, row)
		if err != nil || accepted {
			return err
		}
		p.reset()
		if err := p.beat(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("--database leads to a standby or to a former primary: %w", fault.ErrUnavailable)
}

// lookUpSince runs the query and reports whether the server that answered has the heartbeat. If not, row was not
// called.
func (p *Primary) lookUpSince(
	ctx context.Context, latest heartbeat, sql string, args []any, row func(scan func(...any) error) error,
) (accepted bool, err error) {
	var batch pgx.Batch
	batch.Queue(readHeartbeat, pgID(p.id))
	batch.Queue(sql, args...)
	results := p.pool.SendBatch(ctx, &batch)
	defer func() {
		if closing := results.Close(); err == nil && accepted {
			err = closing
		}
	}()
	var recovering bool
	var number int64
	if err := results.QueryRow().Scan(&recovering, &number); err != nil {
		return false, err
	}
	if recovering || number < latest.number || elapsed(latest.begun) >= lease {
		return false, nil
	}
	rows, err := results.Query()
	if err != nil {
		return false, err
	}
	if err := EachRow(rows, row); err != nil {
		return false, err
	}
	if elapsed(latest.begun) >= lease { // the process was stopped meanwhile
		return false, fmt.Errorf("a look-up ended when its heartbeat was old: %w", fault.ErrUnavailable)
	}
	return true, nil
}

// EachRow calls row with the scan function of each row, and closes the rows.
func EachRow(rows pgx.Rows, row func(scan func(...any) error) error) error {
	defer rows.Close()
	scan := rows.Scan
	for rows.Next() {
		if err := row(scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// background marks the context of statements that no request waits for.
type background struct{}

func inBackground(ctx context.Context) context.Context {
	return context.WithValue(ctx, background{}, true)
}

// IsBackground reports whether the feed runs the statement for itself, so that no request waits for it.
func IsBackground(ctx context.Context, sql string) bool {
	return ctx.Value(background{}) != nil || sql == readHeartbeat
}
