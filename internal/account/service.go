package account

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/page"
	"latchkey/internal/scope"
)

// Repository keeps accounts, stores and apps. A look-up of one thing returns
// fault.NotFound when there is none; a batch leaves out what there is not.
type Repository interface {
	Account(ctx context.Context, id uuid.UUID) (Account, error)
	// Store returns the account's store together with the account.
	Store(ctx context.Context, accountID uuid.UUID, ref StoreRef) (Account, Store, error)
	// Stores returns a page of the account's stores. A non-nil only narrows
	// it to those ids, an empty one to nothing.
	Stores(ctx context.Context, accountID uuid.UUID, f StoreFilter, only []uuid.UUID, w page.Window) (page.Page[Store], error)
	StoresByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]Store, error)

	// AppsByID returns those of the apps that the account offers.
	AppsByID(ctx context.Context, accountID uuid.UUID, ids []int64) (map[int64]App, error)
	// Apps returns a page of the apps that the account offers.
	Apps(ctx context.Context, accountID uuid.UUID, w page.Window) (page.Page[App], error)
	// AppsOfStores returns for each store a page of the apps installed there.
	AppsOfStores(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID, w page.Window) (map[uuid.UUID]page.Page[App], error)
	// AppsOfMembers returns for each store membership a page of the apps
	// that the person may use there.
	AppsOfMembers(ctx context.Context, accountID uuid.UUID, memberIDs []uuid.UUID, w page.Window) (map[uuid.UUID]page.Page[App], error)
}

// Service answers what a principal may see of accounts and stores. The scope
// that a field needs is checked where the field is declared; the service
// narrows to what the principal reaches, so that whoever owns one store, or works
// in it, sees that store and no other.
type Service struct{ repo Repository }

// NewService returns a service over the repository.
func NewService(repo Repository) *Service { return &Service{repo} }

// Account returns the principal's account, or fault.NotFound.
func (s *Service) Account(ctx context.Context, by *auth.Principal) (Account, error) {
	return s.repo.Account(ctx, by.AccountID)
}

// Store returns a store that the principal reaches, with its account. Any
// other is fault.NotFound, whoever's it is.
func (s *Service) Store(ctx context.Context, by *auth.Principal, ref StoreRef) (Account, Store, error) {
	return s.storeFor(ctx, by, ref, scope.AccountStoresRead)
}

// StoreToIssueFor is Store for whoever issues tokens: the right to issue in
// the whole account is sight enough of its stores.
func (s *Service) StoreToIssueFor(ctx context.Context, by *auth.Principal, ref StoreRef) (Account, Store, error) {
	return s.storeFor(ctx, by, ref, scope.AccountAPITokensWrite)
}

// StoreOfPeople is Store for whoever asks for a store's people: the sight of
// the account's people is sight enough of its stores.
func (s *Service) StoreOfPeople(ctx context.Context, by *auth.Principal, ref StoreRef) (Account, Store, error) {
	return s.storeFor(ctx, by, ref, scope.AccountUsersRead)
}

func (s *Service) storeFor(ctx context.Context, by *auth.Principal, ref StoreRef, sight string) (Account, Store, error) {
	a, st, err := s.repo.Store(ctx, by.AccountID, ref)
	if err != nil {
		return Account{}, Store{}, err
	}
	if !by.Reaches(a.ID, st.ID, sight) {
		return Account{}, Store{}, ErrNoStore()
	}
	return a, st, nil
}

// ErrNoStore is the answer for a store that is not there, or not the
// principal's to see: one and the same.
func ErrNoStore() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such store in this account.")
}

// Stores returns a page of the stores that the principal reaches.
func (s *Service) Stores(ctx context.Context, by *auth.Principal, f StoreFilter, r page.Request) (page.Page[Store], error) {
	w, err := r.Window(page.MaxSize)
	if err != nil {
		return page.Page[Store]{}, err
	}
	var only []uuid.UUID
	if len(by.Missing(scope.AccountStoresRead)) > 0 {
		only = by.StoresWhere(auth.NoPermission)
	}
	return s.repo.Stores(ctx, by.AccountID, f, only, w)
}

// StoresByID returns the stores of the principal's account by id, for stores
// that it reached already.
func (s *Service) StoresByID(ctx context.Context, by *auth.Principal, ids []uuid.UUID) (map[uuid.UUID]Store, error) {
	return s.repo.StoresByID(ctx, by.AccountID, ids)
}

// StoresByRef returns those of the stores that the principal reaches, in no
// particular order.
func (s *Service) StoresByRef(ctx context.Context, by *auth.Principal, refs []StoreRef) ([]Store, error) {
	if len(refs) > page.MaxSize {
		return nil, fault.Errorf(fault.Invalid, "Name at most %d stores.", page.MaxSize)
	}
	size := len(refs)
	found, err := s.Stores(ctx, by, StoreFilter{IDs: append([]StoreRef{}, refs...)}, page.Request{First: &size})
	if err != nil {
		return nil, err
	}
	stores := make([]Store, len(found.Items))
	for i, item := range found.Items {
		stores[i] = item.Node
	}
	return stores, nil
}

// AppsByID returns those of the apps that the principal's account offers.
func (s *Service) AppsByID(ctx context.Context, by *auth.Principal, ids []int64) (map[int64]App, error) {
	return s.repo.AppsByID(ctx, by.AccountID, ids)
}

// Apps returns a page of the apps that the principal's account offers.
func (s *Service) Apps(ctx context.Context, by *auth.Principal, r page.Request) (page.Page[App], error) {
	w, err := r.Window(page.MaxSize)
	if err != nil {
		return page.Page[App]{}, err
	}
	return s.repo.Apps(ctx, by.AccountID, w)
}

// AppsOfStores returns for each of the stores a page of the apps installed.
func (s *Service) AppsOfStores(ctx context.Context, by *auth.Principal, storeIDs []uuid.UUID, w page.Window) (map[uuid.UUID]page.Page[App], error) {
	return s.repo.AppsOfStores(ctx, by.AccountID, storeIDs, w)
}

// AppsOfMembers returns for each store membership a page of the apps that
// the person may use in the store.
func (s *Service) AppsOfMembers(ctx context.Context, by *auth.Principal, memberIDs []uuid.UUID, w page.Window) (map[uuid.UUID]page.Page[App], error) {
	return s.repo.AppsOfMembers(ctx, by.AccountID, memberIDs, w)
}
