package token_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	"latchkey/internal/token"
)

var ctx = context.Background()

// details returns an event's details as a map.
func details(e audit.Event) map[string]string {
	m := map[string]string{}
	for _, d := range e.Details {
		m[d.Name] = d.Value
	}
	return m
}

func TestCreate(t *testing.T) {
	for _, tc := range []struct {
		level   scope.Level
		kind    secret.Kind
		details map[string]string
	}{
		{scope.LevelAccount, secret.AccountAccessToken, map[string]string{"level": "ACCOUNT"}},
		{scope.LevelStore, secret.StoreAccessToken, map[string]string{"level": "STORE", "storeHash": "acme1us"}},
	} {
		t.Run(string(tc.level), func(t *testing.T) {
			repo, clock, by := newMemoryRepository(), now.Add(999), accountOwner(acme)
			by.Origin = auth.Origin{IP: netip.MustParseAddr("192.0.2.1"), RequestID: "r1"}
			req := request(owners[tc.level])
			req.ExpiresAt, req.AllowedIPRanges = now.Add(day), []string{"10.0.0.0/8", "192.0.2.1"}
			issued, err := service(t, repo, &clock).Create(ctx, by, req)
			if err != nil {
				t.Fatal(err)
			}
			if issued.AccessToken.Kind() != tc.kind || issued.ClientSecret.Kind() != secret.ClientSecret {
				t.Errorf("kinds of the secrets: got %s and %s, want %s and %s",
					issued.AccessToken.Kind(), issued.ClientSecret.Kind(), tc.kind, secret.ClientSecret)
			}
			got := issued.Token
			if got.Level() != tc.level || got.AccountID != acme.ID || got.CreatedAt != now ||
				got.CreatedBy != audit.ActorOf(by.Subject()) || len(got.ClientID) != 31 {
				t.Errorf("token: got %+v, want one of %s, level %s, created by %v at %v",
					got, acme.ID, tc.level, audit.ActorOf(by.Subject()), now)
			}
			draft := repo.drafts[0]
			if draft.MaxLive != token.DefaultMaxLive || draft.Access.Record.Hint != issued.AccessToken.Hint() ||
				draft.Access.Record.APITokenID != got.ID {
				t.Errorf("draft: got %+v, want it with the limit %d and the hint %s",
					draft, token.DefaultMaxLive, issued.AccessToken.Hint())
			}
			want := audit.Event{
				ID: draft.Event.ID, AccountID: acme.ID, At: now, Actor: audit.ActorOf(by.Subject()),
				Action: audit.APITokenCreated,
				Target: audit.Target{Kind: audit.TargetAPIToken, Key: got.ID.String(), Name: "Nightly export"},
				IP:     "192.0.2.1", RequestID: "r1", Details: draft.Event.Details, Data: got.Data(now),
			}
			check.Equal(t, fmt.Sprint(draft.Event), fmt.Sprint(want), "event %+v, %+v", draft.Event, want)
			wantDetails := maps.Clone(tc.details)
			wantDetails["scopes"], wantDetails["expiresAt"] = "store_v2_products store_v2_products_read_only",
				"2026-03-02T12:00:00Z"
			wantDetails["allowedIpRanges"] = "10.0.0.0/8 192.0.2.1/32"
			check.Equal(t, details(draft.Event), wantDetails, "details")
		})
	}
}

