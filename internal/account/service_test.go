package account_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// owner, storeOwner, apiToken and operator return principals of an account with
// three stores. The first store has its own owner.
func owner(w dbtest.World) *auth.Principal {
	return &auth.Principal{Kind: auth.Session, ID: w.Owner.ID, AccountID: w.Account.ID, AccountOwner: true,
		Scopes: scope.NewSet(scope.AccountStoresRead, scope.AccountAPITokensWrite)}
}

func storeOwner(w dbtest.World) *auth.Principal {
	return &auth.Principal{Kind: auth.Session, ID: w.StoreOwner.ID, AccountID: w.Account.ID,
		OwnedStores: []uuid.UUID{w.Stores[0].ID}}
}

func apiToken(w dbtest.World, scopes ...string) *auth.Principal {
	return &auth.Principal{Kind: auth.APIToken, ID: uuid.New(), AccountID: w.Account.ID,
		Scopes: scope.NewSet(scopes...)}
}

func operator(w dbtest.World) *auth.Principal {
	by := auth.OperatorPrincipal()
	by.AccountID = w.Account.ID
	return &by
}

func TestStoresWithinReach(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		seed := dbtest.Seed{Stores: 3, StoreOwner: true}
		w, other := seed.Make(t, db), seed.Make(t, db)
		s := account.NewService(db.Accounts())
		all := []int{0, 1, 2}
		refs := []account.StoreRef{{ID: w.Stores[0].ID}, {Hash: w.Stores[1].Hash}, {ID: w.Stores[2].ID},
			{Hash: w.Stores[2].Hash}, {Hash: "nowhere"}}
		for _, tc := range []struct {
			name          string
			by            *auth.Principal
			sees, issuing []int
		}{
			{"the operator", operator(w), all, all},
			{"the account's owner", owner(w), all, all},
			{"a store's owner", storeOwner(w), []int{0}, []int{0}},
			{"a token that may list stores", apiToken(w, scope.AccountStoresRead), all, nil},
			{"a token that may issue tokens", apiToken(w, scope.AccountAPITokensWrite), nil, all},
			{"a token that may do neither", apiToken(w, "store_cart"), nil, nil},
			{"the owner of another account", owner(other), nil, nil},
			{"the owner of another account's store", storeOwner(other), nil, nil},
		} {
			t.Run(tc.name, func(t *testing.T) {
				for i, st := range w.Stores {
					for _, ref := range []account.StoreRef{{ID: st.ID}, {Hash: st.Hash}} {
						a, got, err := s.Store(t.Context(), tc.by, ref)
						wantStore(t, a, got, err, w, st, slices.Contains(tc.sees, i))
						a, got, err = s.StoreToIssueFor(t.Context(), tc.by, ref)
						wantStore(t, a, got, err, w, st, slices.Contains(tc.issuing, i))
					}
				}
				listed, err := s.Stores(t.Context(), tc.by, account.StoreFilter{}, paging.Request{})
				var got []string
				for _, item := range listed.Items {
					got = append(got, item.Node.Hash)
				}
				var want []string
				for _, i := range slices.Backward(tc.sees) { // newest first
					want = append(want, w.Stores[i].Hash)
				}
				if tc.by.AccountID == w.Account.ID && (err != nil || !slices.Equal(got, want)) {
					t.Errorf("listed %q, %v, want %q", got, err, want)
				}
				named, err := s.StoresByRef(t.Context(), tc.by, refs)
				if err != nil || len(named) != len(tc.sees) {
					t.Errorf("StoresByRef returned %+v, %v, want %d", named, err, len(tc.sees))
				}
				for _, st := range w.Stores {
					if tc.by.AccountID != w.Account.ID && slices.Contains(got, st.Hash) {
						t.Errorf("listed %q, a store of another account, want only the account's", st.Hash)
					}
				}
			})
		}
	})
}

// wantStore compares the result of a lookup. A store that the principal cannot see
// must return the error for an unknown store.
func wantStore(t *testing.T, a account.Account, got account.Store, err error, w dbtest.World, want account.Store,
	reached bool) {
	t.Helper()
	switch {
	case reached && (err != nil || got.ID != want.ID || got.Hash != want.Hash || a.ID != w.Account.ID):
		t.Errorf("got %+v of %+v, %v, want %+v", got, a, err, want)
	case !reached && (fault.KindOf(err) != fault.NotFound || err.Error() != account.ErrNoStore().Error() ||
		got.Hash != "" || a.Name != ""):
		t.Errorf("got %+v of %+v, %v, want %v", got, a, err, account.ErrNoStore())
	}
}

