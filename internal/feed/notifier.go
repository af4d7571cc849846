package feed

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// changesChannel is the channel of notifications about new rows in changes. The payload is not used.
const changesChannel = "latchkey_changes"

const (
	// notifyChanges need not be durable: it only speeds up the feed.
	notifyChanges = `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, '')`
	// notifySpacing is the minimum time between two notifications.
	notifySpacing = 20 * time.Millisecond
)

// Notifier notifies other replicas of committed changes, in the background: of the first immediately, and then once of
// all commits within notifySpacing. If a notification fails, they still receive the changes, only later. A Notifier is
// safe for concurrent use.
type Notifier struct {
	pool *pgxpool.Pool
	log  *slog.Logger
	work sync.WaitGroup
	// closing is closed by Close.
	closing chan struct{}

	mu      sync.Mutex
	pending bool
	working bool
	closed  bool
}

// NewNotifier returns a Notifier that sends over a pool.
func NewNotifier(pool *pgxpool.Pool, log *slog.Logger) *Notifier {
	return &Notifier{pool: pool, log: log, closing: make(chan struct{})}
}

// Notify sends a notification soon. It does not block.
func (n *Notifier) Notify() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	n.pending = true
	if !n.working {
		n.working = true
		n.work.Go(n.run)
	}
}

// Close waits until all pending notifications have been sent. Later calls of Notify do nothing.
func (n *Notifier) Close() {
	n.mu.Lock()
	if !n.closed {
		n.closed = true
		close(n.closing)
	}
	n.mu.Unlock()
	n.work.Wait()
}

func (n *Notifier) run() {
	for n.take() {
		n.send()
		select {
		case <-n.closing:
		case <-time.After(notifySpacing):
		}
	}
}

// take takes what is pending. If nothing is, it returns false and the goroutine ends.
func (n *Notifier) take() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.working, n.pending = n.pending, false
	return n.working
}

func (n *Notifier) send() {
	ctx, cancel := context.WithTimeout(inBackground(context.Background()), lease)
	defer cancel()
	if _, err := n.pool.Exec(ctx, notifyChanges, changesChannel); err != nil {
		n.log.WarnContext(ctx, "other replicas could not be notified; they read the change from the table", "error",
			err)
	}
}