func TestCreateFails(t *testing.T) {
	broken := errors.New("the disk is full")
	clock := now
	t.Run("broken rules", func(t *testing.T) {
		repo := newMemoryRepository()
		_, err := service(t, repo, &clock).Create(ctx, accountOwner(acme),
			token.Request{Owner: owners[scope.LevelStore]})
		wantFaults(t, err, "INVALID name", "INVALID scopes")
		if len(repo.drafts) > 0 {
			t.Errorf("stored drafts: got %d, want none", len(repo.drafts))
		}
	})
	t.Run("error of the repository", func(t *testing.T) {
		repo := newMemoryRepository()
		repo.failing = broken
		issued, err := service(t, repo, &clock).Create(ctx, accountOwner(acme), request(owners[scope.LevelStore]))
		if !errors.Is(err, broken) || issued.AccessToken.Reveal() != "" || issued.ClientSecret.Reveal() != "" {
			t.Errorf("Create() = %v, %v, want no secrets and the error %v", issued, err, broken)
		}
	})
	for _, n := range []int{0, 32, 32 + 31, 32 + 31 + 31} {
		t.Run(fmt.Sprintf("when randomness ends after %d bytes", n), func(t *testing.T) {
			repo := newMemoryRepository()
			keys, err := secret.NewKeyring(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			short := token.NewService(repo, policy(), keys, bytes.NewReader(make([]byte, n)),
				func() time.Time { return now })
			_, err = short.Create(ctx, accountOwner(acme), request(owners[scope.LevelStore]))
			if fault.KindOf(err) != fault.Internal || len(repo.drafts) > 0 {
				t.Errorf("Create without randomness: error %v, %d stored, want an internal error and none",
					err, len(repo.drafts))
			}
		})
	}
}

// Check returns the errors of Create and stores nothing.
func TestCheckIssuesNothing(t *testing.T) {
	repo, clock := newMemoryRepository(), now
	s := service(t, repo, &clock)
	for level, owner := range owners {
		wantFaults(t, s.Check(accountOwner(acme), request(owner)))
		wantFaults(t, s.Check(accountOwner(acme), token.Request{Owner: owner}), "INVALID name", "INVALID scopes")
		wantFaults(t, s.Check(storeOwner(acmeEU), request(owner)), "FORBIDDEN")
		if len(repo.drafts) > 0 {
			t.Errorf("Check on level %s stored %d drafts, want none", level, len(repo.drafts))
		}
	}
}

// issued creates a token of the level.
func issued(t *testing.T, s *token.Service, level scope.Level, change func(*token.Request)) token.Token {
	t.Helper()
	req := request(owners[level])
	if change != nil {
		change(&req)
	}
	got, err := s.Create(ctx, accountOwner(acme), req)
	if err != nil {
		t.Fatal(err)
	}
	return got.Token
}

func TestUpdate(t *testing.T) {
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			repo, clock := newMemoryRepository(), now
			s := service(t, repo, &clock)
			before := issued(t, s, level, nil)
			clock = now.Add(time.Hour)
			got, err := s.Update(ctx, accountOwner(acme),
				token.Update{ID: before.ID, Name: new("Weekly export"),
					Scopes: []string{"store_v2_products_read_only"}})
			if err != nil {
				t.Fatal(err)
			}
			if got.Name != "Weekly export" || got.Scopes.String() != "store_v2_products_read_only" ||
				!sameToken(got, repo.tokens[before.ID]) {
				t.Errorf("Update() = %+v, stored %+v, want both renamed and narrowed", got, repo.tokens[before.ID])
			}
			e := repo.events[len(repo.events)-1]
			want := map[string]string{"name": "Weekly export", "scopes": "store_v2_products_read_only"}
			if e.Action != audit.APITokenUpdated || e.At != clock || e.Target.Name != "Weekly export" ||
				!maps.Equal(details(e), want) {
				t.Errorf("event: got %+v, want %s at %v with the details %v", e, audit.APITokenUpdated, clock, want)
			}
		})
	}
}

// A write that fails returns nothing, in particular no secret.
func TestUpdateAndRotateFail(t *testing.T) {
	repo, clock := newMemoryRepository(), now
	s := service(t, repo, &clock)
	target := issued(t, s, scope.LevelAccount, nil)
	repo.failing = errors.New("the disk is full")
	updated, err := s.Update(ctx, accountOwner(acme), token.Update{ID: target.ID, Name: new("Another name")})
	if !errors.Is(err, repo.failing) || updated.Name != "" {
		t.Errorf("Update() = %+v, %v, want no token and the error %v", updated, err, repo.failing)
	}
	rotation, err := s.Rotate(ctx, accountOwner(acme), target.ID, nil)
	if !errors.Is(err, repo.failing) || rotation.AccessToken.Reveal() != "" {
		t.Errorf("Rotate() = %+v, %v, want no secret and the error %v", rotation, err, repo.failing)
	}
}

