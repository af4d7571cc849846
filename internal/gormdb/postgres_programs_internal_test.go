package gormdb

import (
	"slices"
	"strings"
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

// A program of the database's version, or a later one, is used, and a missing one is named with what to install.
func TestFindProgram(t *testing.T) {
	if path, err := findProgram(t.Context(), "pg_dump", 9); err != nil || !strings.HasSuffix(path, "pg_dump") {
		t.Errorf("got %q, %v, want a path", path, err)
	}
	for name, want := range map[string]string{
		"pg_dump": "The program pg_dump of version 99 or later was not found (the one that is installed has version ",
		"pg_no":   "The program pg_no of version 99 or later was not found. Install PostgreSQL's client programs; on Debian: apt-get install postgresql-client-99.",
	} {
		_, err := findProgram(t.Context(), name, 99)
		if fault.KindOf(err) != fault.Conflict || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got error %v, want %s and the kind %s", name, err, want, fault.Conflict)
		}
	}
}

// PostgreSQL's programs connect to the same server as the service, with settings that they know.
func TestLibpqEnvironment(t *testing.T) {
	for _, tc := range []struct {
		name, url string
		want      []string
	}{
		{"a password", "postgres://me:s%20t@db/keys?pool_max_conns=3&sslmode=disable&connect_timeout=4",
			[]string{"PGAPPNAME=latchkey backup", "PGCONNECT_TIMEOUT=4", "PGDATABASE=keys", "PGHOST=db",
				"PGPASSWORD=s t", "PGPORT=5432", "PGSSLMODE=disable", "PGUSER=me"}},
		{"several hosts and a schema", "postgres://me@db1:1,db2:2/keys?search_path=a%20b,c&sslmode=prefer",
			[]string{"PGAPPNAME=latchkey backup", "PGDATABASE=keys", "PGHOST=db1,db2",
				`PGOPTIONS=-c search_path=a\ b,c`,
				"PGPORT=1,2", "PGSSLMODE=prefer", "PGTARGETSESSIONATTRS=read-write", "PGUSER=me"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("PGPASSFILE", "/nonexistent")
			parsed, err := parsePostgres(tc.url, "database")
			if err != nil {
				t.Fatal(err)
			}
			got, err := libpqEnvironment(parsed.ConnConfig)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(got)
			check.Equal(t, strings.Join(got, "\n"), strings.Join(tc.want, "\n"), "environment")
		})
	}
}

// Rows are read from the text that pg_restore writes.
func TestCopiedRows(t *testing.T) {
	got := copiedRows("SET x = 1;\nCOPY public.server_keys (id, first_used_at) FROM stdin;\nab\t2026\ncd\t\\N\n\\.\n\n" +
		"COPY other.goose_db_version (id, version_id) FROM stdin;\n1\t48\n\\.\n")
	check.Equal(t, len(got["server_keys"]), 2, "keys")
	check.Equal(t, got["server_keys"][1]["id"], "cd", "the second key")
	check.Equal(t, got["goose_db_version"][0]["version_id"], "48", "version")
	check.Equal(t, len(got), 2, "tables")
}
