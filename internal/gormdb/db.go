// Package gormdb keeps everything in a relational database, SQLite or
// PostgreSQL: it implements the repositories that the capabilities declare,
// and it alone knows of tables, SQL and gorm.
//
// Ordinary statements go through gorm, the same for both databases. Those that
// a request waits for are written by hand (performance.md: "GORM against
// pgx"), and whatever differs between the databases stands behind one
// interface, engine.
//
// Errors are judged here, once: what a caller can act on is a fault.Error,
// everything else says what was being done and wraps its cause.
package gormdb

import (
	"context"
	"database/sql"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// DefaultConnections is the size of the pool unless configured.
const DefaultConnections = 16

// Config says which database to open, and how.
type Config struct {
	// URL is "sqlite:" and a path, or a PostgreSQL URL (postgres://…).
	URL string
	// FeedURL is where the feed connects to the PostgreSQL database that URL
	// names, if that is the address of a pooler that hands connections out by
	// the transaction, as pgbouncer may; empty for URL itself.
	FeedURL string
	// Existing refuses an SQLite file that is missing, instead of creating it.
	Existing bool
	// MaxConnections bounds the pools, 2 or more; zero is DefaultConnections. On
	// PostgreSQL one in four never waits for whoever writes (postgres.prompt).
	// With SQLite it bounds those that read, of which there are no more than
	// processors: one connection writes.
	MaxConnections int
	// Log hears of migrations and of troubles in the background; nil discards.
	Log *slog.Logger
	// OnStatement is given the text of each statement that a repository runs,
	// without its values, from whatever goroutine runs it. For tests that
	// count; nil otherwise.
	OnStatement func(sql string)
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	engine  engine
	log     *slog.Logger
	changed func(uuid.UUID)
}

// engine is what differs between the databases.
type engine interface {
	// reader returns gorm over the connections that read.
	reader(context.Context) *gorm.DB
	// snapshot runs work in a transaction that reads one state of the database,
	// keeps no writer waiting and cannot write.
	snapshot(ctx context.Context, work func(*gorm.DB) error) error
	// transaction runs work in a transaction that may write.
	transaction(ctx context.Context, t turn, work func(*gorm.DB) error) error
	dialect() dialect

	// query runs a hand-written statement, its parameters $1 and so on, and
	// hands the scan of each row to row.
	query(ctx context.Context, sql string, args []any, row func(scan) error) error
	// lookUp does as query does, and waits for nobody who writes, even for a
	// connection.
	lookUp(ctx context.Context, sql string, args []any, row func(scan) error) error
	tokenWriter
	listener
	registry

	ping(context.Context) error
	// hinders returns why other writes than that of a readiness check fail; nil
	// if nothing is known of that.
	hinders() error
	close() error

	// migrations says in whose words the schema is written, and over which
	// connections it is changed.
	migrations() (goose.Dialect, *sql.DB)
	// alone runs work while no other process runs its own.
	alone(ctx context.Context, work func() error) error
}

// scan copies the columns of a row.
type scan func(dest ...any) error

// dialect is what differs between the databases as data.
type dialect struct {
	// name is "sqlite" or "postgres".
	name string
	// slice is how many people one transaction of a bulk is about at most.
	slice int
	// uses is how many last uses one transaction keeps at most: it bounds how long
	// the rows that it changes stay locked.
	uses int
	// tables counts the tables of a name.
	tables string
	// find is the function that finds its second argument in its first.
	find string
	// lower is a text with the letters A to Z, and no others, in lower case,
	// ordered by its bytes.
	lower func(text string) string
	// among is the condition that a value is among those of a subquery, in the
	// form in which the database looks each of them up.
	among func(subquery string) string
	// party makes a statement that ends in a list of digests one that looks
	// for each of size of them by the index, however few rows there are.
	party func(statement string, size int) string
	// each is what to select from to have the rows of a table, under an alias,
	// on which condition holds for a value of a JSON list, wanted.value. The
	// rows are looked up value by value, whatever the database believes to know
	// of the table: what it knows of one that was filled a moment ago is wrong,
	// and it would compare every row with every value. The list is the first
	// parameter, those of condition follow.
	each func(table, alias, condition string) string
	// asID is a text, such as wanted.value, as a UUID.
	asID func(text string) string
	// moment and id are a time and a UUID as a statement's argument; zero
	// values are null.
	moment func(time.Time) any
	id     func(uuid.UUID) any
}

// places are the parameters of a list: $1, $2 and so on, each with a suffix.
func places(size int, suffix string) string {
	all := make([]string, size)
	for i := range all {
		all[i] = "$" + strconv.Itoa(i+1) + suffix
	}
	return strings.Join(all, ", ")
}

// Open connects to the database that c names. It returns fault.Invalid on the
// field "database" or "feed-database" for a URL that names none. The URLs'
// passwords are in no error.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = DefaultConnections
	}
	if c.MaxConnections < 2 {
		return nil, invalidDatabase("A database needs at least 2 connections.")
	}
	e, err := open(ctx, c)
	if err != nil {
		return nil, err
	}
	return &DB{engine: e, log: c.Log, changed: func(uuid.UUID) {}}, nil
}

func open(ctx context.Context, c Config) (engine, error) {
	if path, is := strings.CutPrefix(c.URL, "sqlite:"); is {
		return openSQLite(ctx, path, c)
	}
	if strings.HasPrefix(c.URL, "postgres://") || strings.HasPrefix(c.URL, "postgresql://") {
		return openPostgres(ctx, c)
	}
	return nil, invalidDatabase("Name a database as sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME.")
}

func invalidDatabase(format string, args ...any) error {
	return fault.Errorf(fault.Invalid, format, args...).On("database")
}

// gormConfig keeps gorm from doing more than it is told: no transaction
// around single statements, no prepared statements of its own, no queries
// while opening, no columns but those asked for, and no logger, which would
// print values.
func gormConfig() *gorm.Config {
	return &gorm.Config{SkipDefaultTransaction: true, DisableAutomaticPing: true, QueryFields: true, Logger: logger.Discard}
}

// Dialect returns "sqlite" or "postgres".
func (db *DB) Dialect() string { return db.engine.dialect().name }

// Ping asks the database whether it answers.
func (db *DB) Ping(ctx context.Context) error {
	return failed(ctx, "ping the database", db.engine.ping(ctx))
}

// CheckWriting writes to the database, on a connection that repositories write
// on, and returns an error if that fails.
func (db *DB) CheckWriting(ctx context.Context) error {
	now := db.engine.dialect().moment(time.Now())
	err := db.write(ctx, auth.NoActor("the server checks that writing works"), held{urgent: true}, func(tx *gorm.DB) error {
		return tx.Exec("UPDATE write_checks SET checked_at = ? WHERE id = 1", now).Error
	})
	if err == nil {
		err = db.engine.hinders()
	}
	return failed(ctx, "write to the database", err)
}

// Close ends all connections, once the statements that run have ended.
func (db *DB) Close() error { return db.engine.close() }

// OnChange has changed called in this process after each commit that takes a
// right away or may do so, with the account or the API token concerned, before the call that
// committed returns. It is also called when the outcome of a commit is not
// known. Call OnChange before the repositories are used; the last call counts.
func (db *DB) OnChange(changed func(id uuid.UUID)) { db.changed = changed }
