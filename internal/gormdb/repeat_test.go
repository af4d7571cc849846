package gormdb_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/dbtest"
	"latchkey/internal/fault"
	"latchkey/internal/gateway"
	"latchkey/internal/gormdb"
	"latchkey/internal/offboard"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// A replica that answers a repeat of what another one ended has forgotten it
// by then, though its feed may not have heard of it and nothing was left to
// change.
func TestRepeatedEndingsAreForgotten(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		first, second := dbtest.Open(t, url), dbtest.Open(t, url)
		w := dbtest.Seed{Users: 2}.Make(t, first)
		leaver := w.Users[1]
		key := gatewayKey(t, first)
		old := keepLegacy(t, first, w, "old")
		gone := audit.Event{
			ID: uuid.Must(uuid.NewV7()), AccountID: w.Account.ID, At: noon, Actor: audit.Actor{Kind: audit.ActorOperator, Name: "operator"},
			Action: audit.LegacyAccountDeleted,
		}
		for _, tc := range []struct {
			name string
			end  func(*gormdb.DB) error
			// again is the kind of error of the repeat, or empty.
			again fault.Kind
			// concerned are ids of which one must be forgotten.
			concerned []uuid.UUID
		}{
			{"sessions by id", endSessionsBy(t, first, w, func(s user.Session) user.SessionSelection {
				return user.SessionSelection{IDs: []uuid.UUID{s.ID}}
			}), "", []uuid.UUID{w.Account.ID, w.Owner.ID}},
			{"a user's sessions", endSessionsBy(t, first, w, func(s user.Session) user.SessionSelection {
				return user.SessionSelection{UserID: s.UserID}
			}), "", []uuid.UUID{w.Owner.ID}},
			{"an account's sessions", endSessionsBy(t, first, w, func(s user.Session) user.SessionSelection {
				return user.SessionSelection{AccountID: s.AccountID}
			}), "", []uuid.UUID{w.Account.ID}},
			{"a password", func(db *gormdb.DB) error {
				return db.SignIn().SetPassword(t.Context(), auth.NoActor("a test"), signin.NewPassword{UserID: w.Owner.ID, Hash: "hash", At: noon, Ended: endedEvent})
			}, "", []uuid.UUID{w.Owner.ID}},
			{"a removal", func(db *gormdb.DB) error {
				return db.Offboard().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, func(c offboard.Change) error {
					members, err := c.Members(t.Context(), []uuid.UUID{leaver.ID})
					if err != nil || len(members) == 0 {
						return err
					}
					return c.RemoveMembers(t.Context(), []uuid.UUID{leaver.ID})
				})
			}, "", []uuid.UUID{w.Account.ID}},
			{"a removal of a user who is not there", func(db *gormdb.DB) error {
				return db.Offboard().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, func(offboard.Change) error {
					return fault.Errorf(fault.NotFound, "There is no such user.")
				})
			}, fault.NotFound, []uuid.UUID{w.Account.ID}},
			{"a gateway's key", func(db *gormdb.DB) error { return db.Gateways().Delete(t.Context(), auth.NoActor("a test"), key.ID) }, fault.NotFound, []uuid.UUID{uuid.Nil}},
			{"a legacy API account", func(db *gormdb.DB) error { return db.Legacy().Delete(t.Context(), auth.NoActor("a test"), old, gone) }, fault.NotFound, []uuid.UUID{w.Account.ID}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				if err := tc.end(first); err != nil && tc.again == "" {
					t.Fatal(err)
				}
				var ears recorder
				second.OnChange(ears.changed)
				if err := tc.end(second); fault.KindOf(err) != tc.again {
					t.Fatalf("the repeat: %v", err)
				}
				told := ears.take()
				if !slices.ContainsFunc(tc.concerned, func(id uuid.UUID) bool { return slices.Contains(told, id) }) {
					t.Errorf("the repeat made it forget %v, want one of %v", told, tc.concerned)
				}
			})
		}
	})
}

// endSessionsBy ends a new session of the owner by a selection.
func endSessionsBy(t *testing.T, db *gormdb.DB, w dbtest.World, by func(user.Session) user.SessionSelection) func(*gormdb.DB) error {
	t.Helper()
	s, _ := startSession(t, db, w, w.Owner)
	return func(db *gormdb.DB) error {
		_, err := db.Users().EndSessions(t.Context(), auth.NoActor("a test"), by(s), noon, endedEvent)
		return err
	}
}

// gatewayKey keeps a key of a gateway.
func gatewayKey(t *testing.T, db *gormdb.DB) gateway.Key {
	t.Helper()
	value := newSecret(secret.GatewayKey)
	k := gateway.Key{ID: uuid.Must(uuid.NewV7()), Name: "gateway", Hint: value.Hint(), CreatedAt: noon}
	if err := db.Gateways().Insert(t.Context(), auth.NoActor("a test"), k, keys.Digest(value)); err != nil {
		t.Fatal(err)
	}
	return k
}
