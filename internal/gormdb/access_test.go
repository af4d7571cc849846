package gormdb_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

func TestTokenByDigest(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Features: []scope.Feature{scope.FeatureAutomatedBilling}}.Make(t, db)
		for _, tc := range []struct {
			name  string
			store uuid.UUID
			edit  func(*token.Draft)
		}{
			{"account level", uuid.Nil, func(*token.Draft) {}},
			{"store level", w.Stores[0].ID, func(*token.Draft) {}},
			{"every field", w.Stores[0].ID, full},
		} {
			t.Run(tc.name, func(t *testing.T) {
				d, value := draft(w, tc.store, tc.edit)
				if err := db.Tokens().Insert(t.Context(), auth.NoActor("a test"), d); err != nil {
					t.Fatal(err)
				}
				made := d.Token
				got, err := db.Access().Credential(t.Context(), secret.StoreAccessToken, keyring.Candidates(value))
				if err != nil {
					t.Fatal(err)
				}
				same(t, "record", got, access.Record{
					Principal: auth.Principal{
						Kind: auth.APIToken, ID: made.ID, Name: made.Name, AccountID: w.Account.ID, StoreID: tc.store,
						Scopes:    made.Scopes,
						ExpiresAt: made.ExpiresAt, AllowedIPRanges: made.AllowedIPRanges,
						ChargeLimit: made.ChargeLimit,
						Credential: auth.Credential{Kind: auth.AccessToken, ID: d.Access.Record.ID,
							Rights: got.Principal.Credential.Rights},
					},
					Features: w.Account.Features, ClientID: made.ClientID, StoreHash: made.StoreHash,
					AccessTokenID: d.Access.Record.ID, IssuedAt: noon,
					ExpiresAt: [2]time.Time{{}, made.ExpiresAt},
				})
			})
		}
	})
}

func TestDigestsThatAreNotKept(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		_, value := issue(t, db, w, uuid.Nil)
		_, session := startSession(t, db, w, w.Owner)
		otherKeys, err := secret.NewKeyring(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			name           string
			token, session []secret.KeyedDigest
		}{
			{"none", nil, nil},
			{"of a secret that was not issued", keyring.Candidates(newSecret(secret.StoreAccessToken)),
				keyring.Candidates(newSecret(secret.UserSession))},
			{"under another key", otherKeys.Candidates(value), otherKeys.Candidates(session)},
			{"of the other kind", keyring.Candidates(session), keyring.Candidates(value)},
		} {
			t.Run(tc.name, func(t *testing.T) {
				_, err := db.Access().Credential(t.Context(), secret.StoreAccessToken, tc.token)
				mustBe(t, err, fault.NotFound)
				_, err = db.Access().Credential(t.Context(), secret.UserSession, tc.session)
				mustBe(t, err, fault.NotFound)
			})
		}
		t.Run("one of several matches", func(t *testing.T) {
			several := slices.Concat(otherKeys.Candidates(value), keyring.Candidates(value))
			if got, err := db.Access().Credential(t.Context(), secret.StoreAccessToken, several); err != nil ||
				got.Principal.AccountID != w.Account.ID {
				t.Errorf("Credential() = %v, %v, want one of account %s", got, err, w.Account.ID)
			}
		})
	})
}

