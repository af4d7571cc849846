// Package account manages tenants: accounts, their stores and their apps, and what
// a principal may see of them.
package account

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/scope"
)

// Status is the status of an account or a store.
type Status string

// The statuses of accounts and stores. The credentials of a suspended account or
// store do not work. Suspension has no other effect.
const (
	Active    Status = "active"
	Suspended Status = "suspended"
)

// Account is a tenant: a business.
type Account struct {
	ID   uuid.UUID
	Name string
	// OwnerID is the user who owns the account.
	OwnerID uuid.UUID
	// Features are the programs that the account is enrolled in, sorted.
	Features  []scope.Feature
	Status    Status
	CreatedAt time.Time
	// Offboarding is what happens by default to the API tokens whose secrets a user
	// knows when the user is removed or deactivated.
	Offboarding OffboardingPolicy
	// Leaks is what happens to an API token when a secret of it is reported as leaked.
	Leaks LeakPolicy
}

// LeakPolicy says what happens to an API token when a secret of it is reported as leaked.
type LeakPolicy string

// The leak policies. Either way, the audit log has an event and the account's owner gets a mail.
const (
	// RevokeLeaked: the secret stops working immediately. It is the policy of a new account.
	RevokeLeaked LeakPolicy = "REVOKE"
	// NotifyOfLeaks: the secret keeps working until a user revokes it.
	NotifyOfLeaks LeakPolicy = "NOTIFY"
)

// LeakPolicies returns all policies.
func LeakPolicies() []LeakPolicy { return []LeakPolicy{RevokeLeaked, NotifyOfLeaks} }

// OffboardingPolicy says what happens to the API tokens whose secrets a user knows when
// the user is removed from the account or deactivated in it.
type OffboardingPolicy string

// The off-boarding policies. Either way, the result and the audit event of the removal or
// deactivation list the tokens.
const (
	// KeepTokens: the tokens keep working. It is the policy of a new account.
	KeepTokens OffboardingPolicy = "KEEP_TOKENS"
	// RevokeTokens: the tokens are revoked in the same transaction.
	RevokeTokens OffboardingPolicy = "REVOKE_TOKENS"
)

// OffboardingPolicies returns all policies.
func OffboardingPolicies() []OffboardingPolicy { return []OffboardingPolicy{KeepTokens, RevokeTokens} }

// Has reports whether the account is enrolled in the feature.
func (a Account) Has(f scope.Feature) bool { return slices.Contains(a.Features, f) }

// Store is a merchant's shop in an account. It never means storage.
type Store struct {
	ID        uuid.UUID
	AccountID uuid.UUID
	// Hash is the store's short public name. It is part of the store's API path and
	// unique on the platform.
	Hash string
	Name string
	// OwnerID is the user who owns the store.
	OwnerID   uuid.UUID
	Status    Status
	CreatedAt time.Time
}

// ValidHash reports whether text can be the hash of a store: 4 to 32 lowercase
// letters and digits.
func ValidHash(text string) bool {
	for _, c := range []byte(text) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return 4 <= len(text) && len(text) <= 32
}

// AppStatus is the publication status of an app.
type AppStatus string

// The statuses of apps. A draft app must not charge anything.
const (
	AppDraft     AppStatus = "draft"
	AppPublished AppStatus = "published"
)

// App is an app that an account offers to stores.
type App struct {
	// ID is the platform's number for the app.
	ID int64
	// Key is the app's position in lists.
	Key       uuid.UUID
	AccountID uuid.UUID
	Name      string
	Status    AppStatus
	CreatedAt time.Time
}

// StoreRef identifies a store by its ID or its hash. Exactly one of them is set.
type StoreRef struct {
	ID   uuid.UUID
	Hash string
}

// IDPrefix begins every ID in the API, followed by the kind of the object, a
// slash and its key.
const IDPrefix = audit.IDPrefix

// MarshalText returns the reference as the API reads it.
func (r StoreRef) MarshalText() ([]byte, error) {
	if r.Hash != "" {
		return []byte(r.Hash), nil
	}
	return []byte(IDPrefix + "store/" + r.ID.String()), nil
}

// StoreFilter selects stores. A nil list matches all stores. If both lists are set,
// a store must be in each.
type StoreFilter struct {
	// IDs are stores in either form.
	IDs []StoreRef
	// Hashes are hashes of stores.
	Hashes []string
}
