package gormdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

// backUp runs pg_dump at the feed's address, which is the direct one if there is a pooler.
func (p *postgres) backUp(ctx context.Context, file string) error {
	major, err := majorVersion(ctx, p.feed)
	if err != nil {
		return err
	}
	program, err := findProgram(ctx, "pg_dump", major)
	if err != nil {
		return err
	}
	env, err := libpqEnvironment(p.feed)
	if err != nil {
		return err
	}
	// pg_dump takes its snapshot later, so everything committed before this is in the backup.
	if err := markBackup(ctx, p.feed, time.Now()); err != nil {
		return err
	}
	// The registry of replicas is unlogged, and of the running servers only.
	_, err = runProgram(ctx, program, env, "--format=custom", "--no-password", "--no-unlogged-table-data",
		"--lock-wait-timeout=60s", "--file="+file)
	if err != nil {
		return err
	}
	// pg_restore reads all of it, and fails if something is missing.
	restore, err := findProgram(ctx, "pg_restore", major)
	if err != nil {
		return err
	}
	if _, err = runProgram(ctx, restore, nil, "--file="+os.DevNull, file); err != nil {
		return err
	}
	return syncFile(file)
}

// withConnection calls work with a connection of its own.
func withConnection(ctx context.Context, config *pgx.ConnConfig, work func(*pgx.Conn) error) error {
	config = config.Copy()
	config.RuntimeParams["application_name"] = "latchkey backup"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	return errors.Join(work(conn), conn.Close(context.WithoutCancel(ctx)))
}

func majorVersion(ctx context.Context, config *pgx.ConnConfig) (major int, err error) {
	err = withConnection(ctx, config, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int / 10000").Scan(&major)
	})
	return major, err
}

// markBackup records in the database when a backup began, so that the backup contains it. Readiness checks record the
// time in the same row, so other copies of the database have a time, too.
func markBackup(ctx context.Context, config *pgx.ConnConfig, at time.Time) error {
	return withConnection(ctx, config, func(conn *pgx.Conn) error {
		var exists bool
		if err := conn.QueryRow(ctx, "SELECT to_regclass('write_checks') IS NOT NULL").Scan(&exists); err != nil ||
			!exists {
			return err
		}
		_, err := conn.Exec(ctx, "UPDATE write_checks SET checked_at = $1 WHERE id = 1", at.UTC())
		return err
	})
}

// readPostgresBackup reads what it needs of the tables from an archive, without a database.
func readPostgresBackup(ctx context.Context, file string) (b Backup, err error) {
	program, err := findProgram(ctx, "pg_restore", 0)
	if err != nil {
		return b, err
	}
	text, err := runProgram(ctx, program, nil, "--file=-", "--data-only", "--table=goose_db_version",
		"--table=server_keys", "--table=write_checks", file)
	if fault.KindOf(err) == fault.Conflict {
		err = fault.Wrap(err, fault.Invalid, "The backup %s cannot be read. %s", file, fault.Flatten(err)[0].Message)
	}
	if err != nil {
		return b, err
	}
	tables := copiedRows(string(text))
	for _, row := range tables["goose_db_version"] {
		version, err := strconv.ParseInt(row["version_id"], 10, 64)
		if err != nil {
			return b, fmt.Errorf("read the schema's version: %w", err)
		}
		b.Schema = max(b.Schema, version)
	}
	for _, row := range tables["server_keys"] {
		b.Keys = append(b.Keys, secret.KeyID(row["id"]))
	}
	for _, row := range tables["write_checks"] {
		if b.Until, err = time.Parse("2006-01-02 15:04:05.999999-07", row["checked_at"]); err != nil {
			return b, fmt.Errorf("read the time of the backup: %w", err)
		}
		b.Until = b.Until.UTC()
	}
	return b, nil
}

// copiedRows returns the rows of COPY statements by table, each by column. It does not decode escapes, which the values
// that are read do not have.
func copiedRows(script string) map[string][]map[string]string {
	tables := map[string][]map[string]string{}
	var table string
	var columns []string
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case table != "" && line == `\.`:
			table = ""
		case table != "":
			row := map[string]string{}
			for i, value := range strings.Split(line, "\t") {
				if i < len(columns) {
					row[columns[i]] = value
				}
			}
			tables[table] = append(tables[table], row)
		case strings.HasPrefix(line, "COPY "):
			name, rest, _ := strings.Cut(strings.TrimPrefix(line, "COPY "), " (")
			list, _, _ := strings.Cut(rest, ")")
			table, columns = name[strings.LastIndex(name, ".")+1:], strings.Split(list, ", ")
		}
	}
	return tables
}

// checkEmptyPostgres refuses a database with tables, and one that servers are connected to: those that ran before the
// database was created again.
func checkEmptyPostgres(ctx context.Context, config *pgx.ConnConfig) error {
	var tables, servers int
	err := withConnection(ctx, config, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx,
			`SELECT (SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
				WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S',
					'f') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
					AND c.relname <> '`+restoringTable+`'
					AND NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
						AND d.deptype = 'e')),
			(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
				AND application_name IN ('latchkey', 'latchkey feed'))`).Scan(&tables, &servers)
	})
	switch {
	case err != nil:
		return err
	case tables > 0:
		return fault.Errorf(fault.Conflict,
			"The database %q is not empty. Create another one, or drop it and create it again, and try again.",
			config.Database).On("database")
	case servers > 0:
		return fault.Errorf(fault.Conflict,
			"Latchkey has %d connections to the database %q. Stop all servers and commands, and try again.", servers,
			config.Database).On("database")
	}
	return nil
}

func restorePostgres(ctx context.Context, c Config, file string, finish func(*DB) error) error {
	parsed, err := parsePostgres(c.URL, "database")
	if err != nil {
		return err
	}
	config := parsed.ConnConfig
	if err := checkEmptyPostgres(ctx, config); err != nil {
		return err
	}
	major, err := majorVersion(ctx, config)
	if err != nil {
		return err
	}
	program, err := findProgram(ctx, "pg_restore", major)
	if err != nil {
		return err
	}
	env, err := libpqEnvironment(config)
	if err != nil {
		return err
	}
	err = withConnection(ctx, config, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+restoringTable+" ()")
		return err
	})
	if err != nil {
		return err
	}
	name := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(config.Database)
	_, err = runProgram(ctx, program, env, "--dbname=dbname='"+name+"'", "--no-password", "--no-owner",
		"--no-privileges", "--exit-on-error", "--single-transaction", file)
	if err != nil {
		return err
	}
	db, err := Open(ctx, c)
	if err != nil {
		return err
	}
	err = finish(db)
	if err == nil {
		err = db.engine.reader(ctx).Exec("ANALYZE").Error // before, the planner knows nothing of the tables
	}
	err = errors.Join(err, db.Close())
	switch known := fault.Flatten(err); {
	case err == nil:
		return nil
	case isFault(err):
		return fault.Wrap(err, fault.KindOf(err), "%s %s", known[0].Message, notRestored).On(known[0].Field)
	}
	return fault.Wrap(err, fault.Internal, notRestored)
}