func TestSessionByDigest(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Features: []scope.Feature{scope.FeatureAutomatedBilling}, Stores: 3, StoreOwner: true,
			Users: 1}.Make(t, db)
		elsewhere := dbtest.Seed{}.Make(t, db)
		shared := elsewhere.Stores[0]
		shared.OwnerID = w.Users[2].ID // who owns a store, but of another account
		if err := db.Manifest().SaveStore(t.Context(), shared); err != nil {
			t.Fatal(err)
		}
		for store, place := range map[int]user.Place{
			1: {Status: user.Active, Permissions: []string{"Add_Brands", "Add_User"}},
			2: {Status: user.Inactive, Permissions: []string{"Delete_Users"}},
		} {
			place.ID, place.StoreID, place.UpdatedAt = uuid.Must(uuid.NewV7()), w.Stores[store].ID, noon
			if err := db.Manifest().SaveStoreMember(t.Context(), w.Account.ID,
				user.StoreMember{Place: place, User: w.Users[2]}); err != nil {
				t.Fatal(err)
			}
		}
		for _, tc := range []struct {
			name   string
			by     user.User
			kind   auth.CredentialKind
			stores []uuid.UUID
			places []auth.Place
		}{
			{"the account's owner, of whose stores nothing is said", w.Owner, auth.OwnerSession, nil, nil},
			{"a store's owner", w.StoreOwner, auth.UserSession, []uuid.UUID{w.Stores[0].ID}, nil},
			{"staff, who owns a store of another account", w.Users[2], auth.UserSession, nil,
				[]auth.Place{{StoreID: w.Stores[1].ID, May: auth.AddUsers | auth.ManageUsers}}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				s, value := startSession(t, db, w, tc.by)
				got, err := db.Access().Credential(t.Context(), secret.UserSession, keyring.Candidates(value))
				if err != nil {
					t.Fatal(err)
				}
				slices.SortFunc(got.Principal.OwnedStores,
					func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
				same(t, "record", got, access.Record{
					Principal: auth.Principal{
						Kind: auth.Session, ID: tc.by.ID, PersonID: tc.by.ID, Name: tc.by.Email,
						AccountID: w.Account.ID, SessionID: s.ID,
						AccountOwner: tc.kind == auth.OwnerSession, OwnedStores: tc.stores, Places: tc.places,
						ExpiresAt:  s.ExpiresAt,
						Credential: auth.Credential{Kind: tc.kind, ID: s.ID, Rights: got.Principal.Credential.Rights},
					},
					Features: w.Account.Features, IssuedAt: s.CreatedAt, LastUsedAt: s.CreatedAt,
					ExpiresAt: [2]time.Time{s.ExpiresAt},
				})
			})
		}
	})
}

func TestLookUpsAreOneStatement(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		var mu sync.Mutex
		count := 0
		db := dbtest.OpenWith(t, gormdb.Config{URL: url, OnStatement: func(string) {
			mu.Lock()
			defer mu.Unlock()
			count++
		}})
		w := dbtest.Seed{}.Make(t, db)
		_, value := issue(t, db, w, uuid.Nil)
		_, session := startSession(t, db, w, w.Owner)
		count = 0
		if _, err := db.Access().Credential(t.Context(), secret.StoreAccessToken,
			keyring.Candidates(value)); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Access().Credential(t.Context(), secret.UserSession, keyring.Candidates(session)); err != nil {
			t.Fatal(err)
		}
		check.Equal(t, count, 2, "count")
	})
}

// keepUse saves one use of a token.
func keepUse(t testing.TB, db *gormdb.DB, tok token.Token, at time.Time) {
	t.Helper()
	u := access.Use{AccountID: tok.AccountID, TokenID: tok.ID, At: at, IP: netip.MustParseAddr("::ffff:203.0.113.9")}
	if err := db.Uses().SaveUses(t.Context(), []access.Use{u}); err != nil {
		t.Fatal(err)
	}
}

func TestSaveUses(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w, other := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		a, _ := issue(t, db, w, uuid.Nil)
		b, _ := issue(t, db, other, uuid.Nil)
		idle, _ := issue(t, db, w, uuid.Nil)
		use := func(tok token.Token, minutes int, ip string) access.Use {
			u := access.Use{AccountID: tok.AccountID, TokenID: tok.ID, At: later(time.Duration(minutes) * time.Minute)}
			if ip != "" {
				u.IP = netip.MustParseAddr(ip)
			}
			return u
		}
		type last struct {
			minutes int
			ip      string
		}
		for _, step := range []struct {
			name     string
			uses     []access.Use
			ofA, ofB last
		}{
			{name: "the first", uses: []access.Use{use(a, 5, "203.0.113.1"), use(b, 3, "2001:db8::1")},
				ofA: last{5, "203.0.113.1"}, ofB: last{3, "2001:db8::1"}},
			{name: "none", ofA: last{5, "203.0.113.1"}, ofB: last{3, "2001:db8::1"}},
			{name: "earlier and later", uses: []access.Use{use(a, 4, "203.0.113.2"), use(b, 4, "2001:db8::2")},
				ofA: last{5, "203.0.113.1"}, ofB: last{4, "2001:db8::2"}},
			{name: "twice in one batch", uses: []access.Use{use(a, 7, "203.0.113.3"), use(a, 6, "203.0.113.4")},
				ofA: last{7, "203.0.113.3"}, ofB: last{4, "2001:db8::2"}},
			{name: "from no address", uses: []access.Use{use(a, 8, "")}, ofA: last{8, ""}, ofB: last{4, "2001:db8::2"}},
			{name: "of a token that is not there, or not in that account", uses: []access.Use{
				use(token.Token{ID: uuid.New(), AccountID: w.Account.ID}, 9, "203.0.113.5"),
				use(token.Token{ID: b.ID, AccountID: w.Account.ID}, 9, "203.0.113.5")}, ofA: last{8, ""},
				ofB: last{4, "2001:db8::2"}},
		} {
			t.Run(step.name, func(t *testing.T) {
				if err := db.Uses().SaveUses(t.Context(), step.uses); err != nil {
					t.Fatal(err)
				}
				for tok, want := range map[uuid.UUID]last{a.ID: step.ofA, b.ID: step.ofB} {
					got := lastUse(t, db, tok, a, b)
					wantIP, _ := netip.ParseAddr(want.ip)
					if !got.LastUsedAt.Equal(later(time.Duration(want.minutes)*time.Minute)) ||
						got.LastUsedIP != wantIP {
						t.Errorf("last used %v from %v, want %+v", got.LastUsedAt, got.LastUsedIP, want)
					}
				}
			})
		}
		if got := lastUse(t, db, idle.ID, idle); !got.LastUsedAt.IsZero() || got.LastUsedIP.IsValid() {
			t.Errorf("a token that was never used: got %+v, want no last use", got)
		}
	})
}

