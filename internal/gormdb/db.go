// Package gormdb stores all data in a relational database, SQLite or PostgreSQL. It implements the repositories that
// the capability packages declare. No other package uses tables, SQL or gorm.
//
// Ordinary statements go through gorm, which is the same for both databases. Statements on the request path are
// written by hand (docs/architecture.md: "GORM"). The differences between the databases are behind one
// interface, engine.
//
// Errors are classified here, once: an error that a caller can act on is a fault.Error. Any other error says which
// operation failed and wraps its cause.
package gormdb

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3/database"
	"go.opentelemetry.io/otel/trace"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/feed"
)

// DefaultConnections is the default size of the connection pool.
const DefaultConnections = 16

// Config configures Open.
type Config struct {
	// URL is "sqlite:" and a path, or a PostgreSQL URL (postgres://…).
	URL string
	// FeedURL is the address at which the feed connects to the PostgreSQL database of URL. Set it if URL is the
	// address of a pooler that assigns connections per transaction, as pgbouncer may. Empty means URL.
	FeedURL string
	// Existing makes Open fail if the SQLite file is missing, instead of creating it.
	Existing bool
	// MaxConnections bounds the pools, 2 or more; zero is DefaultConnections. On PostgreSQL one connection in four
	// never waits for writers (postgres.prompt). With SQLite it bounds the reading connections, which are also at
	// most the number of processors; one connection writes.
	MaxConnections int
	// Log receives migrations and background errors; nil discards them.
	Log *slog.Logger
	// OnStatement is called with the text of each statement that a repository runs, without its values, from the
	// goroutine that runs it. Tests use it to count statements; otherwise it is nil.
	OnStatement func(sql string)
	// Traces records the statements that a span waits for; nil records none.
	Traces trace.TracerProvider
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	engine  engine
	log     *slog.Logger
	changed func(uuid.UUID)
}

// engine abstracts the differences between the databases.
type engine interface {
	// reader returns gorm on the reading connections.
	reader(context.Context) *gorm.DB
	// snapshot runs work in a read-only transaction that sees one state of the database and does not block writers.
	snapshot(ctx context.Context, work func(*gorm.DB) error) error
	// transaction runs work in a transaction that may write.
	transaction(ctx context.Context, t turn, work func(*gorm.DB) error) error
	dialect() dialect

	// query runs a hand-written statement, with parameters $1 and so on, and calls row with the scan function of each
	// row.
	query(ctx context.Context, sql string, args []any, row func(scan) error) error
	// lookUp is query without ever waiting for a writer, not even for a connection.
	lookUp(ctx context.Context, sql string, args []any, row func(scan) error) error
	tokenWriter
	queueEngine

	// onEvents registers the function of DB.OnEvents.
	onEvents(stored func())

	// announce records in tx, for the feeds of other processes, that data of the account changes with it.
	announce(tx *gorm.DB, accountID uuid.UUID) error
	// notify notifies the feeds of other processes of committed changes, soon and in the background.
	notify()
	// feedSource returns the source of this process's feed.
	feedSource() feed.Source

	// backUp writes a copy of the database, as it was at one time, to an empty file.
	backUp(ctx context.Context, file string) error

	ping(context.Context) error
	// silent reports whether the database is known not to have answered for the duration.
	silent(time.Duration) bool
	// hinders returns the reason why writes other than the readiness check's fail, or nil if none is known.
	hinders() error
	close() error
	// pools returns the figures of the connection pools.
	pools() []PoolStats

	// migrations returns the dialect of the migrations and the connection pool that applies them.
	migrations() (database.Dialect, *sql.DB)
	// alone runs work under a lock that other processes respect.
	alone(ctx context.Context, work func() error) error
}

// scan copies the columns of a row.
type scan = func(dest ...any) error

// dialect holds the differences between the databases that are data.
type dialect struct {
	// name is "sqlite" or "postgres".
	name string
	// slice is the maximum number of users that one transaction of a bulk operation changes.
	slice int
	// uses is the maximum number of last-use records that one transaction writes. It bounds how long the changed rows
	// stay locked.
	uses int
	// tables is the query that counts the tables with a name.
	tables string
	// find is the SQL function that returns the position of its second argument in its first.
	find string
	// lower returns an expression for a text with the letters A to Z, and no others, in lower case, ordered by bytes.
	lower func(text string) string
	// bytes returns an expression for a text that compares by its bytes.
	bytes func(text string) string
	// among returns the condition that a value is in the result of a subquery, in the form that makes the database
	// look up each value by index.
	among func(subquery string) string
	// batch changes a statement that ends in a list of size digests so that the database looks up each digest by
	// index, even in a table with few rows.
	batch func(statement string, size int) string
	// each returns a FROM clause that yields the rows of table, under alias, for which condition holds for a value of
	// a JSON list, wanted.value. The database looks the rows up value by value and ignores its table statistics:
	// those of a recently filled table are wrong and would make it compare every row with every value. The list is
	// the first parameter; the parameters of condition follow.
	each func(table, alias, condition string) string
	// listed returns a query for the UUIDs of a list, whose column is id, and list the argument that is its parameter.
	listed func(parameter string) string
	list   func([]uuid.UUID) any
	// asID converts a text expression, such as wanted.value, to a UUID.
	asID func(text string) string
	// now is the time of the statement, as the database sees it. SQLite knows it in milliseconds, which are rounded up.
	now string
	// after returns an expression for the time that is so much later than now.
	after func(time.Duration) string
	// until returns an expression for the seconds from now to a time.
	until func(time string) string
	// indexed makes SQLite use an index. It does not know how many rows have a value.
	indexed func(index string) string
	// hour returns an expression for the hours from 1970 to a time.
	hour func(column string) string
	// month returns an expression for the month of a time, such as 2026-02, in UTC.
	month func(column string) string
	// timestamp and id convert a time and a UUID to a statement's argument. Zero values become null.
	timestamp func(time.Time) any
	id        func(uuid.UUID) any
}

