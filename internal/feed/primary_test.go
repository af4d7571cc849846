package feed_test

import (
	"testing"

	dbtest "latchkey/internal/test/db"
)

// A look-up is accepted only if the server that answers has the latest heartbeat.
func TestLookUpNeedsTheLatestHeartbeat(t *testing.T) {
	url := dbtest.PostgresURL(t)
	db := dbtest.Open(t, url)
	w := dbtest.Seed{}.Make(t, db)
	_, value := issue(t, db, w)
	f := newFeed(db, "a", discarding)
	if err := f.Join(t.Context()); err != nil { // heartbeats count from here on
		t.Fatal(err)
	}
	if works, answered := honours(t, db, value); !works || !answered {
		t.Fatalf("the token: works %v, answered %v, want both", works, answered)
	}
	// This simulates another server: each heartbeat is committed, but the previous one is found.
	execute(t, url,
		`CREATE FUNCTION lag() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.beat := NEW.beat - 1; RETURN NEW; END'`)
	execute(t, url, `CREATE TRIGGER lag BEFORE INSERT OR UPDATE ON heartbeats FOR EACH ROW EXECUTE FUNCTION lag()`)
	execute(t, url, `UPDATE heartbeats SET beat = beat`)
	if _, answered := honours(t, db, value); answered {
		t.Error("a result without the latest heartbeat is accepted, want it refused")
	}
	execute(t, url, `DROP TRIGGER lag ON heartbeats`)
	if works, answered := honours(t, db, value); !works || !answered {
		t.Errorf("the token with current heartbeats: works %v, answered %v, want both", works, answered)
	}
}
