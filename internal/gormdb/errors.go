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

// Error codes. Unlike the messages they do not change between versions.
const (
	// PostgreSQL, appendix A.
	pgUniqueViolation = "23505"
	pgReadOnly        = "25006"
	pgIdleTooLong     = "25P03"
	pgDeadlock        = "40P01"
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

// failed classifies the error of the operation what. nil stays nil and a fault stays unchanged. A duplicate key
// becomes fault.Conflict. Any other error is internal, and a temporary one wraps fault.ErrUnavailable. If ctx has
// ended, the result wraps ctx.Err(), even if the driver returned another error.
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

// isUnavailable reports whether the database could not be reached, closed the connection, or did not answer in time.
// Any other answer of the database does not count, not even a refused login.
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
	var network net.Error // also matches context.DeadlineExceeded
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
