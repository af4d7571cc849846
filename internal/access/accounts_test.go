package access_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	accounts "latchkey/internal/account"
	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

// stock is a repository of stores that counts how often it is asked for one.
type storeTable struct {
	accounts.Repository
	name    string // of the one store that there is; empty if there is none
	failing error
	queries int
}

var shop = accounts.StoreRef{Hash: "shop1"}

func (s *storeTable) Store(_ context.Context, accountID uuid.UUID, ref accounts.StoreRef) (accounts.Account,
	accounts.Store, error) {
	s.queries++
	switch {
	case s.failing != nil:
		return accounts.Account{}, accounts.Store{}, s.failing
	case s.name == "" || accountID != account || ref != shop:
		return accounts.Account{}, accounts.Store{}, accounts.ErrNoStore()
	}
	return accounts.Account{ID: accountID}, accounts.Store{AccountID: accountID, Hash: ref.Hash, Name: s.name}, nil
}

func (s *storeTable) Account(_ context.Context, id uuid.UUID) (accounts.Account, error) {
	s.queries++
	if id != account {
		return accounts.Account{}, fault.Errorf(fault.NotFound, "There is no such account.")
	}
	return accounts.Account{ID: id, Name: s.name}, nil
}

// An account is cached apart from its stores, until it changes. The absence of an account is not cached.
func TestAccountsAreCached(t *testing.T) {
	g, s := open(t), &storeTable{name: "before"}
	cached := g.caches.Accounts(s)
	want := func(name string, queries int) {
		t.Helper()
		a, err := cached.Account(ctx, account)
		if err != nil || a.ID != account || a.Name != name || s.queries != queries {
			t.Errorf("got %+v, %v after %d queries, want %q after %d", a, err, s.queries, name, queries)
		}
	}
	want("before", 1)
	s.name = "after"
	want("before", 1)
	g.caches.Invalidate(account)
	want("after", 2)
	for range 2 {
		if _, err := cached.Account(ctx, uuid.New()); fault.KindOf(err) != fault.NotFound ||
			err.Error() != "There is no such account." {
			t.Errorf("another account: got error %v, want kind %s and its message", err, fault.NotFound)
		}
	}
	if _, _, err := cached.Store(ctx, account, accounts.StoreRef{}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a store without a name: got error %v, want kind %s", err, fault.NotFound)
	}
}

// A change that may affect a store ends the cache entry of the store. The absence
// of a store is not cached.
func TestWhatEndsMemoryOfStores(t *testing.T) {
	for _, there := range []bool{true, false} {
		for _, tc := range []struct {
			name    string
			change  func(*gate)
			queries int // for the second look-up, if the store was there
		}{
			{"nothing", func(*gate) {}, 0},
			{"a change of the account", func(g *gate) { g.caches.Invalidate(account) }, 1},
			{"a change of another account", func(g *gate) { g.caches.Invalidate(uuid.New()) }, 0},
			{"changes that may have been missed", func(g *gate) { g.caches.InvalidateAll() }, 1},
			{"receiving nothing", func(g *gate) { g.unsubscribed.Store(true) }, 1},
		} {
			t.Run(tc.name, func(t *testing.T) {
				g, s := open(t), &storeTable{}
				cached := g.caches.Accounts(s)
				if there {
					s.name = "before"
				}
				_, _, _ = cached.Store(ctx, account, shop)
				s.name = "after"
				tc.change(g)
				_, st, err := cached.Store(ctx, account, shop)
				want, name := tc.queries, "before"
				if !there {
					want = 1
				}
				if want > 0 {
					name = "after"
				}
				if st.Name != name || err != nil {
					t.Errorf("there before: %v: got %q, %v, want %q", there, st.Name, err, name)
				}
				check.Equal(t, s.queries-1, want, "there before: %v: queries", there)
			})
		}
	}
}

// A cached store of one account is not returned for another account, nor
// about another store, and one that is not there is what it was without memory.
func TestStoresAreRememberedByAccount(t *testing.T) {
	g, s := open(t), &storeTable{}
	s.name = "Shop"
	cached := g.caches.Accounts(s)
	for range 2 {
		if a, st, err := cached.Store(ctx, account, shop); err != nil || a.ID != account || st.Name != "Shop" {
			t.Errorf("Store() = %v, %v, %v, want Shop of account %s", a, st, err, account)
		}
		for _, other := range []struct {
			account uuid.UUID
			ref     accounts.StoreRef
		}{{uuid.New(), shop}, {account, accounts.StoreRef{Hash: "shop"}},
			{account, accounts.StoreRef{ID: uuid.New()}}} {
			_, _, err := cached.Store(ctx, other.account, other.ref)
			if fault.KindOf(err) != fault.NotFound || err.Error() != accounts.ErrNoStore().Error() {
				t.Errorf("%v: got %v, want %v", other, err, accounts.ErrNoStore())
			}
		}
	}
}

// A failure is returned unchanged, and not cached.
func TestFailedLookUpsOfStores(t *testing.T) {
	g, s := openWith(t, 10, time.Minute), &storeTable{failing: errors.New("the database is away")}
	cached := g.caches.Accounts(s)
	if _, _, err := cached.Store(ctx, account, shop); !errors.Is(err, s.failing) {
		t.Errorf("Store() of a failing database: got error %v, want %v", err, s.failing)
	}
	s.failing = nil
	s.name = "Shop"
	if _, st, err := cached.Store(ctx, account, shop); err != nil || st.Name != "Shop" {
		t.Errorf("Store() after the failure = %v, %v, want Shop", st, err)
	}
}

// finders are the ways to look up a store by its hash; they count together how
// often the database is asked.
func finders(g *gate) (find map[string]func(hash string) error, queries func() int64) {
	s := &storeTable{}
	s.name = "Shop"
	cached := g.caches.Accounts(s)
	find = map[string]func(string) error{
		"a gateway": func(hash string) error {
			_, err := g.Store(ctx, hash)
			return err
		},
		"an issuer": func(hash string) error {
			_, _, err := cached.Store(ctx, account, accounts.StoreRef{Hash: hash})
			return err
		},
	}
	return find, func() int64 { return int64(s.queries) + g.repo.queries.Load() }
}

// What can be no store's hash is looked up nowhere and has no place in memory,
// which such names, of any length, could fill.
func TestWhatIsNoHashIsNotRemembered(t *testing.T) {
	g := open(t)
	find, queries := finders(g)
	for who, find := range find {
		for _, hash := range []string{"", "abc", "Shop1", "shop-1", strings.Repeat("a", 33),
			strings.Repeat("a", 1<<20)} {
			if err := find(hash); fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s, %.40q: got error %v, want kind %s", who, hash, err, fault.NotFound)
			}
		}
	}
	check.Equal(t, queries(), 0, "queries")
}

// Only the name of the store stays in memory of a request,
// whether the store is there or not.
func TestOnlyTheNameIsRemembered(t *testing.T) {
	const requests, size = 64, 1 << 20
	g := open(t)
	g.repo.stores["there0"] = access.Store{AccountID: account}
	find, _ := finders(g)
	for who, find := range find {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range requests {
			request := "there" + strconv.Itoa(i) + strings.Repeat("x", size)
			_ = find(strings.TrimRight(request, "x"))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > requests*size/4 {
			t.Errorf("%s: %d bytes are kept of %d requests of %d, want a quarter of them at most",
				who, kept, requests, size)
		}
	}
	runtime.KeepAlive(g)
}
