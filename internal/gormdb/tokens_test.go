package gormdb_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/scope"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
)

// sameTokens compares tokens including revocations, which would print as addresses.
func sameTokens(t testing.TB, what string, got, want []token.Token) {
	t.Helper()
	same(t, what, printable(got), printable(want))
}

func printable(tokens []token.Token) []string {
	texts := make([]string, len(tokens))
	for i, tok := range tokens {
		end := "not revoked"
		if tok.Revocation != nil {
			end = fmt.Sprintf("%+v", *tok.Revocation)
		}
		tok.Revocation = nil
		texts[i] = fmt.Sprintf("%+v; %s\n", tok, end)
	}
	return texts
}

// full sets every field that a new token can have.
func full(d *token.Draft) {
	d.Token.ExpiresAt = later(time.Hour)
	d.Token.AllowedIPRanges = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"),
		netip.MustParsePrefix("2001:db8::/32")}
	d.Token.ChargeLimit = auth.ChargeLimit{Minor: 1234_56, Currency: "USD"}
	d.Token.Name = "Ключ % _ 'quoted' 🔑"
	d.Token.CreatedBy = audit.Actor{Kind: audit.ActorOperator, Name: "operator"}
}

func TestInsertedTokensAreAsTheyWere(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		for _, tc := range []struct {
			name  string
			store uuid.UUID
			edit  func(*token.Draft)
		}{
			{"account level", uuid.Nil, func(*token.Draft) {}},
			{"store level", w.Stores[0].ID, func(*token.Draft) {}},
			{"account level, every field", uuid.Nil, full},
			{"store level, every field", w.Stores[0].ID, full},
		} {
			t.Run(tc.name, func(t *testing.T) {
				d, _ := draft(w, tc.store, tc.edit)
				if err := db.Tokens().Insert(t.Context(), auth.NoActor("a test"), d); err != nil {
					t.Fatal(err)
				}
				got, err := db.Tokens().Token(t.Context(), w.Account.ID, d.Token.ID)
				if err != nil {
					t.Fatal(err)
				}
				sameTokens(t, "token", []token.Token{got}, []token.Token{d.Token})
				access, err := db.Tokens().AccessTokens(t.Context(), w.Account.ID, []uuid.UUID{d.Token.ID, uuid.New()},
					noon)
				if err != nil {
					t.Fatal(err)
				}
				same(t, "access tokens", access, map[uuid.UUID][]token.AccessToken{d.Token.ID: {d.Access.Record}})
				events, err := db.Audit().Events(t.Context(), w.Account.ID,
					audit.Filter{TargetKey: d.Token.ID.String()}, all)
				if err != nil {
					t.Fatal(err)
				}
				want := d.Event
				want.Version, want.Sequence, want.Data = 1, 1, []byte("{}")
				same(t, "events", nodes(events), []audit.Event{want})
			})
		}
	})
}

func TestInsertIsWholeOrNotAtAll(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		other := dbtest.Seed{}.Make(t, db)
		kept, _ := draft(w, w.Stores[0].ID)
		if err := db.Tokens().Insert(t.Context(), auth.NoActor("a test"), kept); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			name string
			edit func(*token.Draft)
			want fault.Kind
		}{
			{"a store of another account", func(d *token.Draft) { d.Token.StoreID = other.Stores[0].ID },
				fault.NotFound},
			{"a store that is not there", func(d *token.Draft) { d.Token.StoreID = uuid.New() }, fault.NotFound},
			{"an account that is not there",
				func(d *token.Draft) { d.Token.AccountID, d.Token.StoreID = uuid.New(), uuid.Nil }, fault.NotFound},
			{"a client id that is taken", func(d *token.Draft) { d.Token.ClientID = kept.Token.ClientID },
				fault.Conflict},
			{"a digest that is taken", func(d *token.Draft) { d.Access.Digest = kept.Access.Digest }, fault.Conflict},
			{"an event that was written", func(d *token.Draft) { d.Event.ID = kept.Event.ID }, fault.Conflict},
			{"a limit of none", func(d *token.Draft) { d.MaxLive = 0 }, fault.LimitReached},
		} {
			t.Run(tc.name, func(t *testing.T) {
				d, _ := draft(w, w.Stores[0].ID)
				tc.edit(&d)
				mustBe(t, db.Tokens().Insert(t.Context(), auth.NoActor("a test"), d), tc.want)
				_, err := db.Tokens().Token(t.Context(), d.Token.AccountID, d.Token.ID)
				mustBe(t, err, fault.NotFound)
				if n, err := db.Audit().CountEvents(t.Context(), w.Account.ID, audit.Filter{}); err != nil || n != 1 {
					t.Errorf("%d events, %v; want one", n, err)
				}
			})
		}
	})
}

