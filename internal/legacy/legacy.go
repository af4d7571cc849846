// Package legacy manages legacy API accounts: user names and tokens, presented by
// HTTP Basic, that give access to version 2 of one store's API. They predate scopes
// and have none. They exist for migration: manifests import them, and only the
// operator can create new ones, if a setting allows it.
package legacy

import (
	"context"
	"encoding/hex"
	"io"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

// Account is a legacy API account.
type Account struct {
	AccountID uuid.UUID
	ID        uuid.UUID
	StoreID   uuid.UUID
	StoreHash string
	// Username is unique in the store.
	Username string
	// Digest is the digest of user name, token and store together. Lists leave it
	// empty.
	Digest    secret.KeyedDigest
	CreatedAt time.Time
	// LastUsedAt and LastUsedIP are zero before the first use.
	LastUsedAt time.Time
	LastUsedIP netip.Addr
}

// Repository stores legacy API accounts. A write stores its event in the same
// transaction.
type Repository interface {
	// Insert stores a. It returns fault.Conflict if the store has an account with
	// this user name.
	Insert(ctx context.Context, by auth.Actor, a Account, e audit.Event) error
	// List returns the legacy API accounts of an account, sorted by store and then
	// name.
	List(ctx context.Context, accountID uuid.UUID) ([]Account, error)
	// Find returns a legacy API account. It returns fault.NotFound if the account
	// has none with the ID.
	Find(ctx context.Context, accountID, id uuid.UUID) (Account, error)
	// Delete deletes a legacy API account, which stops working immediately. It
	// returns fault.NotFound as Find does.
	Delete(ctx context.Context, by auth.Actor, a Account, e audit.Event) error
}

// Service creates, lists and deletes legacy API accounts in the principal's
// account. Every method returns fault.Forbidden unless the principal is the
// operator.
type Service struct {
	repo   Repository
	keys   *secret.Keyring
	random io.Reader
	now    clock.Clock
	// allowed reports whether new ones may be created.
	allowed bool
}

// NewService returns a service that stores digests under keys and generates tokens
// from random. allowed permits Create.
func NewService(repo Repository, keys *secret.Keyring, random io.Reader, now clock.Clock, allowed bool) *Service {
	return &Service{repo: repo, keys: keys, random: random, now: now, allowed: allowed}
}

// Create creates a legacy API account for a store of the principal's account, and
// returns it with its token, which is not stored. It returns fault.Invalid if new
// ones are not allowed or the user name is not valid, and fault.Conflict if the
// store has an account with this user name.
func (s *Service) Create(ctx context.Context, by *auth.Principal, store account.Store, username string) (Account,
	string, error) {
	switch {
	case by.Kind != auth.Operator:
		return Account{}, "", auth.Denied()
	case !s.allowed:
		return Account{}, "", fault.Errorf(fault.Invalid,
			"Legacy API accounts are deprecated, and new ones can only be created if this setting is on. Issue an API token instead.").On("allowLegacy")
	case !secret.ValidUsername(username):
		return Account{}, "", fault.Errorf(fault.Invalid,
			"A user name is one line of 1 to %d characters without a colon.", secret.MaxUsername).On("username")
	}
	var raw [20]byte
	if _, err := io.ReadFull(s.random, raw[:]); err != nil {
		return Account{}, "", err
	}
	token := hex.EncodeToString(raw[:])
	presented, err := secret.ParseBasic(store.Hash, username, token)
	if err != nil {
		return Account{}, "", err
	}
	a := New(store, username, s.keys.DigestBasic(presented), s.now.Timestamp())
	if err := s.repo.Insert(ctx, by.Actor(), a, s.event(by, audit.LegacyAccountCreated, a)); err != nil {
		return Account{}, "", err
	}
	return a, token, nil
}

// New returns a new legacy API account of the store.
func New(store account.Store, username string, digest secret.KeyedDigest, at time.Time) Account {
	return Account{
		AccountID: store.AccountID, ID: uuid.Must(uuid.NewV7()), StoreID: store.ID, StoreHash: store.Hash,
		Username: username, Digest: digest, CreatedAt: at,
	}
}

// Target returns a legacy API account as the target of an event.
func (a Account) Target() audit.Target {
	return audit.Target{Kind: audit.TargetLegacyAccount, Key: a.ID.String(), Name: a.Username}
}

// List returns the legacy API accounts, sorted by store and then name.
func (s *Service) List(ctx context.Context, by *auth.Principal) ([]Account, error) {
	if by.Kind != auth.Operator {
		return nil, auth.Denied()
	}
	return s.repo.List(ctx, by.AccountID)
}

// Find returns a legacy API account. It returns fault.NotFound if it does not
// exist.
func (s *Service) Find(ctx context.Context, by *auth.Principal, id uuid.UUID) (Account, error) {
	if by.Kind != auth.Operator {
		return Account{}, auth.Denied()
	}
	return s.repo.Find(ctx, by.AccountID, id)
}

// Delete deletes a legacy API account, which stops working immediately, and returns
// it. Only its audit events remain. It returns fault.NotFound as Find does.
func (s *Service) Delete(ctx context.Context, by *auth.Principal, id uuid.UUID) (Account, error) {
	a, err := s.Find(ctx, by, id)
	if err != nil {
		return Account{}, err
	}
	return a, s.repo.Delete(ctx, by.Actor(), a, s.event(by, audit.LegacyAccountDeleted, a))
}

// ErrNoAccount is the error for an ID without a legacy API account.
func ErrNoAccount() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such legacy API account in this account.").On("id")
}

func (s *Service) event(by *auth.Principal, action audit.Action, a Account) audit.Event {
	return audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: a.AccountID, At: s.now.Timestamp(), Actor: audit.ActorOf(by.Subject()),
		Action: action, Target: a.Target(), RequestID: by.Origin.RequestID,
		Details: []audit.Detail{{Name: "storeHash", Value: a.StoreHash}},
	}
}
