package gormdb

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3/database"
	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"

	"latchkey/internal/fault"
	"latchkey/internal/feed"
)

// postgres is the engine for PostgreSQL. It has one pool of pgx connections, which gorm and the hand-written
// statements share, and a second, small pool.
type postgres struct {
	pool *pgxpool.Pool
	// prompt is the small pool, for statements that never wait for a lock: those that verify credentials and those
	// that replicas send each other. Requests that wait for a row lock in the other pool, however many, cannot delay
	// them.
	prompt *pgxpool.Pool
	sql    *sql.DB // uses pool
	gorm   *gorm.DB
	log    *slog.Logger
	// feed configures the feed's connection.
	feed *pgx.ConnConfig
	// primary and notifier use prompt.
	primary  *feed.Primary
	notifier *feed.Notifier
	// stored is called after each commit that stored events (DB.OnEvents).
	stored func()
}

var _ engine = (*postgres)(nil)

var postgresDialect = dialect{
	name: "postgres",
	// Other writes of the account wait for a slice, and have only auth.WriteTimeout.
	slice:  250,
	uses:   1000,
	tables: "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = ?",
	find:   "strpos",
	// The collation "C" does not change the case of other letters.
	lower: func(text string) string { return "lower(" + text + ` COLLATE "C")` },
	bytes: func(text string) string { return text + ` COLLATE "C"` },
	// With IN, the planner could read the whole table instead.
	among: func(subquery string) string { return "= ANY (ARRAY(" + subquery + "))" },
	// With a list, the planner could read a small table as a whole and compare every row with every digest.
	batch: func(statement string, size int) string {
		return "SELECT found.* FROM unnest(ARRAY[" + places(size,
			"::bytea") + "]) AS wanted (digest) CROSS JOIN LATERAL (" +
			statement + "(wanted.digest) LIMIT 1) AS found"
	},
	// OFFSET keeps the planner from turning the look-ups into a join.
	each: func(table, alias, condition string) string {
		return "jsonb_array_elements_text(?::jsonb) AS wanted (value) CROSS JOIN LATERAL (SELECT " + alias +
			".* FROM " +
			table + " AS " + alias + " WHERE " + condition + " OFFSET 0) AS " + alias
	},
	listed: func(parameter string) string { return "SELECT unnest(" + parameter + "::uuid[]) AS id" },
	list:   func(ids []uuid.UUID) any { return pgIDs(ids) },
	asID:   func(text string) string { return text + "::uuid" },
	now:    "statement_timestamp()",
	after: func(d time.Duration) string {
		return fmt.Sprintf("(statement_timestamp() + interval '%d ms')", d.Milliseconds())
	},
	until: func(time string) string {
		return "extract(epoch FROM " + time + " - statement_timestamp())::float8"
	},
	indexed: func(string) string { return "" },
	hour:    func(column string) string { return "floor(extract(epoch FROM " + column + ") / 3600)::bigint" },
	month:   func(column string) string { return "to_char(" + column + " AT TIME ZONE 'UTC', 'YYYY-MM')" },
	timestamp: func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return t.UTC()
	},
	id: func(id uuid.UUID) any { return pgID(id) },
}

func openPostgres(ctx context.Context, c Config) (*postgres, error) {
	config, err := parsePostgres(c.URL, "database")
	if err != nil {
		return nil, err
	}
	ofFeed, err := parsePostgres(cmp.Or(c.FeedURL, c.URL), "feed-database")
	if err != nil {
		return nil, err
	}
	pooled, err := survey(ctx, config.ConnConfig)
	if err != nil {
		return nil, failed(ctx, "open the database", err)
	}
	if pooled && config.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		// A named prepared statement may be on another connection by the time it runs. This mode does not use named
		// statements.
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	switch {
	case c.OnStatement != nil:
		config.ConnConfig.Tracer = tracer{c.OnStatement}
	case c.Traces != nil:
		config.ConnConfig.Tracer = newSpanTracer(c.Traces)
	}
	promptly := config.Copy()
	promptly.MaxConns = int32(max(1, c.MaxConnections/promptShare))
	config.MaxConns = int32(c.MaxConnections) - promptly.MaxConns
	p := &postgres{feed: ofFeed.ConnConfig, log: c.Log, stored: func() {}}
	if err := p.connect(ctx, config, promptly); err != nil {
		return nil, failed(ctx, "open the database", err)
	}
	return p, nil
}

