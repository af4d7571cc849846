package account

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
)

// Repository stores accounts, stores and apps. A lookup of one object returns
// fault.NotFound if it does not exist; a lookup of several omits those that do not
// exist.
type Repository interface {
	Account(ctx context.Context, id uuid.UUID) (Account, error)
	// Store returns the account's store together with the account.
	Store(ctx context.Context, accountID uuid.UUID, ref StoreRef) (Account, Store, error)
	// Stores returns a page of the account's stores. If only is not nil, it returns
	// those with these IDs; an empty only selects none.
	Stores(ctx context.Context, accountID uuid.UUID, f StoreFilter, only []uuid.UUID,
		w paging.Window) (paging.Page[Store], error)
	StoresByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]Store, error)

	// AppsByID returns the apps with the IDs that the account offers.
	AppsByID(ctx context.Context, accountID uuid.UUID, ids []int64) (map[int64]App, error)
	// Apps returns a page of the apps that the account offers.
	Apps(ctx context.Context, accountID uuid.UUID, w paging.Window) (paging.Page[App], error)
	// AppsOfStores returns a page of the apps installed in each store.
	AppsOfStores(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID,
		w paging.Window) (map[uuid.UUID]paging.Page[App], error)
	// AppsOfMembers returns a page of the apps that each store membership gives
	// access to.
	AppsOfMembers(ctx context.Context, accountID uuid.UUID, memberIDs []uuid.UUID,
		w paging.Window) (map[uuid.UUID]paging.Page[App], error)
}

// Service returns the accounts and stores that a principal may see. The schema
// declares the scopes that a field requires. The service limits the result to what
// the principal can reach: a user who only owns a store, or is a member of it, sees
// that store and no other.
type Service struct{ repo Repository }

// NewService returns a service over the repository.
func NewService(repo Repository) *Service { return &Service{repo} }

// Account returns the principal's account, or fault.NotFound.
func (s *Service) Account(ctx context.Context, by *auth.Principal) (Account, error) {
	return s.repo.Account(ctx, by.AccountID)
}

// Store returns a store that the principal can see, with its account. Any other
// store is fault.NotFound, even if the account owns it.
func (s *Service) Store(ctx context.Context, by *auth.Principal, ref StoreRef) (Account, Store, error) {
	return s.storeFor(ctx, by, ref, scope.AccountStoresRead)
}

// StoreToIssueFor is Store for issuing tokens. It also returns the stores of an
// account in which the principal may issue all tokens.
func (s *Service) StoreToIssueFor(ctx context.Context, by *auth.Principal, ref StoreRef) (Account, Store, error) {
	return s.storeFor(ctx, by, ref, scope.AccountAPITokensWrite)
}

// StoreForUsers is Store for listing a store's users. It also returns the stores of
// an account whose users the principal may see.
func (s *Service) StoreForUsers(ctx context.Context, by *auth.Principal, ref StoreRef) (Account, Store, error) {
	return s.storeFor(ctx, by, ref, scope.AccountUsersRead)
}

func (s *Service) storeFor(ctx context.Context, by *auth.Principal, ref StoreRef, scopeName string) (Account, Store,
	error) {
	a, st, err := s.repo.Store(ctx, by.AccountID, ref)
	if err != nil {
		return Account{}, Store{}, err
	}
	if !by.Reaches(a.ID, st.ID, scopeName) {
		return Account{}, Store{}, ErrNoStore()
	}
	return a, st, nil
}

// ErrNoStore is the error for a store that does not exist or that the principal
// cannot see. It does not reveal which.
func ErrNoStore() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such store in this account.")
}

// Stores returns a page of the stores that the principal can see.
func (s *Service) Stores(ctx context.Context, by *auth.Principal, f StoreFilter, r paging.Request) (paging.Page[Store],
	error) {
	w, err := r.Window(paging.MaxSize)
	if err != nil {
		return paging.Page[Store]{}, err
	}
	var only []uuid.UUID
	if len(by.Missing(scope.AccountStoresRead)) > 0 {
		only = by.StoresWhere(auth.NoPermission)
	}
	return s.repo.Stores(ctx, by.AccountID, f, only, w)
}

// StoresByID returns the stores of the principal's account by ID. The caller must
// have taken the IDs from records that the principal can see.
func (s *Service) StoresByID(ctx context.Context, by *auth.Principal, ids []uuid.UUID) (map[uuid.UUID]Store, error) {
	return s.repo.StoresByID(ctx, by.AccountID, ids)
}

// StoresByRef returns the named stores that the principal can see, in no particular
// order.
func (s *Service) StoresByRef(ctx context.Context, by *auth.Principal, refs []StoreRef) ([]Store, error) {
	if len(refs) > paging.MaxSize {
		return nil, fault.Errorf(fault.Invalid, "Name at most %d stores.", paging.MaxSize)
	}
	size := len(refs)
	found, err := s.Stores(ctx, by, StoreFilter{IDs: append([]StoreRef{}, refs...)}, paging.Request{First: &size})
	if err != nil {
		return nil, err
	}
	stores := make([]Store, len(found.Items))
	for i, item := range found.Items {
		stores[i] = item.Node
	}
	return stores, nil
}

// AppsByID returns the apps with the IDs that the principal's account offers.
func (s *Service) AppsByID(ctx context.Context, by *auth.Principal, ids []int64) (map[int64]App, error) {
	return s.repo.AppsByID(ctx, by.AccountID, ids)
}

// Apps returns a page of the apps that the principal's account offers.
func (s *Service) Apps(ctx context.Context, by *auth.Principal, r paging.Request) (paging.Page[App], error) {
	w, err := r.Window(paging.MaxSize)
	if err != nil {
		return paging.Page[App]{}, err
	}
	return s.repo.Apps(ctx, by.AccountID, w)
}

// AppsOfStores returns a page of the apps installed in each store.
func (s *Service) AppsOfStores(ctx context.Context, by *auth.Principal, storeIDs []uuid.UUID,
	w paging.Window) (map[uuid.UUID]paging.Page[App], error) {
	return s.repo.AppsOfStores(ctx, by.AccountID, storeIDs, w)
}

// AppsOfMembers returns a page of the apps that each store membership gives access
// to.
func (s *Service) AppsOfMembers(ctx context.Context, by *auth.Principal, memberIDs []uuid.UUID,
	w paging.Window) (map[uuid.UUID]paging.Page[App], error) {
	return s.repo.AppsOfMembers(ctx, by.AccountID, memberIDs, w)
}
