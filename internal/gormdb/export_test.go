package gormdb

import "time"

// KeepChanges has replicas over db keep rows of the table changes for a time of
// the test's.
func KeepChanges(db *DB, kept time.Duration) { db.engine.(*postgres).changesKept = kept }

// Stale is what decides that a reader has paused for too long.
var Stale = stale

// NotifySpacing is how long after one notification the next may be sent.
const NotifySpacing = notifySpacing

// FeedSettings are the settings of the feed's connection, and Register is the
// statement by which it renews its replica's row.
const (
	FeedSettings = feedSettings
	Register     = register
)

// OnSQLiteWriter runs a statement on the connection that writes to SQLite.
func OnSQLiteWriter(db *DB, statement string) error {
	_, err := db.engine.(*sqlite).writeSQL.Exec(statement)
	return err
}
