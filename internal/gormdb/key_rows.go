package gormdb

import (
	"github.com/google/uuid"

	"latchkey/internal/gateway/keys"
	"latchkey/internal/legacy"
	"latchkey/internal/secret"
)

// gatewayRow is the model of a gateway's key.
type gatewayRow struct {
	ID        uuid.UUID `gorm:"type:uuid;primaryKey"`
	Name      string    `gorm:"not null"`
	Digest    []byte    `gorm:"not null;unique;->:false;<-:create"`
	DigestKey string    `gorm:"not null;->:false;<-:create"`
	Hint      string    `gorm:"not null"`
	CreatedAt instant   `gorm:"not null"`
	RevokedAt instant
}

// TableName tells gorm the table.
func (gatewayRow) TableName() string { return "gateway_keys" }

func (r gatewayRow) key() keys.Key {
	return keys.Key{ID: r.ID, Name: r.Name, Hint: r.Hint, CreatedAt: r.CreatedAt.Time, RevokedAt: r.RevokedAt.Time}
}

// legacyRow is the model of a legacy API account.
type legacyRow struct {
	AccountID  uuid.UUID `gorm:"type:uuid;primaryKey;uniqueIndex:legacy_accounts_username"`
	StoreID    uuid.UUID `gorm:"type:uuid;not null;uniqueIndex:legacy_accounts_username"`
	ID         uuid.UUID `gorm:"type:uuid;primaryKey"`
	Username   string    `gorm:"not null;uniqueIndex:legacy_accounts_username"`
	Digest     []byte    `gorm:"not null;unique;->:false;<-"`
	DigestKey  string    `gorm:"not null;->:false;<-"`
	CreatedAt  instant   `gorm:"not null"`
	LastUsedAt instant   `gorm:"<-:update"`
	LastUsedIP *string   `gorm:"<-:update"`

	Store *storeRow `gorm:"foreignKey:AccountID,StoreID;references:AccountID,ID"`
}

// TableName tells gorm the table.
func (legacyRow) TableName() string { return "legacy_accounts" }

func newLegacyRow(a legacy.Account) legacyRow {
	return legacyRow{
		AccountID: a.AccountID, ID: a.ID, StoreID: a.StoreID, Username: a.Username,
		Digest: a.Digest.Digest[:], DigestKey: string(a.Digest.Key), CreatedAt: instant{a.CreatedAt},
	}
}

// listedLegacy is a legacy API account with the hash of its store. It is read from legacy_accounts AS l and stores
// AS s (legaciesOf).
type listedLegacy struct {
	Account   legacyRow `gorm:"embedded" sql:"l"`
	StoreHash string    `sql:"s.hash"`
}

// savedLegacy is a legacy API account with its digest.
type savedLegacy struct {
	Listed         listedLegacy `gorm:"embedded"`
	SavedDigest    []byte       `sql:"l.digest"`
	SavedDigestKey string       `sql:"l.digest_key"`
}

var (
	listedLegacyColumns = columnsOf[listedLegacy](nil).list()
	savedLegacyColumns  = columnsOf[savedLegacy](nil).list()
)

func (r listedLegacy) account() (legacy.Account, error) {
	row := r.Account
	ip, err := parseAddr(textOf(row.LastUsedIP))
	return legacy.Account{
		AccountID: row.AccountID, ID: row.ID, StoreID: row.StoreID, StoreHash: r.StoreHash, Username: row.Username,
		CreatedAt: row.CreatedAt.Time, LastUsedAt: row.LastUsedAt.Time, LastUsedIP: ip,
	}, err
}

func (r savedLegacy) account() (legacy.Account, error) {
	a, err := r.Listed.account()
	a.Digest.Key = secret.KeyID(r.SavedDigestKey)
	copy(a.Digest.Digest[:], r.SavedDigest)
	return a, err
}

// keyRow is the model of a key under which credentials are stored: its ID, not the key.
type keyRow struct {
	ID          string  `gorm:"primaryKey"`
	FirstUsedAt instant `gorm:"not null"`
}

// TableName tells gorm the table.
func (keyRow) TableName() string { return "server_keys" }
