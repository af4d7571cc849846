package manifest

import (
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// Manifest is the operator's declaration, checked as far as possible without the database. Every Line is a line of the
// file. Users are identified by their folded email address.
type Manifest struct {
	Accounts []Account
	// Users holds every user that is mentioned, in the order of first mention.
	Users []Person
}

// Person combines all mentions of a user. A field that no mention sets is empty.
type Person struct {
	Line int
	// AccountID is the account of the first mention.
	AccountID uuid.UUID
	// Email is written as in the first mention.
	Email, FirstName, LastName, Locale string
}

// Account is a declared account.
type Account struct {
	Line int
	ID   uuid.UUID
	Name string
	// Features is the complete set of the account's features, or nil if the file does not set it.
	Features []scope.Feature
	// Status is empty if the file does not set it.
	Status account.Status
	Owner  string
	Users  []string
	Apps   []App
	Stores []Store
}

// App is an app that an account offers.
type App struct {
	Line int
	ID   int64
	Name string
	// Status is empty if the file does not set it.
	Status account.AppStatus
}

// Store is a declared store.
type Store struct {
	Line       int
	Hash, Name string
	// Status is empty if the file does not set it.
	Status account.Status
	// Owner is empty if the file does not set it.
	Owner string
	Users []Member
	Apps  []AppRef
	// LegacyAccounts are created or updated. Other legacy API accounts of the store stay.
	LegacyAccounts []LegacyAccount
}

// LegacyAccount is a declared legacy API account.
type LegacyAccount struct {
	Line     int
	Username string
	// Presented holds the user name and token that clients will send.
	Presented secret.Basic
}

// HasLegacyAccounts reports whether any legacy API accounts are declared. Saving them needs the server's keys.
func (m Manifest) HasLegacyAccounts() bool {
	return slices.ContainsFunc(m.Accounts, func(a Account) bool {
		return slices.ContainsFunc(a.Stores, func(s Store) bool { return len(s.LegacyAccounts) > 0 })
	})
}

// Member is a declared membership in a store.
type Member struct {
	Line  int
	Email string
	// Status is empty, and Permissions nil, if the file does not set it.
	Status      user.Status
	Permissions []string
	Apps        []AppRef
}

// AppRef refers to an app by ID.
type AppRef struct {
	Line int
	ID   int64
}