// The errors for a token that the principal may not change.
func TestUpdateAndRotateWithoutRights(t *testing.T) {
	reader := storeOwner(acmeUS)
	reader.Scopes = scope.NewSet(scope.AccountAPITokensRead)
	for _, tc := range []struct {
		name   string
		by     *auth.Principal
		target scope.Level
		want   string
	}{
		{"a store's owner, an account-level token", storeOwner(acmeUS), scope.LevelAccount, "NOT_FOUND id"},
		{"a store's owner, another store's token", storeOwner(acmeEU), scope.LevelStore, "NOT_FOUND id"},
		{"a store's owner who may list all tokens", reader, scope.LevelAccount, "FORBIDDEN"},
		{"the owner of another account", accountOwner(globex), scope.LevelStore, "NOT_FOUND id"},
		{"a token of another account", issuer(globex), scope.LevelAccount, "NOT_FOUND id"},
		{"a token that may only read tokens", apiToken(acme, scope.AccountAPITokensRead), scope.LevelAccount,
			"FORBIDDEN"},
		{"a token without rights to tokens", apiToken(acme, "store_cart"), scope.LevelStore, "FORBIDDEN"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			repo, clock := newMemoryRepository(), now
			s := service(t, repo, &clock)
			target := issued(t, s, tc.target, nil)
			_, err := s.Update(ctx, tc.by, token.Update{ID: target.ID, Name: new("Mine now")})
			wantFaults(t, err, tc.want)
			rotation, err := s.Rotate(ctx, tc.by, target.ID, nil)
			wantFaults(t, err, tc.want)
			if rotation.AccessToken.Reveal() != "" || len(repo.events) != 1 ||
				repo.tokens[target.ID].Name != target.Name {
				t.Errorf("a refused change: %d events, token %+v, want no change",
					len(repo.events)-1, repo.tokens[target.ID])
			}
		})
	}
}

func TestRotate(t *testing.T) {
	for _, tc := range []struct {
		name     string
		overlap  *time.Duration
		expires  time.Time
		previous time.Time
		lives    int
	}{
		{"by default", nil, time.Time{}, now.Add(token.DefaultOverlap), 2},
		{"immediately", new(time.Duration(0)), time.Time{}, now, 1},
		{"with an overlap", new(time.Hour), time.Time{}, now.Add(time.Hour), 2},
		{"not later than the token's expiration", nil, now.Add(time.Hour), now.Add(time.Hour), 2},
	} {
		for _, level := range levels {
			t.Run(fmt.Sprintf("%s, %s level", tc.name, level), func(t *testing.T) {
				repo, clock := newMemoryRepository(), now
				s := service(t, repo, &clock)
				target := issued(t, s, level, func(r *token.Request) { r.ExpiresAt = tc.expires })
				got, err := s.Rotate(ctx, accountOwner(acme), target.ID, tc.overlap)
				if err != nil {
					t.Fatal(err)
				}
				if !got.PreviousExpiresAt.Equal(tc.previous) || got.Token.ID != target.ID {
					t.Errorf("previous one expires at %v, want %v", got.PreviousExpiresAt, tc.previous)
				}
				stored := repo.access[target.ID]
				if len(stored) != 2 || !stored[1].ExpiresAt.IsZero() || stored[1].Hint != got.AccessToken.Hint() {
					t.Errorf("stored access tokens: got %+v, want two, the last without an expiration time", stored)
				}
				// An access token that ends immediately is ended, not given an
				// expiration time: another server's clock may be behind.
				if atOnce := tc.lives == 1; repo.hasEnded(stored[0]) != atOnce ||
					stored[0].ExpiresAt.Equal(tc.previous) == atOnce {
					t.Errorf("the previous access token: got %+v, ended %t, want ended %t",
						stored[0], repo.hasEnded(stored[0]), atOnce)
				}
				check.Equal(t, len(repo.live(target.ID, now)), tc.lives, "len(repo.live(target.ID, now))")
				e := repo.events[len(repo.events)-1]
				want := map[string]string{"previousExpiresAt": tc.previous.Format(time.RFC3339),
					"hint": got.AccessToken.Hint()}
				if e.Action != audit.APITokenRotated || !maps.Equal(details(e), want) {
					t.Errorf("event: got %+v, want %s with the details %v", e, audit.APITokenRotated, want)
				}
			})
		}
	}
}