// When tokens are issued and revoked at the limit at the same time, issuing either succeeds or returns
// fault.LimitReached. An actor that may issue gets no other error.
func TestLimitBesideRevocations(t *testing.T) {
	const issuers, each = 4, 40
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		_, session := startSession(t, db, w, w.Owner)
		by := actorOf(t, db, session)
		var all sync.WaitGroup
		for range issuers {
			all.Go(func() {
				for range each {
					d, _ := draft(w, w.Stores[0].ID)
					d.MaxLive = 1
					err := db.Tokens().Insert(t.Context(), by, d)
					if err == nil {
						_, err = db.Tokens().Revoke(t.Context(), by, revocationOf([]uuid.UUID{d.Token.ID}, d.Token))
					}
					if err != nil && fault.KindOf(err) != fault.LimitReached {
						t.Errorf("Insert: got error %v, want none, or kind %s", err, fault.LimitReached)
						return
					}
				}
			})
		}
		all.Wait()
	})
}

func TestTokenOfAnotherAccount(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w, other := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		kept, _ := issue(t, db, w, w.Stores[0].ID)
		_, err := db.Tokens().Token(t.Context(), other.Account.ID, kept.ID)
		mustBe(t, err, fault.NotFound)
		access, err := db.Tokens().AccessTokens(t.Context(), other.Account.ID, []uuid.UUID{kept.ID}, noon)
		if err != nil || len(access) > 0 {
			t.Errorf("AccessTokens() of another account = %v, %v, want none", access, err)
		}
		pages, err := db.Tokens().StoreTokens(t.Context(), other.Account.ID, []uuid.UUID{w.Stores[0].ID},
			token.Query{Now: noon}, all)
		if err != nil || len(pages[w.Stores[0].ID].Items) > 0 {
			t.Errorf("StoreTokens() of another account = %v, %v, want none", pages, err)
		}
	})
}

// tokenSet is one token of each kind.
type tokenSet struct{ active, expiring, expired, revoked, revokedExpired, unused, scoped token.Token }

// fill inserts a tokenSet of tokens for an owner; now is an hour after noon.
func fill(t testing.TB, db *gormdb.DB, w dbtest.World, storeID uuid.UUID) tokenSet {
	t.Helper()
	until := func(d time.Duration) func(*token.Draft) {
		return func(d2 *token.Draft) { d2.Token.ExpiresAt = later(d) }
	}
	var s tokenSet
	s.active, _ = issue(t, db, w, storeID)
	s.expiring, _ = issue(t, db, w, storeID, until(2*time.Hour))
	s.expired, _ = issue(t, db, w, storeID, until(time.Hour)) // exactly now
	s.revoked, _ = issue(t, db, w, storeID)
	s.revokedExpired, _ = issue(t, db, w, storeID, until(30*time.Minute))
	s.unused, _ = issue(t, db, w, storeID, func(d *token.Draft) { d.Token.CreatedAt = later(-time.Hour) })
	s.scoped, _ = issue(t, db, w, storeID, func(d *token.Draft) {
		d.Token.Scopes = scope.NewSet("store_v2_orders",
			"storeXcart", "store_cart2")
	})
	for _, each := range []*token.Token{&s.revoked, &s.revokedExpired} {
		revoke(t, db, *each)
		r := revocation(*each)
		each.Revocation = &r
	}
	return s
}

