package gormdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"

	"github.com/XSAM/otelsql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"

	"latchkey/internal/feed"
)

// Statements are recorded as spans of the requests and runs that wait for them. Others, such as those that look for
// work, are not: they would be traces of a single span, several each second. A span has the text of the statement with
// its placeholders, and never its arguments. On SQLite the driver is wrapped by otelsql. On PostgreSQL gorm and the
// hand-written statements share a pool of pgx, which has a tracer.

const (
	attributeSystem    = attribute.Key("db.system.name")
	attributeOperation = attribute.Key("db.operation.name")
	attributeText      = attribute.Key("db.query.text")
	attributeStatus    = attribute.Key("db.response.status_code")
	attributeError     = attribute.Key("error.type")
)

// isTraced reports whether a span waits for the statements of the context.
func isTraced(ctx context.Context) bool { return trace.SpanContextFromContext(ctx).IsValid() }

// operationOf returns the first word of a statement, which names its span.
func operationOf(statement string) string {
	word := strings.TrimLeft(statement, " \t\n(")
	if end := strings.IndexFunc(word, func(r rune) bool { return (r|0x20) < 'a' || (r|0x20) > 'z' }); end >= 0 {
		word = word[:end]
	}
	return strings.ToUpper(word)
}

// openTracedSQLite opens a database with otelsql. One span is recorded for each statement, and none for what the
// driver does around it.
func openTracedSQLite(provider trace.TracerProvider, source string) (*sql.DB, error) {
	return otelsql.Open(sqliteDriver, source, otelsql.WithTracerProvider(provider),
		otelsql.WithMeterProvider(noop.NewMeterProvider()),
		otelsql.WithAttributes(attributeSystem.String("sqlite")),
		otelsql.WithSpanNameFormatter(func(_ context.Context, method otelsql.Method, statement string) string {
			switch method {
			case otelsql.MethodConnBeginTx:
				return "BEGIN"
			case otelsql.MethodTxCommit:
				return "COMMIT"
			case otelsql.MethodTxRollback:
				return "ROLLBACK"
			}
			return operationOf(statement)
		}),
		otelsql.WithAttributesGetter(func(_ context.Context, _ otelsql.Method, statement string,
			_ []driver.NamedValue) []attribute.KeyValue {
			if statement == "" {
				return nil
			}
			return []attribute.KeyValue{attributeOperation.String(operationOf(statement))}
		}),
		otelsql.WithSpanErrorAttributesGetter(errorAttributes),
		otelsql.WithSpanOptions(otelsql.SpanOptions{
			OmitConnResetSession: true, OmitConnPrepare: true, OmitRows: true, OmitConnectorConnect: true,
			// The text of an error can have values.
			RecordError: func(error) bool { return false },
			SpanFilter: func(ctx context.Context, _ otelsql.Method, _ string, _ []driver.NamedValue) bool {
				return isTraced(ctx)
			},
		}))
}

// errorAttributes returns what a span says about an error: the code of the database, or why there is none.
func errorAttributes(err error) []attribute.KeyValue {
	var ofPostgres *pgconn.PgError
	code := sqliteCode(err)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ofPostgres):
		return []attribute.KeyValue{attributeStatus.String(ofPostgres.Code), attributeError.String(ofPostgres.Code)}
	case code != 0:
		return []attribute.KeyValue{attributeStatus.Int(code), attributeError.String("sqlite")}
	case errors.Is(err, context.Canceled):
		return []attribute.KeyValue{attributeError.String("canceled")}
	case errors.Is(err, context.DeadlineExceeded):
		return []attribute.KeyValue{attributeError.String("timeout")}
	}
	return []attribute.KeyValue{attributeError.String("_OTHER")}
}

// spanTracer records the statements of pgx connections.
type spanTracer struct{ tracer trace.Tracer }

var (
	_ pgx.QueryTracer = spanTracer{}
	_ pgx.BatchTracer = spanTracer{}
)

func newSpanTracer(provider trace.TracerProvider) spanTracer {
	return spanTracer{provider.Tracer("latchkey/internal/gormdb")}
}

// statementSpan is the key of the span of a statement in progress. The span of the context can be the one of a request.
type statementSpan struct{}

func (t spanTracer) start(ctx context.Context, operation, text string, more ...attribute.KeyValue) context.Context {
	more = append(more, attributeSystem.String("postgresql"), attributeOperation.String(operation),
		attributeText.String(text))
	ctx, span := t.tracer.Start(ctx, operation, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(more...))
	return context.WithValue(ctx, statementSpan{}, span)
}

func (t spanTracer) end(ctx context.Context, err error) {
	span, is := ctx.Value(statementSpan{}).(trace.Span)
	if !is {
		return
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(errorAttributes(err)...)
	}
	span.End()
}

// TraceQueryStart starts the span of a statement.
func (t spanTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if !isTraced(ctx) || feed.IsBackground(ctx, d.SQL) {
		return ctx
	}
	return t.start(ctx, operationOf(d.SQL), d.SQL)
}

// TraceQueryEnd ends the span of a statement.
func (t spanTracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryEndData) {
	t.end(ctx, d.Err)
}

// TraceBatchStart starts the span of a batch, which is one round trip. It is named as its statement, if it has only one
// that a request waits for.
func (t spanTracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	if !isTraced(ctx) {
		return ctx
	}
	var texts []string
	for _, q := range d.Batch.QueuedQueries {
		if !feed.IsBackground(ctx, q.SQL) {
			texts = append(texts, q.SQL)
		}
	}
	switch len(texts) {
	case 0:
		return ctx
	case 1:
		return t.start(ctx, operationOf(texts[0]), texts[0])
	}
	return t.start(ctx, "BATCH", strings.Join(texts, ";\n"), attribute.Int("db.operation.batch.size", len(texts)))
}

// TraceBatchQuery does nothing: the span of the batch has all statements.
func (spanTracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd ends the span of a batch.
func (t spanTracer) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchEndData) {
	t.end(ctx, d.Err)
}
