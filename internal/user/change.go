package user

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
)

// Membership is what an account records of a person, about to be kept.
type Membership struct {
	UserID uuid.UUID
	// Email is the address as the account has it. It does not change.
	Email                       string
	FirstName, LastName, Locale string
	// ExternalID is empty for a person whom no other system knows.
	ExternalID string
	JoinedAt   time.Time
	UpdatedAt  time.Time
}

// NewUser is a user of the account about to be kept.
type NewUser struct {
	User

	// PasswordHash is a hash in PHC's form; empty for a person without a
	// password.
	PasswordHash string
	// VouchedBy is the account whose people know the password: it opens that
	// account alone.
	VouchedBy uuid.UUID
}

// membership is what is kept of the person in the account.
func (p Person) membership() Membership {
	return Membership{
		UserID: p.ID, Email: p.Email, FirstName: p.FirstName, LastName: p.LastName, Locale: p.Locale,
		ExternalID: p.ExternalID, JoinedAt: p.JoinedAt, UpdatedAt: p.UpdatedAt,
	}
}

// Change is a transaction over the people of one account: nobody else changes
// them meanwhile, it takes effect as a whole or not at all, and what it reads
// is as it has left it. Everything goes by the set, so that a thousand people
// take as many statements as one.
//
// A read leaves out what there is not. A write of nothing does nothing.
type Change interface {
	// Account returns the account.
	Account(ctx context.Context) (account.Account, error)
	// Stores returns the account's stores by id and by hash.
	Stores(ctx context.Context, refs []account.StoreRef) ([]account.Store, error)
	// OwnedStores returns those of the account's stores that one of the people
	// owns.
	OwnedStores(ctx context.Context, userIDs []uuid.UUID) ([]account.Store, error)
	// MembersByEmail returns the account's people of the folded addresses.
	MembersByEmail(ctx context.Context, folded []string) ([]Person, error)
	// Members returns those of the people who are in the account.
	Members(ctx context.Context, ids []uuid.UUID) ([]Person, error)
	// MembersByExternalID returns the account's people of those ids.
	MembersByExternalID(ctx context.Context, externalIDs []string) ([]Person, error)
	// OtherMembers returns people who are in the account and not among those
	// named, most of them at most.
	OtherMembers(ctx context.Context, except []uuid.UUID, most int) ([]Person, error)

	// CreateUsers keeps users of the account, whether or not another account
	// knows their addresses.
	CreateUsers(ctx context.Context, users []NewUser) error
	// SaveMembers puts people into the account, pending, or replaces their
	// names, external ids and times. It returns fault.Conflict when another
	// member has one of the external ids.
	SaveMembers(ctx context.Context, members []Membership) error
	// SavePlaces puts people of the account into stores of it, or replaces
	// their statuses, permissions and times there.
	SavePlaces(ctx context.Context, places map[uuid.UUID][]Place) error
	// RemovePlaces takes people out of stores, with the apps that they may use
	// there, by the ids of the places.
	RemovePlaces(ctx context.Context, ids []uuid.UUID) error
	// RemoveMembers ends the one-time links of the account's to people who have no
	// place in a store any more, and takes them out of
	// the account.
	RemoveMembers(ctx context.Context, ids []uuid.UUID) error
	// EndSessions ends the sessions of people in the account, by every server's
	// clock, those that are live at the moment with an event each.
	EndSessions(ctx context.Context, userIDs []uuid.UUID, at time.Time, event func(Session) audit.Event) error
	// SetOwner makes a member the owner of a store, or of the account where
	// storeID is zero.
	SetOwner(ctx context.Context, storeID, userID uuid.UUID) error
	// Record keeps audit events.
	Record(ctx context.Context, events []audit.Event) error
}