// The last use of each access token is saved, and for the API token the latest of them.
func TestSaveUsesOfAccessTokens(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w, other := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		d, _ := draft(w, uuid.Nil)
		if err := db.Tokens().Insert(t.Context(), auth.NoActor("a test"), d); err != nil {
			t.Fatal(err)
		}
		next := accessDraft(d.Token.ID, newSecret(secret.AccountAccessToken))
		err := db.Tokens().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, d.Token.ID,
			func(tok token.Token, _ []token.AccessToken) (token.Change, error) {
				return token.Change{Access: &next, Event: event(tok, audit.APITokenRotated)}, nil
			})
		if err != nil {
			t.Fatal(err)
		}
		before, after := d.Access.Record.ID, next.Record.ID
		use := func(accountID, accessID uuid.UUID, minutes int, ip string) access.Use {
			return access.Use{AccountID: accountID, TokenID: d.Token.ID, AccessTokenID: accessID,
				At: later(time.Duration(minutes) * time.Minute), IP: netip.MustParseAddr(ip)}
		}
		here := w.Account.ID
		for _, step := range []struct {
			name                string
			uses                []access.Use
			before, after, both string
		}{
			{"one of them", []access.Use{use(here, before, 5, "192.0.2.5")}, "5 192.0.2.5", "never", "5 192.0.2.5"},
			{"the other one, earlier", []access.Use{use(here, after, 3, "192.0.2.3")}, "5 192.0.2.5", "3 192.0.2.3",
				"5 192.0.2.5"},
			{"both, one backwards", []access.Use{use(here, before, 4, "192.0.2.4"),
				use(here, after, 7, "::ffff:192.0.2.7")}, "5 192.0.2.5", "7 192.0.2.7", "7 192.0.2.7"},
			{"both at once", []access.Use{use(here, before, 8, "192.0.2.8"), use(here, after, 9, "192.0.2.9")},
				"8 192.0.2.8", "9 192.0.2.9", "9 192.0.2.9"},
			{"one that was granted", []access.Use{use(here, uuid.Nil, 10, "192.0.2.10")}, "8 192.0.2.8", "9 192.0.2.9",
				"10 192.0.2.10"},
			{"of another account", []access.Use{use(other.Account.ID, before, 11, "192.0.2.11")}, "8 192.0.2.8",
				"9 192.0.2.9", "10 192.0.2.10"},
		} {
			t.Run(step.name, func(t *testing.T) {
				if err := db.Uses().SaveUses(t.Context(), step.uses); err != nil {
					t.Fatal(err)
				}
				live, err := db.Tokens().AccessTokens(t.Context(), here, []uuid.UUID{d.Token.ID}, noon)
				if err != nil {
					t.Fatal(err)
				}
				got := map[uuid.UUID]string{}
				for _, each := range live[d.Token.ID] {
					got[each.ID] = lastUsed(each.LastUsedAt, each.LastUsedIP)
				}
				tok := lastUse(t, db, d.Token.ID, d.Token)
				if whole := lastUsed(tok.LastUsedAt, tok.LastUsedIP); got[before] != step.before ||
					got[after] != step.after || whole != step.both {
					t.Errorf("last used %s, %s and %s; want %s, %s and %s", got[before], got[after], whole, step.before,
						step.after, step.both)
				}
			})
		}
	})
}

