package gormdb_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"latchkey/internal/gormdb"
	dbtest "latchkey/internal/test/db"
)

// The gorm: tags of the models say what the migrations made: columns with their types, keys, indexes and relations.
func TestModels(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		g := gormdb.Gorm(db)
		for _, model := range gormdb.Models {
			parsed, err := schema.Parse(model, &sync.Map{}, schema.NamingStrategy{IdentifierMaxLength: 64})
			if err != nil {
				t.Fatal(err)
			}
			t.Run(parsed.Table, func(t *testing.T) {
				got, want := tableOf(g, parsed), storedTable(t, g, parsed.Table)
				for _, line := range got {
					if !slices.Contains(want, line) {
						t.Errorf("the model has %q, want only what the table has: %q", line, want)
					}
				}
				for _, line := range want {
					if !slices.Contains(got, line) {
						t.Errorf("the table has %q, want only what the model has: %q", line, got)
					}
				}
			})
		}
	})
}

// Goroutines may use all models right after a database is opened. The race detector fails this test if gorm parses one
// of two related models while another goroutine uses the other.
func TestModelsAreParsedBeforeUse(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		g := gormdb.Gorm(db)
		var all sync.WaitGroup
		for range 4 {
			for _, model := range gormdb.Models {
				all.Go(func() {
					if err := (&gorm.Statement{DB: g}).Parse(model); err != nil {
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
	})
}

// tableOf describes the table of a model: one line for each column, key, index and reference.
func tableOf(g *gorm.DB, parsed *schema.Schema) []string {
	var lines, unique []string
	for _, f := range parsed.Fields {
		if f.DBName == "" {
			continue
		}
		column := "column " + f.DBName + " " + g.Migrator().FullDataTypeOf(f).SQL
		if f.PrimaryKey {
			column += " NOT NULL"
		}
		lines = append(lines, column)
		if f.Unique {
			unique = append(unique, "unique index "+f.DBName)
		}
	}
	lines = append(append(lines, unique...), "primary key "+strings.Join(parsed.PrimaryFieldDBNames, ", "))
	for _, index := range parsed.ParseIndexes() {
		kind := "index"
		if index.Class == "UNIQUE" {
			kind = "unique index"
		}
		names := make([]string, len(index.Fields))
		for i, f := range index.Fields {
			names[i] = f.DBName
		}
		lines = append(lines, indexLine(kind, strings.Join(names, ", "), index.Where))
	}
	for _, relation := range parsed.Relationships.BelongsTo {
		var from, to []string
		for _, r := range relation.References {
			from, to = append(from, r.ForeignKey.DBName), append(to, r.PrimaryKey.DBName)
		}
		lines = append(lines, referenceLine(from, relation.FieldSchema.Table, to))
	}
	return lines
}

func indexLine(kind, columns, where string) string {
	if where == "" {
		return kind + " " + columns
	}
	return kind + " " + columns + " where " + strings.NewReplacer("(", "", ")", "", "::text", "").Replace(where)
}

func referenceLine(from []string, table string, to []string) string {
	return fmt.Sprintf("%s reference %s %s", strings.Join(from, ", "), table, strings.Join(to, ", "))
}

// storedTable describes a table as the database has it.
func storedTable(t *testing.T, g *gorm.DB, table string) []string {
	t.Helper()
	columns, indexes, references := postgresColumns, postgresIndexes, postgresReferences
	if g.Name() == "sqlite" {
		columns, indexes, references = sqliteColumns, sqliteIndexes, sqliteReferences
	}
	var lines []string
	var found []struct {
		Name, Type string
		NotNull    bool
	}
	var indexed []struct {
		Kind, Columns, Predicate string
	}
	var referred []struct {
		Own, Target, Others string
	}
	for statement, rows := range map[string]any{columns: &found, indexes: &indexed, references: &referred} {
		if err := g.Raw(statement, map[string]any{"table": table}).Scan(rows).Error; err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range found {
		line := "column " + c.Name + " " + c.Type
		if c.NotNull {
			line += " NOT NULL"
		}
		lines = append(lines, line)
	}
	for _, i := range indexed {
		lines = append(lines, indexLine(i.Kind, i.Columns, i.Predicate))
	}
	for _, r := range referred {
		lines = append(lines, referenceLine(strings.Split(r.Own, ", "), r.Target, strings.Split(r.Others, ", ")))
	}
	return lines
}

const (
	postgresColumns = `SELECT attname AS name, CASE format_type(atttypid, atttypmod) WHEN 'timestamp with time zone' THEN 'timestamptz'
			ELSE format_type(atttypid, atttypmod) END AS type, attnotnull AS not_null
		FROM pg_attribute WHERE attrelid = CAST(@table AS regclass) AND attnum > 0 AND NOT attisdropped`
	postgresIndexes = `SELECT CASE WHEN indisprimary THEN 'primary key' WHEN indisunique THEN 'unique index' ELSE 'index' END AS kind,
			(SELECT string_agg(attname, ', ' ORDER BY k.n) FROM unnest(indkey) WITH ORDINALITY AS k (attnum, n)
				JOIN pg_attribute AS a ON a.attrelid = indrelid AND a.attnum = k.attnum) AS columns,
			coalesce(pg_get_expr(indpred, indrelid), '') AS predicate
		FROM pg_index WHERE indrelid = CAST(@table AS regclass)`
	postgresReferences = `SELECT (SELECT string_agg(attname, ', ' ORDER BY k.n) FROM unnest(conkey) WITH ORDINALITY AS k (attnum, n)
				JOIN pg_attribute AS a ON a.attrelid = conrelid AND a.attnum = k.attnum) AS own,
			CAST(CAST(confrelid AS regclass) AS text) AS target,
			(SELECT string_agg(attname, ', ' ORDER BY k.n) FROM unnest(confkey) WITH ORDINALITY AS k (attnum, n)
				JOIN pg_attribute AS a ON a.attrelid = confrelid AND a.attnum = k.attnum) AS others
		FROM pg_constraint WHERE contype = 'f' AND conrelid = CAST(@table AS regclass)`

	sqliteColumns = `SELECT name, upper(type) AS type, "notnull" AS not_null FROM pragma_table_info(@table)`
	sqliteIndexes = `SELECT CASE WHEN i.origin = 'pk' THEN 'primary key' WHEN i."unique" THEN 'unique index' ELSE 'index' END AS kind,
			(SELECT group_concat(name, ', ') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno)) AS columns,
			coalesce((SELECT substr(sql, instr(sql, ' WHERE ') + 7) FROM sqlite_schema AS s WHERE s.name = i.name AND i.partial), '') AS predicate
		FROM pragma_index_list(@table) AS i`
	// A reference without columns refers to the primary key.
	sqliteReferences = `SELECT group_concat("from", ', ') AS own, "table" AS target, group_concat(coalesce("to",
			(SELECT p.name FROM pragma_table_info(f."table") AS p WHERE p.pk = f.seq + 1)), ', ') AS others
		FROM (SELECT * FROM pragma_foreign_key_list(@table) ORDER BY id, seq) AS f GROUP BY f.id`
)
