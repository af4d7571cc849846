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

// Repository keeps what a manifest declares. Look-ups return fault.NotFound
// when there is nothing; saves insert, or replace what has the same key.
type Repository interface {
	// Atomically runs work in one transaction, which an error of work, and
	// that error alone, takes back. When it returns nil every verifier of this
	// process has heard of the accounts that were saved.
	Atomically(ctx context.Context, work func(Repository) error) error

	Account(ctx context.Context, id uuid.UUID) (account.Account, error)
	// StoreByHash finds a store on the whole platform.
	StoreByHash(ctx context.Context, hash string) (account.Store, error)
	// AppByID finds an app on the whole platform.
	AppByID(ctx context.Context, id int64) (account.App, error)
	// UserByEmail finds the person of the folded address, of no account in
	// particular.
	UserByEmail(ctx context.Context, folded string) (user.User, error)
	// Member finds a user of an account by the folded address.
	Member(ctx context.Context, accountID uuid.UUID, folded string) (user.User, error)
	// StoreMember finds a person's place in a store.
	StoreMember(ctx context.Context, accountID, storeID, userID uuid.UUID) (user.StoreMember, error)
	// InstalledApps returns the ids of the apps installed in a store.
	InstalledApps(ctx context.Context, accountID, storeID uuid.UUID) ([]int64, error)
	// MemberApps returns the ids of the apps that a member of a store may use.
	MemberApps(ctx context.Context, accountID, memberID uuid.UUID) ([]int64, error)
	// LegacyAccount finds a store's legacy API account by its user name.
	LegacyAccount(ctx context.Context, accountID, storeID uuid.UUID, username string) (legacy.Account, error)

	SaveAccount(ctx context.Context, a account.Account) error
	SaveStore(ctx context.Context, s account.Store) error
	SaveApp(ctx context.Context, a account.App) error
	// SaveUser keeps the person of an address.
	SaveUser(ctx context.Context, u user.User) error
	// AddMember puts a person into an account, who needs not accept it.
	AddMember(ctx context.Context, accountID uuid.UUID, u user.User, at time.Time) error
	// SaveMember replaces the names that an account records of a user of it, and
	// accepts a membership that is pending.
	SaveMember(ctx context.Context, accountID uuid.UUID, u user.User, at time.Time) error
	SaveStoreMember(ctx context.Context, accountID uuid.UUID, m user.StoreMember) error
	// Touch says of a person that something changed which the account sees.
	Touch(ctx context.Context, accountID, userID uuid.UUID, at time.Time) error
	// InstallApps adds apps to a store; those installed already stay.
	InstallApps(ctx context.Context, accountID, storeID uuid.UUID, appIDs []int64) error
	// GrantApps lets a store's member use apps; those granted already stay.
	GrantApps(ctx context.Context, accountID, memberID uuid.UUID, appIDs []int64) error
	SaveLegacyAccount(ctx context.Context, a legacy.Account) error
	// Record keeps an audit event.
	Record(ctx context.Context, e audit.Event) error
}
