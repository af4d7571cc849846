package token_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/token"
)

// fixture is a service over a database that has an account with two stores. The first
// store has its own owner.
type fixture struct {
	*token.Service
	*world.Services

	t     *testing.T
	home  dbtest.World
	owner *auth.Principal
}

func eachFixture(t *testing.T, test func(*testing.T, *fixture)) {
	t.Helper()
	world.Each(t, world.Options{}, func(t *testing.T, w *world.Services) { test(t, newFixture(t, w)) })
}

func newFixture(t *testing.T, w *world.Services) *fixture {
	t.Helper()
	h := &fixture{Service: w.Tokens, Services: w, t: t, home: dbtest.Seed{Stores: 2, StoreOwner: true}.Make(t, w.DB)}
	h.owner = world.Owner(h.home)
	return h
}

func (h *fixture) storeOwner(i int) *auth.Principal {
	return &auth.Principal{NoCredential: "a test", Kind: auth.Session, ID: h.home.StoreOwner.ID,
		AccountID: h.home.Account.ID, OwnedStores: []uuid.UUID{h.home.Stores[i].ID}}
}

// request returns a valid request for a token of the level, for the first store on
// store level.
func (h *fixture) request(level scope.Level) token.Request {
	if level == scope.LevelStore {
		return request(ownerOf(h.home.Account, h.home.Stores[0]))
	}
	return request(token.AccountOwner(h.home.Account))
}

func (h *fixture) create(req token.Request) token.Issued {
	h.t.Helper()
	issued, err := h.Create(h.t.Context(), h.owner, req)
	if err != nil {
		h.t.Fatal(err)
	}
	return issued
}

// events returns the account's events, oldest first, without their IDs.
func (h *fixture) events() []audit.Event {
	h.t.Helper()
	found, err := h.DB.Audit().Events(h.t.Context(), h.home.Account.ID, audit.Filter{},
		paging.Window{Size: paging.MaxSize, Backward: true})
	if err != nil {
		h.t.Fatal(err)
	}
	var events []audit.Event
	for _, item := range slices.Backward(found.Items) {
		item.Node.ID = uuid.Nil
		events = append(events, item.Node)
	}
	return events
}

// Each change of a token, on each level, stores its result and one audit event.
func TestLifecycle(t *testing.T) {
	eachFixture(t, func(t *testing.T, h *fixture) {
		for _, level := range levels {
			t.Run(string(level), func(t *testing.T) { h.live(t, level) })
		}
	})
}

