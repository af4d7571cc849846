package gormdb_test

import (
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/scope"
	dbtest "latchkey/internal/test/db"
)

func TestAccount(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Features: []scope.Feature{scope.FeatureAutomatedBilling, "OTHER"}}.Make(t, db)
		got, err := db.Accounts().Account(t.Context(), w.Account.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "account", got, w.Account)
		_, err = db.Accounts().Account(t.Context(), uuid.New())
		mustBe(t, err, fault.NotFound)
	})
}

func TestStore(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Stores: 2, StoreOwner: true}.Make(t, db)
		other := dbtest.Seed{}.Make(t, db)
		st := w.Stores[0]
		for _, tc := range []struct {
			name    string
			account uuid.UUID
			ref     account.StoreRef
			want    fault.Kind
		}{
			{"by id", w.Account.ID, account.StoreRef{ID: st.ID}, ""},
			{"by hash", w.Account.ID, account.StoreRef{Hash: st.Hash}, ""},
			{"another account's by id", w.Account.ID, account.StoreRef{ID: other.Stores[0].ID}, fault.NotFound},
			{"another account's by hash", w.Account.ID, account.StoreRef{Hash: other.Stores[0].Hash}, fault.NotFound},
			{"from another account", other.Account.ID, account.StoreRef{ID: st.ID}, fault.NotFound},
			{"neither", w.Account.ID, account.StoreRef{}, fault.NotFound},
		} {
			t.Run(tc.name, func(t *testing.T) {
				a, got, err := db.Accounts().Store(t.Context(), tc.account, tc.ref)
				mustBe(t, err, tc.want)
				if err == nil {
					same(t, "store", got, st)
					same(t, "account", a, w.Account)
				}
			})
		}
	})
}

func TestStores(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Stores: 4}.Make(t, db)
		other := dbtest.Seed{}.Make(t, db).Stores[0]
		a, b, c, d := w.Stores[0], w.Stores[1], w.Stores[2], w.Stores[3]
		byID := func(s account.Store) account.StoreRef { return account.StoreRef{ID: s.ID} }
		byHash := func(s account.Store) account.StoreRef { return account.StoreRef{Hash: s.Hash} }
		for _, tc := range []struct {
			name   string
			filter account.StoreFilter
			only   []uuid.UUID
			want   []account.Store
		}{
			{"all", account.StoreFilter{}, nil, []account.Store{d, c, b, a}},
			{"named in both forms", account.StoreFilter{IDs: []account.StoreRef{byID(a), byHash(c)}}, nil,
				[]account.Store{c, a}},
			{"named twice", account.StoreFilter{IDs: []account.StoreRef{byID(a), byHash(a)}}, nil, []account.Store{a}},
			{"by hash", account.StoreFilter{Hashes: []string{a.Hash, d.Hash}}, nil, []account.Store{d, a}},
			{"both lists: in each", account.StoreFilter{IDs: []account.StoreRef{byID(a), byID(b)},
				Hashes: []string{b.Hash, c.Hash}}, nil, []account.Store{b}},
			{"another account's", account.StoreFilter{IDs: []account.StoreRef{byID(other), byHash(other)}}, nil, nil},
			{"an empty list of ids admits none", account.StoreFilter{IDs: []account.StoreRef{}}, nil, nil},
			{"an empty list of hashes admits none", account.StoreFilter{Hashes: []string{}}, nil, nil},
			{"only some", account.StoreFilter{}, []uuid.UUID{b.ID, c.ID}, []account.Store{c, b}},
			{"only some, filtered", account.StoreFilter{Hashes: []string{a.Hash, b.Hash}}, []uuid.UUID{b.ID, c.ID},
				[]account.Store{b}},
			{"only none", account.StoreFilter{}, []uuid.UUID{}, nil},
		} {
			t.Run(tc.name, func(t *testing.T) {
				got, err := db.Accounts().Stores(t.Context(), w.Account.ID, tc.filter, tc.only, all)
				if err != nil {
					t.Fatal(err)
				}
				same(t, "stores", nodes(got), tc.want)
			})
		}
		t.Run("by id", func(t *testing.T) {
			got, err := db.Accounts().StoresByID(t.Context(), w.Account.ID,
				[]uuid.UUID{a.ID, c.ID, other.ID, uuid.New()})
			if err != nil {
				t.Fatal(err)
			}
			same(t, "stores", got, map[uuid.UUID]account.Store{a.ID: a, c.ID: c})
		})
	})
}

func TestApps(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Apps: 3, Stores: 2, Users: 1, MembersPerStore: 1}.Make(t, db)
		partner := dbtest.Seed{Apps: 1}.Make(t, db)
		st := w.Stores[0].ID
		installed := append(newestFirst(partner.Apps), newestFirst(w.Apps)...)
		if err := db.Manifest().InstallApps(t.Context(), w.Account.ID, st, []int64{partner.Apps[0].ID}); err != nil {
			t.Fatal(err)
		}
		ctx, repo := t.Context(), db.Accounts()

		got, err := repo.AppsByID(ctx, w.Account.ID, []int64{w.Apps[1].ID, partner.Apps[0].ID})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "apps by id", got, map[int64]account.App{w.Apps[1].ID: w.Apps[1]})

		offered, err := repo.Apps(ctx, w.Account.ID, all)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "apps offered", nodes(offered), newestFirst(w.Apps))

		pages, err := repo.AppsOfStores(ctx, w.Account.ID, []uuid.UUID{st, w.Stores[1].ID}, all)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "apps installed, a partner's among them", nodes(pages[st]), installed)
		same(t, "apps of the other store", nodes(pages[w.Stores[1].ID]), newestFirst(w.Apps))

		member := w.Members[st][0].ID
		pages, err = repo.AppsOfMembers(ctx, w.Account.ID, []uuid.UUID{member}, all)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "apps of a member", nodes(pages[member]), newestFirst(w.Apps))

		pages, err = repo.AppsOfStores(ctx, partner.Account.ID, []uuid.UUID{st}, all)
		if err != nil || len(pages[st].Items) != 0 {
			t.Errorf("AppsOfStores() of another account's store = %v, %v, want none", pages, err)
		}
	})
}
