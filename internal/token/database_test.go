package token_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/dbtest"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/page"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/token"
)

// house is the service over a database with an account of two stores, the first of which has an owner of its own.
type house struct {
	*token.Service

	t     *testing.T
	url   string
	db    *gormdb.DB
	world dbtest.World
	clock time.Time
	owner *auth.Principal
}

func eachHouse(t *testing.T, test func(*testing.T, *house)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) { test(t, newHouse(t, url, nil)) })
}

func newHouse(t *testing.T, url string, onStatement func(string)) *house {
	t.Helper()
	h := &house{t: t, url: url, clock: now, db: dbtest.OpenWith(t, gormdb.Config{URL: url, OnStatement: onStatement})}
	h.world = dbtest.Seed{Stores: 2, StoreOwner: true}.Make(t, h.db)
	h.Service = service(t, h.db.Tokens(), &h.clock)
	h.owner = &auth.Principal{NoCredential: "a test", Kind: auth.Session, ID: h.world.Owner.ID, Name: h.world.Owner.Email, AccountID: h.world.Account.ID,
		AccountOwner: true, Origin: auth.Origin{IP: netip.MustParseAddr("192.0.2.1"), RequestID: "r1"}}
	return h
}

func (h *house) storeOwner(i int) *auth.Principal {
	return &auth.Principal{NoCredential: "a test", Kind: auth.Session, ID: h.world.StoreOwner.ID, AccountID: h.world.Account.ID, OwnedStores: []uuid.UUID{h.world.Stores[i].ID}}
}

// request is a good one for a token of the level, of the first store if it is the store's.
func (h *house) request(level scope.Level) token.Request {
	if level == scope.LevelStore {
		return request(ownerOf(h.world.Account, h.world.Stores[0]))
	}
	return request(token.AccountOwner(h.world.Account))
}

func (h *house) create(req token.Request) token.Issued {
	h.t.Helper()
	issued, err := h.Create(h.t.Context(), h.owner, req)
	if err != nil {
		h.t.Fatal(err)
	}
	return issued
}

// events are the account's, oldest first, without their ids.
func (h *house) events() []audit.Event {
	h.t.Helper()
	found, err := h.db.Audit().Events(h.t.Context(), h.world.Account.ID, audit.Filter{}, page.Window{Size: page.MaxSize, Backward: true})
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

// The life of a token of each level: what each deed answers is what is kept, and what the audit log says.
func TestLifeOfAToken(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		for _, level := range levels {
			t.Run(string(level), func(t *testing.T) { h.live(t, level) })
		}
	})
}