func (h *fixture) live(t *testing.T, level scope.Level) {
	h.Clock.Set(now)
	before := len(h.events())
	recorded := before
	wantEvent := func(action audit.Action, target token.Token, facts map[string]string) {
		t.Helper()
		events := h.events()
		if len(events) != recorded+1 {
			t.Fatalf("events of one action: got %d, want 1", len(events)-recorded)
		}
		recorded++
		got := events[recorded-1]
		want := audit.Event{AccountID: h.home.Account.ID, At: h.Clock.Now(),
			Actor: audit.Actor{Kind: audit.ActorUser, ID: h.owner.ID, Name: h.owner.Name}, Action: action,
			Target: audit.Target{Kind: audit.TargetAPIToken, Key: target.ID.String(), Name: target.Name},
			IP:     world.Origin.IP.String(), RequestID: world.Origin.RequestID, Details: got.Details,
			Version: 1, Sequence: int64(recorded - before), Data: got.Data}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || !maps.Equal(details(got), facts) {
			t.Errorf("event\n%+v, want\n%+v with details %v", got, want, facts)
		}
	}
	req := h.request(level)
	req.ExpiresAt, req.AllowedIPRanges = h.Clock.Now().Add(30*day), []string{"10.0.0.0/8"}
	made := h.create(req)
	grant := map[string]string{"level": string(level), "scopes": made.Token.Scopes.String(),
		"expiresAt": "2026-03-31T12:00:00Z", "allowedIpRanges": "10.0.0.0/8"}
	if level == scope.LevelStore {
		grant["storeHash"] = h.home.Stores[0].Hash
	}
	wantEvent(audit.APITokenCreated, made.Token, grant)
	h.wantStored(t, made.Token)

	h.Clock.Advance(time.Hour)
	updated, err := h.Update(t.Context(), h.owner, token.Update{ID: made.Token.ID, Name: new("Weekly export"),
		Scopes: []string{"store_v2_products_read_only"}, ExpiresAt: new(h.Clock.Now().Add(day)),
		AllowedIPRanges: []string{"10.1.0.0/16"}})
	if err != nil {
		t.Fatal(err)
	}
	wantEvent(audit.APITokenUpdated, updated,
		map[string]string{"name": "Weekly export", "scopes": "store_v2_products_read_only",
			"expiresAt": "2026-03-02T13:00:00Z", "allowedIpRanges": "10.1.0.0/16"})
	h.wantStored(t, updated)

	h.Clock.Advance(time.Hour)
	rotation, err := h.Rotate(t.Context(), h.owner, made.Token.ID, new(10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	wantEvent(audit.APITokenRotated, updated,
		map[string]string{"previousExpiresAt": "2026-03-01T14:10:00Z", "hint": rotation.AccessToken.Hint()})
	h.wantHints(t, made.Token.ID, rotation.AccessToken.Hint(), made.AccessToken.Hint())
	h.Clock.Advance(10 * time.Minute)
	h.wantHints(t, made.Token.ID, rotation.AccessToken.Hint())

	revoked, err := h.Revoke(t.Context(), h.owner, token.RevokeRequest{IDs: []uuid.UUID{made.Token.ID}, Reason: "left"})
	if err != nil || revoked.At != h.Clock.Now() {
		t.Fatalf("Revoke() = %+v, %v, want it at %v", revoked, err, h.Clock.Now())
	}
	wantEvent(audit.APITokenRevoked, updated, map[string]string{"reason": "left"})
	updated.Revocation = &token.Revocation{At: revoked.At, By: audit.ActorOf(h.owner.Subject()), Reason: "left"}
	h.wantStored(t, updated)
}

// wantStored compares the stored token with want.
func (h *fixture) wantStored(t *testing.T, want token.Token) {
	t.Helper()
	got, err := h.Get(t.Context(), inAccount(h.home.Account, operator()), want.ID)
	if err != nil || !sameToken(got, want) || got.StoreHash != want.StoreHash || got.CreatedBy != want.CreatedBy ||
		got.Level() != want.Level() ||
		fmt.Sprintf("%+v", got.Revocation) != fmt.Sprintf("%+v", want.Revocation) {
		t.Errorf("stored %+v, %v, want %+v", got, err, want)
	}
}

// wantHints compares the hints of the live access tokens, newest first.
func (h *fixture) wantHints(t *testing.T, id uuid.UUID, want ...string) {
	t.Helper()
	live, err := h.AccessTokens(t.Context(), h.owner, []uuid.UUID{id})
	var got []string
	for _, a := range live[id] {
		got = append(got, a.Hint)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("live access tokens %q, %v, want %q", got, err, want)
	}
}

// Lists have the tokens that the query selects, and none of the other level,
// another store or another account.
func TestLists(t *testing.T) {
	eachFixture(t, func(t *testing.T, h *fixture) {
		made := map[string]token.Token{}
		for name, req := range map[string]token.Request{
			"account": h.request(scope.LevelAccount), "us": h.request(scope.LevelStore),
			"eu": request(ownerOf(h.home.Account, h.home.Stores[1])),
		} {
			req.Name = name + " active"
			made[req.Name] = h.create(req).Token
			req.Name, req.ExpiresAt = name+" expired", now.Add(time.Minute)
			made[req.Name] = h.create(req).Token
			req.Name, req.ExpiresAt = name+" revoked", time.Time{}
			made[req.Name] = h.create(req).Token
			if _, err := h.Revoke(t.Context(), h.owner,
				token.RevokeRequest{IDs: []uuid.UUID{made[req.Name].ID}}); err != nil {
				t.Fatal(err)
			}
		}
		h.Clock.Set(now.Add(time.Hour))
		stores := []uuid.UUID{h.home.Stores[0].ID, h.home.Stores[1].ID}
		foreignOwner := &auth.Principal{NoCredential: "a test", Kind: auth.Session,
			AccountID: dbtest.Seed{}.Make(t, h.DB).Account.ID, AccountOwner: true}
		for _, tc := range []struct {
			name   string
			filter token.Filter
			want   []string
		}{
			{"by default", token.Filter{}, []string{"active", "expired"}},
			{"active", token.Filter{Statuses: []token.Status{token.Active}}, []string{"active"}},
			{"revoked and active", token.Filter{Statuses: []token.Status{token.Revoked, token.Active}},
				[]string{"active", "revoked"}},
			{"by an implied scope", token.Filter{Scope: "store_v2_products_read_only"}, []string{"active", "expired"}},
			{"by a scope that none holds", token.Filter{Scope: "store_cart"}, nil},
			{"unused since before their creation", token.Filter{UnusedSince: now}, nil},
		} {
			t.Run(tc.name, func(t *testing.T) {
				q, err := h.Query(tc.filter)
				if err != nil {
					t.Fatal(err)
				}
				whole := paging.Request{First: new(100)}
				w, _ := whole.Window(paging.MaxSize)
				account, err := h.AccountTokens(t.Context(), h.owner, q, whole)
				wantNames(t, account, err, "account", tc.want)
				byStore, err := h.StoreTokens(t.Context(), h.owner, stores, q, w)
				wantNames(t, byStore[stores[0]], err, "us", tc.want)
				wantNames(t, byStore[stores[1]], err, "eu", tc.want)
				n, err := h.CountAccountTokens(t.Context(), h.owner, q)
				ns, errs := h.CountStoreTokens(t.Context(), h.owner, stores, q)
				if want := int64(len(tc.want)); err != nil || errs != nil || n != want || ns[stores[0]] != want ||
					ns[stores[1]] != want {
					t.Errorf("counted %d and %v, %v, %v, want %d each", n, ns, err, errs, want)
				}
				account, err = h.AccountTokens(t.Context(), foreignOwner, q, whole)
				wantNames(t, account, err, "account", nil)
				byStore, err = h.StoreTokens(t.Context(), foreignOwner, stores, q, w)
				wantNames(t, byStore[stores[0]], err, "us", nil)
			})
		}
		if _, err := h.AccountTokens(t.Context(), h.owner, token.Query{},
			paging.Request{First: new(-1)}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("a page of -1: got error %v, want kind %s", err, fault.Invalid)
		}
	})
}

func wantNames(t *testing.T, got paging.Page[token.Token], err error, owner string, statuses []string) {
	t.Helper()
	var names, want []string
	for _, item := range got.Items {
		names = append(names, item.Node.Name)
	}
	for _, status := range slices.Backward(statuses) { // newest first
		want = append(want, owner+" "+status)
	}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("listed %q, %v, want %q", names, err, want)
	}
}

// The limit counts the active tokens of one owner. The 51st is rejected on each
// level.
func TestLimit(t *testing.T) {
	eachFixture(t, func(t *testing.T, h *fixture) {
		for _, level := range levels {
			t.Run(string(level), func(t *testing.T) {
				h.Clock.Set(now)
				req := h.request(level)
				first := h.create(req).Token
				req.ExpiresAt = now.Add(time.Hour)
				for range token.DefaultMaxLive - 1 {
					h.create(req)
				}
				full := func() {
					t.Helper()
					_, err := h.Create(t.Context(), h.owner, req)
					wantFaults(t, err, "LIMIT_REACHED")
				}
				full()
				if _, err := h.Revoke(t.Context(), h.owner,
					token.RevokeRequest{IDs: []uuid.UUID{first.ID}}); err != nil {
					t.Fatal(err)
				}
				h.create(req)
				full()
				other := request(ownerOf(h.home.Account, h.home.Stores[1]))
				h.create(other) // the limit is per owner
				h.Clock.Set(req.ExpiresAt)
				req.ExpiresAt = time.Time{}
				h.create(req)
			})
		}
	})
}

// A token that does not exist and one of another account or store return the same
// error.
func TestHiddenTokensAreNotFound(t *testing.T) {
	eachFixture(t, func(t *testing.T, h *fixture) {
		target := h.create(h.request(scope.LevelStore)).Token.ID
		foreignOwner := &auth.Principal{NoCredential: "a test", Kind: auth.Session,
			AccountID: dbtest.Seed{}.Make(t, h.DB).Account.ID, AccountOwner: true}
		for name, by := range map[string]*auth.Principal{"another account's owner": foreignOwner,
			"another store's owner": h.storeOwner(1)} {
			for action, try := range map[string]func(id uuid.UUID) error{
				"get": func(id uuid.UUID) error { _, err := h.Get(t.Context(), by, id); return err },
				"update": func(id uuid.UUID) error {
					_, err := h.Update(t.Context(), by, token.Update{ID: id, Name: new("Mine now")})
					return err
				},
				"rotate": func(id uuid.UUID) error { _, err := h.Rotate(t.Context(), by, id, nil); return err },
				"revoke": func(id uuid.UUID) error {
					_, err := h.Revoke(t.Context(), by, token.RevokeRequest{IDs: []uuid.UUID{id}})
					return err
				},
			} {
				t.Run(name+", "+action, func(t *testing.T) {
					hidden, unknown := try(target), try(uuid.New())
					if fault.KindOf(hidden) != fault.NotFound || hidden.Error() != unknown.Error() {
						t.Errorf("another owner's token: error %v, want that of an unknown token: %v", hidden, unknown)
					}
				})
			}
		}
	})
}

// TokensByID returns the tokens that the principal may see. Self returns an API
// token's own record.
func TestTokensByID(t *testing.T) {
	eachFixture(t, func(t *testing.T, h *fixture) {
		account, us, eu := h.create(h.request(scope.LevelAccount)).Token, h.create(h.request(scope.LevelStore)).Token,
			h.create(request(ownerOf(h.home.Account, h.home.Stores[1]))).Token
		ids := []uuid.UUID{account.ID, us.ID, eu.ID, uuid.New()}
		unprivileged := &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: us.ID,
			AccountID: h.home.Account.ID, StoreID: us.StoreID, Scopes: us.Scopes}
		foreignOwner := &auth.Principal{NoCredential: "a test", Kind: auth.Session,
			AccountID: dbtest.Seed{}.Make(t, h.DB).Account.ID, AccountOwner: true}
		for name, tc := range map[string]struct {
			by   *auth.Principal
			want []uuid.UUID
		}{
			"the account's owner": {h.owner, ids[:3]}, "a store's owner": {h.storeOwner(1), ids[2:3]},
			"a store-level token": {unprivileged, nil}, "another account's owner": {foreignOwner, nil},
		} {
			got, err := h.TokensByID(t.Context(), tc.by, ids)
			if err != nil || len(got) != len(tc.want) {
				t.Errorf("%s got %v, %v, want %v", name, got, err, tc.want)
			}
			for _, id := range tc.want {
				check.Equal(t, got[id].ID, id, "%s: missing", name)
			}
		}
		if self, err := h.Self(t.Context(), unprivileged); err != nil || !sameToken(self, us) {
			t.Errorf("Self() = %+v, %v, want %+v", self, err, us)
		}
	})
}

