package gormdb

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3/database"
	"go.opentelemetry.io/otel/trace"
	"gorm.io/gorm"
	_ "modernc.org/sqlite" // the driver

	"latchkey/internal/feed"
)

// sqlite is the engine for an SQLite file. SQLite has one writer at a time, so this process has one writing
// connection. Writes wait for it in a queue (writeQueue), because SQLite's own lock has no queue. Its transactions
// take the lock when they begin (BEGIN IMMEDIATE), so that none has to be given up half-way. Reads continue
// meanwhile, on read-only connections.
type sqlite struct {
	file              *databaseFile
	path              string
	readSQL, writeSQL *sql.DB
	read, write       *gorm.DB
	onStatement       func(string)
	// traces records statements; nil records none.
	traces trace.TracerProvider
	// anchor is an idle connection: while it is open, SQLite keeps the WAL file, even if all other connections are
	// closed.
	anchor *sql.Conn
	// stored is called after each commit that stored events (DB.OnEvents).
	stored func()
	// queue orders the transactions on write.
	queue writeQueue

	mu sync.Mutex
	// lookUps are the prepared statements of lookUp, by their text.
	lookUps map[string]*sql.Stmt
}

var _ engine = (*sqlite)(nil)

var sqliteDialect = dialect{
	name: "sqlite",
	// Fifty users take about 10 ms, during which no other write can run.
	slice:  50,
	uses:   250,
	tables: "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?",
	find:   "instr",
	lower:  func(text string) string { return "lower(" + text + ")" },
	bytes:  func(text string) string { return text },
	among:  func(subquery string) string { return "IN (" + subquery + ")" },
	batch:  func(statement string, size int) string { return statement + "(" + places(size, "") + ")" },
	// SQLite joins the tables of a CROSS JOIN in the order in which they are written.
	each: func(table, alias, condition string) string {
		return "json_each(?) AS wanted CROSS JOIN " + table + " AS " + alias + " ON " + condition
	},
	listed: func(parameter string) string { return "SELECT value AS id FROM json_each(" + parameter + ")" },
	list: func(ids []uuid.UUID) any {
		if ids == nil {
			return "[]" // null would be a list of one
		}
		return idList(ids)
	},
	asID: func(text string) string { return text },
	now:  "(CAST(unixepoch('subsec') * 1000000 AS INTEGER) + 1000)",
	after: func(d time.Duration) string {
		return "(CAST(unixepoch('subsec') * 1000000 AS INTEGER) + " + strconv.FormatInt(d.Microseconds(), 10) + ")"
	},
	until: func(time string) string {
		return "(" + time + " - CAST(unixepoch('subsec') * 1000000 AS INTEGER)) / 1000000.0"
	},
	indexed: func(index string) string { return " INDEXED BY " + index },
	hour:    func(column string) string { return column + " / 3600000000" },
	month:   func(column string) string { return "strftime('%Y-%m', " + column + " / 1000000, 'unixepoch')" },
	timestamp: func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return t.UnixMicro()
	},
	id: func(id uuid.UUID) any {
		if id == uuid.Nil {
			return nil
		}
		return id.String()
	},
}

// pragmas are set on every connection. A statement waits for the lock of another process as long as a write may take
// (graph.writeTimeout), or until its context ends.
var pragmas = []string{"busy_timeout(5000)", "journal_mode(wal)", "synchronous(full)", "foreign_keys(on)"}

func openSQLite(ctx context.Context, path string, c Config) (*sqlite, error) {
	if path == "" || strings.HasPrefix(path, ":memory:") {
		return nil, invalidDatabase("Name the file, as in sqlite:latchkey.db.")
	}
	if !c.Existing {
		if err := makeFile(path); err != nil {
			return nil, err
		}
	}
	if err := checkPrivate(path); err != nil {
		return nil, err
	}
	s := &sqlite{path: path, onStatement: c.OnStatement, traces: c.Traces, lookUps: map[string]*sql.Stmt{},
		stored: func() {}}
	if s.onStatement == nil {
		s.onStatement = func(string) {}
	}
	var err error
	if s.file, err = openDatabaseFile(path, c.Log); err != nil {
		return nil, cannotOpen(path)
	}
	if err = s.connect(ctx, c.MaxConnections); err == nil {
		err = s.quickCheck(ctx)
	}
	if err == nil {
		return s, nil
	}
	err = errors.Join(err, s.close())
	switch sqliteCode(err) & 0xff {
	case sqliteReadOnly, sqliteCannotOpen:
		return nil, cannotOpen(path)
	case sqliteNoDatabase:
		return nil, invalidDatabase("The file %s is not an SQLite database.", path)
	case sqliteCorrupt:
		return nil, damaged(path)
	}
	return nil, failed(ctx, "open "+path, err)
}

