package manifest

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/legacy"
	"latchkey/internal/user"
)

// Repository stores what a manifest declares. Lookups return fault.NotFound if there is no such row. Saves insert, or
// replace the row with the same key.
type Repository interface {
	// Atomically runs work in one transaction. It is rolled back if, and only if, work returns an error. When
	// Atomically returns nil, every verifier in this process has been notified of the saved accounts.
	Atomically(ctx context.Context, work func(Repository) error) error

	Account(ctx context.Context, id uuid.UUID) (account.Account, error)
	// StoreByHash finds a store on the whole platform.
	StoreByHash(ctx context.Context, hash string) (account.Store, error)
	// AppByID finds an app on the whole platform.
	AppByID(ctx context.Context, id int64) (account.App, error)
	// UserByEmail finds the identity with the folded address, independent of accounts.
	UserByEmail(ctx context.Context, folded string) (user.User, error)
	// Member finds a user of an account by the folded address.
	Member(ctx context.Context, accountID uuid.UUID, folded string) (user.Person, error)
	// StoreMember finds a user's membership in a store.
	StoreMember(ctx context.Context, accountID, storeID, userID uuid.UUID) (user.StoreMember, error)
	// InstalledApps returns the IDs of the apps installed in a store.
	InstalledApps(ctx context.Context, accountID, storeID uuid.UUID) ([]int64, error)
	// MemberApps returns the IDs of the apps that a member of a store may use.
	MemberApps(ctx context.Context, accountID, memberID uuid.UUID) ([]int64, error)
	// LegacyAccount finds a store's legacy API account by its user name.
	LegacyAccount(ctx context.Context, accountID, storeID uuid.UUID, username string) (legacy.Account, error)

	SaveAccount(ctx context.Context, a account.Account) error
	SaveStore(ctx context.Context, s account.Store) error
	SaveApp(ctx context.Context, a account.App) error
	// SaveUser saves the identity of an address.
	SaveUser(ctx context.Context, u user.User) error
	// AddMember adds a user to an account with an accepted membership.
	AddMember(ctx context.Context, accountID uuid.UUID, u user.User, at time.Time) error
	// SaveMember replaces the names that an account records of its user, and accepts a pending membership.
	SaveMember(ctx context.Context, accountID uuid.UUID, u user.User, at time.Time) error
	SaveStoreMember(ctx context.Context, accountID uuid.UUID, m user.StoreMember) error
	// Touch records that something which the account can see about a user changed at this time.
	Touch(ctx context.Context, accountID, userID uuid.UUID, at time.Time) error
	// InstallApps adds apps to a store. Apps that are already installed stay.
	InstallApps(ctx context.Context, accountID, storeID uuid.UUID, appIDs []int64) error
	// GrantApps allows a store member to use apps. Apps that are already granted stay.
	GrantApps(ctx context.Context, accountID, memberID uuid.UUID, appIDs []int64) error
	SaveLegacyAccount(ctx context.Context, a legacy.Account) error
	// Record saves an audit event.
	Record(ctx context.Context, e audit.Event) error
}