func (h *house) live(t *testing.T, level scope.Level) {
	h.clock = now
	told := len(h.events())
	wantEvent := func(action audit.Action, target token.Token, facts map[string]string) {
		t.Helper()
		events := h.events()
		if len(events) != told+1 {
			t.Fatalf("%d events for one deed", len(events)-told)
		}
		told++
		got := events[told-1]
		want := audit.Event{AccountID: h.world.Account.ID, At: h.clock, Actor: audit.Actor{Kind: audit.ActorUser, ID: h.owner.ID, Name: h.owner.Name}, Action: action,
			Target: audit.Target{Kind: audit.TargetAPIToken, Key: target.ID.String(), Name: target.Name}, IP: "192.0.2.1", RequestID: "r1", Details: got.Details}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || !maps.Equal(details(got), facts) {
			t.Errorf("the event is\n%+v, want\n%+v, with details %v", got, want, facts)
		}
	}
	req := h.request(level)
	req.ExpiresAt, req.AllowedIPRanges = h.clock.Add(30*day), []string{"10.0.0.0/8"}
	made := h.create(req)
	grant := map[string]string{"level": string(level), "scopes": made.Token.Scopes.String(), "expiresAt": "2026-03-31T12:00:00Z", "allowedIpRanges": "10.0.0.0/8"}
	if level == scope.LevelStore {
		grant["storeHash"] = h.world.Stores[0].Hash
	}
	wantEvent(audit.APITokenCreated, made.Token, grant)
	h.wantKept(t, made.Token)

	h.clock = h.clock.Add(time.Hour)
	updated, err := h.Update(t.Context(), h.owner, token.Update{ID: made.Token.ID, Name: new("Weekly export"),
		Scopes: []string{"store_v2_products_read_only"}, ExpiresAt: new(h.clock.Add(day)), AllowedIPRanges: []string{"10.1.0.0/16"}})
	if err != nil {
		t.Fatal(err)
	}
	wantEvent(audit.APITokenUpdated, updated, map[string]string{"name": "Weekly export", "scopes": "store_v2_products_read_only",
		"expiresAt": "2026-03-02T13:00:00Z", "allowedIpRanges": "10.1.0.0/16"})
	h.wantKept(t, updated)

	h.clock = h.clock.Add(time.Hour)
	rotation, err := h.Rotate(t.Context(), h.owner, made.Token.ID, new(10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	wantEvent(audit.APITokenRotated, updated, map[string]string{"previousExpiresAt": "2026-03-01T14:10:00Z", "hint": rotation.AccessToken.Hint()})
	h.wantHints(t, made.Token.ID, rotation.AccessToken.Hint(), made.AccessToken.Hint())
	h.clock = h.clock.Add(10 * time.Minute)
	h.wantHints(t, made.Token.ID, rotation.AccessToken.Hint())

	revoked, err := h.Revoke(t.Context(), h.owner, token.RevokeRequest{IDs: []uuid.UUID{made.Token.ID}, Reason: "left"})
	if err != nil || revoked.At != h.clock {
		t.Fatal(revoked, err)
	}
	wantEvent(audit.APITokenRevoked, updated, map[string]string{"reason": "left"})
	updated.Revocation = &token.Revocation{At: revoked.At, By: audit.ActorOf(h.owner.Subject()), Reason: "left"}
	h.wantKept(t, updated)
}

// wantKept compares what Get answers with want.
func (h *house) wantKept(t *testing.T, want token.Token) {
	t.Helper()
	got, err := h.Get(t.Context(), inAccount(h.world.Account, operator()), want.ID)
	if err != nil || !sameToken(got, want) || got.StoreHash != want.StoreHash || got.CreatedBy != want.CreatedBy || got.Level() != want.Level() ||
		fmt.Sprintf("%+v", got.Revocation) != fmt.Sprintf("%+v", want.Revocation) {
		t.Errorf("kept %+v, %v, want %+v", got, err, want)
	}
}

// wantHints compares the live access tokens, newest first.
func (h *house) wantHints(t *testing.T, id uuid.UUID, want ...string) {
	t.Helper()
	live, err := h.AccessTokens(t.Context(), h.owner, []uuid.UUID{id})
	var got []string
	for _, a := range live[id] {
		got = append(got, a.Hint)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("live are %q, %v, want %q", got, err, want)
	}
}

// Lists hold what the query admits and nothing of the other level, another store or another account.
func TestLists(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		made := map[string]token.Token{}
		for name, req := range map[string]token.Request{
			"account": h.request(scope.LevelAccount), "us": h.request(scope.LevelStore), "eu": request(ownerOf(h.world.Account, h.world.Stores[1])),
		} {
			req.Name = name + " active"
			made[req.Name] = h.create(req).Token
			req.Name, req.ExpiresAt = name+" expired", now.Add(time.Minute)
			made[req.Name] = h.create(req).Token
			req.Name, req.ExpiresAt = name+" revoked", time.Time{}
			made[req.Name] = h.create(req).Token
			if _, err := h.Revoke(t.Context(), h.owner, token.RevokeRequest{IDs: []uuid.UUID{made[req.Name].ID}}); err != nil {
				t.Fatal(err)
			}
		}
		h.clock = now.Add(time.Hour)
		stores := []uuid.UUID{h.world.Stores[0].ID, h.world.Stores[1].ID}
		stranger := &auth.Principal{NoCredential: "a test", Kind: auth.Session, AccountID: dbtest.Seed{}.Make(t, h.db).Account.ID, AccountOwner: true}
		for _, tc := range []struct {
			name   string
			filter token.Filter
			want   []string
		}{
			{"unless asked", token.Filter{}, []string{"active", "expired"}},
			{"active", token.Filter{Statuses: []token.Status{token.Active}}, []string{"active"}},
			{"revoked and active", token.Filter{Statuses: []token.Status{token.Revoked, token.Active}}, []string{"active", "revoked"}},
			{"by an implied scope", token.Filter{Scope: "store_v2_products_read_only"}, []string{"active", "expired"}},
			{"by a scope that none holds", token.Filter{Scope: "store_cart"}, nil},
			{"unused since before they were", token.Filter{UnusedSince: now}, nil},
		} {
			t.Run(tc.name, func(t *testing.T) {
				q, err := h.Query(tc.filter)
				if err != nil {
					t.Fatal(err)
				}
				whole := page.Request{First: new(100)}
				w, _ := whole.Window(page.MaxSize)
				account, err := h.AccountTokens(t.Context(), h.owner, q, whole)
				wantNames(t, account, err, "account", tc.want)
				byStore, err := h.StoreTokens(t.Context(), h.owner, stores, q, w)
				wantNames(t, byStore[stores[0]], err, "us", tc.want)
				wantNames(t, byStore[stores[1]], err, "eu", tc.want)
				n, err := h.CountAccountTokens(t.Context(), h.owner, q)
				ns, errs := h.CountStoreTokens(t.Context(), h.owner, stores, q)
				if want := int64(len(tc.want)); err != nil || errs != nil || n != want || ns[stores[0]] != want || ns[stores[1]] != want {
					t.Errorf("counted %d and %v, %v, %v, want %d each", n, ns, err, errs, want)
				}
				account, err = h.AccountTokens(t.Context(), stranger, q, whole)
				wantNames(t, account, err, "account", nil)
				byStore, err = h.StoreTokens(t.Context(), stranger, stores, q, w)
				wantNames(t, byStore[stores[0]], err, "us", nil)
			})
		}
		if _, err := h.AccountTokens(t.Context(), h.owner, token.Query{}, page.Request{First: new(-1)}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("a page of -1: %v", err)
		}
	})
}

