package gormdb_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gateway/keys"
	"latchkey/internal/gormdb"
	"latchkey/internal/membership"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

// A replica that repeats a revocation of another one has removed it from its cache when it answers, even if its feed
// has not received the change and nothing was left to change.
func TestRepeatedEndingsAreForgotten(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		first, second := dbtest.Open(t, url), dbtest.Open(t, url)
		w := dbtest.Seed{Users: 2}.Make(t, first)
		leaver := w.Users[1]
		key := gatewayKey(t, first)
		old := keepLegacy(t, first, w, "old")
		gone := audit.Event{
			ID: uuid.Must(uuid.NewV7()), AccountID: w.Account.ID, At: noon,
			Actor:  audit.Actor{Kind: audit.ActorOperator, Name: "operator"},
			Action: audit.LegacyAccountDeleted,
		}
		for _, tc := range []struct {
			name string
			end  func(*gormdb.DB) error
			// again is the kind of the repeat's error, or empty.
			again fault.Kind
			// concerned are ids, one of which must be reported.
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
				return db.SignIn().SetPassword(t.Context(), auth.NoActor("a test"),
					signin.NewPassword{UserID: w.Owner.ID, Hash: "hash", At: noon, Ended: endedEvent})
			}, "", []uuid.UUID{w.Owner.ID}},
			{"a removal", func(db *gormdb.DB) error {
				return db.Memberships().Change(t.Context(), auth.NoActor("a test"), w.Account.ID,
					func(c membership.Change) error {
						members, err := c.Members(t.Context(), []uuid.UUID{leaver.ID})
						if err != nil || len(members) == 0 {
							return err
						}
						return c.RemoveMembers(t.Context(), []uuid.UUID{leaver.ID})
					})
			}, "", []uuid.UUID{w.Account.ID}},
			{"a removal of a user who is not there", func(db *gormdb.DB) error {
				return db.Memberships().Change(t.Context(), auth.NoActor("a test"), w.Account.ID,
					func(membership.Change) error {
						return fault.Errorf(fault.NotFound, "There is no such user.")
					})
			}, fault.NotFound, []uuid.UUID{w.Account.ID}},
			{"a gateway's key", func(db *gormdb.DB) error {
				return db.Gateways().Delete(t.Context(),
					auth.NoActor("a test"), key.ID)
			}, fault.NotFound, []uuid.UUID{uuid.Nil}},
			{"a legacy API account", func(db *gormdb.DB) error {
				return db.Legacy().Delete(t.Context(),
					auth.NoActor("a test"), old, gone)
			}, fault.NotFound, []uuid.UUID{w.Account.ID}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				if err := tc.end(first); err != nil && tc.again == "" {
					t.Fatalf("the first time: got error %v, want none", err)
				}
				var changes recorder
				second.OnChange(changes.changed)
				if err := tc.end(second); fault.KindOf(err) != tc.again {
					t.Fatalf("the repeat: got error %v, want kind %q", err, tc.again)
				}
				reported := changes.take()
				if !slices.ContainsFunc(tc.concerned,
					func(id uuid.UUID) bool { return slices.Contains(reported, id) }) {
					t.Errorf("the repeat reported %v, want one of %v", reported, tc.concerned)
				}
			})
		}
	})
}

// endSessionsBy revokes a new session of the owner by a selection.
func endSessionsBy(t *testing.T, db *gormdb.DB, w dbtest.World,
	by func(user.Session) user.SessionSelection) func(*gormdb.DB) error {
	t.Helper()
	s, _ := startSession(t, db, w, w.Owner)
	return func(db *gormdb.DB) error {
		_, err := db.Users().EndSessions(t.Context(), auth.NoActor("a test"), by(s), noon, endedEvent)
		return err
	}
}

// gatewayKey inserts a gateway's key.
func gatewayKey(t *testing.T, db *gormdb.DB) keys.Key {
	t.Helper()
	value := newSecret(secret.GatewayKey)
	k := keys.Key{ID: uuid.Must(uuid.NewV7()), Name: "gateway", Hint: value.Hint(), CreatedAt: noon}
	if err := db.Gateways().Insert(t.Context(), auth.NoActor("a test"), k, keyring.Digest(value)); err != nil {
		t.Fatal(err)
	}
	return k
}