// promptShare: one of this many connections belongs to the small pool.
const promptShare = 4

// connect creates the pools. Connections are opened when they are first needed.
func (p *postgres) connect(ctx context.Context, config, promptly *pgxpool.Config) (err error) {
	if p.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	if p.prompt, err = pgxpool.NewWithConfig(ctx, promptly); err != nil {
		p.pool.Close()
		return err
	}
	p.primary, p.notifier = feed.NewPrimary(p.prompt, p.reset), feed.NewNotifier(p.prompt, p.log)
	p.sql = stdlib.OpenDBFromPool(p.pool)
	if p.gorm, err = openGorm(gormpostgres.New(gormpostgres.Config{Conn: idleBoundPool{p.sql, p}})); err != nil {
		p.pool.Close()
		p.prompt.Close()
	}
	return err
}

// boundIdle makes PostgreSQL end a transaction whose process sends nothing for a while. A process that is stopped
// inside a transaction would otherwise hold its locks for as long as its kernel keeps the connection open, and no
// token that it has locked could be revoked. The timeout is much longer than any pause between two statements, and
// much shorter than a request may take.
const boundIdle = "SET LOCAL idle_in_transaction_session_timeout = '5s'"

// idleBoundPool begins transactions with boundIdle. Each transaction sets it, because behind a pooler a connection must
// not be changed for other clients.
type idleBoundPool struct {
	*sql.DB
	p *postgres
}

var _ gorm.ConnPoolBeginner = idleBoundPool{}

// BeginTx begins a transaction.
func (i idleBoundPool) BeginTx(ctx context.Context, options *sql.TxOptions) (gorm.ConnPool, error) {
	tx, err := i.DB.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, boundIdle); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return &transaction{Tx: tx, p: i.p}, nil
}

// transaction is a transaction of impatient.
type transaction struct {
	*sql.Tx
	p *postgres
	// stored is set by appendEvents.
	stored bool
}

var _ gorm.TxCommitter = (*transaction)(nil)

// Commit commits, and reports stored events.
func (t *transaction) Commit() error {
	err := t.Tx.Commit()
	if err == nil && t.stored {
		t.p.stored()
	}
	return err
}

// parsePostgres parses a URL with the parameters of connections and of pools. It returns fault.Invalid on the field
// for an invalid URL and omits the cause, which may quote the URL and its password.
func parsePostgres(url, field string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fault.Errorf(fault.Invalid,
			"This is not a PostgreSQL URL. Write postgres://USER:PASSWORD@HOST:PORT/NAME, with special characters percent-encoded.").On(field)
	}
	if err := onlyPrimary(config.ConnConfig, url, field); err != nil {
		return nil, err
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "latchkey"
	}
	return config, nil
}

// survey checks the database over a separate connection before the pools are created. It refuses a database whose
// default isolation level is not READ COMMITTED: the limit of live tokens needs its second statement to see what
// other transactions committed while the first waited for their lock. It also refuses a database that answers before
// a commit is durable (requireDurableCommits). It reports whether there is a pooler in between: then the backend that
// answers is not the one that was announced when the connection was opened.
func survey(ctx context.Context, config *pgx.ConnConfig) (pooled bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // a read-only connection
	var level string
	var process uint32
	const question = "SELECT current_setting('default_transaction_isolation'), pg_backend_pid()"
	if err := conn.QueryRow(ctx, question, pgx.QueryExecModeSimpleProtocol).Scan(&level, &process); err != nil {
		return false, err
	}
	if level != "read committed" {
		return false,
			invalidDatabase(
				"This database has default_transaction_isolation set to %q. Latchkey needs \"read committed\", which is PostgreSQL's own default.", level)
	}
	return process != conn.PgConn().PID(), requireDurableCommits(ctx, conn)
}

