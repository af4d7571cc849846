package dbtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// EnvAhead is an environment variable. If it is set to any value, tests get databases that the next version of the
// program has already migrated (MakeAhead).
const EnvAhead = "LATCHKEY_TEST_SCHEMA_AHEAD"

// MakeAhead changes a migrated database as a migration of the next version may (docs/upgrading.md). It adds a table and
// the next schema version, and gives every table an optional column and a required one with a default and an index.
func MakeAhead(ctx context.Context, url string) (err error) {
	db, d, err := openPlain(url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	names, err := column(ctx, db, d.tables)
	if err != nil {
		return err
	}
	statements := []string{"CREATE TABLE next_table (id bigint PRIMARY KEY)"}
	for _, name := range names {
		if strings.HasPrefix(name, "goose_") || strings.HasPrefix(name, "sqlite_") {
			continue
		}
		statements = append(statements,
			fmt.Sprintf("ALTER TABLE %s ADD COLUMN next_optional text", name),
			fmt.Sprintf("ALTER TABLE %s ADD COLUMN next_required text NOT NULL DEFAULT 'next'", name),
			fmt.Sprintf("CREATE INDEX %s_next ON %s (next_optional)", name, name))
	}
	statements = append(statements,
		"INSERT INTO goose_db_version (version_id, is_applied) SELECT max(version_id) + 1, true FROM goose_db_version")
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	if d != postgresCatalogue { // the tests copy only this file
		_, err = db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	return err
}
