package gormdb

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"

	"latchkey/internal/fault"
)

// postgres is the engine over PostgreSQL: a pool of pgx connections, which gorm
// borrows from and the hand-written statements use directly, and a small one
// beside it.
type postgres struct {
	pool *pgxpool.Pool
	// prompt has connections for statements that wait for nobody's lock: what
	// judges credentials, and what replicas tell each other. Whoever waits in
	// the other pool for one row, however many they are, keeps nobody from those.
	prompt   *pgxpool.Pool
	sql      *sql.DB // a view of pool
	gorm     *gorm.DB
	notifier notifier
	// feed says how the feed connects.
	feed  *pgx.ConnConfig
	pulse pulse
	// changesKept is for the pruner.
	changesKept time.Duration
}

var _ engine = (*postgres)(nil)

var postgresDialect = dialect{
	name: "postgres",
	// Other writes of the account wait for a slice, and it has auth.WriteTimeout.
	slice:  250,
	uses:   1000,
	tables: "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = ?",
	find:   "strpos",
	// In the collation "C" the case of other letters is not known.
	lower: func(text string) string { return "lower(" + text + ` COLLATE "C")` },
	// With IN, the planner is free to read the whole table instead.
	among: func(subquery string) string { return "= ANY (ARRAY(" + subquery + "))" },
	// With a list, the planner is free to read the whole table where that is
	// small, and would compare every row with every digest.
	party: func(statement string, size int) string {
		return "SELECT found.* FROM unnest(ARRAY[" + places(size, "::bytea") + "]) AS wanted (digest) CROSS JOIN LATERAL (" +
			statement + "(wanted.digest) LIMIT 1) AS found"
	},
	// OFFSET keeps the planner from turning the look-ups into a join of its choice.
	each: func(table, alias, condition string) string {
		return "jsonb_array_elements_text(?::jsonb) AS wanted (value) CROSS JOIN LATERAL (SELECT " + alias + ".* FROM " +
			table + " AS " + alias + " WHERE " + condition + " OFFSET 0) AS " + alias
	},
	asID: func(text string) string { return text + "::uuid" },
	moment: func(t time.Time) any {
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
	feed, err := parsePostgres(cmp.Or(c.FeedURL, c.URL), "feed-database")
	if err != nil {
		return nil, err
	}
	pooled, err := survey(ctx, config.ConnConfig)
	if err != nil {
		return nil, failed(ctx, "open the database", err)
	}
	if pooled && config.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		// A statement that is prepared by name may be on another connection by
		// the time it is run; one that is sent whole never is.
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	if c.OnStatement != nil {
		config.ConnConfig.Tracer = tracer{c.OnStatement}
	}
	promptly := config.Copy()
	promptly.MaxConns = int32(max(1, c.MaxConnections/promptShare))
	config.MaxConns = int32(c.MaxConnections) - promptly.MaxConns
	p := &postgres{feed: feed.ConnConfig, notifier: newNotifier(c.Log), changesKept: defaultChangesKept}
	if err := p.connect(ctx, config, promptly); err != nil {
		return nil, failed(ctx, "open the database", err)
	}
	return p, nil
}

// promptShare is of how many connections one is for prompt statements.
const promptShare = 4

// connect makes the pools. No connection is made before it is needed.
func (p *postgres) connect(ctx context.Context, config, promptly *pgxpool.Config) (err error) {
	if p.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	if p.prompt, err = pgxpool.NewWithConfig(ctx, promptly); err != nil {
		p.pool.Close()
		return err
	}
	p.notifier.pool, p.pulse.pool, p.pulse.id = p.prompt, p.prompt, uuid.New()
	p.sql = stdlib.OpenDBFromPool(p.pool)
	if p.gorm, err = gorm.Open(gormpostgres.New(gormpostgres.Config{Conn: impatient{p.sql}}), gormConfig()); err != nil {
		p.pool.Close()
		p.prompt.Close()
	}
	return err
}

// boundIdle has PostgreSQL end a transaction whose process sends nothing for a
// while. One that was stopped in the middle would otherwise keep its locks for
// as long as its kernel answers, and nobody could revoke a token that it has
// locked. It is much longer than anything done between two statements, and
// much shorter than a request may take.
const boundIdle = "SET LOCAL idle_in_transaction_session_timeout = '5s'"

// impatient begins transactions that are under boundIdle. That is said in each
// of them, since behind a pooler their connections are not ours to set.
type impatient struct{ *sql.DB }

var _ gorm.TxBeginner = impatient{}

// BeginTx begins a transaction.
func (i impatient) BeginTx(ctx context.Context, options *sql.TxOptions) (*sql.Tx, error) {
	tx, err := i.DB.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(inBackground(ctx), boundIdle); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx, nil
}

// parsePostgres reads a URL with the parameters of connections and of pools. It
// returns fault.Invalid on the field for one that is none, and leaves the cause
// out: it may quote the URL, and with it a password.
func parsePostgres(url, field string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fault.Errorf(fault.Invalid,
			"This is no PostgreSQL URL. Write postgres://USER:PASSWORD@HOST:PORT/NAME, with special characters percent-encoded.").On(field)
	}
	if err := onlyPrimary(config.ConnConfig, url, field); err != nil {
		return nil, err
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "latchkey"
	}
	return config, nil
}

