package gormdb_test

import (
	"log/slog"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/dbtest"
	"latchkey/internal/gormdb"
)

// A look-up is believed only if what answers has the server's latest heartbeat, not just any.
func TestLookUpNeedsTheLatestHeartbeat(t *testing.T) {
	url := dbtest.PostgresURL(t)
	db := dbtest.Open(t, url)
	w := dbtest.Seed{}.Make(t, db)
	_, value := issue(t, db, w, uuid.Nil)
	f := db.NewFeed(access.Replica{Name: "a"}, gormdb.Ears{Changed: func(uuid.UUID) {}, Forget: func() {}}, slog.New(slog.DiscardHandler))
	if err := f.Join(t.Context()); err != nil { // heartbeats count from here on
		t.Fatal(err)
	}
	if works, answered := honours(t, db, value); !works || !answered {
		t.Fatalf("works: %v, answered: %v", works, answered)
	}
	// As on another server: each heartbeat is committed, and the one before it is found.
	execute(t, url, `CREATE FUNCTION lag() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.beat := NEW.beat - 1; RETURN NEW; END'`)
	execute(t, url, `CREATE TRIGGER lag BEFORE INSERT OR UPDATE ON heartbeats FOR EACH ROW EXECUTE FUNCTION lag()`)
	execute(t, url, `UPDATE heartbeats SET beat = beat`)
	if _, answered := honours(t, db, value); answered {
		t.Error("an answer without the latest heartbeat is believed")
	}
	execute(t, url, `DROP TRIGGER lag ON heartbeats`)
	if works, answered := honours(t, db, value); !works || !answered {
		t.Errorf("with the heartbeats back: works: %v, answered: %v", works, answered)
	}
}