// lastUsed formats a last use as minutes after noon and the address.
func lastUsed(at time.Time, from netip.Addr) string {
	if at.IsZero() {
		return "never"
	}
	return fmt.Sprintf("%.0f %s", at.Sub(noon).Minutes(), from)
}

func lastUse(t *testing.T, db *gormdb.DB, id uuid.UUID, of ...token.Token) token.Token {
	t.Helper()
	for _, tok := range of {
		if tok.ID == id {
			got, err := db.Tokens().Token(t.Context(), tok.AccountID, id)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
	}
	t.Fatalf("no token %s among those of the test, want it there", id)
	return token.Token{}
}

// SaveUses saves more uses than one statement takes, from several replicas at once.
func TestKeepManyUses(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		handles := []*gormdb.DB{dbtest.Open(t, url), dbtest.Open(t, url)}
		w := dbtest.Seed{}.Make(t, handles[0])
		const tokens = 40
		var made []token.Token
		for range tokens {
			made = append(made, first(issue(t, handles[0], w, uuid.Nil)))
		}
		var group sync.WaitGroup
		for i, db := range handles {
			group.Go(func() {
				for round := range 20 {
					uses := make([]access.Use, 0, 1500)
					for _, tok := range made {
						uses = append(uses, access.Use{AccountID: tok.AccountID, TokenID: tok.ID,
							At: later(time.Duration(2*round+i) * time.Second)})
					}
					for range 1500 - tokens {
						uses = append(uses, access.Use{AccountID: w.Account.ID, TokenID: uuid.New(), At: noon})
					}
					if err := db.Uses().SaveUses(t.Context(), uses); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		for _, tok := range made {
			if got := lastUse(t, handles[0], tok.ID, tok); !got.LastUsedAt.Equal(later(39 * time.Second)) {
				t.Fatalf("last used %v, want %v", got.LastUsedAt, later(39*time.Second))
			}
		}
	})
}

// While an account or a store is suspended, the records of their credentials are marked as suspended.
func TestSuspended(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Stores: 2}.Make(t, db)
		_, ofAccount := issue(t, db, w, uuid.Nil)
		_, here := issue(t, db, w, w.Stores[0].ID)
		_, there := issue(t, db, w, w.Stores[1].ID)
		_, session := startSession(t, db, w, w.Owner)
		for _, tc := range []struct {
			name           string
			account, store account.Status
			whole, here    bool // whether the account is suspended, and the first store
		}{
			{"both in business", account.Active, account.Active, false, false},
			{"a store suspended", account.Active, account.Suspended, false, true},
			{"the account suspended", account.Suspended, account.Active, true, true},
			{"in business again", account.Active, account.Active, false, false},
		} {
			t.Run(tc.name, func(t *testing.T) {
				w.Account.Status, w.Stores[0].Status = tc.account, tc.store
				if err := errors.Join(db.Manifest().SaveAccount(t.Context(), w.Account),
					db.Manifest().SaveStore(t.Context(), w.Stores[0])); err != nil {
					t.Fatal(err)
				}
				for _, c := range []struct {
					value secret.Secret
					want  bool
				}{{ofAccount, tc.whole}, {here, tc.here}, {there, tc.whole}, {session, tc.whole}} {
					got, err := db.Access().Credential(t.Context(), c.value.Kind(), keyring.Candidates(c.value))
					if err != nil || got.Suspended != c.want {
						t.Errorf("%s is suspended: %v, %v, want %v", c.value.Hint(), got.Suspended, err, c.want)
					}
				}
				for i, want := range []bool{tc.here, tc.whole} {
					got, err := db.Access().Store(t.Context(), w.Stores[i].Hash)
					if want := (access.Store{ID: w.Stores[i].ID, AccountID: w.Account.ID,
						Suspended: want}); err != nil || got != want {
						t.Errorf("got %+v, %v, want %+v", got, err, want)
					}
				}
			})
		}
		_, err := db.Access().Store(t.Context(), "nowhere")
		mustBe(t, err, fault.NotFound)
	})
}
