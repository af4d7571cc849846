package gormdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	sqlitedriver "modernc.org/sqlite"

	"latchkey/internal/fault"
)

// Codes of errors, which unlike their texts do not change.
const (
	// PostgreSQL, appendix A.
	pgUniqueViolation = "23505"
	pgReadOnly        = "25006"
	pgIdleTooLong     = "25P03"
	pgDeadlock        = "40P01"
	pgUndefinedTable  = "42P01"
	pgTooManyConns    = "53300"
	pgAdminShutdown   = "57P01"
	pgCrashShutdown   = "57P02"
	pgCannotConnect   = "57P03"
	pgConnectionClass = "08"

	// SQLite, "Result and Error Codes".
	sqliteBusy       = 5
	sqliteReadOnly   = 8
	sqliteIOError    = 10
	sqliteCorrupt    = 11
	sqliteFull       = 13
	sqliteCannotOpen = 14
	sqliteNoDatabase = 26
	sqliteForeignKey = 787
	sqlitePrimaryKey = 1555
	sqliteUnique     = 2067
)

// failed judges an error that came up while doing what: nil stays nil, a fault
// stays itself, a key that is taken becomes fault.Conflict, and all else is
// internal; of that, what will pass is fault.ErrUnavailable. The end of ctx
// can be told from the result, whichever error the driver made of it.
func failed(ctx context.Context, what string, err error) error {
	if err == nil || isFault(err) {
		return err
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		err = fmt.Errorf("%w: %w", ended, err)
	}
	if isDuplicate(err) {
		return fault.Wrap(fmt.Errorf("%s: %w", what, err), fault.Conflict, "Something else has this key already.")
	}
	if isUnavailable(err) {
		return fmt.Errorf("%s: %w: %w", what, fault.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// isUnavailable says whether the database could not be reached, went away, or
// did not answer in the time that there was. What it answered otherwise is no
// such error, even if it is that it lets nobody in.
func isUnavailable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case pgReadOnly, pgIdleTooLong, pgTooManyConns, pgAdminShutdown, pgCrashShutdown, pgCannotConnect:
			return true
		}
		return strings.HasPrefix(pg.Code, pgConnectionClass)
	}
	switch sqliteCode(err) & 0xff {
	case sqliteBusy, sqliteReadOnly, sqliteIOError, sqliteCorrupt, sqliteFull, sqliteCannotOpen, sqliteNoDatabase:
		return true
	}
	var network net.Error // also that of the end of ctx, if it was for time
	return errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, pgconn.ErrStandbyConnection) || pgconn.SafeToRetry(err)
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
	var e *sqlitedriver.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}