// survey looks at the database before the pool is made, over a connection of
// its own. It refuses a database whose transactions are not READ COMMITTED by
// default: the limit of live tokens counts, in a statement of its own, what
// others committed while the one before waited for their lock. Nor does it take
// one that answers before a commit is durable. It reports
// whether a pooler stands between: then the process that answers is not the
// one that was announced when the connection was made.
func survey(ctx context.Context, config *pgx.ConnConfig) (pooled bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // it was only asked
	var level string
	var process uint32
	const question = "SELECT current_setting('default_transaction_isolation'), pg_backend_pid()"
	if err := conn.QueryRow(ctx, question, pgx.QueryExecModeSimpleProtocol).Scan(&level, &process); err != nil {
		return false, err
	}
	if level != "read committed" {
		return false, invalidDatabase("This database has default_transaction_isolation set to %q. Latchkey needs \"read committed\", which is PostgreSQL's own default.", level)
	}
	return process != conn.PgConn().PID(), heedsCommits(ctx, conn)
}

func (p *postgres) dialect() dialect                    { return postgresDialect }
func (p *postgres) reader(ctx context.Context) *gorm.DB { return p.gorm.WithContext(ctx) }
func (p *postgres) ping(ctx context.Context) error      { return p.prompt.Ping(ctx) }

func (p *postgres) hinders() error { return nil }

func (p *postgres) snapshot(ctx context.Context, work func(*gorm.DB) error) error {
	return p.gorm.WithContext(ctx).Transaction(work, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
}

func (p *postgres) transaction(ctx context.Context, _ turn, work func(*gorm.DB) error) error {
	return p.gorm.WithContext(ctx).Transaction(work)
}

func (p *postgres) close() error {
	p.notifier.close()
	err := p.sql.Close()
	p.pool.Close()
	p.prompt.Close()
	return err
}

func (p *postgres) query(ctx context.Context, sql string, args []any, row func(scan) error) error {
	return queryBy(ctx, p.pool, sql, args, row)
}

func queryBy(ctx context.Context, by *pgxpool.Pool, sql string, args []any, row func(scan) error) error {
	rows, err := by.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	return eachPgRow(rows, row)
}

// eachPgRow hands the scan of each row to row.
func eachPgRow(rows pgx.Rows, row func(scan) error) error {
	defer rows.Close()
	scan := rows.Scan
	for rows.Next() {
		if err := row(scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// migrationLock is the number of the advisory lock that a migration holds: the
// letters "latchkey".
const migrationLock int64 = 0x6c617463686b6579

func (p *postgres) migrations() (goose.Dialect, *sql.DB) { return goose.DialectPostgres, p.sql }

// alone holds the lock by a transaction that does nothing else, however long
// that takes: through a pooler, nothing but a transaction keeps its connection.
// It is a connection of its own, so that work has those of the pools.
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

// pgID is a UUID as an argument that pgx need not turn into text; the zero
// UUID is null.
func pgID(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: id != uuid.Nil} }

// tracer tells of each statement that is sent, but for those in the background.
type tracer struct{ onStatement func(string) }

var (
	_ pgx.QueryTracer = tracer{}
	_ pgx.BatchTracer = tracer{}
)

// TraceQueryStart tells of a statement.
func (t tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if ctx.Value(background{}) == nil {
		t.onStatement(d.SQL)
	}
	return ctx
}

// TraceQueryEnd does nothing: the statement was told of when it started.
func (tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart does nothing: a batch's statements are told of one by one.
func (tracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

// TraceBatchQuery tells of a statement of a batch.
func (t tracer) TraceBatchQuery(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchQueryData) {
	if ctx.Value(background{}) == nil && d.SQL != readHeart {
		t.onStatement(d.SQL)
	}
}

// TraceBatchEnd does nothing.
func (tracer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}