// actions returns the changes of tokens, each on a new token.
func (h *fixture) actions() map[string]func(context.Context) (secret.Secret, error) {
	a, b, c := h.create(h.request(scope.LevelAccount)).Token.ID, h.create(h.request(scope.LevelStore)).Token.ID,
		h.create(h.request(scope.LevelStore)).Token.ID
	return map[string]func(context.Context) (secret.Secret, error){
		"create, account level": func(ctx context.Context) (secret.Secret, error) {
			issued, err := h.Create(ctx, h.owner, h.request(scope.LevelAccount))
			return issued.AccessToken, err
		},
		"create, store level": func(ctx context.Context) (secret.Secret, error) {
			issued, err := h.Create(ctx, h.owner, h.request(scope.LevelStore))
			return issued.AccessToken, err
		},
		"update": func(ctx context.Context) (secret.Secret, error) {
			_, err := h.Update(ctx, h.owner, token.Update{ID: a, Name: new("Another " + rand.Text()),
				ExpiresAt: new(h.Clock.Now().Add(day))})
			return secret.Secret{}, err
		},
		"rotate": func(ctx context.Context) (secret.Secret, error) {
			rotation, err := h.Rotate(ctx, h.owner, b, nil)
			return rotation.AccessToken, err
		},
		"revoke": func(ctx context.Context) (secret.Secret, error) {
			_, err := h.Revoke(ctx, h.owner, token.RevokeRequest{IDs: []uuid.UUID{a, b, c}, Reason: "left"})
			return secret.Secret{}, err
		},
	}
}
