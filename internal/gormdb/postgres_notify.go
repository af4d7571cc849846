package gormdb

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

// changesChannel is where changes are notified. The payload is the UUID of the
// account or the API token concerned.
const changesChannel = "latchkey_changes"

const (
	// notifyChanges need not be durable: it only hurries.
	notifyChanges = `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, concerned) FROM unnest($2::text[]) AS concerned`

	// pruneChanges deletes old rows, prunedAtOnce at a time: after an interval,
	// and after the next notification while there are that many.
	pruneChanges = `DELETE FROM changes WHERE xid IN (SELECT xid FROM changes ORDER BY xid LIMIT $1)
		AND at < clock_timestamp() - interval '10 minutes'`
	prunedAtOnce  = 5000
	pruneInterval = 10 * time.Second
)

// notifier sends notifications in the background: one statement at a time, for
// all that was committed while the one before was under way.
type notifier struct {
	pool *pgxpool.Pool
	log  *slog.Logger
	work sync.WaitGroup

	mu      sync.Mutex
	pending map[uuid.UUID]bool
	working bool
	closed  bool
	pruned  time.Time
}

func (n *notifier) add(ids []uuid.UUID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	for _, id := range ids {
		n.pending[id] = true
	}
	if !n.working && len(n.pending) > 0 {
		n.working = true
		n.work.Go(n.run)
	}
}

// close waits until what was added is sent.
func (n *notifier) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.work.Wait()
}

func (n *notifier) run() {
	for concerned := n.take(); concerned != nil; concerned = n.take() {
		n.execute(notifyChanges, changesChannel, concerned)
		if time.Since(n.pruned) > pruneInterval && n.execute(pruneChanges, prunedAtOnce) < prunedAtOnce {
			n.pruned = time.Now()
		}
	}
}

// take takes what is pending. It returns nil, and the work ends, when nothing
// is.
func (n *notifier) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var concerned []string
	for id := range n.pending {
		concerned = append(concerned, id.String())
	}
	clear(n.pending)
	n.working = concerned != nil
	return concerned
}

// background marks the context of statements that no caller's work consists of.
type background struct{}

// execute returns how many rows the statement was about.
func (n *notifier) execute(statement string, args ...any) int64 {
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), background{}, true), lease)
	defer cancel()
	done, err := n.pool.Exec(ctx, statement, args...)
	if err != nil {
		n.log.WarnContext(ctx, "other replicas could not be hurried; they hear of the change all the same", "error", err)
	}
	return done.RowsAffected()
}
