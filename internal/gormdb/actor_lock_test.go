package gormdb_test

import (
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/gormdb"
	dbtest "latchkey/internal/test/db"
)

// A write waits for transactions that change the rights of its actor, with the locks of a revocation, of ending a
// session, and of a change of the account's users. SQLite has only one writer.
func TestWritesWaitForChangesOfTheirActor(t *testing.T) {
	url := dbtest.PostgresURL(t)
	db := dbtest.Open(t, url)
	for _, tc := range []struct {
		name, statement string
		// actor returns an actor and the id of the row to lock.
		actor func(*testing.T, *gormdb.DB, dbtest.World) (auth.Actor, uuid.UUID)
	}{
		{"an API token", "SELECT id FROM api_tokens WHERE id = $1 FOR UPDATE",
			func(t *testing.T, db *gormdb.DB, w dbtest.World) (auth.Actor, uuid.UUID) {
				made, value := issue(t, db, w, uuid.Nil)
				return actorOf(t, db, value), made.ID
			}},
		{"a session", "SELECT id FROM sessions WHERE id = $1 FOR UPDATE",
			func(t *testing.T, db *gormdb.DB, w dbtest.World) (auth.Actor, uuid.UUID) {
				s, value := startSession(t, db, w, w.Owner)
				return actorOf(t, db, value), s.ID
			}},
		{"the account of a session", "SELECT id FROM accounts WHERE id = $1 FOR NO KEY UPDATE",
			func(t *testing.T, db *gormdb.DB, w dbtest.World) (auth.Actor, uuid.UUID) {
				_, value := startSession(t, db, w, w.Owner)
				return actorOf(t, db, value), w.Account.ID
			}},
	} {
		w := dbtest.Seed{Stores: 3, Users: 3, StoreOwner: true}.Make(t, db)
		by, locked := tc.actor(t, db, w)
		for name, write := range attempts(t, db, w, by) {
			t.Run(tc.name+"/"+name, func(t *testing.T) {
				if err := whileLocked(t, url, tc.statement, locked.String(), write); err != nil {
					t.Errorf("once the rows are free: %v", err)
				}
			})
		}
	}
}