func (p *postgres) dialect() dialect                    { return postgresDialect }
func (p *postgres) reader(ctx context.Context) *gorm.DB { return p.gorm.WithContext(ctx) }
func (p *postgres) ping(ctx context.Context) error      { return p.prompt.Ping(ctx) }

func (p *postgres) hinders() error { return nil }

func (p *postgres) onEvents(stored func()) { p.stored = stored }

func (p *postgres) silent(d time.Duration) bool { return p.primary.Silent(d) }

func (p *postgres) snapshot(ctx context.Context, work func(*gorm.DB) error) error {
	return p.gorm.WithContext(ctx).Transaction(work, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
}

func (p *postgres) transaction(ctx context.Context, _ turn, work func(*gorm.DB) error) error {
	return p.gorm.WithContext(ctx).Transaction(work)
}

// closeGrace is how long close waits for the connections to close. pgx waits 15 seconds for a database that does not
// answer.
const closeGrace = time.Second

// close closes the pools. It returns after closeGrace at the latest, while closing continues in the background.
func (p *postgres) close() error {
	p.notifier.Close()
	closed := make(chan error, 1)
	go func() {
		err := p.sql.Close()
		p.pool.Close()
		p.prompt.Close()
		closed <- err
	}()
	select {
	case err := <-closed:
		return err
	case <-time.After(closeGrace):
		p.log.WarnContext(context.Background(), "the connections to the database did not close in time", "waited",
			closeGrace)
		return nil
	}
}

func (p *postgres) query(ctx context.Context, sql string, args []any, row func(scan) error) error {
	rows, err := p.pool.Query(ctx, sql, pgArguments(args)...)
	if err != nil {
		return err
	}
	return feed.EachRow(rows, row)
}

// pgArguments returns args with UUIDs in the type that pgx encodes without a conversion to text.
func pgArguments(args []any) []any {
	converted := make([]any, len(args))
	for i, arg := range args {
		if id, is := arg.(uuid.UUID); is {
			arg = pgtype.UUID{Bytes: id, Valid: true}
		}
		converted[i] = arg
	}
	return converted
}

func (p *postgres) lookUp(ctx context.Context, sql string, args []any, row func(scan) error) error {
	return p.primary.LookUp(ctx, sql, args, row)
}

// reset makes both pools replace their connections.
func (p *postgres) reset() {
	p.pool.Reset()
	p.prompt.Reset()
}

// migrationLock is the key of the advisory lock that a migration holds: the letters "latchkey".
const migrationLock int64 = 0x6c617463686b6579

func (p *postgres) migrations() (database.Dialect, *sql.DB) { return database.DialectPostgres, p.sql }

// alone holds the lock in a transaction that runs no other statement: behind a pooler, a connection is kept only for
// the length of a transaction. The connection is separate, so that work can use all of the pools.
func (p *postgres) alone(ctx context.Context, work func() error) (err error) {
	conn, err := pgx.ConnectConfig(ctx, p.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	begin := pgx.TxOptions{BeginQuery: "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0"}
	return pgx.BeginTxFunc(ctx, conn, begin, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", migrationLock); err != nil {
			return err
		}
		return work()
	})
}

// pgID converts a UUID to an argument that pgx sends in binary; the zero UUID becomes null.
func pgID(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: id != uuid.Nil} }

// tracer reports each statement that is sent, except those of the feed and boundIdle.
type tracer struct{ onStatement func(string) }

var (
	_ pgx.QueryTracer = tracer{}
	_ pgx.BatchTracer = tracer{}
)

// TraceQueryStart reports a statement.
func (t tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if d.SQL != boundIdle && !feed.IsBackground(ctx, d.SQL) {
		t.onStatement(d.SQL)
	}
	return ctx
}

// TraceQueryEnd does nothing: the statement was reported when it started.
func (tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart does nothing: the statements of a batch are reported one by one.
func (tracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

// TraceBatchQuery reports a statement of a batch.
func (t tracer) TraceBatchQuery(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchQueryData) {
	if !feed.IsBackground(ctx, d.SQL) {
		t.onStatement(d.SQL)
	}
}

// TraceBatchEnd does nothing.
func (tracer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}
