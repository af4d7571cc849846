package gormdb

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// changesChannel is where it is notified that there are new rows in changes. A
// payload means nothing.
const changesChannel = "latchkey_changes"

const (
	// notifyChanges need not be durable: it only hurries.
	notifyChanges = `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, '')`
	// notifySpacing is how long after one notification the next may be sent.
	notifySpacing = 20 * time.Millisecond
)

// notifier sends notifications in the background: the first at once, and one
// for all that was committed until notifySpacing after it.
type notifier struct {
	pool *pgxpool.Pool
	log  *slog.Logger
	work sync.WaitGroup
	// closing is closed by close.
	closing chan struct{}

	mu      sync.Mutex
	pending bool
	working bool
	closed  bool
}

func newNotifier(log *slog.Logger) notifier { return notifier{log: log, closing: make(chan struct{})} }

func (n *notifier) add() {
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

// close waits until what was added is sent.
func (n *notifier) close() {
	n.mu.Lock()
	if !n.closed {
		n.closed = true
		close(n.closing)
	}
	n.mu.Unlock()
	n.work.Wait()
}

func (n *notifier) run() {
	for n.take() {
		n.execute(notifyChanges, changesChannel)
		select {
		case <-n.closing:
		case <-time.After(notifySpacing):
		}
	}
}

// take takes what is pending. It returns false, and the work ends, when nothing
// is.
func (n *notifier) take() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.working, n.pending = n.pending, false
	return n.working
}

// background marks the context of statements that no caller's work consists of.
type background struct{}

func (n *notifier) execute(statement string, args ...any) {
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), background{}, true), lease)
	defer cancel()
	if _, err := n.pool.Exec(ctx, statement, args...); err != nil {
		n.log.WarnContext(ctx, "other replicas could not be hurried; they hear of the change all the same", "error", err)
	}
}
