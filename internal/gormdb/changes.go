package gormdb

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"latchkey/internal/fault"
	"latchkey/internal/feed"
)

// FeedSource returns the source of changes for the feed of this process.
func (db *DB) FeedSource() feed.Source { return db.engine.feedSource() }

// OnChange registers the function that this process calls after each commit that removes a permission or may do so,
// with the id of the account or API token concerned, before the call that committed returns. It is also called when
// the outcome of a commit is unknown. Call OnChange before the repositories are used; a later call replaces the
// function.
func (db *DB) OnChange(changed func(id uuid.UUID)) { db.changed = changed }

// OnEvents registers the function that this process calls after each commit that stored events with a type, before the
// call that committed returns. It must be fast and must not call the database. Call OnEvents before the repositories
// are used; a later call replaces the function.
func (db *DB) OnEvents(stored func()) { db.engine.onEvents(stored) }

// publish reports a transaction that ended with err, and the accounts or API tokens that it concerns, first to this
// process and then to the others. After an error that is not a fault the transaction may have been committed.
func (db *DB) publish(err error, ids ...uuid.UUID) {
	db.invalidate(err, ids...)
	if !isFault(err) && len(ids) > 0 {
		db.engine.notify()
	}
}

// invalidate is publish for this process only. A transaction that ended with a fault changed nothing. After
// fault.NotFound, however, another replica may have just removed the row, and this replica may not have received that
// change yet.
func (db *DB) invalidate(err error, ids ...uuid.UUID) {
	if isFault(err) && fault.KindOf(err) != fault.NotFound {
		return
	}
	for _, id := range ids {
		db.changed(id)
	}
}

func (p *postgres) announce(tx *gorm.DB, accountID uuid.UUID) error {
	return tx.Exec("INSERT INTO changes (account_id) VALUES (?)", accountID).Error
}

func (p *postgres) notify() { p.notifier.Notify() }

func (p *postgres) feedSource() feed.Source {
	return &feed.Postgres{
		Primary: p.primary,
		Transaction: func(ctx context.Context, work func(pgx.Tx) error) error {
			return pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{BeginQuery: "BEGIN; " + boundIdle}, work)
		},
		Connect: func(ctx context.Context, receive pgconn.NotificationHandler) (*pgx.Conn, error) {
			config := p.feed.Copy()
			config.RuntimeParams["application_name"] = "latchkey feed"
			config.OnNotification = receive
			return pgx.ConnectConfig(ctx, config)
		},
		Classify: failed,
	}
}

// announce does nothing: other processes notice every commit.
func (s *sqlite) announce(*gorm.DB, uuid.UUID) error { return nil }

func (s *sqlite) notify() {}

func (s *sqlite) feedSource() feed.Source {
	return feed.SQLite{Version: s.dataVersion, Watch: s.file.watch}
}
