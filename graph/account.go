package graph

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"

	"latchkey/graph/model"
	"latchkey/graph/object"
	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/paging"
	"latchkey/internal/token"
)

// account returns the principal's account. It is read from the database when a
// field needs it.
func (r *Resolver) account(ctx context.Context, by *auth.Principal) *object.Account {
	return &object.Account{
		Key:  by.AccountID,
		Read: sync.OnceValues(func() (account.Account, error) { return r.accounts.Account(ctx, by) }),
	}
}

// updateAccount changes the settings of the principal's account that the input has.
func (r *Resolver) updateAccount(ctx context.Context, by *auth.Principal, input model.UpdateAccountInput) error {
	if err := membership.MaySetPolicies(by); err != nil {
		return err
	}
	var p membership.Policies
	if input.OffboardingPolicy != nil {
		p.Offboarding = *input.OffboardingPolicy
	}
	if input.LeakPolicy != nil {
		p.Leaks = *input.LeakPolicy
	}
	if p == (membership.Policies{}) {
		return fault.Errorf(fault.Invalid, "Nothing would change. Change at least one field.")
	}
	_, err := r.memberships.SetPolicies(ctx, by, p)
	return err
}

// ownersOf returns the owners of stores, by user ID.
func (r *Resolver) ownersOf(ctx context.Context, stores []account.Store) (map[uuid.UUID]object.User, error) {
	ids := make([]uuid.UUID, len(stores))
	for i, s := range stores {
		ids[i] = s.OwnerID
	}
	by, err := auth.From(ctx)
	if err != nil {
		return nil, err
	}
	users, err := r.users.ByID(ctx, by, ids)
	if err != nil {
		return nil, err
	}
	node := object.NewUsers(object.NewSiblings(slices.Collect(maps.Values(users))))
	owners := make(map[uuid.UUID]object.User, len(users))
	for id, u := range users {
		owners[id] = node(u)
	}
	return owners, nil
}

func storeFilter(f *model.StoreFilterInput) (account.StoreFilter, error) {
	if f == nil {
		return account.StoreFilter{}, nil
	}
	var faults fault.List
	for _, list := range []struct {
		field string
		size  int
	}{{"filter.ids", len(f.Ids)}, {"filter.storeHashes", len(f.StoreHashes)}} {
		if list.size > paging.MaxSize {
			faults = append(faults, fault.Errorf(fault.Invalid, "Name at most %d stores.",
				paging.MaxSize).On(list.field))
		}
	}
	return account.StoreFilter{IDs: object.ParseStores(f.Ids), Hashes: f.StoreHashes}, faults.Err()
}

// oneStore returns a store without siblings.
func oneStore(s account.Store) object.Store { return object.NewStores([]account.Store{s})(s) }

func storeKeys(stores []account.Store) []uuid.UUID {
	keys := make([]uuid.UUID, len(stores))
	for i, s := range stores {
		keys[i] = s.ID
	}
	return keys
}

func (r *Resolver) accountNodes(ctx context.Context, by *auth.Principal, _ []string) (map[string]model.Node, error) {
	return map[string]model.Node{by.AccountID.String(): r.account(ctx, by)}, nil
}

func (r *Resolver) storeNodes(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error) {
	stores, err := r.accounts.StoresByRef(ctx, by, object.ParseStores(keys))
	if err != nil {
		return nil, err
	}
	node := object.NewStores(stores)
	found := map[string]model.Node{}
	for _, s := range stores {
		shown := node(s)
		found[s.ID.String()], found[s.Hash] = &shown, &shown
	}
	return found, nil
}

// storesOf returns the stores of store-level tokens, by ID.
func (r *Resolver) storesOf(ctx context.Context, by *auth.Principal, tokens []token.Token) (map[uuid.UUID]object.Store,
	error) {
	var ids []uuid.UUID
	for _, t := range tokens {
		if t.StoreID != uuid.Nil {
			ids = append(ids, t.StoreID)
		}
	}
	found, err := r.accounts.StoresByID(ctx, by, ids)
	if err != nil {
		return nil, err
	}
	all := make([]account.Store, 0, len(found))
	for _, s := range found {
		all = append(all, s)
	}
	node := object.NewStores(all)
	stores := make(map[uuid.UUID]object.Store, len(found))
	for id, s := range found {
		stores[id] = node(s)
	}
	return stores, nil
}
