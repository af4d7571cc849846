package user

import (
	"context"
	"io"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
)

// Limits of stores.
const (
	// MaxStoreName is the longest name of a store, in characters.
	MaxStoreName = 255
	// MaxStores is the number of stores of an account up to which CreateStore adds one. Manifests have no limit.
	MaxStores = 10_000
)

// ValidStoreName reports whether text is a valid name of a store: one line of plain text,
// 1 to MaxStoreName characters, without leading or trailing space.
func ValidStoreName(text string) bool { return validLine(text, MaxStoreName) }

// MayChangeStores returns fault.Forbidden unless the principal may add and rename stores:
// the account's owner, and API tokens with account_stores_write.
func MayChangeStores(by *auth.Principal) error { return mayInAccount(by, scope.AccountStoresWrite) }

// CreateStore adds a store to the principal's account. Its owner is the account's owner, who
// becomes a member with every permission. Its hash is random, so a client cannot find out by
// trying which hashes other accounts have. It returns fault.Forbidden from MayChangeStores,
// fault.Invalid on "name", and fault.LimitReached in an account with MaxStores stores.
func (s *Service) CreateStore(ctx context.Context, by *auth.Principal, name string) (account.Store, error) {
	if err := MayChangeStores(by); err != nil {
		return account.Store{}, err
	}
	name, err := checkStoreName(name)
	if err != nil {
		return account.Store{}, err
	}
	var created account.Store
	err = s.edit(ctx, by, func(e *edit) (err error) {
		created, err = e.createStore(ctx, s.random, name)
		return err
	})
	return created, err
}

func (e *edit) createStore(ctx context.Context, random io.Reader, name string) (account.Store, error) {
	a, err := e.Account(ctx)
	if err != nil {
		return account.Store{}, err
	}
	n, err := e.CountStores(ctx)
	if err != nil {
		return account.Store{}, err
	}
	if n >= MaxStores {
		return account.Store{}, fault.Errorf(fault.LimitReached, "An account can have at most %d stores.", MaxStores)
	}
	owner, err := e.member(ctx, a.OwnerID, "")
	if err != nil {
		return account.Store{}, err
	}
	created := account.Store{ID: uuid.Must(uuid.NewV7()), AccountID: a.ID, Name: name, OwnerID: owner.ID,
		Status: account.Active, CreatedAt: e.now}
	if created.Hash, err = e.addStore(ctx, random, created); err != nil {
		return account.Store{}, err
	}
	e.addStoreEvent(audit.StoreCreated, created, audit.Detail{Name: "name", Value: name},
		audit.Detail{Name: "owner", Value: owner.Email})
	return created, e.giveRole(ctx, owner, created, StoreOwner)
}

// StoreUpdate is a change to a store. Nil fields are left unchanged.
type StoreUpdate struct{ Name *string }

// UpdateStore changes a store of the principal's account. An update to what the store is
// already changes nothing. It returns fault.Forbidden from MayChangeStores, fault.Invalid on
// "name" or if the update has no field, and fault.NotFound on "storeId".
func (s *Service) UpdateStore(ctx context.Context, by *auth.Principal, ref account.StoreRef,
	u StoreUpdate) (account.Store, error) {
	if err := MayChangeStores(by); err != nil {
		return account.Store{}, err
	}
	if u.Name == nil {
		return account.Store{}, fault.Errorf(fault.Invalid, "Nothing would change. Change at least one field.")
	}
	name, err := checkStoreName(*u.Name)
	if err != nil {
		return account.Store{}, err
	}
	var updated account.Store
	err = s.edit(ctx, by, func(e *edit) error {
		found, err := e.Stores(ctx, []account.StoreRef{ref})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return account.ErrNoStore().On("storeId")
		}
		if updated = found[0]; updated.Name == name {
			return nil
		}
		updated.Name = name
		e.addStoreEvent(audit.StoreUpdated, updated, audit.Detail{Name: "name", Value: name})
		return e.RenameStore(ctx, updated.ID, name)
	})
	return updated, err
}

// checkStoreName returns the name without the space around it, or fault.Invalid on "name".
func checkStoreName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if !ValidStoreName(name) {
		return "", fault.Errorf(fault.Invalid, "Enter the store's name: one line of at most %d characters.",
			MaxStoreName).On("name")
	}
	return name, nil
}

// addStoreEvent records a change of a store, which has the values after it.
func (e *edit) addStoreEvent(action audit.Action, s account.Store, details ...audit.Detail) {
	target := audit.Target{Kind: audit.TargetStore, Key: s.ID.String(), Name: s.Name}
	event := Event(e.by, action, target, e.now, append(details, audit.Detail{Name: "storeHash", Value: s.Hash})...)
	event.Data = s.Data()
	e.events = append(e.events, event)
}

// hashTries bounds how often addStore chooses a hash. That another store has it is improbable even
// once: there are 2^50 hashes.
const hashTries = 3

// addStore adds the store with a random hash, which it returns.
func (e *edit) addStore(ctx context.Context, random io.Reader, s account.Store) (string, error) {
	for range hashTries {
		var err error
		if s.Hash, err = randomHash(random); err != nil {
			return "", err
		}
		if added, err := e.AddStore(ctx, s); added || err != nil {
			return s.Hash, err
		}
	}
	return "", fault.Errorf(fault.Conflict, "No free store hash was found. Try again.")
}

// hashAlphabet has the characters of random hashes: 32 of those that account.ValidHash accepts, without
// letters that are easily mistaken for others (i, l, o, u).
const hashAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// hashLength is the number of characters of random hashes.
const hashLength = 10

func randomHash(random io.Reader) (string, error) {
	hash := make([]byte, hashLength)
	if _, err := io.ReadFull(random, hash); err != nil {
		return "", err
	}
	for i, b := range hash {
		hash[i] = hashAlphabet[int(b)%len(hashAlphabet)]
	}
	return string(hash), nil
}
