package retention_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/chain"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/retention"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// server is a server that removes rows a year after they ended, over one account.
type server struct {
	*world.Services

	home    dbtest.World
	removed map[retention.Table]int64
}

func each(t *testing.T, test func(*testing.T, *server)) {
	t.Helper()
	world.Each(t, world.Options{At: time.Now().UTC().Truncate(time.Second)}, func(t *testing.T, s *world.Services) {
		test(t, &server{s, dbtest.Seed{Users: 1}.Make(t, s.DB), map[retention.Table]int64{}})
	})
}

func (s *server) job(o ...func(*retention.Config)) *retention.Job {
	c := retention.Config{
		Repository: gormdb.Retention(s.DB), Events: chain.NewPruner(gormdb.Chain(s.DB), s.Keys, s.Clock.Now),
		Ended: year, Now: s.Clock.Now, Log: slog.New(slog.DiscardHandler),
		OnRemoved: func(t retention.Table, rows int64) { s.removed[t] += rows },
	}
	for _, edit := range o {
		edit(&c)
	}
	return retention.New(c)
}

// cleans runs the job and compares what it removes.
func (s *server) cleans(t *testing.T, when string, want map[retention.Table]int64) {
	t.Helper()
	clear(s.removed)
	result, err := s.job().Once(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	check.Equal(t, result.Removed, want, "removed %s", when)
	check.Equal(t, s.removed, want, "reported to be removed %s", when)
}

func (s *server) issue(t *testing.T, by *auth.Principal, name string, lives time.Duration) token.Issued {
	t.Helper()
	req := token.Request{Owner: token.AccountOwner(s.home.Account), Name: name,
		Scopes: []string{"account_api_tokens_write", "account_read"}}
	if by.Kind == auth.APIToken {
		req.Scopes = []string{"account_read"}
	}
	if lives > 0 {
		req.ExpiresAt = s.Clock.Now().Add(lives)
	}
	issued, err := s.Tokens.Create(t.Context(), by, req)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func (s *server) revoke(t *testing.T, ids ...uuid.UUID) {
	t.Helper()
	if _, err := s.Tokens.Revoke(t.Context(), world.Owner(s.home), token.RevokeRequest{IDs: ids}); err != nil {
		t.Fatal(err)
	}
}

// verify returns the principal of a secret, or nil if it is refused.
func (s *server) verify(t *testing.T, value secret.Secret) *auth.Principal {
	t.Helper()
	record, err := s.Verifier.Verify(t.Context(), value.Reveal(), world.Origin)
	switch {
	case fault.KindOf(err) == fault.Unauthenticated:
		return nil
	case err != nil:
		t.Fatal(err)
	}
	return &record.Principal
}

// rows returns how many rows a table has.
func (s *server) rows(t *testing.T, table string) (n int) {
	t.Helper()
	for line := range strings.Lines(dbtest.Dump(t, s.URL)) {
		if strings.HasPrefix(line, table+" ") {
			n++
		}
	}
	return n
}

// API tokens that ended more than a year ago are removed with what belongs to them. Their secrets stay refused, also by
// a server that had cached them, and the others work.
func TestEndedTokensAreRemoved(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		owner := world.Owner(s.home)
		live, revoked := s.issue(t, owner, "Live", 0), s.issue(t, owner, "Revoked", 0)
		expired, unreported := s.issue(t, owner, "Expired", day), s.issue(t, owner, "Later", 300*day)
		for _, each := range []token.Issued{live, revoked, expired, unreported} {
			if s.verify(t, each.AccessToken) == nil {
				t.Fatalf("%s is refused", each.Token.Name)
			}
		}
		s.revoke(t, revoked.Token.ID)
		s.Clock.Advance(year)
		expirations := token.NewExpirations(s.DB.Expirations(), s.Clock.Now)
		if err := expirations.Report(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.cleans(t, "on the day", map[retention.Table]int64{})
		s.Clock.Advance(time.Second)
		s.cleans(t, "a year after the revocation", map[retention.Table]int64{retention.APITokens: 1})
		check.Equal(t, s.rows(t, "access_tokens"), 3, "the access tokens that are left")
		s.Clock.Advance(day)
		s.cleans(t, "a year after the expiration", map[retention.Table]int64{retention.APITokens: 1})
		s.Clock.Advance(300 * day)
		s.cleans(t, "after another one expired", map[retention.Table]int64{retention.APITokens: 1})
		s.cleans(t, "again", map[retention.Table]int64{})
		for _, each := range []token.Issued{revoked, expired, unreported} {
			if s.verify(t, each.AccessToken) != nil {
				t.Errorf("%s works after its row was removed", each.Token.Name)
			}
			fresh := world.New(t, s.URL, world.Options{Keys: s.Keys, At: s.Clock.Now()})
			if _, err := fresh.Verifier.Verify(t.Context(), each.AccessToken.Reveal(),
				world.Origin); fault.KindOf(err) != fault.Unauthenticated {
				t.Errorf("%s at another server: error %v, want that it is refused", each.Token.Name, err)
			}
		}
		if s.verify(t, live.AccessToken) == nil {
			t.Error("the live token is refused")
		}
		check.Equal(t, s.rows(t, "api_tokens"), 1, "the API tokens that are left")
		check.Equal(t, s.rows(t, "access_tokens"), 1, "the access tokens that are left")
	})
}

// A token whose expiration was not reported yet stays until it was.
func TestUnreportedTokenStays(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		s.issue(t, world.Owner(s.home), "Expired", day)
		s.Clock.Advance(2 * year)
		s.cleans(t, "before the report", map[retention.Table]int64{})
		if err := token.NewExpirations(s.DB.Expirations(), s.Clock.Now).Report(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.cleans(t, "after the report", map[retention.Table]int64{retention.APITokens: 1})
	})
}

