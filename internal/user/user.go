// Package user holds people: one user per e-mail address, their memberships
// in accounts and stores, and the sessions in which they act.
package user

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// User is a person, one per e-mail address on the whole platform.
type User struct {
	ID        uuid.UUID
	Email     string
	FirstName string
	LastName  string
	// Locale is a BCP 47 language tag, such as "en" or "de".
	Locale    string
	CreatedAt time.Time
}

// Fold returns the form of an e-mail address under which addresses are
// compared: without case.
func Fold(email string) string { return strings.ToLower(strings.TrimSpace(email)) }

// Status says whether a person may work in a store.
type Status string

// The statuses of store members (account-api.md: StoreUserStatus).
const (
	Active   Status = "ACTIVE"
	Inactive Status = "INACTIVE"
)

// StoreMember is a person's place in a store.
type StoreMember struct {
	// ID is the membership's; the person's is User.ID.
	ID      uuid.UUID
	StoreID uuid.UUID
	User    User
	Status  Status
	// Permissions are names of what the person may do in the store, sorted.
	Permissions []string
	// LastLoginAt is zero when the person never signed in there.
	LastLoginAt time.Time
	UpdatedAt   time.Time
}

// Session is the record of a person's session in one account. Its secret is
// kept as a keyed digest only.
type Session struct {
	ID        uuid.UUID
	AccountID uuid.UUID
	UserID    uuid.UUID
	// Email is the person's address.
	Email     string
	CreatedAt time.Time
	ExpiresAt time.Time
}
