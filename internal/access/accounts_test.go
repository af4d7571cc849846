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
)

// stock is a repository of stores that counts how often it is asked for one.
type stock struct {
	accounts.Repository
	name    string // of the one store that there is; empty if there is none
	failing error
	asked   int
}

var shop = accounts.StoreRef{Hash: "shop1"}

func (s *stock) Store(_ context.Context, accountID uuid.UUID, ref accounts.StoreRef) (accounts.Account, accounts.Store, error) {
	s.asked++
	switch {
	case s.failing != nil:
		return accounts.Account{}, accounts.Store{}, s.failing
	case s.name == "" || accountID != account || ref != shop:
		return accounts.Account{}, accounts.Store{}, accounts.ErrNoStore()
	}
	return accounts.Account{ID: accountID}, accounts.Store{AccountID: accountID, Hash: ref.Hash, Name: s.name}, nil
}

// A deed that may change what is remembered of a store. That there is none is
// not believed without asking.
func TestWhatEndsMemoryOfStores(t *testing.T) {
	for _, there := range []bool{true, false} {
		for _, tc := range []struct {
			name string
			deed func(*gate)
			asks int // for the second look-up, if the store was there
		}{
			{"nothing", func(*gate) {}, 0},
			{"a change of the account", func(g *gate) { g.memory.Changed(account) }, 1},
			{"a change of another account", func(g *gate) { g.memory.Changed(uuid.New()) }, 0},
			{"changes that may have been missed", func(g *gate) { g.memory.Forget() }, 1},
			{"hearing nothing", func(g *gate) { g.deaf.Store(true) }, 1},
		} {
			t.Run(tc.name, func(t *testing.T) {
				g, s := open(t), &stock{}
				remembering := g.memory.Accounts(s)
				if there {
					s.name = "before"
				}
				_, _, _ = remembering.Store(ctx, account, shop)
				s.name = "after"
				tc.deed(g)
				_, st, err := remembering.Store(ctx, account, shop)
				want, name := tc.asks, "before"
				if !there {
					want = 1
				}
				if want > 0 {
					name = "after"
				}
				if st.Name != name || err != nil {
					t.Errorf("there before: %v: got %q, %v, want %q", there, st.Name, err, name)
				}
				if got := s.asked - 1; got != want {
					t.Errorf("there before: %v: the database was asked %d times, want %d", there, got, want)
				}
			})
		}
	}
}

// What is remembered of one account's store is no answer about another's, nor
// about another store, and one that is not there is what it was without memory.
func TestStoresAreRememberedByAccount(t *testing.T) {
	g, s := open(t), &stock{}
	s.name = "Shop"
	remembering := g.memory.Accounts(s)
	for range 2 {
		if a, st, err := remembering.Store(ctx, account, shop); err != nil || a.ID != account || st.Name != "Shop" {
			t.Errorf("got %v %v %v", a, st, err)
		}
		for _, other := range []struct {
			account uuid.UUID
			ref     accounts.StoreRef
		}{{uuid.New(), shop}, {account, accounts.StoreRef{Hash: "shop"}}, {account, accounts.StoreRef{ID: uuid.New()}}} {
			_, _, err := remembering.Store(ctx, other.account, other.ref)
			if fault.KindOf(err) != fault.NotFound || err.Error() != accounts.ErrNoStore().Error() {
				t.Errorf("%v: got %v, want %v", other, err, accounts.ErrNoStore())
			}
		}
	}
}

// A failure is told as it is, and not remembered.
func TestFailedLookUpsOfStores(t *testing.T) {
	g, s := openWith(t, 10, time.Minute), &stock{failing: errors.New("the database is away")}
	remembering := g.memory.Accounts(s)
	if _, _, err := remembering.Store(ctx, account, shop); !errors.Is(err, s.failing) {
		t.Errorf("got %v", err)
	}
	s.failing = nil
	s.name = "Shop"
	if _, st, err := remembering.Store(ctx, account, shop); err != nil || st.Name != "Shop" {
		t.Errorf("got %v %v", st, err)
	}
}

// finders are the ways to look up a store by its hash; they count together how
// often the database is asked.
func finders(g *gate) (find map[string]func(hash string) error, asked func() int64) {
	s := &stock{}
	s.name = "Shop"
	remembering := g.memory.Accounts(s)
	find = map[string]func(string) error{
		"a gateway": func(hash string) error {
			_, err := g.Store(ctx, hash)
			return err
		},
		"an issuer": func(hash string) error {
			_, _, err := remembering.Store(ctx, account, accounts.StoreRef{Hash: hash})
			return err
		},
	}
	return find, func() int64 { return int64(s.asked) + g.repo.asked.Load() }
}

// What can be no store's hash is looked up nowhere and has no place in memory,
// which such names, of any length, could fill.
func TestWhatIsNoHashIsNotRemembered(t *testing.T) {
	g := open(t)
	find, asked := finders(g)
	for who, find := range find {
		for _, hash := range []string{"", "abc", "Shop1", "shop-1", strings.Repeat("a", 33), strings.Repeat("a", 1<<20)} {
			if err := find(hash); fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s, %.40q: got %v", who, hash, err)
			}
		}
	}
	if n := asked(); n != 0 {
		t.Errorf("the database was asked %d times", n)
	}
}

// Of the request that named a store nothing but the name stays in memory,
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
			t.Errorf("%s: %d bytes are kept of %d requests of %d", who, kept, requests, size)
		}
	}
	runtime.KeepAlive(g)
}
