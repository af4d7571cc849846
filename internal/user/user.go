// Package user manages the users of an account: the account's record of each
// user, their memberships in its stores, and their sessions.
//
// An account reads and changes only its own records. This package cannot find
// out whether another account has a user with the same address: only package
// signin connects the records of one address.
package user

import (
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
)

// IDPrefix begins the IDs of users in the API.
const IDPrefix = account.IDPrefix + "user/"

// User is an account's record of one email address. Each account has its own;
// no account sees another's.
type User struct {
	// ID is unique to the account. Other accounts have other IDs for the same
	// person.
	ID    uuid.UUID
	Email string
	// FirstName and LastName are empty until they are set.
	FirstName string
	LastName  string
	// Locale is a BCP 47 language tag, such as "en" or "de".
	Locale string
	// ExternalID is the user's ID in the account's other system, unique in the
	// account, or empty.
	ExternalID string
	CreatedAt  time.Time
	// UpdatedAt is when a field of the user in this account last changed. For a
	// user who was removed from the account, it is CreatedAt.
	UpdatedAt time.Time
	// Pending reports that the user has not accepted the membership yet. A
	// pending membership gives no rights.
	Pending bool
	// DeactivatedAt is when the membership was deactivated, or zero if it is not. A
	// deactivated membership gives no rights. Its store memberships stay recorded.
	DeactivatedAt time.Time
	// ProvisionedBy is the API token with which an identity provider last created or
	// changed the user over SCIM, or zero.
	ProvisionedBy uuid.UUID
}

// Former returns the user as one who was removed from the account.
func (u User) Former() User {
	u.ExternalID, u.UpdatedAt, u.ProvisionedBy = "", u.CreatedAt, uuid.Nil
	return u
}

// Deactivated reports whether the membership in the account is deactivated.
func (u User) Deactivated() bool { return !u.DeactivatedAt.IsZero() }

// Status is the status of a store membership.
type Status string

// The statuses of store members (docs/compatibility.md: "Queries").
const (
	Active   Status = "ACTIVE"
	Inactive Status = "INACTIVE"
)

// Place is a user's membership in a store.
type Place struct {
	// ID is the membership's, not the user's.
	ID      uuid.UUID
	StoreID uuid.UUID
	Status  Status
	// Permissions are the names of the user's permissions in the store, sorted.
	Permissions []string
	// LastLoginAt is zero if the user never signed in there.
	LastLoginAt time.Time
	UpdatedAt   time.Time
}

// StoreMember is a member of a store.
type StoreMember struct {
	Place

	User User
	// Owner reports whether the user owns the store.
	Owner bool
}

// EffectiveStatus returns whether the user can sign in to the store: Inactive also
// while the membership in the account is deactivated, which leaves Status unchanged.
func (m StoreMember) EffectiveStatus() Status { return m.effective(m.User.Deactivated()) }

// effective returns the status of a membership in a store whose user is deactivated in
// the account or not.
func (p Place) effective(deactivated bool) Status {
	if deactivated {
		return Inactive
	}
	return p.Status
}

// Role returns the user's role in the store.
func (m StoreMember) Role() Role { return RoleOf(m.Permissions, m.Owner) }

// StorePlace is a user's membership in a store, with the store.
type StorePlace struct {
	Place

	UserID uuid.UUID
	Store  account.Store
	// Deactivated reports whether the user is deactivated in the account.
	Deactivated bool
}

// EffectiveStatus is that of StoreMember.
func (p StorePlace) EffectiveStatus() Status { return p.effective(p.Deactivated) }

// Role returns the user's role in the store.
func (p StorePlace) Role() Role { return RoleOf(p.Permissions, p.Store.OwnerID == p.UserID) }

// Person is a user with their membership in the account.
type Person struct {
	User

	// Member reports whether the user is in the account. If not, the following
	// fields are zero.
	Member   bool
	JoinedAt time.Time
	// Places are the memberships in the account's stores, sorted by ID.
	Places []Place
}

// Place returns the user's membership in the store, if there is one.
func (p Person) Place(storeID uuid.UUID) (Place, bool) {
	for _, place := range p.Places {
		if place.StoreID == storeID {
			return place, true
		}
	}
	return Place{}, false
}

// Session is the record of a user's session in one account. Only a keyed digest
// of its secret is stored.
type Session struct {
	ID        uuid.UUID
	AccountID uuid.UUID
	// UserID is the user of the account, and PersonID the person who signed in;
	// see auth.Principal.
	UserID, PersonID uuid.UUID
	// Email is the user's address.
	Email     string
	CreatedAt time.Time
	ExpiresAt time.Time

	// Method is how the user signed in, as one of package signin's methods;
	// empty for a session that the operator started.
	Method string
	// AuthenticatedAt is when the user last authenticated; zero for a session
	// that the operator started.
	AuthenticatedAt time.Time
	// IP is the client's address at that time, and UserAgent its User-Agent
	// header. Both may be empty.
	IP, UserAgent string
	// LastUsedAt is when the session was last used, a little late, or started.
	LastUsedAt time.Time
}

// Ref identifies a user by email address, ID, or both.
type Ref struct {
	// Email is an address, compared without case.
	Email *string
	// ID is the ID of a member of the account. Users of other accounts cannot
	// be looked up by ID. The zero UUID matches no user.
	ID *uuid.UUID
}