func wantNames(t *testing.T, got page.Page[token.Token], err error, owner string, statuses []string) {
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

// The limit counts live tokens of one owner, and the 51st is refused on each level.
func TestLimit(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		for _, level := range levels {
			t.Run(string(level), func(t *testing.T) {
				h.clock = now
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
				if _, err := h.Revoke(t.Context(), h.owner, token.RevokeRequest{IDs: []uuid.UUID{first.ID}}); err != nil {
					t.Fatal(err)
				}
				h.create(req)
				full()
				other := request(ownerOf(h.world.Account, h.world.Stores[1]))
				h.create(other) // another owner's are counted apart
				h.clock = req.ExpiresAt
				req.ExpiresAt = time.Time{}
				h.create(req)
			})
		}
	})
}

// A token that does not exist and one of another account or store get one answer, to the letter.
func TestOutOfSightIsNowhere(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		target := h.create(h.request(scope.LevelStore)).Token.ID
		stranger := &auth.Principal{NoCredential: "a test", Kind: auth.Session, AccountID: dbtest.Seed{}.Make(t, h.db).Account.ID, AccountOwner: true}
		for name, by := range map[string]*auth.Principal{"another account's owner": stranger, "another store's owner": h.storeOwner(1)} {
			for deed, try := range map[string]func(id uuid.UUID) error{
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
				t.Run(name+", "+deed, func(t *testing.T) {
					there, nowhere := try(target), try(uuid.New())
					if fault.KindOf(there) != fault.NotFound || there.Error() != nowhere.Error() {
						t.Errorf("one of another's: %v; one that is not there: %v", there, nowhere)
					}
				})
			}
		}
	})
}

// Of many tokens asked for by id, each principal gets those it sees; a token always sees itself.
func TestTokensByID(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		account, us, eu := h.create(h.request(scope.LevelAccount)).Token, h.create(h.request(scope.LevelStore)).Token,
			h.create(request(ownerOf(h.world.Account, h.world.Stores[1]))).Token
		ids := []uuid.UUID{account.ID, us.ID, eu.ID, uuid.New()}
		blind := &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: us.ID, AccountID: h.world.Account.ID, StoreID: us.StoreID, Scopes: us.Scopes}
		stranger := &auth.Principal{NoCredential: "a test", Kind: auth.Session, AccountID: dbtest.Seed{}.Make(t, h.db).Account.ID, AccountOwner: true}
		for name, tc := range map[string]struct {
			by   *auth.Principal
			want []uuid.UUID
		}{
			"the account's owner": {h.owner, ids[:3]}, "a store's owner": {h.storeOwner(1), ids[2:3]},
			"a store-level token": {blind, nil}, "another account's owner": {stranger, nil},
		} {
			got, err := h.TokensByID(t.Context(), tc.by, ids)
			if err != nil || len(got) != len(tc.want) {
				t.Errorf("%s got %v, %v, want %v", name, got, err, tc.want)
			}
			for _, id := range tc.want {
				if got[id].ID != id {
					t.Errorf("%s misses %s", name, id)
				}
			}
		}
		if self, err := h.Self(t.Context(), blind); err != nil || !sameToken(self, us) {
			t.Errorf("a token's own record is %+v, %v", self, err)
		}
	})
}

// deeds are the changes to tokens, each on a fresh token.
func (h *house) deeds() map[string]func(context.Context) (secret.Secret, error) {
	a, b, c := h.create(h.request(scope.LevelAccount)).Token.ID, h.create(h.request(scope.LevelStore)).Token.ID, h.create(h.request(scope.LevelStore)).Token.ID
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
			_, err := h.Update(ctx, h.owner, token.Update{ID: a, Name: new("Another " + rand.Text()), ExpiresAt: new(h.clock.Add(day))})
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