// A store's owner sees only that store, with any filter.
func TestFilterStores(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		seed := dbtest.Seed{Stores: 3, StoreOwner: true}
		w, other := seed.Make(t, db), seed.Make(t, db)
		s := account.NewService(db.Accounts())
		everything := account.StoreFilter{}
		for _, world := range []dbtest.World{w, other} {
			for _, st := range world.Stores {
				everything.IDs = append(everything.IDs, account.StoreRef{ID: st.ID})
				everything.Hashes = append(everything.Hashes, st.Hash)
			}
		}
		for name, tc := range map[string]struct {
			by   *auth.Principal
			want int
		}{"the account's owner": {owner(w), 3}, "a store's owner": {storeOwner(w), 1},
			"no stores": {apiToken(w, "store_cart"), 0}} {
			for what, filter := range map[string]account.StoreFilter{
				"ids": {IDs: everything.IDs}, "hashes": {Hashes: everything.Hashes}, "both": everything,
			} {
				got, err := s.Stores(t.Context(), tc.by, filter, paging.Request{First: new(100)})
				if err != nil || len(got.Items) != tc.want {
					t.Errorf("%s, by %s: %d stores, %v, want %d", name, what, len(got.Items), err, tc.want)
				}
			}
		}
	})
}

func TestOwnAccountAndApps(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		seed := dbtest.Seed{Features: []scope.Feature{scope.FeatureAutomatedBilling}, Apps: 2}
		w, other := seed.Make(t, db), seed.Make(t, db)
		s := account.NewService(db.Accounts())
		a, err := s.Account(t.Context(), owner(w))
		if err != nil || a.ID != w.Account.ID || a.Name != w.Account.Name || !a.Has(scope.FeatureAutomatedBilling) ||
			a.Has("UNHEARD_OF") {
			t.Errorf("Account() = %+v, %v, want %+v", a, err, w.Account)
		}
		stores, err := s.StoresByID(t.Context(), owner(w), []uuid.UUID{w.Stores[0].ID, other.Stores[0].ID, uuid.New()})
		if err != nil || len(stores) != 1 || stores[w.Stores[0].ID].Hash != w.Stores[0].Hash {
			t.Errorf("StoresByID() = %+v, %v, want only %+v", stores, err, w.Stores[0])
		}
		named, err := s.AppsByID(t.Context(), owner(w), []int64{w.Apps[0].ID, other.Apps[0].ID, 1})
		if err != nil || len(named) != 1 || named[w.Apps[0].ID].Name != w.Apps[0].Name {
			t.Errorf("AppsByID() = %+v, %v, want only %+v", named, err, w.Apps[0])
		}
		apps, err := s.Apps(t.Context(), owner(w), paging.Request{})
		if err != nil || len(apps.Items) != 2 {
			t.Errorf("Apps() = %+v, %v, want 2", apps, err)
		}
		inStores, err := s.AppsOfStores(t.Context(), owner(w), []uuid.UUID{w.Stores[0].ID, other.Stores[0].ID},
			paging.Window{Size: 10})
		if err != nil || len(inStores[w.Stores[0].ID].Items) != 2 || len(inStores[other.Stores[0].ID].Items) != 0 {
			t.Errorf("AppsOfStores() = %+v, %v, want 2 in the first store and none in the other account's",
				inStores, err)
		}
	})
}

func TestPagesTooLarge(t *testing.T) {
	s, by := account.NewService(nil), &auth.Principal{}
	tooMany := paging.Request{First: new(paging.MaxSize + 1)}
	_, stores := s.Stores(t.Context(), by, account.StoreFilter{}, tooMany)
	_, apps := s.Apps(t.Context(), by, tooMany)
	_, refs := s.StoresByRef(t.Context(), by, make([]account.StoreRef, paging.MaxSize+1))
	for _, err := range []error{stores, apps, refs} {
		check.Equal(t, fault.KindOf(err), fault.Invalid, "got %v", err)
	}
}

func TestValidHash(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "abc": false, "abcd": true, "0a9z": true, "acme1us": true, strings.Repeat("a", 32): true,
		strings.Repeat("a", 33): false,
		"Acme":                  false, "ac-me": false, "ac me": false, "acmé": false, "acme\n": false, "/acme": false,
		"`abc": false,
		"abc{": false, "abc:": false,
	} {
		if got := account.ValidHash(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
