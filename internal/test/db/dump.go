package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"; "sqlite" is gormdb's
)

// Dump returns every row of every table as text, with bytes in hexadecimal. The order depends on the content only, so
// two dumps are equal if nothing changed between them.
func Dump(t testing.TB, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), dropTimeout)
	defer cancel()
	text, err := dump(ctx, url)
	if err != nil {
		t.Fatalf("dbtest: dump the database: %v", err)
	}
	return text
}

func dump(ctx context.Context, url string) (text string, err error) {
	db, d, err := openPlain(url)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tables, err := column(ctx, db, d.tables)
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for _, table := range tables {
		rows, err := column(ctx, db, fmt.Sprintf(d.rows, quote(table)))
		if err != nil {
			return "", fmt.Errorf("table %s: %w", table, err)
		}
		slices.Sort(rows)
		for _, row := range rows {
			all.WriteString(table + " " + row + "\n")
		}
	}
	return all.String(), nil
}

// OfServers reports whether servers write a row of a dump on their own schedule: it can change although no request does
// anything.
func OfServers(row string) bool {
	switch table, _, _ := strings.Cut(row, " "); table {
	case "heartbeats", "registry", "write_checks", "billing_lease", "retention_lease",
		"audit_chain", "audit_heads", "audit_checkpoints", "audit_totals", "audit_streams", "audit_unsealed":
		return true
	default:
		return strings.HasPrefix(table, "replica")
	}
}

// Exec runs statements, written for each dialect, in tests that damage a database or read what no repository returns.
func Exec(t testing.TB, url, sqlite, postgres string) {
	t.Helper()
	db, d, err := openPlain(url)
	if err != nil {
		t.Fatalf("dbtest: open the database: %v", err)
	}
	statements := sqlite
	if d == postgresCatalogue {
		statements = postgres
	}
	_, err = db.ExecContext(t.Context(), statements)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatalf("dbtest: %v", err)
	}
}

// catalogue holds the queries that list a database's content.
type catalogue struct {
	// tables lists the names of all tables, except for those of PostgreSQL whose files are empty, which have no rows.
	tables string
	// rows reads the rows of a table, each as one text.
	rows string
}

var (
	postgresCatalogue = catalogue{
		tables: `SELECT format('%s', c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind IN ('r', 'm') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
			AND pg_relation_size(c.oid) > 0 ORDER BY 1`,
		rows: "SELECT row::text FROM %s AS row",
	}
	sqliteCatalogue = catalogue{
		tables: "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
		rows:   "SELECT * FROM %s",
	}
)

// openPlain opens a database without gormdb.
func openPlain(url string) (*sql.DB, catalogue, error) {
	if path, is := strings.CutPrefix(url, "sqlite:"); is {
		db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
		return db, sqliteCatalogue, err
	}
	db, err := sql.Open("pgx", url)
	return db, postgresCatalogue, err
}

// column returns the rows of a query. Several columns are joined into one text.
func column(ctx context.Context, db *sql.DB, query string) (texts []string, err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		values, targets := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		parts := make([]string, len(values))
		for i, v := range values {
			parts[i] = fmt.Sprint(v)
			if raw, is := v.([]byte); is {
				parts[i] = fmt.Sprintf("%x", raw)
			}
		}
		texts = append(texts, strings.Join(parts, "|"))
	}
	return texts, rows.Err()
}
