package gormdb

import (
	"context"

	"gorm.io/gorm"
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
