package user

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
)

// Membership is an account's record of a user, to be saved.
type Membership struct {
	UserID uuid.UUID
	// Email is the address as the account recorded it. It never changes.
	Email                       string
	FirstName, LastName, Locale string
	// ExternalID is the user's ID in the account's other system, or empty.
	ExternalID string
	JoinedAt   time.Time
	UpdatedAt  time.Time
	// ProvisionedBy is that of User.
	ProvisionedBy uuid.UUID
}

// NewUser is a user of the account about to be kept.
type NewUser struct {
	User

	// PasswordHash is a hash in PHC string format, or empty if the user has no
	// password.
	PasswordHash string
	// VouchedBy is the account that chose the password. The password signs in
	// to that account only.
	VouchedBy uuid.UUID
}

// Membership returns the account's record of the user.
func (p Person) Membership() Membership {
	return Membership{
		UserID: p.ID, Email: p.Email, FirstName: p.FirstName, LastName: p.LastName, Locale: p.Locale,
		ExternalID: p.ExternalID, JoinedAt: p.JoinedAt, UpdatedAt: p.UpdatedAt, ProvisionedBy: p.ProvisionedBy,
	}
}

// Change is a transaction over the users of one account. It excludes other
// changes to them, commits as a whole or not at all, and reads its own writes.
// Its methods take sets, so that a thousand users need as many statements as
// one.
//
// A read omits what it does not find. A write of an empty set does nothing.
type Change interface {
	// Account returns the account.
	Account(ctx context.Context) (account.Account, error)
	// Stores returns the account's stores with these IDs and hashes.
	Stores(ctx context.Context, refs []account.StoreRef) ([]account.Store, error)
	// OwnedStores returns the account's stores that one of the users owns.
	OwnedStores(ctx context.Context, userIDs []uuid.UUID) ([]account.Store, error)
	// MembersByEmail returns the account's members with the folded addresses.
	MembersByEmail(ctx context.Context, folded []string) ([]Person, error)
	// Members returns the account's members with the IDs.
	Members(ctx context.Context, ids []uuid.UUID) ([]Person, error)
	// MembersByExternalID returns the account's members with the external IDs.
	MembersByExternalID(ctx context.Context, externalIDs []string) ([]Person, error)
	// OtherMembers returns at most most members of the account, without those
	// in except.
	OtherMembers(ctx context.Context, except []uuid.UUID, most int) ([]Person, error)

	// CreateUsers creates users of the account. Other accounts may have users
	// with the same addresses.
	CreateUsers(ctx context.Context, users []NewUser) error
	// SaveMembers adds members to the account, as pending, or replaces their
	// names, external IDs and times. It returns fault.Conflict if another
	// member has one of the external IDs.
	SaveMembers(ctx context.Context, members []Membership) error
	// SavePlaces adds members to stores of the account, or replaces their
	// status, permissions and times there. The key is the user's ID.
	SavePlaces(ctx context.Context, places map[uuid.UUID][]Place) error
	// RemovePlaces deletes store memberships by ID, and with them the users'
	// access to apps in those stores.
	RemovePlaces(ctx context.Context, ids []uuid.UUID) error
	// RemoveMembers removes members from the account, and deletes the one-time
	// links that the account created for them. They must have no store
	// membership left.
	RemoveMembers(ctx context.Context, ids []uuid.UUID) error
	// DeactivateMembers deactivates members of the account, which keeps their store
	// memberships, and deletes the one-time links that the account created for them.
	// The time also becomes that of the last change.
	DeactivateMembers(ctx context.Context, ids []uuid.UUID, at time.Time) error
	// ReactivateMembers undoes DeactivateMembers, except for the links.
	ReactivateMembers(ctx context.Context, ids []uuid.UUID, at time.Time) error
	// EndSessions ends the users' sessions in the account, with one event for
	// each session that is live at the given time. It takes effect under every
	// server's clock. Until the transaction ends, no new session of these users
	// can start and no link from the account to them can be created.
	EndSessions(ctx context.Context, userIDs []uuid.UUID, at time.Time, event func(Session) audit.Event) error
	// SetOwner makes a member the owner of the store, or of the account if
	// storeID is the zero UUID.
	SetOwner(ctx context.Context, storeID, userID uuid.UUID) error
	// CountStores returns the number of the account's stores.
	CountStores(ctx context.Context) (int64, error)
	// AddStore adds a store to the account. It reports false, and adds none, if a
	// store of any account has the hash.
	AddStore(ctx context.Context, s account.Store) (bool, error)
	// RenameStore changes the name of a store of the account.
	RenameStore(ctx context.Context, storeID uuid.UUID, name string) error
	// Record saves audit events.
	Record(ctx context.Context, events []audit.Event) error
}
