package gormdb

import (
	"context"
	"errors"
	"fmt"

	gosqlite "github.com/glebarez/go-sqlite"
	"github.com/jackc/pgx/v5/pgconn"

	"latchkey/internal/fault"
)

// Codes of errors, which unlike their texts do not change.
const (
	// PostgreSQL, appendix A.
	pgUniqueViolation = "23505"

	// SQLite, "Result and Error Codes".
	sqliteReadOnly   = 8
	sqliteCannotOpen = 14
	sqliteNoDatabase = 26
	sqliteForeignKey = 787
	sqlitePrimaryKey = 1555
	sqliteUnique     = 2067
)

// failed judges an error that came up while doing what: nil stays nil, a fault
// stays itself, a key that is taken becomes fault.Conflict, and all else is
// internal. The end of ctx can be told from the result, whichever error the
// driver made of it.
func failed(ctx context.Context, what string, err error) error {
	if err == nil || isFault(err) {
		return err
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("%s: %w: %w", what, ended, err)
	}
	err = fmt.Errorf("%s: %w", what, err)
	if isDuplicate(err) {
		return fault.Wrap(err, fault.Conflict, "Something else has this key already.")
	}
	return err
}

func isFault(err error) bool {
	var one *fault.Error
	var list fault.List
	return errors.As(err, &one) || errors.As(err, &list)
}

func isDuplicate(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == pgUniqueViolation
	}
	code := sqliteCode(err)
	return code == sqliteUnique || code == sqlitePrimaryKey
}

func sqliteCode(err error) int {
	var e *gosqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}