func damaged(path string) error {
	return invalidDatabase("The database file %s is damaged. Restore it from a backup.", path)
}

// quickCheckTime bounds quickCheck, which takes about 10 ms for a file of 25 MB in the page cache.
const quickCheckTime = 500 * time.Millisecond

// quickCheck refuses a damaged database, if it finds the damage within quickCheckTime. It opens the anchor.
func (s *sqlite) quickCheck(ctx context.Context) (err error) {
	if s.anchor, err = s.readSQL.Conn(ctx); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, quickCheckTime)
	defer cancel()
	// Mapping the file into memory makes the check three times as fast. It is mapped only for the check: if another
	// process truncated the file, reading the mapping would crash this process.
	if _, err := s.anchor.ExecContext(ctx, "PRAGMA mmap_size = 1073741824"); err != nil {
		return err
	}
	var result string
	err = s.anchor.QueryRowContext(limited, "PRAGMA quick_check(1)").Scan(&result)
	switch {
	case err != nil && (ctx.Err() != nil || limited.Err() == nil):
		return err
	case err == nil && result != "ok":
		return damaged(s.path)
	}
	_, err = s.anchor.ExecContext(ctx, "PRAGMA mmap_size = 0")
	return err
}

// makeFile creates a file that only its owner may read; SQLite would create one that is readable by all. It does not
// open an existing file: closing it would release the locks that this process holds on it for another DB.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return cannotOpen(path)
	}
	return f.Close()
}

// checkPrivate refuses a database if other users than its owner may read or write it or the files that SQLite keeps
// beside it. It does not open the files: see makeFile.
func checkPrivate(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		switch {
		case errors.Is(err, fs.ErrNotExist) && suffix != "":
			continue
		case err != nil:
			return cannotOpen(path)
		}
		if mode := info.Mode(); mode.IsRegular() && mode.Perm()&0o077 != 0 {
			return invalidDatabase(
				"The database file %s is accessible to users other than its owner (mode %04o). Run \"chmod 600 %s\".",
				path+suffix, mode.Perm(), path+suffix)
		}
	}
	return nil
}

func cannotOpen(path string) error {
	return invalidDatabase("The file %s cannot be opened. Its folder must exist, and both must be writable.", path)
}

func (s *sqlite) connect(ctx context.Context, readers int) (err error) {
	// The writer is opened first: only it can turn on the WAL.
	if s.writeSQL, err = s.pool(ctx, 1, "_txlock=immediate"); err != nil {
		return err
	}
	if s.write, err = s.gorm(newWriter(s)); err != nil {
		return err
	}
	// More readers than processors would only slow each other down, and each has its own cache.
	readers = min(readers, max(2, runtime.GOMAXPROCS(0))) + 1 // the anchor
	if s.readSQL, err = s.pool(ctx, readers, "_pragma=query_only(on)"); err != nil {
		return err
	}
	s.read, err = s.gorm(s.readSQL)
	return err
}

func (s *sqlite) pool(ctx context.Context, size int, option string) (*sql.DB, error) {
	open := sql.Open
	if s.traces != nil {
		open = func(_, source string) (*sql.DB, error) { return openTracedSQLite(s.traces, source) }
	}
	pool, err := open(sqliteDriver, dataSource(s.path, option))
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return pool, nil
}

func (s *sqlite) gorm(pool gorm.ConnPool) (*gorm.DB, error) {
	g, err := openGorm(gormSQLite{pool})
	if err != nil {
		return nil, err
	}
	return g, s.observe(g)
}

// dataSource returns a path as a URI (SQLite: "Uniform Resource Identifiers"), in which spaces and question marks are
// escaped. It does not create a missing file.
func dataSource(path, option string) string {
	escaped := (&url.URL{Path: filepath.Clean(path)}).EscapedPath()
	return "file:" + escaped + "?mode=rw&_pragma=" + strings.Join(pragmas, "&_pragma=") + "&" + option
}

// observe registers callbacks that report each statement of g. A subquery is built in a dry run and not reported.
func (s *sqlite) observe(g *gorm.DB) error {
	tell := func(tx *gorm.DB) {
		if !tx.DryRun {
			s.onStatement(tx.Statement.SQL.String())
			s.file.note(tx.Error)
		}
	}
	on, name := g.Callback(), "latchkey:observe"
	return errors.Join(
		on.Query().After("gorm:query").Register(name, tell), on.Create().After("gorm:create").Register(name, tell),
		on.Update().After("gorm:update").Register(name, tell), on.Delete().After("gorm:delete").Register(name, tell),
		on.Row().After("gorm:row").Register(name, tell), on.Raw().After("gorm:raw").Register(name, tell),
	)
}

