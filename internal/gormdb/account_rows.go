package gormdb

import (
	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/scope"
)

// accountRow is the model of an account.
type accountRow struct {
	ID        uuid.UUID `gorm:"type:uuid;primaryKey"`
	Name      string    `gorm:"not null"`
	OwnerID   uuid.UUID `gorm:"type:uuid;not null;index:accounts_owner"`
	Features  string    `gorm:"not null"`
	Status    string    `gorm:"not null"`
	CreatedAt instant   `gorm:"not null"`
	// UserCount is kept by triggers and read by users.CountUsers.
	UserCount int64 `gorm:"not null;->:false;<-:false"`

	OffboardingPolicy string `gorm:"not null"`
	LeakPolicy        string `gorm:"not null"`

	Owner *userRow `gorm:"foreignKey:OwnerID;references:ID"`
}

// TableName tells gorm the table.
func (accountRow) TableName() string { return "accounts" }

func (r accountRow) account() account.Account {
	return account.Account{
		ID: r.ID, Name: r.Name, OwnerID: r.OwnerID, Features: split[scope.Feature](r.Features),
		Status:    account.Status(r.Status),
		CreatedAt: r.CreatedAt.Time, Offboarding: account.OffboardingPolicy(r.OffboardingPolicy),
		Leaks: account.LeakPolicy(r.LeakPolicy),
	}
}

// storeRow is the model of a store.
type storeRow struct {
	AccountID uuid.UUID `gorm:"type:uuid;primaryKey;index:stores_owner,priority:11;uniqueIndex:stores_external,priority:11"`
	ID        uuid.UUID `gorm:"type:uuid;primaryKey"`
	Hash      string    `gorm:"not null;unique"`
	Name      string    `gorm:"not null"`
	OwnerID   uuid.UUID `gorm:"type:uuid;not null;index:stores_owner"`
	Status    string    `gorm:"not null"`
	CreatedAt instant   `gorm:"not null"`
	// What the store has as a group is read and written by directory_groups.go. MembersRevision is kept by triggers.
	ExternalID      *string `gorm:"uniqueIndex:stores_external,where:external_id IS NOT NULL;->:false;<-:false"`
	DefaultRole     string  `gorm:"not null;->:false;<-:false"`
	MembersRevision int64   `gorm:"not null;->:false;<-:false"`

	Account *accountRow `gorm:"foreignKey:AccountID;references:ID"`
	Owner   *userRow    `gorm:"foreignKey:OwnerID;references:ID"`
}

// TableName tells gorm the table.
func (storeRow) TableName() string { return "stores" }

func newStoreRow(s account.Store) storeRow {
	return storeRow{
		AccountID: s.AccountID, ID: s.ID, Hash: s.Hash, Name: s.Name, OwnerID: s.OwnerID, Status: string(s.Status),
		CreatedAt: instant{s.CreatedAt},
	}
}

func (r storeRow) store() account.Store {
	return account.Store{
		ID: r.ID, AccountID: r.AccountID, Hash: r.Hash, Name: r.Name, OwnerID: r.OwnerID,
		Status:    account.Status(r.Status),
		CreatedAt: r.CreatedAt.Time,
	}
}

// appRow is the model of an app.
type appRow struct {
	AccountID uuid.UUID `gorm:"type:uuid;primaryKey"`
	Key       uuid.UUID `gorm:"type:uuid;primaryKey"`
	ID        int64     `gorm:"not null;unique"`
	Name      string    `gorm:"not null"`
	Status    string    `gorm:"not null"`
	CreatedAt instant   `gorm:"not null"`

	Account *accountRow `gorm:"foreignKey:AccountID;references:ID"`
}

// TableName tells gorm the table.
func (appRow) TableName() string { return "apps" }

func (r appRow) app() account.App {
	return account.App{ID: r.ID, Key: r.Key, AccountID: r.AccountID, Name: r.Name, Status: account.AppStatus(r.Status),
		CreatedAt: r.CreatedAt.Time}
}

// storeAppRow is the model of an app in a store.
type storeAppRow struct {
	AccountID uuid.UUID `gorm:"type:uuid;primaryKey"`
	StoreID   uuid.UUID `gorm:"type:uuid;primaryKey"`
	AppID     int64     `gorm:"primaryKey;autoIncrement:false"`

	Store *storeRow `gorm:"foreignKey:AccountID,StoreID;references:AccountID,ID"`
	App   *appRow   `gorm:"foreignKey:AppID;references:ID"`
}

// TableName tells gorm the table.
func (storeAppRow) TableName() string { return "store_apps" }

// storeUserAppRow is the model of an app that a store's member may use.
type storeUserAppRow struct {
	AccountID uuid.UUID `gorm:"type:uuid;primaryKey"`
	MemberID  uuid.UUID `gorm:"type:uuid;primaryKey"`
	AppID     int64     `gorm:"primaryKey;autoIncrement:false"`

	Member *storeUserRow `gorm:"foreignKey:AccountID,MemberID;references:AccountID,ID"`
	App    *appRow       `gorm:"foreignKey:AppID;references:ID"`
}

// TableName tells gorm the table.
func (storeUserAppRow) TableName() string { return "store_user_apps" }

// The columns of the models in hand-written statements.
var (
	accountColumns = columnsOf[accountRow](nil)
	appColumns     = columnsOf[appRow](nil)
)
