package gormdb

import (
	"context"
	"database/sql"
	"errors"
	"time"

	glebarez "github.com/glebarez/sqlite"
	"github.com/google/uuid"
	"gorm.io/gorm"
)

// pollInterval is how often SQLite is asked whether the file has changed.
const pollInterval = 100 * time.Millisecond

// announce has nothing to do: other processes notice every commit.
func (s *sqlite) announce(*gorm.DB, uuid.UUID) error { return nil }

// listen asks for PRAGMA data_version, which differs when a connection other
// than the one that asks has committed. It does not tell what, so everything
// is forgotten.
func (s *sqlite) listen(ctx context.Context, f *Feed) (err error) {
	pool, err := sql.Open(glebarez.DriverName, dataSource(s.path, "_pragma=query_only(on)"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for known := int64(-1); ; {
		asked := time.Now()
		var version int64
		if err := conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version); err != nil {
			return err
		}
		if version != known {
			f.ears.Forget()
			known = version
		}
		f.heard(asked)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
