package gormdb

import (
	"context"
	"database/sql"

	"gorm.io/gorm"

	"latchkey/internal/auth"
)

// oftenWritten are the statements in SQLite's write transactions that are prepared once: parsing them takes longer
// than running them. They are the look-ups of a write's actor (mayStill), and the statements that issue a token, append
// events, and claim and finish deliveries.
var oftenWritten = append([]string{
	countAccountTokens, countStoreTokens, insertTokenRow, insertAccessRow,
	insertUntypedEvent, insertTypedEvent, insertEvents,
	hasWebhooks, enqueueRow, enqueueAll,
	actorReads[auth.AccessToken].statement, actorReads[auth.GrantedAccessToken].statement,
	actorReads[auth.ClientSecret].statement, actorReads[auth.UserSession].statement,
}, queueWrites...)

// writer begins transactions on the writing connection, on which the statements of oftenWritten are prepared. Only
// one transaction may begin at a time (writeQueue).
type writer struct {
	*sql.DB
	s        *sqlite
	prepared map[string]*sql.Stmt
}

var (
	_ gorm.ConnPool         = (*writer)(nil)
	_ gorm.ConnPoolBeginner = (*writer)(nil)
)

func newWriter(s *sqlite) *writer { return &writer{s.writeSQL, s, map[string]*sql.Stmt{}} }

// BeginTx implements gorm.ConnPoolBeginner. It prepares the statements before the transaction occupies the
// connection.
func (w *writer) BeginTx(ctx context.Context, options *sql.TxOptions) (gorm.ConnPool, error) {
	if len(w.prepared) == 0 {
		if err := w.prepare(ctx); err != nil {
			return nil, err
		}
	}
	tx, err := w.DB.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	return &writing{Tx: tx, s: w.s, prepared: w.prepared}, nil
}

func (w *writer) prepare(ctx context.Context) error {
	prepared := map[string]*sql.Stmt{}
	for _, text := range oftenWritten {
		statement, err := w.PrepareContext(ctx, text) //nolint:sqlclosecheck // it is cached, and closed with the pool
		if err != nil {
			return err
		}
		prepared[text] = statement
	}
	w.prepared = prepared
	return nil
}

// writing is a transaction of a writer.
type writing struct {
	*sql.Tx
	s        *sqlite
	prepared map[string]*sql.Stmt
	// stored is set by appendEvents.
	stored bool
}

var (
	_ gorm.ConnPool    = (*writing)(nil)
	_ gorm.TxCommitter = (*writing)(nil)
)

// Commit commits, and reports stored events.
func (w *writing) Commit() error {
	err := w.Tx.Commit()
	if err == nil && w.stored {
		w.s.stored()
	}
	return err
}

// run runs a hand-written statement.
func (w *writing) run(ctx context.Context, statement string, args []any) error {
	w.s.onStatement(statement)
	_, err := w.ExecContext(ctx, statement, args...)
	return err
}

// ExecContext implements gorm.ConnPool.
func (w *writing) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if statement, ok := w.prepared[query]; ok {
		return w.StmtContext(ctx, statement).ExecContext(ctx, args...) //nolint:sqlclosecheck // the transaction closes it
	}
	return w.Tx.ExecContext(ctx, query, args...)
}

// QueryContext implements gorm.ConnPool.
func (w *writing) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if statement, ok := w.prepared[query]; ok {
		return w.StmtContext(ctx, statement).QueryContext(ctx, args...) //nolint:sqlclosecheck // the transaction closes it
	}
	return w.Tx.QueryContext(ctx, query, args...)
}

// QueryRowContext implements gorm.ConnPool.
func (w *writing) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if statement, ok := w.prepared[query]; ok {
		return w.StmtContext(ctx, statement).QueryRowContext(ctx, args...) //nolint:sqlclosecheck // the transaction closes it
	}
	return w.Tx.QueryRowContext(ctx, query, args...)
}
