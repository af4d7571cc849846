package gormdb

import (
	"database/sql"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// PoolStats are the figures of a pool of database connections.
type PoolStats struct {
	Name string
	// InUse and Idle are the open connections, and Max is how many there may be.
	InUse, Idle, Max int
	// Waits is how often a connection was wanted and none was free, and Waited the time spent waiting, since the start
	// of the process.
	Waits  int64
	Waited time.Duration
}

// Pools returns the figures of the connection pools of db.
func Pools(db *DB) []PoolStats { return db.engine.pools() }

func (p *postgres) pools() []PoolStats {
	return []PoolStats{statsOfPgx("requests", p.pool.Stat()), statsOfPgx("lookups", p.prompt.Stat())}
}

func statsOfPgx(name string, s *pgxpool.Stat) PoolStats {
	return PoolStats{Name: name, InUse: int(s.AcquiredConns()), Idle: int(s.IdleConns()), Max: int(s.MaxConns()),
		Waits: s.EmptyAcquireCount(), Waited: s.EmptyAcquireWaitTime()}
}

func statsOfSQL(name string, s sql.DBStats) PoolStats {
	return PoolStats{Name: name, InUse: s.InUse, Idle: s.Idle, Max: s.MaxOpenConnections, Waits: s.WaitCount,
		Waited: s.WaitDuration}
}
