package gormdb_test

import (
	"errors"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/dbtest"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/oauth"
	"latchkey/internal/offboard"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/token"
)

func TestChangeNarrows(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		var ears recorder
		w := dbtest.Seed{}.Make(t, db)
		db.OnChange(ears.changed)
		made, value := issue(t, db, w, w.Stores[0].ID)
		want := made
		want.Name, want.Scopes, want.ExpiresAt = "Renamed", scope.NewSet("store_cart"), later(time.Hour)
		want.AllowedIPRanges = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		err := db.Tokens().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, made.ID, func(got token.Token, access []token.AccessToken) (token.Change, error) {
			sameTokens(t, "handed over", []token.Token{got}, []token.Token{made})
			if len(access) != 1 || access[0].Hint != value.Hint() || !access[0].ExpiresAt.IsZero() {
				t.Errorf("handed over %+v", access)
			}
			return token.Change{Token: &want, Event: event(want, audit.APITokenUpdated)}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := db.Tokens().Token(t.Context(), w.Account.ID, made.ID)
		if err != nil {
			t.Fatal(err)
		}
		sameTokens(t, "narrowed", []token.Token{got}, []token.Token{want})
		assertEvents(t, db, audit.APITokenUpdated, want)
		same(t, "told", ears.take(), []uuid.UUID{w.Account.ID})
	})
}

func TestChangeRotates(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		made, old := issue(t, db, w, uuid.Nil)
		fresh := newSecret(secret.AccountAccessToken)
		added := accessDraft(made.ID, fresh)
		var previous token.AccessToken
		err := db.Tokens().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, made.ID, func(_ token.Token, access []token.AccessToken) (token.Change, error) {
			previous = access[0]
			ends := map[uuid.UUID]time.Time{previous.ID: later(time.Hour)}
			return token.Change{Ends: ends, Access: &added, Event: event(made, audit.APITokenRotated)}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		previous.ExpiresAt = later(time.Hour)
		for _, tc := range []struct {
			name string
			now  time.Time
			want []token.AccessToken
		}{
			{"both live", later(time.Hour - time.Microsecond), []token.AccessToken{added.Record, previous}},
			{"the old one has ended", later(time.Hour), []token.AccessToken{added.Record}},
		} {
			live, err := db.Tokens().AccessTokens(t.Context(), w.Account.ID, []uuid.UUID{made.ID}, tc.now)
			if err != nil {
				t.Fatal(err)
			}
			same(t, tc.name, live[made.ID], tc.want)
		}
		record, err := db.Access().Credential(t.Context(), secret.StoreAccessToken, keys.Candidates(old))
		if err != nil || !record.Ends[0].Equal(later(time.Hour)) || !record.Principal.ExpiresAt.Equal(later(time.Hour)) {
			t.Errorf("the old one: %+v, %v", record, err)
		}
		record, err = db.Access().Credential(t.Context(), secret.StoreAccessToken, keys.Candidates(fresh))
		if err != nil || !record.Ends[0].IsZero() || record.Principal.ID != made.ID {
			t.Errorf("the new one: %+v, %v", record, err)
		}
	})
}

// endings are what ends an access token at once, at a moment.
var endings = map[string]func(*testing.T, *gormdb.DB, token.Token, token.AccessDraft, time.Time) error{
	"by a change": func(t *testing.T, db *gormdb.DB, of token.Token, x token.AccessDraft, at time.Time) error {
		return db.Tokens().Change(t.Context(), auth.NoActor("a test"), of.AccountID, of.ID, func(token.Token, []token.AccessToken) (token.Change, error) {
			e := event(of, audit.APITokenRotated)
			e.At = at
			return token.Change{Ended: []uuid.UUID{x.Record.ID}, Event: e}, nil
		})
	},
	"by its client": func(t *testing.T, db *gormdb.DB, of token.Token, x token.AccessDraft, at time.Time) error {
		return db.Grants().End(t.Context(), auth.NoActor("a test"), oauth.Ending{
			AccountID: of.AccountID, TokenID: of.ID, Kind: secret.AccountAccessToken, Candidates: []secret.KeyedDigest{x.Digest}, At: at,
			Event: event(of, audit.AccessTokenRevoked),
		})
	},
}

// What ended at once has ended at any time, and is no more among the access
// tokens. Its date is then the earlier one, for servers that know of no other
// end.
func TestEndedAtOnce(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Users: 1}.Make(t, db)
		other := w.Users[len(w.Users)-1].ID
		for name, end := range endings {
			for kept, date := range map[string]time.Time{"no date": {}, "an earlier date": later(time.Minute), "a later date": later(time.Hour)} {
				t.Run(name+", "+kept, func(t *testing.T) {
					made, _ := issue(t, db, w, uuid.Nil)
					x := accessDraft(made.ID, newSecret(secret.AccountAccessToken))
					x.Record.ExpiresAt, x.SeenBy = date, other
					add := func(token.Token, []token.AccessToken) (token.Change, error) {
						return token.Change{Access: &x, Event: event(made, audit.APITokenRotated)}, nil
					}
					if err := db.Tokens().Change(t.Context(), auth.NoActor("a test"), made.AccountID, made.ID, add); err != nil {
						t.Fatal(err)
					}
					if n := knownTo(t, db, w, other); n != 1 {
						t.Errorf("%d known before, want 1", n)
					}
					at := later(30 * time.Minute)
					for range 2 { // of which the second changes nothing
						if err := end(t, db, made, x, at); err != nil {
							t.Fatal(err)
						}
						at = at.Add(time.Minute)
					}
					wantEnded(t, db, made, x, earliest(date, later(30*time.Minute)))
					if n := knownTo(t, db, w, other); n != 0 {
						t.Errorf("%d known after, want none", n)
					}
				})
			}
		}
		n, err := db.Audit().CountEvents(t.Context(), w.Account.ID, audit.Filter{Actions: []audit.Action{audit.AccessTokenRevoked}})
		if err != nil || n != 3 {
			t.Errorf("%d events of an end by a client, %v; want one each", n, err)
		}
	})
}

