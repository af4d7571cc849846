package gormdb_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/dbtest"
	"latchkey/internal/gormdb"
	"latchkey/internal/secret"
	"latchkey/internal/token"
)

// recorder remembers the accounts that a DB told of.
type recorder struct {
	mu   sync.Mutex
	told []uuid.UUID
}

func (r *recorder) changed(id uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, id)
}

func (r *recorder) take() []uuid.UUID {
	r.mu.Lock()
	defer r.mu.Unlock()
	told := r.told
	r.told = nil
	return told
}

func TestRevoke(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		var ears recorder
		db.OnChange(ears.changed)
		w := dbtest.Seed{}.Make(t, db)
		st := w.Stores[0].ID
		a, value := issue(t, db, w, st)
		b, _ := issue(t, db, w, uuid.Nil)
		c, _ := issue(t, db, w, st)
		ears.take()
		revoke(t, db, a, b)
		same(t, "told", ears.take(), []uuid.UUID{w.Account.ID})

		r := revocation(a)
		for _, want := range []token.Token{a, b} {
			want.Revocation = &r
			got, err := db.Tokens().Token(t.Context(), w.Account.ID, want.ID)
			if err != nil {
				t.Fatal(err)
			}
			sameTokens(t, "revoked", []token.Token{got}, []token.Token{want})
		}
		if record, err := db.Access().Credential(t.Context(), secret.StoreAccessToken, keys.Candidates(value)); err != nil || !record.Ended {
			t.Errorf("the verifier is told %+v, %v", record, err)
		}
		if got, err := db.Tokens().Token(t.Context(), w.Account.ID, c.ID); err != nil || got.Revocation != nil {
			t.Errorf("one that was not named: %+v, %v", got, err)
		}
		assertEvents(t, db, audit.APITokenRevoked, b, a)

		t.Run("again, with one more", func(t *testing.T) {
			again := ending(idsOf([]token.Token{a, c}), a)
			again.Revocation.At, again.Revocation.Reason = later(time.Hour), "again"
			ended, err := db.Tokens().Revoke(t.Context(), auth.NoActor("a test"), again)
			if err != nil || len(ended.Unknown) > 0 {
				t.Fatal(ended, err)
			}
			if got, err := db.Tokens().Token(t.Context(), w.Account.ID, a.ID); err != nil || *got.Revocation != r {
				t.Errorf("the first revocation was overwritten: %+v, %v", got.Revocation, err)
			}
			assertEvents(t, db, audit.APITokenRevoked, c, b, a)
			ears.take()
			revoke(t, db, a, b, c)
			assertEvents(t, db, audit.APITokenRevoked, c, b, a)
			same(t, "told of a repeat", ears.take(), []uuid.UUID{w.Account.ID})
		})
	})
}

// assertEvents looks for exactly one event of the action for each token.
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
		if targets[w.ID.String()+" "+w.Name] != 1 {
			t.Errorf("%d events of %s", targets[w.ID.String()+" "+w.Name], w.ID)
		}
	}
	if len(found.Items) != len(want) {
		t.Errorf("%d events, want %d", len(found.Items), len(want))
	}
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
			{"one that is not there", []uuid.UUID{here.ID, nowhere}, nil, []uuid.UUID{nowhere}},
			{"another account's", []uuid.UUID{foreign.ID, here.ID}, nil, []uuid.UUID{foreign.ID}},
			{"another store's", []uuid.UUID{here.ID, there.ID}, []uuid.UUID{w.Stores[0].ID}, []uuid.UUID{there.ID}},
			{"the account's, with stores alone", []uuid.UUID{here.ID, above.ID}, []uuid.UUID{w.Stores[0].ID, w.Stores[1].ID}, []uuid.UUID{above.ID}},
			{"no store at all", []uuid.UUID{here.ID}, []uuid.UUID{}, []uuid.UUID{here.ID}},
			{"several", []uuid.UUID{nowhere, there.ID, here.ID}, []uuid.UUID{w.Stores[0].ID}, []uuid.UUID{nowhere, there.ID}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				e := ending(tc.ids, here)
				e.OnlyStores = tc.only
				ended, err := db.Tokens().Revoke(t.Context(), auth.NoActor("a test"), e)
				if err != nil {
					t.Fatal(err)
				}
				same(t, "unknown", ended.Unknown, tc.unknown)
				for _, each := range []token.Token{here, there, above, foreign} {
					if got, err := db.Tokens().Token(t.Context(), each.AccountID, each.ID); err != nil || got.Revocation != nil {
						t.Errorf("%v, %v", got, err)
					}
				}
			})
		}
		t.Run("the connections are as good as before", func(t *testing.T) { revoke(t, db, here, there, above) })
	})
}

// An error in the middle takes everything back.
func TestRevokeFailsWhole(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		a, _ := issue(t, db, w, uuid.Nil)
		b, _ := issue(t, db, w, uuid.Nil)
		const once = "CREATE UNIQUE INDEX once ON audit_events (account_id) WHERE action = 'api_token.revoked'"
		dbtest.Exec(t, url, once, once)
		for range 3 {
			_, err := db.Tokens().Revoke(t.Context(), auth.NoActor("a test"), ending(idsOf([]token.Token{a, b}), a))
			mustBe(t, err, "CONFLICT")
		}
		for _, each := range []token.Token{a, b} {
			if got, err := db.Tokens().Token(t.Context(), each.AccountID, each.ID); err != nil || got.Revocation != nil {
				t.Errorf("%v, %v", got, err)
			}
		}
		const again = "DROP INDEX once"
		dbtest.Exec(t, url, again, again)
		revoke(t, db, a, b)
	})
}

// Replicas that revoke the same tokens at once write one event for each token,
// and none locks the other out.
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
				_, err := handles[i%3].Tokens().Revoke(t.Context(), auth.NoActor("a test"), ending(ids, made[0]))
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
