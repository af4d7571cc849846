package gormdb

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"latchkey/internal/auth"
)

// foreign finds whether the events of the current era are from another cluster: the identifier of the cluster differs,
// or an event has a position that no transaction of this cluster had. Positions do not show it if this cluster
// has run more transactions, and then a reader would miss events: it can have read, before the restore, up to a
// position that this cluster uses again.
//
// Each account's last position is one look-up in the index of the log.
const (
	mayIdentify = `SELECT has_function_privilege('pg_control_system()', 'EXECUTE')`
	identifier  = `(SELECT system_identifier::text FROM pg_control_system())`
	foreign     = `SELECT l.cluster AS recorded, %s AS found, EXISTS (SELECT 1
			FROM accounts AS a CROSS JOIN LATERAL (SELECT e.position FROM audit_events AS e
				WHERE e.account_id = a.id AND e.era = l.era AND e.sequence > 0
				ORDER BY e.position DESC, e.sequence DESC, e.id DESC LIMIT 1) AS last
			WHERE last.position >= pg_snapshot_xmax(pg_current_snapshot())) AS ahead
		FROM log_era AS l`
)

// origin is the result of foreign.
type origin struct {
	Recorded, Found string
	Ahead           bool
}

// renamed reports whether the cluster has another identifier than the recorded one, or none is recorded.
func (o origin) renamed() bool { return o.Found != "" && o.Recorded != o.Found }

func (o origin) restored() bool { return o.Ahead || o.renamed() && o.Recorded != "" }

// originOf reads the origin of the events. Some providers do not let roles read the cluster's identifier.
func originOf(q *gorm.DB) (o origin, err error) {
	var may bool
	if err := q.Raw(mayIdentify).Scan(&may).Error; err != nil {
		return o, err
	}
	found := "''"
	if may {
		found = identifier
	}
	err = q.Raw(fmt.Sprintf(foreign, found)).Scan(&o).Error
	return o, err
}

// AgreeOnEra begins a new era of the event log if the database was restored into another PostgreSQL cluster, whose
// transactions have other numbers (audit.Log). A server calls it when it starts. It does nothing on SQLite.
func (db *DB) AgreeOnEra(ctx context.Context) error {
	if db.Dialect() != postgresDialect.name {
		return nil
	}
	o, err := originOf(db.engine.reader(ctx))
	if err == nil && (o.restored() || o.renamed()) {
		err = db.write(ctx, auth.NoActor("the server says to which cluster its events belong"), held{}, nextEra)
	}
	return failed(ctx, "check the era of the event log", err)
}

// nextEra checks again, since several processes may start at once. The lock waits for the transactions that have
// stored events, and later events are of the new era.
func nextEra(tx *gorm.DB) error {
	if err := tx.Exec("LOCK TABLE audit_events IN EXCLUSIVE MODE").Error; err != nil {
		return err
	}
	o, err := originOf(tx)
	if err == nil && o.renamed() {
		err = tx.Exec("UPDATE log_era SET cluster = ?", o.Found).Error
	}
	if err == nil && o.restored() {
		if err = tx.Exec("UPDATE log_era SET era = era + 1").Error; err == nil {
			err = forgetOtherCluster(tx)
		}
		if err == nil {
			err = resealOnPostgres(tx)
		}
	}
	return err
}

// forgetOtherCluster deletes the rows of the feed with numbers that no transaction of this cluster has had. Every
// server would read them again and again, and drop what it has cached of their accounts, until this cluster has run as
// many transactions.
func forgetOtherCluster(tx *gorm.DB) error {
	return tx.Exec("DELETE FROM changes WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())").Error
}
