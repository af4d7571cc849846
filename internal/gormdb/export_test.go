package gormdb

import (
	"context"

	"github.com/pressly/goose/v3/database"
	"gorm.io/gorm"

	"latchkey/internal/chain"
)

// OnSQLiteWriter runs a statement on SQLite's writing connection.
func OnSQLiteWriter(db *DB, statement string) error {
	_, err := db.engine.(*sqlite).writeSQL.Exec(statement)
	return err
}

// Gorm returns gorm on the reading connections of db.
func Gorm(db *DB) *gorm.DB { return db.engine.reader(context.Background()) }

// Models are the models of all tables that gorm uses.
var Models = allModels

// RecordVersion records that a migration is applied, as the migration does.
func (db *DB) RecordVersion(ctx context.Context, version int64) error {
	dialect, over := db.engine.migrations()
	recorded, err := newVersions(dialect)
	if err != nil {
		return err
	}
	return recorded.Insert(ctx, over, database.InsertRequest{Version: version})
}

// StoreTotals stores signed totals, as if the chains had begun with them.
func StoreTotals(ctx context.Context, db *DB, totals chain.Totals) error {
	return db.write(ctx, sealing, held{}, func(tx *gorm.DB) error {
		row, err := readTotals(tx)
		if err != nil {
			return err
		}
		row.set(totals)
		return tx.Save(&row).Error
	})
}
