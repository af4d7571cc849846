package gormdb_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	dbtest "latchkey/internal/test/db"
)

// repositories matches the tests that run every repository's statements.
const repositories = "^Test(SchemaIsAhead|Token|Session|LookUps|SaveUses|Account|Store|Apps|Events|Change|Ended|Feed(Hears|Tells|Reads)|Grant|AgreeOn|" +
	"Limit|Manifest|Pages|Count|Remove|Join$|Revoke|End|Find|Inserted|User|Memberships|Start|Repeated)"

// This program works with the schema of the next version's migration, as long as that only expands. So servers of the
// previous version can serve during an upgrade, and an upgrade can be rolled back.
func TestRepositoriesWorkWithTheNextSchema(t *testing.T) {
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run", repositories, "-test.timeout", "5m", "-test.v")
	again.Env = append(os.Environ(), dbtest.EnvAhead+"=1")
	out, err := again.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const enough = 80 // subtests, so that the pattern cannot match nothing
	passed := strings.Count(string(out), "--- PASS: ")
	if !strings.Contains(string(out), "--- PASS: TestSchemaIsAhead/postgres") || passed < enough {
		t.Errorf("passed tests: got %d, want %d at least, and TestSchemaIsAhead:\n%s", passed, enough, out)
	}
}

// This test checks the databases of TestRepositoriesWorkWithTheNextSchema.
func TestSchemaIsAhead(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		if os.Getenv(dbtest.EnvAhead) == "" {
			if err := dbtest.MakeAhead(t.Context(), url); err != nil {
				t.Fatal(err)
			}
		}
		schema, err := dbtest.Open(t, url).Schema(t.Context())
		if err != nil || schema.Have != schema.Want+1 || schema.Check() != nil {
			t.Errorf("Schema() = %+v, %v, check %v, want version %d to be accepted",
				schema, err, schema.Check(), schema.Want+1)
		}
	})
}
