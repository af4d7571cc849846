package access

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/fault"
)

// accountStore is a store with its account, or an account without one.
type accountStore struct {
	account account.Account
	store   account.Store
}

// storeKey identifies a store within an account. A zero ref stands for the account itself.
type storeKey struct {
	account uuid.UUID
	ref     account.StoreRef
}

func (n storeKey) text() string { return n.account.String() + n.ref.ID.String() + n.ref.Hash }

func (p *accountStore) owners() [2]uuid.UUID { return [2]uuid.UUID{p.account.ID, p.account.ID} }

// Accounts returns the repository with a cache in front of its lookups of an account and of one store. Issuing a token
// needs its owner, and the issuer's credential was verified from a cache as well. The transaction that inserts the
// token checks that the owner still exists.
func (m *Caches) Accounts(r account.Repository) account.Repository { return &cachedAccounts{r, m} }

type cachedAccounts struct {
	account.Repository
	caches *Caches
}

// Account returns the account.
func (r *cachedAccounts) Account(ctx context.Context, id uuid.UUID) (account.Account, error) {
	found, err := r.get(storeKey{account: id}, func() (*accountStore, error) {
		a, err := r.Repository.Account(ctx, id)
		return &accountStore{account: a}, err
	})
	if err != nil {
		return account.Account{}, err
	}
	return found.account, nil
}

// Store returns the account's store together with the account.
func (r *cachedAccounts) Store(
	ctx context.Context, accountID uuid.UUID, ref account.StoreRef,
) (account.Account, account.Store, error) {
	if ref.ID == uuid.Nil {
		if !account.ValidHash(ref.Hash) {
			return account.Account{}, account.Store{}, account.ErrNoStore() // see Verifier.Store
		}
		ref.Hash = strings.Clone(ref.Hash)
	}
	found, err := r.get(storeKey{accountID, ref}, func() (*accountStore, error) {
		a, s, err := r.Repository.Store(ctx, accountID, ref)
		return &accountStore{a, s}, err
	})
	if err != nil {
		return account.Account{}, account.Store{}, err
	}
	return found.account, found.store, nil
}

// get returns the cached value of the key, or what read returns.
func (r *cachedAccounts) get(key storeKey, read func() (*accountStore, error)) (*accountStore, error) {
	queried := false
	found, err := r.caches.accountStores.get(key, func() (*accountStore, error) {
		queried = true
		return read()
	})
	if fault.KindOf(err) == fault.NotFound && !queried {
		// A client may retry right after the account or store was added, so a cached miss is checked again.
		return read()
	}
	return found, err
}
