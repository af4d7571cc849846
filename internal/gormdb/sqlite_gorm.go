package gormdb

import (
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/migrator"
	"gorm.io/gorm/schema"
)

// sqliteDriver is the name under which modernc.org/sqlite registers itself.
const sqliteDriver = "sqlite"

// gormSQLite makes gorm write statements for SQLite. The schema is written in SQL (migrations), so the methods for
// creating tables do only what the interface requires.
type gormSQLite struct{ pool gorm.ConnPool }

var (
	_ gorm.Dialector                     = gormSQLite{}
	_ gorm.SavePointerDialectorInterface = gormSQLite{}
)

// Name implements gorm.Dialector.
func (gormSQLite) Name() string { return sqliteDialect.name }

// Initialize implements gorm.Dialector.
func (g gormSQLite) Initialize(db *gorm.DB) error {
	db.ConnPool = g.pool
	callbacks.RegisterDefaultCallbacks(db, &callbacks.Config{
		CreateClauses: []string{"INSERT", "VALUES", "ON CONFLICT", "RETURNING"},
		UpdateClauses: []string{"UPDATE", "SET", "FROM", "WHERE", "RETURNING"},
		DeleteClauses: []string{"DELETE", "FROM", "WHERE", "RETURNING"},
		// SQLite returns the id of the last of several rows.
		LastInsertIDReversed: true,
	})
	// SQLite locks the whole database and has no FOR UPDATE.
	db.ClauseBuilders["FOR"] = func(clause.Clause, clause.Builder) {}
	return nil
}

// Migrator implements gorm.Dialector.
func (g gormSQLite) Migrator(db *gorm.DB) gorm.Migrator {
	return migrator.Migrator{Config: migrator.Config{DB: db, Dialector: g}}
}

// DataTypeOf implements gorm.Dialector.
func (gormSQLite) DataTypeOf(field *schema.Field) string {
	switch field.DataType {
	case schema.Bool, schema.Int:
		return "INTEGER"
	case schema.Bytes:
		return "BLOB"
	}
	return "TEXT" // texts, and UUIDs and JSON, which SQLite stores as texts
}

// DefaultValueOf implements gorm.Dialector. SQLite does not support DEFAULT among values.
func (gormSQLite) DefaultValueOf(*schema.Field) clause.Expression { return clause.Expr{SQL: "NULL"} }

// BindVarTo implements gorm.Dialector.
func (gormSQLite) BindVarTo(to clause.Writer, _ *gorm.Statement, _ any) { _ = to.WriteByte('?') }

// QuoteTo implements gorm.Dialector. It quotes each part of a name such as stores.id. SQLite treats an unknown name
// in double quotes as a string, but not one in backticks.
func (gormSQLite) QuoteTo(to clause.Writer, name string) {
	for i, part := range strings.Split(name, ".") {
		if i > 0 {
			_ = to.WriteByte('.')
		}
		_ = to.WriteByte('`')
		_, _ = to.WriteString(strings.ReplaceAll(part, "`", "``"))
		_ = to.WriteByte('`')
	}
}

// Explain implements gorm.Dialector.
func (gormSQLite) Explain(statement string, vars ...any) string {
	return logger.ExplainSQL(statement, nil, `'`, vars...)
}

// SavePoint implements gorm.SavePointerDialectorInterface.
func (gormSQLite) SavePoint(tx *gorm.DB, name string) error {
	return tx.Exec("SAVEPOINT " + name).Error
}

// RollbackTo implements gorm.SavePointerDialectorInterface.
func (gormSQLite) RollbackTo(tx *gorm.DB, name string) error {
	return tx.Exec("ROLLBACK TO SAVEPOINT " + name).Error
}