// A revoked token stays while a token works that it issued: it leads to the users who can know that one.
func TestIssuerOfLiveTokenStays(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		member := world.Session(s.home, s.home.Users[0], auth.Principal{AccountOwner: true})
		first := s.issue(t, member, "First", 0)
		second := s.issue(t, s.verify(t, first.AccessToken), "Second", 0)
		s.revoke(t, first.Token.ID)
		s.Clock.Advance(2 * year)
		s.cleans(t, "while the second works", map[retention.Table]int64{})
		known := func() (list []string) {
			t.Helper()
			issued, err := s.Tokens.IssuedBy(t.Context(), world.Owner(s.home), []uuid.UUID{first.Token.ID})
			if err != nil {
				t.Fatal(err)
			}
			for _, each := range issued {
				if each.Status(s.Clock.Now()) == token.Active {
					list = append(list, each.Name)
				}
			}
			return list
		}
		check.Equal(t, known(), []string{"Second"}, "the tokens to review that the first one issued")
		s.revoke(t, second.Token.ID)
		s.Clock.Advance(2 * year)
		s.cleans(t, "after the second was revoked", map[retention.Table]int64{retention.APITokens: 2})
	})
}

// Access tokens that were replaced are removed, but not the last one, and none of an API token that issued another.
func TestReplacedAccessTokensAreRemoved(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		owner := world.Owner(s.home)
		rotated, issuer := s.issue(t, owner, "Rotated", 0), s.issue(t, owner, "Issuer", 0)
		s.issue(t, s.verify(t, issuer.AccessToken), "Issued", 0)
		var last secret.Secret
		for range 3 {
			s.Clock.Advance(time.Minute)
			for _, each := range []token.Issued{rotated, issuer} {
				r, err := s.Tokens.Rotate(t.Context(), owner, each.Token.ID, new(time.Duration))
				if err != nil {
					t.Fatal(err)
				}
				if each.Token.ID == rotated.Token.ID {
					last = r.AccessToken
				}
			}
		}
		s.Clock.Advance(year + time.Second)
		s.cleans(t, "a year later", map[retention.Table]int64{retention.AccessTokens: 3})
		if s.verify(t, rotated.AccessToken) != nil {
			t.Error("the first access token works")
		}
		if s.verify(t, last) == nil {
			t.Error("the last access token is refused")
		}
		check.Equal(t, s.rows(t, "access_tokens"), 6, "the access tokens that are left")
	})
}

