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
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/membership"
	"latchkey/internal/oauth"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
)

func TestChangeNarrows(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		var changes recorder
		w := dbtest.Seed{}.Make(t, db)
		db.OnChange(changes.changed)
		made, value := issue(t, db, w, w.Stores[0].ID)
		want := made
		want.Name, want.Scopes, want.ExpiresAt = "Renamed", scope.NewSet("store_cart"), later(time.Hour)
		want.ChargeLimit = auth.ChargeLimit{Currency: "USD"}
		want.AllowedIPRanges = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		err := db.Tokens().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, made.ID,
			func(got token.Token, access []token.AccessToken) (token.Change, error) {
				sameTokens(t, "handed over", []token.Token{got}, []token.Token{made})
				if len(access) != 1 || access[0].Hint != value.Hint() || !access[0].ExpiresAt.IsZero() {
					t.Errorf("decide received %+v, want the access token with the hint %s, without an expiration time",
						access, value.Hint())
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
		same(t, "reported", changes.take(), []uuid.UUID{w.Account.ID})
	})
}

func TestChangeRotates(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		made, old := issue(t, db, w, uuid.Nil)
		fresh := newSecret(secret.AccountAccessToken)
		added := accessDraft(made.ID, fresh)
		var previous token.AccessToken
		err := db.Tokens().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, made.ID,
			func(_ token.Token, access []token.AccessToken) (token.Change, error) {
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
		record, err := db.Access().Credential(t.Context(), secret.StoreAccessToken, keyring.Candidates(old))
		if err != nil || !record.ExpiresAt[0].Equal(later(time.Hour)) ||
			!record.Principal.ExpiresAt.Equal(later(time.Hour)) {
			t.Errorf("the old access token: got %+v, %v, want it to expire at %v", record, err, later(time.Hour))
		}
		record, err = db.Access().Credential(t.Context(), secret.StoreAccessToken, keyring.Candidates(fresh))
		if err != nil || !record.ExpiresAt[0].IsZero() || record.Principal.ID != made.ID {
			t.Errorf("the new access token: got %+v, %v, want one of %s without an expiration time",
				record, err, made.ID)
		}
	})
}

// endings are the operations that revoke an access token immediately, at a given time.
var endings = map[string]func(*testing.T, *gormdb.DB, token.Token, token.AccessDraft, time.Time) error{
	"by a change": func(t *testing.T, db *gormdb.DB, of token.Token, x token.AccessDraft, at time.Time) error {
		return db.Tokens().Change(t.Context(), auth.NoActor("a test"), of.AccountID, of.ID,
			func(token.Token, []token.AccessToken) (token.Change, error) {
				e := event(of, audit.APITokenRotated)
				e.At = at
				return token.Change{Ended: []uuid.UUID{x.Record.ID}, Event: e}, nil
			})
	},
	"by its client": func(t *testing.T, db *gormdb.DB, of token.Token, x token.AccessDraft, at time.Time) error {
		return db.Grants().Revoke(t.Context(), auth.NoActor("a test"), oauth.Revocation{
			AccountID: of.AccountID, TokenID: of.ID, Kind: secret.AccountAccessToken,
			Candidates: []secret.KeyedDigest{x.Digest}, At: at,
			Event: event(of, audit.AccessTokenRevoked),
		})
	},
}

// A revoked access token is refused by every clock and not listed any more. Its expiration time is then at most the
// time of revocation, for servers of earlier versions, which check only that.
func TestEndedAtOnce(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Users: 1}.Make(t, db)
		other := w.Users[len(w.Users)-1].ID
		for name, end := range endings {
			for kept, date := range map[string]time.Time{"no date": {}, "an earlier date": later(time.Minute),
				"a later date": later(time.Hour)} {
				t.Run(name+", "+kept, func(t *testing.T) {
					made, _ := issue(t, db, w, uuid.Nil)
					x := accessDraft(made.ID, newSecret(secret.AccountAccessToken))
					x.Record.ExpiresAt, x.SeenBy = date, other
					add := func(token.Token, []token.AccessToken) (token.Change, error) {
						return token.Change{Access: &x, Event: event(made, audit.APITokenRotated)}, nil
					}
					if err := db.Tokens().Change(t.Context(), auth.NoActor("a test"), made.AccountID, made.ID,
						add); err != nil {
						t.Fatal(err)
					}
					check.Equal(t, knownTo(t, db, w, other), 1, "knownTo(t, db, w, other)")
					at := later(30 * time.Minute)
					for range 2 { // the second call changes nothing
						if err := end(t, db, made, x, at); err != nil {
							t.Fatal(err)
						}
						at = at.Add(time.Minute)
					}
					wantEnded(t, db, made, x, earliest(date, later(30*time.Minute)))
					check.Equal(t, knownTo(t, db, w, other), 0, "knownTo(t, db, w, other)")
				})
			}
		}
		n, err := db.Audit().CountEvents(t.Context(), w.Account.ID,
			audit.Filter{Actions: []audit.Action{audit.AccessTokenRevoked}})
		if err != nil || n != 3 {
			t.Errorf("%d events of a revocation by a client, %v; want one each", n, err)
		}
	})
}

