package gormdb_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/gormdb"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// lister fetches a page of a list.
type lister func(context.Context, paging.Window) ([]uuid.UUID, paging.Page[struct{}], error)

// listOf converts a function that fetches pages to a lister.
func listOf[T any](fetch func(context.Context, paging.Window) (paging.Page[T], error)) lister {
	return func(ctx context.Context, w paging.Window) ([]uuid.UUID, paging.Page[struct{}], error) {
		p, err := fetch(ctx, w)
		keys := make([]uuid.UUID, len(p.Items))
		for i, item := range p.Items {
			keys[i] = item.Key
		}
		return keys, paging.Page[struct{}]{HasNext: p.HasNext, HasPrevious: p.HasPrevious}, err
	}
}

// oneOf returns one owner's list from a batch that has other owners, too.
func oneOf[T any](owner uuid.UUID, fetch func(context.Context, paging.Window) (map[uuid.UUID]paging.Page[T],
	error)) lister {
	return listOf(func(ctx context.Context, w paging.Window) (paging.Page[T], error) {
		pages, err := fetch(ctx, w)
		return pages[owner], err
	})
}

// lists returns all lists of the repositories.
func lists(db *gormdb.DB, w dbtest.World) map[string]lister {
	id, first, second := w.Account.ID, w.Stores[0].ID, w.Stores[1].ID
	stores := []uuid.UUID{second, first}
	member := w.Members[first][0].ID
	members := []uuid.UUID{member, w.Members[second][0].ID}
	query := token.Query{Now: noon}
	return map[string]lister{
		"stores": listOf(func(ctx context.Context, v paging.Window) (paging.Page[account.Store], error) {
			return db.Accounts().Stores(ctx, id, account.StoreFilter{}, nil, v)
		}),
		"apps": listOf(func(ctx context.Context, v paging.Window) (paging.Page[account.App], error) {
			return db.Accounts().Apps(ctx, id, v)
		}),
		"apps of a store": oneOf(first, func(ctx context.Context,
			v paging.Window) (map[uuid.UUID]paging.Page[account.App], error) {
			return db.Accounts().AppsOfStores(ctx, id, stores, v)
		}),
		"apps of a member": oneOf(member, func(ctx context.Context,
			v paging.Window) (map[uuid.UUID]paging.Page[account.App], error) {
			return db.Accounts().AppsOfMembers(ctx, id, members, v)
		}),
		"users": listOf(userLister(db, id)),
		"users of a store, filtered": listOf(func(ctx context.Context, v paging.Window) (paging.Page[user.User],
			error) {
			return db.Users().Users(ctx, id, user.Filter{StoreID: first}, v)
		}),
		"users of some addresses": listOf(func(ctx context.Context, v paging.Window) (paging.Page[user.User], error) {
			return db.Users().Users(ctx, id, user.Filter{Emails: emailsOf(w)}, v)
		}),
		"users who changed": listOf(func(ctx context.Context, v paging.Window) (paging.Page[user.User], error) {
			return db.Users().Users(ctx, id, user.Filter{UpdatedAfter: noon.AddDate(-1, 0, 0)}, v)
		}),
		"places of a user": oneOf(w.Members[first][0].User.ID,
			func(ctx context.Context, v paging.Window) (map[uuid.UUID]paging.Page[user.StorePlace], error) {
				return db.Users().UserPlaces(ctx, id, []uuid.UUID{w.Members[first][0].User.ID, w.Owner.ID}, nil, v)
			}),
		"users of a store": oneOf(first, storeUserLister(db, id, stores)),
		"account tokens": listOf(func(ctx context.Context, v paging.Window) (paging.Page[token.Token], error) {
			return db.Tokens().AccountTokens(ctx, id, query, v)
		}),
		"tokens of a store": oneOf(first, func(ctx context.Context,
			v paging.Window) (map[uuid.UUID]paging.Page[token.Token], error) {
			return db.Tokens().StoreTokens(ctx, id, stores, query, v)
		}),
		"audit events": listOf(func(ctx context.Context, v paging.Window) (paging.Page[audit.Event], error) {
			return db.Audit().Events(ctx, id, audit.Filter{}, v)
		}),
	}
}

func emailsOf(w dbtest.World) []string {
	var emails []string
	for _, u := range w.Users {
		emails = append(emails, u.Email)
	}
	return emails
}

