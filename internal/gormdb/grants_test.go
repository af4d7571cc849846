package gormdb_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/oauth"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
)

// grantDraft returns an access token granted to a client at the time, for an hour.
func grantDraft(t token.Token, at time.Time, most int) (oauth.Draft, secret.Secret) {
	value := newSecret(secret.OAuthAccessToken)
	d := oauth.Draft{
		AccountID: t.AccountID, TokenID: t.ID, ID: uuid.Must(uuid.NewV7()), Digest: keyring.Digest(value),
		Hint:   value.Hint(),
		Scopes: scope.NewSet("store_cart"), CreatedAt: at, ExpiresAt: at.Add(time.Hour), MaxLive: most,
	}
	d.Event = event(t, audit.AccessTokenGranted)
	return d, value
}

// The limit of an API token holds when several replicas grant at once.
func TestGrantLimitHoldsAmongReplicas(t *testing.T) {
	const replicas, attempts, most = 3, 40, 15
	dbtest.EachURL(t, func(t *testing.T, url string) {
		handles := make([]*gormdb.DB, replicas)
		for i := range handles {
			handles[i] = dbtest.Open(t, url)
		}
		w := dbtest.Seed{}.Make(t, handles[0])
		made, _ := issue(t, handles[0], w, uuid.Nil)
		besides, _ := issue(t, handles[0], w, uuid.Nil)
		var kept, refused atomic.Int32
		var group errgroup.Group
		for i := range attempts {
			d, _ := grantDraft(made, noon, most)
			group.Go(func() error {
				err := handles[i%replicas].Grants().Grant(t.Context(), auth.NoActor("a test"), d)
				switch fault.KindOf(err) {
				case "":
					kept.Add(1)
				case fault.LimitReached:
					refused.Add(1)
				default:
					return err
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		if kept.Load() != most || refused.Load() != attempts-most {
			t.Errorf("%d were granted and %d refused, want %d and %d", kept.Load(), refused.Load(), most, attempts-most)
		}
		for name, d := range map[string]func() (oauth.Draft, secret.Secret){
			"another API token": func() (oauth.Draft, secret.Secret) { return grantDraft(besides, noon, most) },
			"an hour later": func() (oauth.Draft,
				secret.Secret) {
				return grantDraft(made, later(time.Hour), most)
			},
		} {
			draft, _ := d()
			if err := handles[0].Grants().Grant(t.Context(), auth.NoActor("a test"), draft); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Expired rows are deleted a few at a time, only those of the account, and only after they have expired by every
// replica's clock.
func TestGrantsArePruned(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w, other := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		made, _ := issue(t, db, w, uuid.Nil)
		besides, _ := issue(t, db, w, uuid.Nil)
		foreign, _ := issue(t, db, other, uuid.Nil)
		grant := func(of token.Token, at time.Time) {
			t.Helper()
			d, _ := grantDraft(of, at, 100)
			if err := db.Grants().Grant(t.Context(), auth.NoActor("a test"), d); err != nil {
				t.Fatal(err)
			}
		}
		rows := func() (n int) {
			t.Helper()
			if err := raw(t, url).QueryRowContext(t.Context(),
				"SELECT count(*) FROM access_grants").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		for range 12 {
			grant(made, noon)
		}
		grant(foreign, noon)
		ended := later(time.Hour)
		for _, step := range []struct {
			name string
			of   token.Token
			at   time.Time
			want int
		}{
			{"ended, but not for every clock", besides, ended.Add(30 * time.Second), 14},
			{"ten of twelve, by another API token of the account", besides, ended.Add(2 * time.Minute), 14 - 10 + 1},
			{"the other two", made, ended.Add(2 * time.Minute), 5 - 2 + 1},
			{"nothing is left to prune", made, ended.Add(2 * time.Minute), 5},
		} {
			grant(step.of, step.at)
			check.Equal(t, rows(), step.want, "%s", step.name)
		}
	})
}

// A grant and its event are saved together or not at all, and so are a revocation and its event.
func TestGrantAndEventAreOne(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		made, _ := issue(t, db, w, uuid.Nil)
		first, value := grantDraft(made, noon, 10)
		if err := db.Grants().Grant(t.Context(), auth.NoActor("a test"), first); err != nil {
			t.Fatal(err)
		}
		second, unkept := grantDraft(made, noon, 10)
		second.Event.ID = first.Event.ID
		mustBe(t, db.Grants().Grant(t.Context(), auth.NoActor("a test"), second), fault.Conflict)
		_, err := db.Access().Credential(t.Context(), secret.OAuthAccessToken, keyring.Candidates(unkept))
		mustBe(t, err, fault.NotFound)
		end := oauth.Revocation{
			AccountID: made.AccountID, TokenID: made.ID, Kind: secret.OAuthAccessToken,
			Candidates: keyring.Candidates(value), At: noon,
			Event: first.Event,
		}
		mustBe(t, db.Grants().Revoke(t.Context(), auth.NoActor("a test"), end), fault.Conflict)
		if _, err := db.Access().Credential(t.Context(), secret.OAuthAccessToken,
			keyring.Candidates(value)); err != nil {
			t.Errorf("it was revoked without its event: %v", err)
		}
		_, err = db.Grants().Client(t.Context(), "nobody")
		mustBe(t, err, fault.NotFound)
	})
}
