package gormdb_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	dbtest "latchkey/internal/test/db"
)

// A database that answers before a commit is durable is refused.
func TestDatabaseWithoutDurableCommits(t *testing.T) {
	u := dbtest.PostgresURL(t)
	parsed, err := url.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, u, "ALTER DATABASE "+strings.TrimPrefix(parsed.Path, "/")+" SET synchronous_commit = off")
	_, err = gormdb.Open(t.Context(), gormdb.Config{URL: u})
	mustBe(t, err, fault.Invalid)
	if !strings.Contains(err.Error(), "synchronous_commit") {
		t.Errorf("Open: got error %v, want one about synchronous_commit", err)
	}
}

// A read-only connection is dropped at its first write, so that a connection opened during a failover causes no
// errors later.
func TestReadOnlyConnectionsAreDropped(t *testing.T) {
	u := dbtest.PostgresURL(t)
	parsed, err := url.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(parsed.Path, "/")
	w := dbtest.Seed{}.Make(t, dbtest.Open(t, u))
	db := dbtest.Open(t, u)
	execute(t, u, "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
	d, _ := draft(w, uuid.Nil)
	if err := db.Tokens().Insert(t.Context(), auth.NoActor("a test"), d); !errors.Is(err, fault.ErrUnavailable) {
		t.Fatalf("Insert: got error %v, want %v", err, fault.ErrUnavailable)
	}
	execute(t, u+"&default_transaction_read_only=off", "ALTER DATABASE "+name+" RESET default_transaction_read_only")
	if err := db.Tokens().Insert(t.Context(), auth.NoActor("a test"), d); err != nil {
		t.Error(err)
	}
}
