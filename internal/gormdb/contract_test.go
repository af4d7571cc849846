package gormdb_test

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
)

// firstChecked is the first migration to which the policy of docs/upgrading.md applies. The ones before it are older
// than the policy.
const firstChecked = 16

// Every migration either only expands the schema or raises schema_support.oldest_program, to a program that is older
// than itself.
func TestMigrationsExpandOrSaySo(t *testing.T) {
	for _, dialect := range []string{"sqlite", "postgres"} {
		files, err := gormdb.Migrations(dialect)
		if err != nil {
			t.Fatal(err)
		}
		names, err := fs.Glob(files, "*.sql")
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for _, name := range names {
			text, err := fs.ReadFile(files, name)
			if err != nil {
				t.Fatal(err)
			}
			version, err := strconv.Atoi(name[:5])
			if err != nil {
				t.Fatalf("%s does not begin with its version", name)
			}
			if version < firstChecked {
				continue
			}
			checked++
			check.Equal(t, checkMigration(version, string(text)), "", "%s/%s", dialect, name)
		}
		if checked == 0 {
			t.Errorf("migrations of %s: none was checked, want one at least", dialect)
		}
	}
}

func TestContractingMigrationsAreFound(t *testing.T) {
	const mark = "UPDATE schema_support SET oldest_program = 20;"
	for _, tc := range []struct {
		sql string
		ok  bool
	}{
		{"CREATE TABLE a (id bigint NOT NULL);\nCREATE UNIQUE INDEX a_id ON a (id);", true},
		{"CREATE UNLOGGED TABLE a (id bigint NOT NULL);", true},
		{"ALTER TABLE a ADD COLUMN b text;\nCREATE INDEX a_b ON a (b);\nUPDATE a SET b = c;", true},
		{"ALTER TABLE a ADD COLUMN b text NOT NULL DEFAULT '';", true},
		{"ALTER TABLE a ADD COLUMN b text;\nCREATE UNIQUE INDEX a_b ON a (c, b);", true},
		{"-- +goose StatementBegin\nCREATE FUNCTION f() AS $$ DELETE FROM a; $$;\n-- +goose StatementEnd", true},
		{"-- works with older programs: it only removes what they ignore\nDELETE FROM a WHERE b;", true},
		{"-- works with older programs:\nDELETE FROM a WHERE b;", false},
		{"DELETE FROM a;", false},
		{"DROP TABLE a;", false},
		{"DROP INDEX a_b;", false},
		{"ALTER TABLE a DROP COLUMN b;", false},
		{"ALTER TABLE a RENAME TO b;", false},
		{"ALTER TABLE a RENAME COLUMN b TO c;", false},
		{"ALTER TABLE a ALTER COLUMN b SET NOT NULL;", false},
		{"alter table a\n  alter column b type bigint;", false},
		{"ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0);", false},
		{"ALTER TABLE a ADD COLUMN b text NOT NULL;", false},
		{"ALTER TABLE a ADD COLUMN b text UNIQUE;", false},
		{"ALTER TABLE a ADD COLUMN b text, DROP COLUMN c;", false},
		{"CREATE UNIQUE INDEX a_b ON a (b);", false},
		{"DROP TABLE a;\n" + mark, true},
		{"DROP TABLE a;\n-- " + mark, false},
		{mark, true},
		{"DROP TABLE a;\nUPDATE schema_support SET oldest_program = 21;", false},
	} {
		if complaint := checkMigration(21, "-- +goose Up\n"+tc.sql+"\n"); (complaint == "") != tc.ok {
			t.Errorf("checkMigration(%s) = %q, want it accepted: %t", tc.sql, complaint, tc.ok)
		}
	}
}

var (
	compatibleReason = regexp.MustCompile(`(?m)^-- works with older programs: \S.*$`)
	raisesSupport    = regexp.MustCompile(`^UPDATE SCHEMA_SUPPORT SET OLDEST_PROGRAM = (\d+)$`)
	createsTable     = regexp.MustCompile(`^CREATE (?:UNLOGGED |VIRTUAL )?TABLE (\w+)`)
	addsColumn       = regexp.MustCompile(`^ALTER TABLE (\w+) ADD COLUMN (\w+) ([^,]*)$`)
	uniqueIndex      = regexp.MustCompile(`^CREATE UNIQUE INDEX \w+ ON (\w+) \(([^)]*)\)`)
	expanding        = regexp.MustCompile(
		`^(?:CREATE INDEX|INSERT INTO|UPDATE|ALTER TABLE \w+ SET|CREATE (?:OR REPLACE )?(?:FUNCTION|TRIGGER)|CREATE EXTENSION) `)
	lineComment = regexp.MustCompile(`(?m)--.*$`)
	gooseBlock  = regexp.MustCompile(`(?s)-- \+goose StatementBegin\n(.*?)-- \+goose StatementEnd`)
)

// checkMigration returns what is wrong with the migration, or "".
func checkMigration(version int, sql string) string {
	created, added := map[string]bool{}, map[string]bool{}
	var contracting []string
	raised := 0
	for _, statement := range statements(sql) {
		text := strings.ToUpper(strings.Join(strings.Fields(lineComment.ReplaceAllString(statement, "")), " "))
		if m := createsTable.FindStringSubmatch(text); m != nil {
			created[m[1]] = true
			continue
		}
		if m := raisesSupport.FindStringSubmatch(text); m != nil {
			raised, _ = strconv.Atoi(m[1])
			continue
		}
		if m := addsColumn.FindStringSubmatch(text); m != nil && harmless(m[3]) {
			added[m[1]+"."+m[2]] = true
			continue
		}
		if text != "" && !expands(text, created, added) && !compatibleReason.MatchString(statement) {
			contracting = append(contracting, text)
		}
	}
	switch {
	case raised >= version:
		return fmt.Sprintf("it must work with the program before it: oldest_program is %d", raised)
	case raised == 0 && len(contracting) > 0:
		return fmt.Sprintf(
			"older programs may not work with it: %q. Expand only, or raise oldest_program (docs/upgrading.md)",
			contracting)
	}
	return ""
}

// statements splits a migration as goose does.
func statements(sql string) []string {
	var all []string
	for {
		at := gooseBlock.FindStringSubmatchIndex(sql)
		if at == nil {
			break
		}
		all = append(all, sql[at[2]:at[3]])
		sql = sql[:at[0]] + sql[at[1]:]
	}
	// A semicolon in a comment does not end a statement.
	sql = lineComment.ReplaceAllStringFunc(sql,
		func(comment string) string { return strings.ReplaceAll(comment, ";", ",") })
	return append(all, strings.Split(sql, ";")...)
}

// harmless reports whether a program that does not know a column with this definition can still insert rows.
func harmless(definition string) bool {
	required := strings.Contains(definition, "NOT NULL") && !strings.Contains(definition, "DEFAULT")
	return !required && !strings.Contains(definition, "UNIQUE") && !strings.Contains(definition, "PRIMARY KEY")
}

// expands reports whether a statement keeps working programs working. A unique index does if it is on a new table, or
// on a new column that older programs leave null.
func expands(text string, created, added map[string]bool) bool {
	m := uniqueIndex.FindStringSubmatch(text)
	if m == nil {
		return expanding.MatchString(text)
	}
	return created[m[1]] || slices.ContainsFunc(strings.Split(m[2], ", "),
		func(column string) bool { return added[m[1]+"."+column] })
}