// After any number of rotations, with any clocks of the replicas, only the newest
// access token works, and the previous one during its overlap.
func TestAtMostTwoAccessTokensLive(t *testing.T) {
	for name, step := range map[string]time.Duration{"forward": time.Minute, "standing": 0, "backward": -time.Minute} {
		t.Run(name, func(t *testing.T) {
			repo, clock := newMemoryRepository(), now
			s := service(t, repo, &clock)
			target := issued(t, s, scope.LevelAccount, nil)
			for range 5 {
				clock = clock.Add(step)
				if _, err := s.Rotate(ctx, accountOwner(acme), target.ID, new(token.MaxOverlap)); err != nil {
					t.Fatal(err)
				}
				stored := repo.access[target.ID]
				last, previous := stored[len(stored)-1], stored[len(stored)-2]
				live := repo.live(target.ID, clock)
				if !slices.Contains(live, last) || !slices.Contains(live, previous) || !last.ExpiresAt.IsZero() {
					t.Fatalf("live access tokens: got %+v, want the last two of %+v", live, stored)
				}
				if len(live) != 2 {
					t.Fatalf("%d live, want 2", len(live))
				}
			}
		})
	}
}

// An expired access token keeps its expiration time. The next rotation still ends
// it, since it may not have expired by another replica's clock.
func TestRotationKeepsPastExpirations(t *testing.T) {
	repo, clock := newMemoryRepository(), now
	s := service(t, repo, &clock)
	target := issued(t, s, scope.LevelStore, nil)
	for range 3 {
		clock = clock.Add(day)
		if _, err := s.Rotate(ctx, storeOwner(acmeUS), target.ID, new(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []time.Time{now.Add(day + time.Hour), now.Add(2*day + time.Hour), now.Add(3*day + time.Hour),
		{}} {
		check.Equal(t, repo.access[target.ID][i].ExpiresAt, want, "access token %d ended at", i)
	}
	if access := repo.access[target.ID]; !repo.hasEnded(access[0]) || !repo.hasEnded(access[1]) ||
		len(repo.ended) != 2 {
		t.Errorf("%+v: ended %v, want the first two", access, repo.ended)
	}
}

func TestGet(t *testing.T) {
	repo, clock := newMemoryRepository(), now
	s := service(t, repo, &clock)
	tokens := map[scope.Level]token.Token{}
	for _, level := range levels {
		tokens[level] = issued(t, s, level, nil)
	}
	for _, tc := range []struct {
		name string
		by   *auth.Principal
		sees []scope.Level
	}{
		{"the account's owner", accountOwner(acme), levels},
		{"the store's owner", storeOwner(acmeUS), []scope.Level{scope.LevelStore}},
		{"the owner of another store", storeOwner(acmeEU), nil},
		{"the owner of another account", accountOwner(globex), nil},
		{"a token that may read tokens", apiToken(acme, scope.AccountAPITokensRead), levels},
		{"a token that may not", apiToken(acme, "store_cart"), nil},
		{"a token of another account", apiToken(globex, scope.AccountAPITokensRead), nil},
		{"the operator, in the account", inAccount(acme, operator()), levels},
		{"the operator, in another account", inAccount(globex, operator()), nil},
	} {
		for _, level := range levels {
			t.Run(fmt.Sprintf("%s, %s level", tc.name, level), func(t *testing.T) {
				got, err := s.Get(ctx, tc.by, tokens[level].ID)
				if slices.Contains(tc.sees, level) {
					if err != nil || got.ID != tokens[level].ID {
						t.Errorf("Get(%s) = %v, %v, want the token", tokens[level].ID, got, err)
					}
				} else if got.Name != "" || err == nil || err.Error() != token.ErrNoToken().Error() {
					t.Errorf("got %v, %v, want %v", got, err, token.ErrNoToken())
				}
			})
		}
	}
}

func TestQuery(t *testing.T) {
	repo, clock := newMemoryRepository(), now.Add(999)
	s := service(t, repo, &clock)
	q, err := s.Query(token.Filter{})
	if err != nil || !slices.Equal(q.Statuses, []token.Status{token.Active, token.Expired}) || q.Now != now {
		t.Errorf("Query of no filter = %+v, %v, want active and expired tokens at %v", q, err, now)
	}
	statuses := []token.Status{token.Revoked, token.Active, token.Revoked}
	q, err = s.Query(token.Filter{Statuses: statuses, Scope: "store_cart", UnusedSince: now})
	if err != nil || !slices.Equal(q.Statuses, []token.Status{token.Active, token.Revoked}) ||
		q.Scope != "store_cart" || q.UnusedSince != now {
		t.Errorf("Query of a filter = %+v, %v, want its scope, its time and each of its statuses once", q, err)
	}
	check.Equal(t, statuses[0], token.Revoked, "the caller's list was changed")
	_, err = s.Query(token.Filter{Scope: "store_unheard_of"})
	wantFaults(t, err, "INVALID filter.scope")
}