// places returns the parameters of a list: $1, $2 and so on, each with a suffix.
func places(size int, suffix string) string {
	all := make([]string, size)
	for i := range all {
		all[i] = "$" + strconv.Itoa(i+1) + suffix
	}
	return strings.Join(all, ", ")
}

// Open connects to the database that c names. It returns fault.Invalid on the field "database" or "feed-database" for
// an invalid URL. No error contains a password from the URLs.
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

// openGorm returns gorm on a database.
func openGorm(dialector gorm.Dialector) (*gorm.DB, error) {
	config, err := gormConfig()
	if err != nil {
		return nil, err
	}
	config.ClauseBuilders = map[string]clause.ClauseBuilder{} // each dialector adds its own
	return gorm.Open(dialector, &config)
}

// gormConfig returns the settings of gorm with all models parsed. It turns off what the package does not use:
// transactions around single statements, prepared statements, queries while opening, columns that were not selected,
// and the logger, which would print values.
//
// gorm parses a model when it is first used, and while it does so it writes to the fields of related models, which is
// a data race with a goroutine that parses those. So all are parsed before any is used, one after the other.
var gormConfig = sync.OnceValues(func() (gorm.Config, error) {
	g, err := gorm.Open(nil, &gorm.Config{SkipDefaultTransaction: true, DisableAutomaticPing: true,
		QueryFields: true, Logger: logger.Discard})
	if err != nil {
		return gorm.Config{}, err
	}
	for _, model := range allModels {
		if err := (&gorm.Statement{DB: g}).Parse(model); err != nil {
			return gorm.Config{}, fmt.Errorf("parse the model %T: %w", model, err)
		}
	}
	return *g.Config, nil
})

// allModels are the models of all tables that gorm uses.
var allModels = []any{
	accountRow{}, storeRow{}, appRow{}, storeAppRow{}, storeUserAppRow{},
	userRow{}, accountUserRow{}, storeUserRow{},
	tokenRow{}, accessRow{}, grantRow{}, gatewayRow{}, legacyRow{}, keyRow{},
	sessionRow{}, linkRow{}, flowRow{}, totpRow{}, codeRow{}, passkeyRow{}, identityRow{}, unlinkedRow{}, sentFormRow{},
	eventRow{}, linkedRow{}, headRow{}, checkpointRow{}, totalsRow{}, removedRow{},
	eventSourceRow{}, webhookRow{}, webhookTypeRow{}, deliveryRow{}, attemptRow{},
	checkoutRow{}, checkoutItemRow{}, subscriptionRow{}, termRow{}, suspensionRow{}, usageTotalRow{},
	chargeRow{}, invoiceRow{}, provisioningRow{}, provisioningFailureRow{},
}

// Dialect returns "sqlite" or "postgres".
func (db *DB) Dialect() string { return db.engine.dialect().name }

// Ping checks that the database answers.
func (db *DB) Ping(ctx context.Context) error {
	return failed(ctx, "ping the database", db.engine.ping(ctx))
}

// CheckWriting writes to the database on one of the connections that repositories write on, and returns an error if
// the write fails.
func (db *DB) CheckWriting(ctx context.Context) error {
	now := db.engine.dialect().timestamp(time.Now())
	err := db.write(ctx, auth.NoActor("the server checks that writing works"), held{urgent: true},
		func(tx *gorm.DB) error {
			return tx.Exec("UPDATE write_checks SET checked_at = ? WHERE id = 1", now).Error
		})
	if err == nil {
		err = db.engine.hinders()
	}
	return failed(ctx, "write to the database", err)
}

// Silent reports whether the server has received no answer from the database for the duration, although it sent
// statements. It is always false for SQLite and while no feed runs. It sends no statement.
func (db *DB) Silent(d time.Duration) bool { return db.engine.silent(d) }

// Close closes all connections after the running statements have finished.
func (db *DB) Close() error { return db.engine.close() }