// Walking a list by pages of any size, in either direction, returns every item once and in order, and ends with the
// list.
func TestPaging(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Stores: 7, Users: 8, MembersPerStore: 8, Apps: 7}.Make(t, db)
		dbtest.Seed{Stores: 2, Users: 3, MembersPerStore: 2, Apps: 3}.Make(t, db) // another account
		for range 7 {
			issue(t, db, w, uuid.Nil)
			issue(t, db, w, w.Stores[0].ID)
			issue(t, db, w, w.Stores[1].ID)
		}
		for name, list := range lists(db, w) {
			t.Run(name, func(t *testing.T) {
				whole, _, err := list(t.Context(), all)
				if err != nil || len(whole) < 7 {
					t.Fatalf("the list: got %d items, %v, want 7 at least", len(whole), err)
				}
				if !slices.IsSortedFunc(whole, func(a, b uuid.UUID) int { return slices.Compare(b[:], a[:]) }) {
					t.Errorf("the list: got %v, want the newest first", whole)
				}
				for size := 1; size <= len(whole)+1; size++ {
					check.Equal(t, walk(t, list, paging.Window{Size: size}), whole, "forward by %d", size)
					check.Equal(t, walk(t, list, paging.Window{Size: size, Backward: true}), whole, "backward by %d",
						size)
				}
				rapid.Check(t, func(r *rapid.T) { checkBetween(r, list, whole) })
			})
		}
	})
}

// walk pages through a list to its end.
func walk(t *testing.T, list lister, w paging.Window) []uuid.UUID {
	var met []uuid.UUID
	for range 50 { // more pages than any of these lists has
		keys, p, err := list(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		if w.Backward {
			met = append(keys, met...)
		} else {
			met = append(met, keys...)
		}
		if more := p.HasNext && !w.Backward || p.HasPrevious && w.Backward; !more {
			return met
		}
		if len(keys) != w.Size {
			t.Fatalf("a page of %d has %d items, and there is more; want it full", w.Size, len(keys))
		}
		if w.Backward {
			w.Before = &keys[0]
		} else {
			w.After = &keys[len(keys)-1]
		}
	}
	t.Fatal("the walk does not end, want it to")
	return nil
}

// checkBetween fetches the items between two positions, from either end.
func checkBetween(t *rapid.T, list lister, whole []uuid.UUID) {
	i := rapid.IntRange(0, len(whole)-1).Draw(t, "after")
	j := rapid.IntRange(0, len(whole)-1).Draw(t, "before")
	size := rapid.IntRange(0, len(whole)).Draw(t, "of size")
	w := paging.Window{Size: size, After: &whole[i], Before: &whole[j], Backward: rapid.Bool().Draw(t, "backward")}
	var want []uuid.UUID
	if i < j {
		want = whole[i+1 : j]
	}
	more := len(want) > size
	if more && w.Backward {
		want = want[len(want)-size:]
	} else if more {
		want = want[:size]
	}
	got, p, err := list(t.Context(), w)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("between: %v, %v; want %v", got, err, want)
	}
	if !p.HasPrevious || !p.HasNext {
		t.Errorf("previous %v, next %v, want both, as what bounds the list lies beyond the page",
			p.HasPrevious, p.HasNext)
	}
}

// The page of an owner without items is empty and says that there are no others.
func TestPagesOfOwnersWithoutItems(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Stores: 2}.Make(t, db)
		stores := []uuid.UUID{w.Stores[0].ID, w.Stores[1].ID}
		pages, err := db.Users().StoreUsers(t.Context(), w.Account.ID, stores, all)
		if err != nil || len(pages) != 2 || len(pages[stores[0]].Items) != 0 || pages[stores[0]].HasNext {
			t.Errorf("StoreUsers() = %v, %v, want an empty page for each store", pages, err)
		}
		counts, err := db.Users().CountStoreUsers(t.Context(), w.Account.ID, stores)
		if err != nil || counts[stores[0]] != 0 {
			t.Errorf("CountStoreUsers() = %v, %v, want 0", counts, err)
		}
		if pages, err := db.Users().StoreUsers(t.Context(), w.Account.ID, nil, all); err != nil || len(pages) != 0 {
			t.Errorf("StoreUsers() without stores = %v, %v, want no pages", pages, err)
		}
	})
}
