package feed

import (
	"cmp"
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// changesKept is the minimum time for which a row of changes is kept after its transaction ended.
	changesKept   = 10 * time.Minute
	pruneInterval = 10 * time.Second
	prunedAtOnce  = 5000

	oldestTransaction = `SELECT pg_snapshot_xmin(pg_current_snapshot())::text`

	// pruneChanges deletes rows by the numbers of their transactions, and skips those that another replica is
	// deleting.
	pruneChanges = `DELETE FROM changes WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM changes WHERE xid >= $1::text::xid8 AND xid < $2::text::xid8
		ORDER BY xid LIMIT $3 FOR UPDATE SKIP LOCKED))`
)

// pruner deletes old rows of changes. It decides by transaction numbers: it samples the oldest number in progress,
// and some time later, by this process's monotonic clock, every transaction below that number has been over for at
// least that time. A timestamp would not do: a row is dated when it is written and may be committed much later, and
// the database's clock may jump.
type pruner struct {
	kept    time.Duration
	samples []sample // the oldest first
	// from is the transaction number below which this replica has deleted all rows.
	from string
}

// sample is the oldest transaction in progress at a time.
type sample struct {
	xmin string
	at   time.Time
}

// note appends a sample and removes those that an older one replaces.
func (p *pruner) note(s sample) {
	p.samples = append(p.samples, s)
	for len(p.samples) > 1 && s.at.Sub(p.samples[1].at) >= p.kept {
		p.samples = p.samples[1:]
	}
}

// limit returns the transaction number below which rows are old, if it is known yet.
func (p *pruner) limit(now time.Time) (xmin string, known bool) {
	if len(p.samples) == 0 || now.Sub(p.samples[0].at) < p.kept {
		return "", false
	}
	return p.samples[0].xmin, true
}

// prune takes a sample and deletes old rows in batches.
func (p *pruner) prune(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(inBackground(ctx), pruneInterval)
	defer cancel()
	now := time.Now() // before the sample
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
func (p *Postgres) pruneUntil(ctx context.Context, f *Feed) {
	old := pruner{kept: cmp.Or(p.kept, changesKept), from: "0"}
	ticker := time.NewTicker(min(pruneInterval, old.kept))
	defer ticker.Stop()
	for {
		if err := old.prune(ctx, p.Primary.pool); err != nil && ctx.Err() == nil {
			f.log.WarnContext(ctx, "old rows of the table changes could not be deleted", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
