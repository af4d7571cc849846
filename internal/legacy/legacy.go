// Package legacy keeps legacy API accounts: a user name and a token, presented
// by HTTP Basic, that open version 2 of one store's API. They are older than
// scopes and have none. They exist to be brought along and then replaced:
// manifests import them, and nothing but an operator who insists makes new
// ones.
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
	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

// Account is what is kept of a legacy API account.
type Account struct {
	AccountID uuid.UUID
	ID        uuid.UUID
	StoreID   uuid.UUID
	StoreHash string
	// Username is unique in the store.
	Username string
	// Digest is that of user name, token and store together. Lists leave it
	// empty.
	Digest    secret.KeyedDigest
	CreatedAt time.Time
	// LastUsedAt and LastUsedIP are zero before the first use.
	LastUsedAt time.Time
	LastUsedIP netip.Addr
}

// Repository keeps legacy API accounts. Its writes keep the event in the same
// transaction.
type Repository interface {
	// Insert keeps a. It returns fault.Conflict for a user name that the store
	// has already.
	Insert(ctx context.Context, by auth.Actor, a Account, e audit.Event) error
	// List returns those of an account, by store and then name.
	List(ctx context.Context, accountID uuid.UUID) ([]Account, error)
	// Find returns one. It returns fault.NotFound when the account has none
	// with the id.
	Find(ctx context.Context, accountID, id uuid.UUID) (Account, error)
	// Delete ends one at once. It returns fault.NotFound as Find does.
	Delete(ctx context.Context, by auth.Actor, a Account, e audit.Event) error
}

// Service makes, lists and ends legacy API accounts. Only the operator may:
// every method returns fault.Forbidden to others. The account is the one that
// the principal acts in.
type Service struct {
	repo   Repository
	keys   *secret.Keyring
	random io.Reader
	now    func() time.Time
	// allowed says that new ones may be made.
	allowed bool
}

// NewService returns a service over the repository that keeps digests under
// keys and draws tokens from random. It makes new accounts only where they are
// allowed.
func NewService(repo Repository, keys *secret.Keyring, random io.Reader, now func() time.Time, allowed bool) *Service {
	return &Service{repo: repo, keys: keys, random: random, now: now, allowed: allowed}
}

// Create makes a legacy API account for the store, which is the principal's,
// and returns it with its token, which cannot be had again. It returns
// fault.Invalid where new ones are not allowed and for a user name that cannot
// be one, and fault.Conflict for one that the store has.
func (s *Service) Create(ctx context.Context, by *auth.Principal, store account.Store, username string) (Account, string, error) {
	switch {
	case by.Kind != auth.Operator:
		return Account{}, "", auth.Denied()
	case !s.allowed:
		return Account{}, "", fault.Errorf(fault.Invalid,
			"Legacy API accounts are deprecated, and new ones are not made unless this is on. Issue an API token instead.").On("allowLegacy")
	case !secret.ValidUsername(username):
		return Account{}, "", fault.Errorf(fault.Invalid, "A user name is one line of 1 to %d characters without a colon.", secret.MaxUsername).On("username")
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
	a := New(store, username, s.keys.DigestBasic(presented), s.moment())
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

// Target is a legacy API account as events name it.
func (a Account) Target() audit.Target {
	return audit.Target{Kind: audit.TargetLegacyAccount, Key: a.ID.String(), Name: a.Username}
}

// List returns the legacy API accounts, by store and then name.
func (s *Service) List(ctx context.Context, by *auth.Principal) ([]Account, error) {
	if by.Kind != auth.Operator {
		return nil, auth.Denied()
	}
	return s.repo.List(ctx, by.AccountID)
}

// Find returns a legacy API account. It returns fault.NotFound when there is
// no such one.
func (s *Service) Find(ctx context.Context, by *auth.Principal, id uuid.UUID) (Account, error) {
	if by.Kind != auth.Operator {
		return Account{}, auth.Denied()
	}
	return s.repo.Find(ctx, by.AccountID, id)
}

// Delete ends a legacy API account at once, and returns what it was. What
// remains is the audit log. It returns fault.NotFound as Find does.
func (s *Service) Delete(ctx context.Context, by *auth.Principal, id uuid.UUID) (Account, error) {
	a, err := s.Find(ctx, by, id)
	if err != nil {
		return Account{}, err
	}
	return a, s.repo.Delete(ctx, by.Actor(), a, s.event(by, audit.LegacyAccountDeleted, a))
}

// ErrNoAccount is the answer to ids of legacy API accounts that there are not.
func ErrNoAccount() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such legacy API account in this account.").On("id")
}

func (s *Service) event(by *auth.Principal, action audit.Action, a Account) audit.Event {
	return audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: a.AccountID, At: s.moment(), Actor: audit.ActorOf(by.Subject()),
		Action: action, Target: a.Target(), RequestID: by.Origin.RequestID,
		Details: []audit.Detail{{Name: "storeHash", Value: a.StoreHash}},
	}
}

// moment is now as it is kept.
func (s *Service) moment() time.Time { return s.now().UTC().Truncate(time.Microsecond) }
