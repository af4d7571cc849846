package gormdb

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

// A standby that lags honours what was revoked, and so does a former primary
// that still runs after a failover. A server notices both by heartbeats: writes
// that are committed as those of tokens are. A primary whose synchronous
// standby was promoted, or does not answer, commits none.
//
// A look-up is believed if it was answered outside recovery, together with this
// process's latest heartbeat, less than a lease after that began. Nothing that a
// later primary committed can then have been answered more than a lease ago.

const (
	// beatHeart waits for synchronous standbys, whatever the session's setting.
	beatHeart = `WITH durable AS (SELECT set_config('synchronous_commit', 'on', true) AS setting)
		INSERT INTO heartbeats (id, beat, at) SELECT $1, $2, now() FROM durable WHERE setting <> ''
		ON CONFLICT (id) DO UPDATE SET beat = greatest(heartbeats.beat, excluded.beat), at = excluded.at`
	// readHeart reads what a look-up is believed by.
	readHeart = `SELECT pg_is_in_recovery(), coalesce((SELECT beat FROM heartbeats WHERE id = $1), 0)`
	// stopHeart deletes also those of processes that ended without doing so.
	stopHeart = `DELETE FROM heartbeats WHERE id = ANY ($1::uuid[]) OR at < now() - interval '1 day'`
)

// heartbeat is one that was committed.
type heartbeat struct {
	number int64
	begun  time.Time
}

// pulse is the heartbeat of one process over its pool. It is safe for
// concurrent use.
type pulse struct {
	id   uuid.UUID
	pool *pgxpool.Pool
	// beating is set once there are heartbeats to look-ups: in servers.
	beating atomic.Bool
	numbers atomic.Int64
	latest  atomic.Pointer[heartbeat]
	flights singleflight.Group
}

// beat commits a heartbeat, together with those who ask for one at the same
// time. It returns an error after a lease, or when ctx ends.
func (p *pulse) beat(ctx context.Context) error {
	p.beating.Store(true)
	done := p.flights.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(inBackground(ctx)), lease)
		defer cancel()
		h := heartbeat{p.numbers.Add(1), time.Now()}
		if _, err := p.pool.Exec(ctx, beatHeart, pgID(p.id), h.number); err != nil {
			return nil, fmt.Errorf("commit a heartbeat: %w", err)
		}
		p.latest.Store(&h)
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
func (p *pulse) fresh(ctx context.Context) (heartbeat, error) {
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

// keepBeating beats until ctx ends. What keeps it from it fails look-ups, too,
// which say so.
func (p *pulse) keepBeating(ctx context.Context) {
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

// lookUp queries the pool for what never waits for writers. In a server, an
// answer that did not come from the primary is asked for again, over new
// connections, and then refused as fault.ErrUnavailable.
func (p *postgres) lookUp(ctx context.Context, sql string, args []any, row func(scan) error) error {
	if !p.pulse.beating.Load() {
		return queryBy(ctx, p.prompt, sql, args, row)
	}
	for range 2 {
		known, err := p.pulse.fresh(ctx)
		if err != nil {
			return err
		}
		believed, err := p.lookUpSince(ctx, known, sql, args, row)
		if err != nil || believed {
			return err
		}
		p.reset()
		if err := p.pulse.beat(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("--database leads to a standby or to a former primary: %w", fault.ErrUnavailable)
}

// lookUpSince reports whether what answered has the heartbeat. If it has not,
// no row was handed over.
func (p *postgres) lookUpSince(ctx context.Context, known heartbeat, sql string, args []any, row func(scan) error) (believed bool, err error) {
	var batch pgx.Batch
	batch.Queue(readHeart, pgID(p.pulse.id))
	batch.Queue(sql, args...)
	results := p.prompt.SendBatch(ctx, &batch)
	defer func() {
		if closing := results.Close(); err == nil && believed {
			err = closing
		}
	}()
	var recovering bool
	var number int64
	if err := results.QueryRow().Scan(&recovering, &number); err != nil {
		return false, err
	}
	if recovering || number < known.number || elapsed(known.begun) >= lease {
		return false, nil
	}
	rows, err := results.Query()
	if err != nil {
		return false, err
	}
	if err := eachPgRow(rows, row); err != nil {
		return false, err
	}
	if elapsed(known.begun) >= lease { // stopped meanwhile
		return false, fmt.Errorf("a look-up ended when its heartbeat was old: %w", fault.ErrUnavailable)
	}
	return true, nil
}

// reset has both pools make their connections anew: the old ones may lead to
// another server than new ones.
func (p *postgres) reset() {
	p.pool.Reset()
	p.prompt.Reset()
}