// What was billed stays when the API token that charged is removed.
func TestChargesStay(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		issued := s.issue(t, world.Owner(s.home), "Charging", 0)
		insert := fmt.Sprintf(`INSERT INTO charges (account_id, id, kind, amount, currency, due_at, created_at, source_key,
			status, description, api_token_id) VALUES ('%s', '%s', 'ONE_TIME', 100, 'EUR', NOW, NOW, 'usage', 'PENDING', 'Usage', '%s')`,
			s.home.Account.ID, uuid.New(), issued.Token.ID)
		dbtest.Exec(t, s.URL, strings.ReplaceAll(insert, "NOW", "1"), strings.ReplaceAll(insert, "NOW", "now()"))
		s.revoke(t, issued.Token.ID)
		s.Clock.Advance(2 * year)
		s.cleans(t, "later", map[retention.Table]int64{retention.APITokens: 1})
		check.Equal(t, s.rows(t, "charges"), 1, "the charges of the token")
	})
}

// Sessions are removed in batches, those that are live are not.
func TestEndedSessionsAreRemoved(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		const many = 250
		operator := &auth.Principal{NoCredential: "a test", Kind: auth.Operator, Name: "operator",
			AccountID: s.home.Account.ID}
		start := func() secret.Secret {
			t.Helper()
			_, value, err := s.Users.StartSession(t.Context(), operator, user.SessionRequest{
				AccountID: s.home.Account.ID, Email: s.home.Owner.Email, TTL: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
		for range many {
			start()
		}
		s.Clock.Advance(year + 2*time.Hour)
		live := start()
		s.cleans(t, "a year later", map[retention.Table]int64{retention.Sessions: many})
		if s.verify(t, live) == nil {
			t.Error("the live session is refused")
		}
	})
}

// One server removes rows at a time, and the next one begins when it has ended or its lease has.
func TestOneServerAtATime(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		repo := gormdb.Retention(s.DB)
		other := uuid.New()
		if ours, err := repo.Lease(t.Context(), other, time.Hour); err != nil || !ours {
			t.Fatalf("the lease: %v, %v, want it", ours, err)
		}
		issued := s.issue(t, world.Owner(s.home), "Revoked", 0)
		s.revoke(t, issued.Token.ID)
		s.Clock.Advance(2 * year)
		result, err := s.job().Once(t.Context())
		if err != nil || !result.Elsewhere || len(result.Removed) > 0 {
			t.Errorf("beside another server: %+v, %v, want that it is at work", result, err)
		}
		if err := repo.Release(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		s.cleans(t, "afterwards", map[retention.Table]int64{retention.APITokens: 1})
	})
}

// broken fails for one account, and for all after the chain of the first.
type broken struct{ calls *int }

func (b broken) Accounts(_ context.Context, _ time.Time, after uuid.UUID, _ int) ([]uuid.UUID, error) {
	if after != uuid.Nil {
		return nil, nil
	}
	return []uuid.UUID{uuid.New(), uuid.New()}, nil
}

func (b broken) Prune(context.Context, uuid.UUID, time.Time) (int64, bool, error) {
	*b.calls++
	if *b.calls == 1 {
		return 0, true, chain.ErrBroken()
	}
	return 0, false, errors.New("the database is away")
}

// An account whose chain is not in order does not keep the events of others, and an error of the database ends the run.
func TestErrors(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		calls := 0
		result, err := s.job(func(c *retention.Config) { c.Events, c.Audit = broken{&calls}, year }).Once(t.Context())
		check.Equal(t, calls, 2, "the number of accounts")
		check.Equal(t, result.Broken, 1, "the number of accounts whose events were kept")
		if err == nil || err.Error() != "the database is away" {
			t.Errorf("the error is %v, want that of the database", err)
		}
	})
}