func TestTokenFilters(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Stores: 2}.Make(t, db)
		id, st := w.Account.ID, w.Stores[0].ID
		onAccount, inStore, elsewhere := fill(t, db, w, uuid.Nil), fill(t, db, w, st), fill(t, db, w, w.Stores[1].ID)
		for _, tc := range []struct {
			name   string
			filter token.Filter
			want   func(tokenSet) []token.Token
		}{
			{"none: active and expired", token.Filter{},
				func(s tokenSet) []token.Token {
					return []token.Token{s.scoped, s.unused, s.expired, s.expiring, s.active}
				}},
			{"active and expired", token.Filter{Statuses: []token.Status{token.Active, token.Expired}},
				func(s tokenSet) []token.Token {
					return []token.Token{s.scoped, s.unused, s.expired, s.expiring, s.active}
				}},
			{"active", token.Filter{Statuses: []token.Status{token.Active}},
				func(s tokenSet) []token.Token { return []token.Token{s.scoped, s.unused, s.expiring, s.active} }},
			{"expired", token.Filter{Statuses: []token.Status{token.Expired}},
				func(s tokenSet) []token.Token { return []token.Token{s.expired} }},
			{"revoked", token.Filter{Statuses: []token.Status{token.Revoked}},
				func(s tokenSet) []token.Token { return []token.Token{s.revokedExpired, s.revoked} }},
			{"expired and revoked", token.Filter{Statuses: []token.Status{token.Expired, token.Revoked}},
				func(s tokenSet) []token.Token { return []token.Token{s.revokedExpired, s.revoked, s.expired} }},
			{"all", token.Filter{Statuses: []token.Status{token.Active, token.Expired, token.Revoked}},
				func(s tokenSet) []token.Token {
					return []token.Token{s.scoped, s.unused, s.revokedExpired, s.revoked, s.expired, s.expiring,
						s.active}
				}},
			{"a scope, of which others are not taken for it", token.Filter{Scope: "store_cart"},
				func(s tokenSet) []token.Token { return []token.Token{s.unused, s.expired, s.expiring, s.active} }},
			{"the last scope of a set", token.Filter{Scope: "store_v2_orders"},
				func(s tokenSet) []token.Token { return []token.Token{s.scoped} }},
			{"a scope in other letters", token.Filter{Scope: "STORE_CART"},
				func(tokenSet) []token.Token { return nil }},
			{"half a scope", token.Filter{Scope: "cart"}, func(tokenSet) []token.Token { return nil }},
			{"unused since", token.Filter{UnusedSince: noon},
				func(s tokenSet) []token.Token { return []token.Token{s.unused} }},
			{"all at once", token.Filter{Statuses: []token.Status{token.Active}, Scope: "store_cart",
				UnusedSince: later(time.Second)},
				func(s tokenSet) []token.Token { return []token.Token{s.unused, s.expiring, s.active} }},
		} {
			t.Run(tc.name, func(t *testing.T) {
				q, ctx, repo := token.Query{Filter: tc.filter, Now: later(time.Hour)}, t.Context(), db.Tokens()
				list, err := repo.AccountTokens(ctx, id, q, all)
				if err != nil {
					t.Fatal(err)
				}
				sameTokens(t, "of the account", nodes(list), tc.want(onAccount))
				if n, err := repo.CountAccountTokens(ctx, id, q); err != nil || n != int64(len(list.Items)) {
					t.Errorf("CountAccountTokens() = %d, %v, want %d", n, err, len(list.Items))
				}
				pages, err := repo.StoreTokens(ctx, id, []uuid.UUID{st, w.Stores[1].ID}, q, all)
				if err != nil {
					t.Fatal(err)
				}
				sameTokens(t, "of the store", nodes(pages[st]), tc.want(inStore))
				sameTokens(t, "of the other store", nodes(pages[w.Stores[1].ID]), tc.want(elsewhere))
				counts, err := repo.CountStoreTokens(ctx, id, []uuid.UUID{st}, q)
				if err != nil || counts[st] != int64(len(pages[st].Items)) {
					t.Errorf("CountStoreTokens() = %v, %v, want %d", counts, err, len(pages[st].Items))
				}
			})
		}
	})
}

func TestUnusedSinceGoesByTheLastUse(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		used, _ := issue(t, db, w, uuid.Nil)
		idle, _ := issue(t, db, w, uuid.Nil)
		keepUse(t, db, used, later(time.Hour))
		list, err := db.Tokens().AccountTokens(t.Context(), w.Account.ID,
			token.Query{Filter: token.Filter{UnusedSince: later(time.Hour)}, Now: later(2 * time.Hour)}, all)
		if err != nil {
			t.Fatal(err)
		}
		sameTokens(t, "unused", nodes(list), []token.Token{idle})
	})
}
