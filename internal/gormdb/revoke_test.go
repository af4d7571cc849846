package gormdb_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/gormdb"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
)

// recorder records the ids that a DB reports.
type recorder struct {
	mu       sync.Mutex
	reported []uuid.UUID
}

func (r *recorder) changed(id uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reported = append(r.reported, id)
}

func (r *recorder) take() []uuid.UUID {
	r.mu.Lock()
	defer r.mu.Unlock()
	reported := r.reported
	r.reported = nil
	return reported
}

func TestRevoke(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		var changes recorder
		db.OnChange(changes.changed)
		w := dbtest.Seed{}.Make(t, db)
		st := w.Stores[0].ID
		a, value := issue(t, db, w, st)
		b, _ := issue(t, db, w, uuid.Nil)
		c, _ := issue(t, db, w, st)
		changes.take()
		revoke(t, db, a, b)
		same(t, "reported", changes.take(), []uuid.UUID{w.Account.ID})

		r := revocation(a)
		for _, want := range []token.Token{a, b} {
			want.Revocation = &r
			got, err := db.Tokens().Token(t.Context(), w.Account.ID, want.ID)
			if err != nil {
				t.Fatal(err)
			}
			sameTokens(t, "revoked", []token.Token{got}, []token.Token{want})
		}
		if record, err := db.Access().Credential(t.Context(), secret.StoreAccessToken,
			keyring.Candidates(value)); err != nil || !record.Revoked {
			t.Errorf("the verifier reads %+v, %v, want it revoked", record, err)
		}
		if got, err := db.Tokens().Token(t.Context(), w.Account.ID, c.ID); err != nil || got.Revocation != nil {
			t.Errorf("a token that was not named: got %+v, %v, want no revocation", got, err)
		}
		assertEvents(t, db, audit.APITokenRevoked, b, a)

		t.Run("again, with one more", func(t *testing.T) {
			again := revocationOf(idsOf([]token.Token{a, c}), a)
			again.Revocation.At, again.Revocation.Reason = later(time.Hour), "again"
			ended, err := db.Tokens().Revoke(t.Context(), auth.NoActor("a test"), again)
			if err != nil || len(ended.Unknown) > 0 {
				t.Fatalf("Revoke() = %+v, %v, want every token known", ended, err)
			}
			if got, err := db.Tokens().Token(t.Context(), w.Account.ID, a.ID); err != nil || *got.Revocation != r {
				t.Errorf("the first revocation: got %+v, %v, want it unchanged: %+v", got.Revocation, err, r)
			}
			assertEvents(t, db, audit.APITokenRevoked, c, b, a)
			changes.take()
			revoke(t, db, a, b, c)
			assertEvents(t, db, audit.APITokenRevoked, c, b, a)
			same(t, "reported after a repeat", changes.take(), []uuid.UUID{w.Account.ID})
		})
	})
}

// assertEvents checks that there is exactly one event of the action for each token.
func assertEvents(t testing.TB, db *gormdb.DB, action audit.Action, want ...token.Token) {
	t.Helper()
	found, err := db.Audit().Events(t.Context(), want[0].AccountID, audit.Filter{Actions: []audit.Action{action}}, all)
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]int{}
	for _, e := range nodes(found) {
		targets[e.Target.Key+" "+e.Target.Name]++
	}
	for _, w := range want {
		check.Equal(t, targets[w.ID.String()+" "+w.Name], 1, "%s", w.ID)
	}
	check.Equal(t, len(found.Items), len(want), "len(found.Items)")
}

func TestRevokeAllOrNone(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w, other := dbtest.Seed{Stores: 2}.Make(t, db), dbtest.Seed{}.Make(t, db)
		here, _ := issue(t, db, w, w.Stores[0].ID)
		there, _ := issue(t, db, w, w.Stores[1].ID)
		above, _ := issue(t, db, w, uuid.Nil)
		foreign, _ := issue(t, db, other, other.Stores[0].ID)
		nowhere := uuid.New()
		for _, tc := range []struct {
			name    string
			ids     []uuid.UUID
			only    []uuid.UUID
			unknown []uuid.UUID
		}{
			{"an unknown one", []uuid.UUID{here.ID, nowhere}, nil, []uuid.UUID{nowhere}},
			{"another account's", []uuid.UUID{foreign.ID, here.ID}, nil, []uuid.UUID{foreign.ID}},
			{"another store's", []uuid.UUID{here.ID, there.ID}, []uuid.UUID{w.Stores[0].ID}, []uuid.UUID{there.ID}},
			{"the account's, with only stores admitted", []uuid.UUID{here.ID, above.ID},
				[]uuid.UUID{w.Stores[0].ID, w.Stores[1].ID}, []uuid.UUID{above.ID}},
			{"no store at all", []uuid.UUID{here.ID}, []uuid.UUID{}, []uuid.UUID{here.ID}},
			{"several", []uuid.UUID{nowhere, there.ID, here.ID}, []uuid.UUID{w.Stores[0].ID},
				[]uuid.UUID{nowhere, there.ID}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				e := revocationOf(tc.ids, here)
				e.OnlyStores = tc.only
				ended, err := db.Tokens().Revoke(t.Context(), auth.NoActor("a test"), e)
				if err != nil {
					t.Fatal(err)
				}
				same(t, "unknown", ended.Unknown, tc.unknown)
				for _, each := range []token.Token{here, there, above, foreign} {
					if got, err := db.Tokens().Token(t.Context(), each.AccountID, each.ID); err != nil ||
						got.Revocation != nil {
						t.Errorf("Token() = %v, %v, want no revocation", got, err)
					}
				}
			})
		}
		t.Run("the connections still work", func(t *testing.T) { revoke(t, db, here, there, above) })
	})
}

// An error in the middle rolls everything back.
func TestRevokeFailsWhole(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		a, _ := issue(t, db, w, uuid.Nil)
		b, _ := issue(t, db, w, uuid.Nil)
		const once = "CREATE UNIQUE INDEX once ON audit_events (account_id) WHERE action = 'api_token.revoked'"
		dbtest.Exec(t, url, once, once)
		for range 3 {
			_, err := db.Tokens().Revoke(t.Context(), auth.NoActor("a test"), revocationOf(idsOf([]token.Token{a, b}),
				a))
			mustBe(t, err, "CONFLICT")
		}
		for _, each := range []token.Token{a, b} {
			if got, err := db.Tokens().Token(t.Context(), each.AccountID, each.ID); err != nil ||
				got.Revocation != nil {
				t.Errorf("Token() = %v, %v, want no revocation", got, err)
			}
		}
		const again = "DROP INDEX once"
		dbtest.Exec(t, url, again, again)
		revoke(t, db, a, b)
	})
}

// Replicas that revoke the same tokens at the same time write one event for each token and do not deadlock.
func TestRevokeAtOnce(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		handles := []*gormdb.DB{dbtest.Open(t, url), dbtest.Open(t, url), dbtest.Open(t, url)}
		w := dbtest.Seed{}.Make(t, handles[0])
		var made []token.Token
		for range 30 {
			made = append(made, first(issue(t, handles[0], w, uuid.Nil)))
		}
		var group errgroup.Group
		for i := range 12 {
			ids := idsOf(made)
			if i%2 == 1 {
				ids = newestFirst(ids)
			}
			group.Go(func() error {
				_, err := handles[i%3].Tokens().Revoke(t.Context(), auth.NoActor("a test"), revocationOf(ids, made[0]))
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		assertEvents(t, handles[0], audit.APITokenRevoked, made...)
	})
}

func first[A, B any](a A, _ B) A { return a }
