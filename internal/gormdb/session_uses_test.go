package gormdb_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/gormdb"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

// idler is a server whose sessions expire after an hour without use.
type idler struct {
	*access.Verifier
	uses *access.Uses
}

// idlers returns two servers that share a database and a clock.
func idlers(t *testing.T, url string, now func() time.Time) (one, other idler, db *gormdb.DB) {
	t.Helper()
	open := func() (idler, *gormdb.DB) {
		db := dbtest.Open(t, url)
		memory, err := access.NewCaches(100, 24*time.Hour, func() bool { return true }, now)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(memory.Close)
		uses := access.NewUses(db.Uses())
		return idler{access.NewVerifier(access.Config{
			Repository: db.Access(), Keys: keyring, Catalogue: scope.Default(), Caches: memory, SessionUses: uses,
			SessionIdle: time.Hour, Now: now,
		}), uses}, db
	}
	one, db = open()
	other, _ = open()
	return one, other, db
}

// works reports whether a session works. It fails the test if the session is refused for another reason than being
// idle.
func (i idler) works(t *testing.T, value secret.Secret) bool {
	t.Helper()
	_, err := i.Principal(t.Context(), value.Reveal(), auth.Origin{})
	if err != nil && !errors.Is(err, access.ReasonIdle) {
		t.Fatalf("the session: got error %v, want none, or %v", err, access.ReasonIdle)
	}
	return err == nil
}

// A session that is used at one of two servers remains valid at both. After an hour without use at either it is
// refused by both, and by servers that start then.
func TestIdleSessions(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		clock := noon
		one, other, db := idlers(t, url, func() time.Time { return clock })
		w := dbtest.Seed{}.Make(t, db)
		s, value := startSessionUntil(t, db, w, w.Owner, later(24*time.Hour))
		if !one.works(t, value) || !other.works(t, value) {
			t.Fatal("a new session is refused, want it to work")
		}
		for range 3 {
			clock = clock.Add(50 * time.Minute)
			if !one.works(t, value) {
				t.Fatal("a session in use is refused, want it to work")
			}
			if err := one.uses.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		clock = clock.Add(50 * time.Minute) // three hours after its last use here
		if !other.works(t, value) {
			t.Fatal("a session in use at another server is refused, want it to work")
		}
		if err := other.uses.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		used := clock
		all, err := db.Users().Sessions(t.Context(), user.SessionSelection{IDs: []uuid.UUID{s.ID}}, clock)
		if err != nil || len(all) != 1 || !all[0].LastUsedAt.Equal(used) {
			t.Errorf("Sessions() = %+v, %v, want one, last used at %v", all, err, used)
		}
		clock = clock.Add(time.Hour + time.Microsecond)
		fresh, _, _ := idlers(t, url, func() time.Time { return clock })
		for range 2 {
			if one.works(t, value) || other.works(t, value) || fresh.works(t, value) {
				t.Error("an idle session works, want it refused")
			}
		}
	})
}

// Servers save uses in any order, at the same time as each other and as sessions are revoked.
func TestKeepSessionUses(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db, other := dbtest.Open(t, url), dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		var uses []access.Use
		var sessions []user.Session
		for i := range 20 {
			s, _ := startSession(t, db, w, w.Owner)
			sessions = append(sessions, s)
			uses = append(uses, access.Use{AccountID: w.Account.ID, TokenID: s.ID,
				At: later(time.Duration(i) * time.Second), Session: true})
		}
		done := make(chan error, 3)
		keep := func(db *gormdb.DB, before time.Duration) {
			mine := make([]access.Use, len(uses))
			for i, each := range uses {
				each.At = each.At.Add(-before)
				mine[len(uses)-1-i] = each
			}
			done <- db.Uses().SaveUses(t.Context(), mine)
		}
		go keep(db, 0)
		go keep(other, time.Minute)
		go func() {
			_, err := other.Users().EndSessions(t.Context(), auth.NoActor("a test"),
				user.SessionSelection{IDs: []uuid.UUID{sessions[0].ID, sessions[1].ID}}, noon, endedEvent)
			done <- err
		}()
		for range 3 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		all, err := db.Users().Sessions(t.Context(), user.SessionSelection{UserID: w.Owner.ID}, noon)
		if err != nil || len(all) != 18 {
			t.Fatalf("Sessions() = %d, %v, want 18", len(all), err)
		}
		for i, s := range all { // newest first
			if want := later(time.Duration(19-i) * time.Second); !s.LastUsedAt.Equal(want) {
				t.Errorf("session %d was last used %s, want %s", i, s.LastUsedAt, want)
			}
		}
	})
}