func earliest(a, b time.Time) time.Time {
	if !a.IsZero() && a.Before(b) {
		return a
	}
	return b
}

// wantEnded fails the test unless an access token is revoked and has the expiration time date.
func wantEnded(t *testing.T, db *gormdb.DB, of token.Token, x token.AccessDraft, date time.Time) {
	t.Helper()
	record, err := db.Access().Credential(t.Context(), secret.AccountAccessToken, []secret.KeyedDigest{x.Digest})
	if err != nil || !record.Revoked || !record.ExpiresAt[0].Equal(date) {
		t.Errorf("ended %v at %v, %v; want at %v", record.Revoked, record.ExpiresAt[0], err, date)
	}
	without := func(where string, list []token.AccessToken) {
		t.Helper()
		if len(list) != 1 || list[0].ID == x.Record.ID {
			t.Errorf("%s: got %+v, want one access token, not %s", where, list, x.Record.ID)
		}
	}
	live, err := db.Tokens().AccessTokens(t.Context(), of.AccountID, []uuid.UUID{of.ID}, noon)
	if err != nil {
		t.Fatal(err)
	}
	without("listed", live[of.ID])
	err = db.Tokens().Change(t.Context(), auth.NoActor("a test"), of.AccountID, of.ID,
		func(_ token.Token, existing []token.AccessToken) (token.Change, error) {
			without("handed over", existing)
			return token.Change{Event: event(of, audit.APITokenUpdated)}, nil
		})
	if err != nil {
		t.Fatal(err)
	}
}

// knownTo returns how many live API tokens a user knows at noon.
func knownTo(t *testing.T, db *gormdb.DB, w dbtest.World, userID uuid.UUID) int {
	t.Helper()
	var known map[uuid.UUID][]token.Token
	err := db.Memberships().Change(t.Context(), auth.NoActor("a test"), w.Account.ID,
		func(c membership.Change) (err error) {
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
		err := db.Tokens().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, made.ID,
			func(token.Token, []token.AccessToken) (token.Change, error) {
				return token.Change{}, fault.Wrap(refused, fault.Conflict, "No.")
			})
		if !errors.Is(err, refused) || fault.KindOf(err) != fault.Conflict {
			t.Errorf("the decision's error: got %v, want %v of kind %s", err, refused, fault.Conflict)
		}
		never := func(token.Token, []token.AccessToken) (token.Change, error) {
			t.Error("decide was called for a token that does not exist, want no call")
			return token.Change{}, nil
		}
		mustBe(t, db.Tokens().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, uuid.New(), never),
			fault.NotFound)
		mustBe(t, db.Tokens().Change(t.Context(), auth.NoActor("a test"), other.Account.ID, made.ID, never),
			fault.NotFound)
		t.Run("an error while saving rolls everything back", func(t *testing.T) {
			err := db.Tokens().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, made.ID,
				func(got token.Token, access []token.AccessToken) (token.Change, error) {
					got.Name = "Half"
					return token.Change{Token: &got, Access: &token.AccessDraft{Record: access[0]},
						Event: event(got, audit.APITokenUpdated)}, nil
				})
			mustBe(t, err, fault.Conflict)
			if got, err := db.Tokens().Token(t.Context(), w.Account.ID, made.ID); err != nil || got.Name != made.Name {
				t.Errorf("a failed change left %v, %v, want the name %q", got, err, made.Name)
			}
		})
	})
}

// Concurrent changes of one token, on several replicas, run one after another: each decides with the result of the
// one before.
func TestChangesComeInTurn(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		handles := []*gormdb.DB{dbtest.Open(t, url), dbtest.Open(t, url)}
		w := dbtest.Seed{}.Make(t, handles[0])
		made, _ := issue(t, handles[0], w, uuid.Nil, func(d *token.Draft) { d.Token.Name = "0" })
		const changes = 30
		var group errgroup.Group
		for i := range changes {
			group.Go(func() error {
				return handles[i%2].Tokens().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, made.ID,
					func(got token.Token, _ []token.AccessToken) (token.Change, error) {
						n, err := strconv.Atoi(got.Name)
						got.Name = strconv.Itoa(n + 1)
						return token.Change{Token: &got, Event: event(got, audit.APITokenUpdated)}, err
					})
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		if got, err := handles[1].Tokens().Token(t.Context(), w.Account.ID, made.ID); err != nil ||
			got.Name != strconv.Itoa(changes) {
			t.Errorf("the count is %s, %v; want %d", got.Name, err, changes)
		}
	})
}
