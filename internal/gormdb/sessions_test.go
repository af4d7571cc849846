package gormdb_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/membership"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

// endedEvent returns the event of a revoked session.
func endedEvent(s user.Session) audit.Event {
	return audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: s.AccountID, At: noon,
		Actor:  audit.Actor{Kind: audit.ActorOperator, Name: "operator"},
		Action: audit.SessionEnded, Target: audit.Target{Kind: audit.TargetSession, Key: s.ID.String(), Name: s.Email},
	}
}

func ended(t *testing.T, db *gormdb.DB, value secret.Secret) bool {
	t.Helper()
	record, err := db.Access().Credential(t.Context(), secret.UserSession, keyring.Candidates(value))
	if err != nil {
		t.Fatal(err)
	}
	return record.Revoked
}

func TestEndSessions(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		here := dbtest.Seed{StoreOwner: true}.Make(t, db)
		there := dbtest.Seed{StoreOwner: true}.Make(t, db)
		if err := db.Manifest().AddMember(t.Context(), there.Account.ID, here.Owner, noon); err != nil {
			t.Fatal(err)
		}
		first, a := startSession(t, db, here, here.Owner)
		second, b := startSession(t, db, here, here.Owner)
		elsewhere, _ := startSession(t, db, there, here.Owner)
		others, d := startSession(t, db, here, here.StoreOwner)
		var r recorder
		db.OnChange(r.changed)
		list := func(which user.SessionSelection) []uuid.UUID {
			t.Helper()
			all, err := db.Users().Sessions(t.Context(), which, noon)
			if err != nil {
				t.Fatal(err)
			}
			ids := make([]uuid.UUID, len(all))
			for i, s := range all {
				ids[i] = s.ID
			}
			return ids
		}
		end := func(which user.SessionSelection) []user.Session {
			t.Helper()
			all, err := db.Users().EndSessions(t.Context(), auth.NoActor("a test"), which, noon, endedEvent)
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		same(t, "all of a person", list(user.SessionSelection{UserID: here.Owner.ID}),
			[]uuid.UUID{elsewhere.ID, second.ID, first.ID})
		same(t, "all of an account", list(user.SessionSelection{AccountID: here.Account.ID}),
			[]uuid.UUID{others.ID, second.ID, first.ID})
		if late, err := db.Users().Sessions(t.Context(), user.SessionSelection{}, later(time.Hour)); err != nil ||
			len(late) > 0 {
			t.Errorf("expired sessions: got %v, %v, want none", late, err)
		}

		none := user.SessionSelection{IDs: []uuid.UUID{first.ID, uuid.New()}}
		_, err := db.Users().EndSessions(t.Context(), auth.NoActor("a test"), none, noon, endedEvent)
		mustBe(t, err, fault.NotFound)
		if ended(t, db, a) || len(r.take()) > 0 {
			t.Error("one of two sessions was revoked, although the other ID is unknown; want no change")
		}
		gone := end(user.SessionSelection{UserID: here.Owner.ID, AccountID: here.Account.ID})
		if len(gone) != 2 || gone[0].Email != here.Owner.Email || !gone[1].ExpiresAt.Equal(first.ExpiresAt) {
			t.Errorf("revoked: got %+v, want 2 of %s", gone, here.Owner.Email)
		}
		check.Equal(t, r.take(), []uuid.UUID{here.Account.ID, here.Owner.ID}, "reported")
		if !ended(t, db, a) || !ended(t, db, b) || ended(t, db, d) {
			t.Errorf("revoked: got %t, %t and %t elsewhere, want only the two of the user in the account",
				ended(t, db, a), ended(t, db, b), ended(t, db, d))
		}
		same(t, "what is left", list(user.SessionSelection{}), []uuid.UUID{others.ID, elsewhere.ID})
		again := end(user.SessionSelection{IDs: []uuid.UUID{first.ID, second.ID}})
		if reported := r.take(); len(again) > 0 || !slices.Equal(reported, []uuid.UUID{here.Account.ID}) {
			t.Errorf("revoked again: got %v, reported %v, want none, and %s", again, reported, here.Account.ID)
		}
		n, err := db.Audit().CountEvents(t.Context(), here.Account.ID,
			audit.Filter{Actions: []audit.Action{audit.SessionEnded}})
		if err != nil || n != 2 {
			t.Errorf("events of a revocation: got %d, %v, want 2", n, err)
		}
		end(user.SessionSelection{UserID: here.Owner.ID})
		same(t, "what is left of the others", list(user.SessionSelection{}), []uuid.UUID{others.ID})
	})
}

// An expired session is revoked, too, since it may still be live by another server's clock. It is not returned and
// has no event.
func TestEndExpiredSessions(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		var r recorder
		db.OnChange(r.changed)
		late := later(2 * time.Hour)
		for name, end := range map[string]func(user.Session) error{
			"by a selection": func(s user.Session) error {
				gone, err := db.Users().EndSessions(t.Context(), auth.NoActor("a test"),
					user.SessionSelection{UserID: s.UserID}, late, endedEvent)
				if len(gone) > 0 {
					t.Errorf("EndSessions() of an expired session = %+v, want none", gone)
				}
				return err
			},
			"with a person's other ones": func(s user.Session) error {
				return db.SignIn().SetPassword(t.Context(), auth.NoActor("a test"),
					signin.NewPassword{UserID: s.UserID, Hash: "hash", At: late, Ended: endedEvent})
			},
			"with the person's place": func(s user.Session) error {
				return db.Memberships().Change(t.Context(), auth.NoActor("a test"), w.Account.ID,
					func(c membership.Change) error {
						return c.EndSessions(t.Context(), []uuid.UUID{s.UserID}, late, endedEvent)
					})
			},
		} {
			t.Run(name, func(t *testing.T) {
				s, value := startSession(t, db, w, w.Owner)
				r.take()
				if err := end(s); err != nil {
					t.Fatal(err)
				}
				if !ended(t, db, value) {
					t.Error("the session is not revoked, want it to be")
				}
				if reported := r.take(); !slices.Contains(reported, w.Account.ID) {
					t.Errorf("reported %v, want it to contain %s", reported, w.Account.ID)
				}
			})
		}
		n, err := db.Audit().CountEvents(t.Context(), w.Account.ID,
			audit.Filter{Actions: []audit.Action{audit.SessionEnded}})
		if err != nil || n > 0 {
			t.Errorf("events of a revocation: got %d, %v, want none", n, err)
		}
	})
}
