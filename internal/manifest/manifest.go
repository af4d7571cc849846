package manifest

import (
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// Manifest is what the operator declares, checked as far as that goes without
// the database. Every Line is that of the file. People are named by their
// folded e-mail address.
type Manifest struct {
	Accounts []Account
	// People are all who are mentioned, each once, in the order of first
	// mention.
	People []Person
}

// Person is what all mentions of a person say together. What none of them
// says is empty.
type Person struct {
	Line int
	// AccountID is the account of the first mention.
	AccountID uuid.UUID
	// Email is as first written.
	Email, FirstName, LastName, Locale string
}

// Account is an account as declared.
type Account struct {
	Line int
	ID   uuid.UUID
	Name string
	// Features are all that the account is to have; nil where the file is
	// silent.
	Features []scope.Feature
	// Status is empty where the file is silent.
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
	// Status is empty where the file is silent.
	Status account.AppStatus
}

// Store is a store as declared.
type Store struct {
	Line       int
	Hash, Name string
	// Status is empty where the file is silent.
	Status account.Status
	// Owner is empty where the file is silent.
	Owner string
	Users []Member
	Apps  []AppRef
	// LegacyAccounts are those to be kept; others of the store stay.
	LegacyAccounts []LegacyAccount
}

// LegacyAccount is a legacy API account as declared.
type LegacyAccount struct {
	Line     int
	Username string
	// Presented is user name and token as they will be presented.
	Presented secret.Basic
}

// HasLegacyAccounts reports whether any are declared: they cannot be kept
// without the server's keys.
func (m Manifest) HasLegacyAccounts() bool {
	return slices.ContainsFunc(m.Accounts, func(a Account) bool {
		return slices.ContainsFunc(a.Stores, func(s Store) bool { return len(s.LegacyAccounts) > 0 })
	})
}

// Member is a person's place in a store as declared.
type Member struct {
	Line  int
	Email string
	// Status is empty and Permissions nil where the file is silent.
	Status      user.Status
	Permissions []string
	Apps        []AppRef
}

// AppRef names an app.
type AppRef struct {
	Line int
	ID   int64
}