func earliest(a, b time.Time) time.Time {
	if !a.IsZero() && a.Before(b) {
		return a
	}
	return b
}

// wantEnded fails unless an access token has ended whatever the time is, with
// the date.
func wantEnded(t *testing.T, db *gormdb.DB, of token.Token, x token.AccessDraft, date time.Time) {
	t.Helper()
	record, err := db.Access().Credential(t.Context(), secret.AccountAccessToken, []secret.KeyedDigest{x.Digest})
	if err != nil || !record.Ended || !record.Ends[0].Equal(date) {
		t.Errorf("ended %v at %v, %v; want at %v", record.Ended, record.Ends[0], err, date)
	}
	without := func(where string, list []token.AccessToken) {
		t.Helper()
		if len(list) != 1 || list[0].ID == x.Record.ID {
			t.Errorf("%s: %+v", where, list)
		}
	}
	live, err := db.Tokens().AccessTokens(t.Context(), of.AccountID, []uuid.UUID{of.ID}, noon)
	if err != nil {
		t.Fatal(err)
	}
	without("listed", live[of.ID])
	err = db.Tokens().Change(t.Context(), auth.NoActor("a test"), of.AccountID, of.ID, func(_ token.Token, existing []token.AccessToken) (token.Change, error) {
		without("handed over", existing)
		return token.Change{Event: event(of, audit.APITokenUpdated)}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// knownTo is how many live API tokens a person knows at noon.
func knownTo(t *testing.T, db *gormdb.DB, w dbtest.World, userID uuid.UUID) int {
	t.Helper()
	var known map[uuid.UUID][]token.Token
	err := db.Offboard().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, func(c offboard.Change) (err error) {
		known, err = c.TokensKnownTo(t.Context(), []uuid.UUID{userID}, noon)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return len(known[userID])
}

func TestChangeRefused(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w, other := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		made, _ := issue(t, db, w, uuid.Nil)
		refused := errors.New("refused")
		err := db.Tokens().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, made.ID, func(token.Token, []token.AccessToken) (token.Change, error) {
			return token.Change{}, fault.Wrap(refused, fault.Conflict, "No.")
		})
		if !errors.Is(err, refused) || fault.KindOf(err) != fault.Conflict {
			t.Errorf("the decision's error is %v", err)
		}
		never := func(token.Token, []token.AccessToken) (token.Change, error) {
			t.Error("decided on a token that is not there")
			return token.Change{}, nil
		}
		mustBe(t, db.Tokens().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, uuid.New(), never), fault.NotFound)
		mustBe(t, db.Tokens().Change(t.Context(), auth.NoActor("a test"), other.Account.ID, made.ID, never), fault.NotFound)
		t.Run("an error while keeping takes all back", func(t *testing.T) {
			err := db.Tokens().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, made.ID, func(got token.Token, access []token.AccessToken) (token.Change, error) {
				got.Name = "Half"
				return token.Change{Token: &got, Access: &token.AccessDraft{Record: access[0]}, Event: event(got, audit.APITokenUpdated)}, nil
			})
			mustBe(t, err, fault.Conflict)
			if got, err := db.Tokens().Token(t.Context(), w.Account.ID, made.ID); err != nil || got.Name != made.Name {
				t.Errorf("%v, %v", got, err)
			}
		})
	})
}

// Changes of one token, on several replicas, come one after the other: each
// decides on what the one before it left.
func TestChangesComeInTurn(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		handles := []*gormdb.DB{dbtest.Open(t, url), dbtest.Open(t, url)}
		w := dbtest.Seed{}.Make(t, handles[0])
		made, _ := issue(t, handles[0], w, uuid.Nil, func(d *token.Draft) { d.Token.Name = "0" })
		const changes = 30
		var group errgroup.Group
		for i := range changes {
			group.Go(func() error {
				return handles[i%2].Tokens().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, made.ID, func(got token.Token, _ []token.AccessToken) (token.Change, error) {
					n, err := strconv.Atoi(got.Name)
					got.Name = strconv.Itoa(n + 1)
					return token.Change{Token: &got, Event: event(got, audit.APITokenUpdated)}, err
				})
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		if got, err := handles[1].Tokens().Token(t.Context(), w.Account.ID, made.ID); err != nil || got.Name != strconv.Itoa(changes) {
			t.Errorf("the count is %s, %v; want %d", got.Name, err, changes)
		}
	})
}
