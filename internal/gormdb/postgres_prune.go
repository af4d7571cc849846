package gormdb

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// defaultChangesKept is how long a row of changes is kept after its transaction
	// ended, at least.
	defaultChangesKept = 10 * time.Minute
	pruneInterval      = 10 * time.Second
	prunedAtOnce       = 5000

	oldestTransaction = `SELECT pg_snapshot_xmin(pg_current_snapshot())::text`

	// pruneChanges deletes rows by the numbers of their transactions, and leaves
	// out those that another replica is deleting.
	pruneChanges = `DELETE FROM changes WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM changes WHERE xid >= $1::text::xid8 AND xid < $2::text::xid8 ORDER BY xid LIMIT $3 FOR UPDATE SKIP LOCKED))`
)

// pruner deletes old rows of changes. Which ones are old is decided by
// transaction numbers that were the oldest in progress when they were sampled,
// a while ago by this process's monotonic clock: every transaction below has
// ended before that. A date would not do. A row is dated when it is written,
// and may be committed much later; and the database's clock may jump.
type pruner struct {
	kept    time.Duration
	samples []sample // the oldest first
	// from is where the rows begin that this replica has not deleted.
	from string
}

// sample is the oldest transaction in progress at a moment.
type sample struct {
	xmin string
	at   time.Time
}

// note keeps a sample, and drops those that an older one makes needless.
func (p *pruner) note(s sample) {
	p.samples = append(p.samples, s)
	for len(p.samples) > 1 && s.at.Sub(p.samples[1].at) >= p.kept {
		p.samples = p.samples[1:]
	}
}

// limit returns the number below which rows are old, if that is known yet.
func (p *pruner) limit(now time.Time) (xmin string, known bool) {
	if len(p.samples) == 0 || now.Sub(p.samples[0].at) < p.kept {
		return "", false
	}
	return p.samples[0].xmin, true
}

// prune samples, and deletes what is old, a bounded number of rows at a time.
func (p *pruner) prune(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(inBackground(ctx), pruneInterval)
	defer cancel()
	now := time.Now() // before it is sampled
	var xmin string
	if err := pool.QueryRow(ctx, oldestTransaction).Scan(&xmin); err != nil {
		return err
	}
	p.note(sample{xmin, now})
	limit, known := p.limit(now)
	for known {
		done, err := pool.Exec(ctx, pruneChanges, p.from, limit, prunedAtOnce)
		if err != nil {
			return err
		}
		if done.RowsAffected() < prunedAtOnce {
			p.from = limit
			return nil
		}
	}
	return nil
}

// pruneUntil prunes after each interval until ctx ends.
func (p *postgres) pruneUntil(ctx context.Context, f *Feed) {
	old := pruner{kept: p.changesKept, from: "0"}
	ticker := time.NewTicker(min(pruneInterval, p.changesKept))
	defer ticker.Stop()
	for {
		if err := old.prune(ctx, p.prompt); err != nil && ctx.Err() == nil {
			f.log.WarnContext(ctx, "old rows of the table changes could not be deleted", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
