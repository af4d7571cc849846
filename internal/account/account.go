// Package account holds the tenants: accounts, their stores and their apps,
// and what a principal may see of them.
package account

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/scope"
)

// Status says whether an account or a store is in business.
type Status string

// The statuses of accounts and stores. While one is suspended none of its
// credentials works; nothing else of it changes.
const (
	Active    Status = "active"
	Suspended Status = "suspended"
)

// Account is a business, the tenant.
type Account struct {
	ID   uuid.UUID
	Name string
	// OwnerID is the user who owns the account.
	OwnerID uuid.UUID
	// Features are the programmes that the account is enrolled in, sorted.
	Features  []scope.Feature
	Status    Status
	CreatedAt time.Time
}

// Has reports whether the account is enrolled in the feature.
func (a Account) Has(f scope.Feature) bool { return slices.Contains(a.Features, f) }

// Store is a shop of an account. It never means storage.
type Store struct {
	ID        uuid.UUID
	AccountID uuid.UUID
	// Hash is the store's short public name, part of its API path and unique
	// on the platform.
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

// AppStatus is how far an app is on its way to the marketplace.
type AppStatus string

// The statuses of apps. A draft app may charge nothing.
const (
	AppDraft     AppStatus = "draft"
	AppPublished AppStatus = "published"
)

// App is an app that an account offers to stores.
type App struct {
	// ID is the number by which the platform knows the app.
	ID int64
	// Key is the app's position in lists.
	Key       uuid.UUID
	AccountID uuid.UUID
	Name      string
	Status    AppStatus
	CreatedAt time.Time
}

// StoreRef names a store in either of the forms seen in the wild: its id or
// its hash. Exactly one of them is set.
type StoreRef struct {
	ID   uuid.UUID
	Hash string
}

// StoreFilter narrows a list of stores. Nil lists do not narrow; given both, a
// store must be in each.
type StoreFilter struct {
	// IDs names stores in either form.
	IDs []StoreRef
	// Hashes names stores by hash.
	Hashes []string
}