func (s *sqlite) dialect() dialect                    { return sqliteDialect }
func (s *sqlite) reader(ctx context.Context) *gorm.DB { return s.read.WithContext(ctx) }

// silent returns false: there is no network between the process and its file.
func (s *sqlite) silent(time.Duration) bool { return false }

func (s *sqlite) ping(ctx context.Context) error {
	if err := s.file.check(ctx); err != nil {
		return err
	}
	if err := s.file.diskFailed(); err != nil {
		return err
	}
	return s.readSQL.PingContext(ctx)
}

func (s *sqlite) hinders() error { return s.file.diskFailed() }

func (s *sqlite) pools() []PoolStats {
	writes := statsOfSQL("writes", s.writeSQL.Stats())
	writes.Waits, writes.Waited = s.queue.waits.Load(), time.Duration(s.queue.waited.Load()) // for the only connection
	return []PoolStats{statsOfSQL("reads", s.readSQL.Stats()), writes}
}

func (s *sqlite) onEvents(stored func()) { s.stored = stored }

// snapshot runs work in a transaction on a read-only connection. It sees the state at its first statement.
func (s *sqlite) snapshot(ctx context.Context, work func(*gorm.DB) error) error {
	return s.read.WithContext(ctx).Transaction(work)
}

// transaction waits for its turn before it takes the writing connection.
func (s *sqlite) transaction(ctx context.Context, t turn, work func(*gorm.DB) error) error {
	leave, err := s.queue.enter(ctx, t)
	if err != nil {
		return err
	}
	defer runtime.Gosched() // lets the next write start before the caller continues
	defer leave()
	if err := s.file.refuse(); err != nil {
		return err
	}
	err = s.write.WithContext(ctx).Transaction(work)
	s.file.note(err)
	return err
}

func (s *sqlite) close() error {
	var errs []error
	if s.anchor != nil {
		errs = append(errs, s.anchor.Close())
	}
	for _, pool := range []*sql.DB{s.readSQL, s.writeSQL} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(append(errs, s.file.close())...)
}

func (s *sqlite) query(ctx context.Context, sql string, args []any, row func(scan) error) error {
	s.onStatement(sql)
	rows, err := s.readSQL.QueryContext(ctx, sql, args...)
	return s.eachRow(rows, err, row)
}

// lookUp prepares a statement once per connection: parsing it takes longer than running it. Readers never wait for
// the writer.
func (s *sqlite) lookUp(ctx context.Context, sql string, args []any, row func(scan) error) error {
	if err := s.file.refuseReplaced(); err != nil {
		return err
	}
	s.onStatement(sql)
	statement, err := s.prepare(ctx, sql) //nolint:sqlclosecheck // it is cached, and closed with the pool
	if err != nil {
		s.file.note(err)
		return err
	}
	rows, err := statement.QueryContext(ctx, args...)
	return s.eachRow(rows, err, row)
}

func (s *sqlite) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if statement, ok := s.lookUps[text]; ok {
		return statement, nil
	}
	statement, err := s.readSQL.PrepareContext(ctx, text) //nolint:sqlclosecheck // it is cached, and closed with the pool
	if err == nil {
		s.lookUps[text] = statement
	}
	return statement, err
}

// eachRow passes the rows of a query to row, and closes them.
func (s *sqlite) eachRow(rows *sql.Rows, err error, row func(scan) error) error {
	err = eachRow(rows, err, row)
	s.file.note(err)
	return err
}

func eachRow(rows *sql.Rows, err error, row func(scan) error) error {
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports the error
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *sqlite) migrations() (database.Dialect, *sql.DB) { return database.DialectSQLite3, s.writeSQL }

func (s *sqlite) alone(_ context.Context, work func() error) error { return work() }

// dataVersion returns the version of the file on the writing connection: commits of this process do not change it. It
// fails once another file has taken its place.
func (s *sqlite) dataVersion(ctx context.Context) (v feed.DataVersion, err error) {
	if err := s.file.refuseReplaced(); err != nil {
		return v, err
	}
	leave, err := s.queue.enter(ctx, turn{urgent: true})
	if err != nil {
		return v, err
	}
	defer leave()
	conn, err := s.writeSQL.Conn(ctx)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.Raw(func(c any) error { v.Conn = c; return nil }); err != nil {
		return v, err
	}
	return v, conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&v.Number)
}
