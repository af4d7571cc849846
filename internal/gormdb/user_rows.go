package gormdb

import (
	"github.com/google/uuid"

	"latchkey/internal/user"
)

// userRow is the model of a user: a person who signs in, or an account's record of a user.
type userRow struct {
	ID           uuid.UUID     `gorm:"type:uuid;primaryKey"`
	Email        string        `gorm:"not null"`
	EmailFolded  string        `gorm:"not null;unique"`
	FirstName    string        `gorm:"not null"`
	LastName     string        `gorm:"not null"`
	Locale       string        `gorm:"not null"`
	CreatedAt    instant       `gorm:"not null"`
	PasswordHash *string       // null if the user has no password
	PasswordID   uuid.NullUUID `gorm:"type:uuid"`
	VouchedBy    uuid.NullUUID `gorm:"type:uuid"`

	Voucher *accountRow `gorm:"foreignKey:VouchedBy;references:ID"`
}

// TableName tells gorm the table.
func (userRow) TableName() string { return "users" }

// isPerson reports whether the row is a person who signs in. Otherwise it is an account's record of a user.
func (r userRow) isPerson() bool { return r.EmailFolded != r.ID.String() }

// recordRow is an account's record of a user. It is read from users AS u and account_users AS a.
type recordRow struct {
	ID         uuid.UUID `sql:"u"`
	Email      string    `sql:"u"`
	FirstName  string    `sql:"a"`
	LastName   string    `sql:"a"`
	Locale     string    `sql:"a"`
	ExternalID string    `sql:"coalesce(a.external_id, '')"`
	CreatedAt  instant   `sql:"u"`
	UpdatedAt  instant   `sql:"a"`
	AcceptedAt instant   `sql:"a"`

	DeactivatedAt instant       `sql:"a"`
	ProvisionedBy uuid.NullUUID `sql:"a"`
}

func (r recordRow) user() user.User {
	return user.User{
		ID: r.ID, Email: r.Email, FirstName: r.FirstName, LastName: r.LastName, Locale: r.Locale,
		ExternalID: r.ExternalID, CreatedAt: r.CreatedAt.Time, UpdatedAt: r.UpdatedAt.Time,
		Pending: r.AcceptedAt.IsZero(), DeactivatedAt: r.DeactivatedAt.Time, ProvisionedBy: r.ProvisionedBy.UUID,
	}
}

// accountUserRow is the model of a user's membership in an account.
type accountUserRow struct {
	AccountID   uuid.UUID `gorm:"type:uuid;primaryKey;index:account_users_updated;uniqueIndex:account_users_external;uniqueIndex:account_users_address,priority:11"`
	UserID      uuid.UUID `gorm:"type:uuid;primaryKey;index:account_users_person"`
	EmailFolded string    `gorm:"uniqueIndex:account_users_address"`
	// Email is the address in users, which triggers keep equal.
	Email      string  `gorm:"not null"`
	FirstName  string  `gorm:"not null"`
	LastName   string  `gorm:"not null"`
	Locale     string  `gorm:"not null"`
	AcceptedAt instant // null while the user is invited
	CreatedAt  instant `gorm:"not null"`
	UpdatedAt  instant `gorm:"not null;index:account_users_updated"`
	ExternalID *string `gorm:"uniqueIndex:account_users_external,where:external_id IS NOT NULL"`
	// DeactivatedAt is null while the membership is not deactivated.
	DeactivatedAt instant
	ProvisionedBy uuid.NullUUID `gorm:"type:uuid"`
	// AddressedAt is when the address was last changed; null means CreatedAt.
	AddressedAt instant

	Account *accountRow `gorm:"foreignKey:AccountID;references:ID"`
	User    *userRow    `gorm:"foreignKey:UserID;references:ID"`
}

// TableName tells gorm the table.
func (accountUserRow) TableName() string { return "account_users" }

// storeUserRow is the model of a user's place in a store.
type storeUserRow struct {
	AccountID   uuid.UUID `gorm:"type:uuid;primaryKey;index:store_users_page;index:store_users_person;uniqueIndex:store_users_user"`
	StoreID     uuid.UUID `gorm:"type:uuid;not null;index:store_users_page;uniqueIndex:store_users_user"`
	UserID      uuid.UUID `gorm:"type:uuid;not null;index:store_users_person;uniqueIndex:store_users_user"`
	ID          uuid.UUID `gorm:"type:uuid;primaryKey;index:store_users_page;index:store_users_person"`
	Status      string    `gorm:"not null"`
	Permissions string    `gorm:"not null"`
	LastLoginAt instant
	UpdatedAt   instant `gorm:"not null"`

	Store  *storeRow       `gorm:"foreignKey:AccountID,StoreID;references:AccountID,ID"`
	Member *accountUserRow `gorm:"belongsTo:member;foreignKey:AccountID,UserID;references:AccountID,UserID"`
}

// TableName tells gorm the table.
func (storeUserRow) TableName() string { return "store_users" }

func (r storeUserRow) place() user.Place {
	return user.Place{
		ID: r.ID, StoreID: r.StoreID, Status: user.Status(r.Status), Permissions: split[string](r.Permissions),
		LastLoginAt: r.LastLoginAt.Time, UpdatedAt: r.UpdatedAt.Time,
	}
}

// memberRow is a store's member, with the user. It is read from store_users AS m and the tables that personOfPlace and
// storeOfPlace join.
type memberRow struct {
	Place  storeUserRow `gorm:"embedded;embeddedPrefix:place_" sql:"m"`
	Record recordRow    `gorm:"embedded"`
	Owner  bool         `sql:"(s.owner_id = m.user_id)"`
}

func (r memberRow) member() user.StoreMember {
	return user.StoreMember{Place: r.Place.place(), User: r.Record.user(), Owner: r.Owner}
}

// placeRow is a user's place in a store, with the store. It is read from store_users AS m and stores AS s.
type placeRow struct {
	Place storeUserRow `gorm:"embedded;embeddedPrefix:place_" sql:"m"`
	Store storeRow     `gorm:"embedded" sql:"s"`
	// DeactivatedAt is that of the user's membership in the account.
	DeactivatedAt instant `sql:"(SELECT a.deactivated_at FROM account_users AS a WHERE a.account_id = m.account_id AND a.user_id = m.user_id)"`
}

func (r placeRow) place() user.StorePlace {
	return user.StorePlace{Place: r.Place.place(), UserID: r.Place.UserID, Store: r.Store.store(),
		Deactivated: !r.DeactivatedAt.IsZero()}
}

// personRow is an account's record of a user, with the membership. It is read from the tables of a recordRow.
type personRow struct {
	Record   recordRow `gorm:"embedded"`
	JoinedAt instant   `sql:"a.created_at"`
}

func (r personRow) person() user.Person {
	return user.Person{User: r.Record.user(), Member: true, JoinedAt: r.JoinedAt.Time}
}

var (
	recordFields  = columnsOf[recordRow](nil)
	recordColumns = recordFields.list()
	memberColumns = columnsOf[memberRow](nil).list()
	placeColumns  = columnsOf[placeRow](nil).list()
	personColumns = columnsOf[personRow](nil).list()
)
