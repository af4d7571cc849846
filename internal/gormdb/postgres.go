package gormdb

import (
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
)

// postgres is the engine over PostgreSQL: one pool of pgx connections, which
// gorm borrows from and the hand-written statements use directly.
type postgres struct {
	pool     *pgxpool.Pool
	sql      *sql.DB // a view of the pool
	gorm     *gorm.DB
	notifier notifier
}

var _ engine = (*postgres)(nil)

var postgresDialect = dialect{
	name: "postgres",
	find: "strpos",
	// With IN, the planner is free to read the whole table instead.
	among: func(subquery string) string { return "= ANY (ARRAY(" + subquery + "))" },
	moment: func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return t.UTC()
	},
	id: func(id uuid.UUID) any { return pgID(id) },
}

func openPostgres(ctx context.Context, c Config) (*postgres, error) {
	config, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		// The cause is left out: it may quote the URL, and with it a password.
		return nil, invalidDatabase("This is no PostgreSQL URL. Write postgres://USER:PASSWORD@HOST:PORT/NAME, with special characters percent-encoded.")
	}
	config.MaxConns = int32(c.MaxConnections)
	if c.OnStatement != nil {
		config.ConnConfig.Tracer = tracer{c.OnStatement}
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "latchkey"
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, failed(ctx, "open the database", err)
	}
	if err := checkIsolation(ctx, pool); err != nil {
		pool.Close()
		return nil, failed(ctx, "open the database", err)
	}
	view := stdlib.OpenDBFromPool(pool)
	g, err := gorm.Open(gormpostgres.New(gormpostgres.Config{Conn: view}), gormConfig())
	if err != nil {
		pool.Close()
		return nil, failed(ctx, "open the database", err)
	}
	return &postgres{pool: pool, sql: view, gorm: g, notifier: notifier{pool: pool, log: c.Log, pending: map[uuid.UUID]bool{}}}, nil
}

// checkIsolation refuses a database whose transactions are not READ COMMITTED
// by default. The limit of live tokens counts, in a statement of its own, what
// others committed while the one before waited for their lock.
func checkIsolation(ctx context.Context, pool *pgxpool.Pool) error {
	var level string
	if err := pool.QueryRow(ctx, "SELECT current_setting('default_transaction_isolation')").Scan(&level); err != nil {
		return err
	}
	if level != "read committed" {
		return invalidDatabase("This database has default_transaction_isolation set to %q. Latchkey needs \"read committed\", which is PostgreSQL's own default.", level)
	}
	return nil
}

func (p *postgres) dialect() dialect                    { return postgresDialect }
func (p *postgres) reader(ctx context.Context) *gorm.DB { return p.gorm.WithContext(ctx) }
func (p *postgres) writer(ctx context.Context) *gorm.DB { return p.gorm.WithContext(ctx) }
func (p *postgres) ping(ctx context.Context) error      { return p.pool.Ping(ctx) }

func (p *postgres) close() error {
	p.notifier.close()
	err := p.sql.Close()
	p.pool.Close()
	return err
}

func (p *postgres) query(ctx context.Context, sql string, args []any, row func(scan) error) error {
	rows, err := p.pool.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
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

func (p *postgres) alone(ctx context.Context, work func() error) (err error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return err
	}
	defer func() {
		_, unlockErr := conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", migrationLock)
		err = errors.Join(err, unlockErr)
	}()
	return work()
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
func (t tracer) TraceBatchQuery(_ context.Context, _ *pgx.Conn, d pgx.TraceBatchQueryData) {
	t.onStatement(d.SQL)
}

// TraceBatchEnd does nothing.
func (tracer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}
