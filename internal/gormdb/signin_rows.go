package gormdb

import (
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// sessionRow is the model of a user's session in an account.
type sessionRow struct {
	AccountID uuid.UUID     `gorm:"type:uuid;primaryKey;index:sessions_live,priority:11"`
	ID        uuid.UUID     `gorm:"type:uuid;primaryKey;index:sessions_id"`
	UserID    uuid.UUID     `gorm:"type:uuid;not null;index:sessions_live,where:ended_at IS NULL"`
	PersonID  uuid.NullUUID `gorm:"type:uuid;index:sessions_person,where:ended_at IS NULL"`
	Digest    []byte        `gorm:"not null;unique"`
	DigestKey string        `gorm:"not null"`
	CreatedAt instant       `gorm:"not null"`
	ExpiresAt instant       `gorm:"not null;index:sessions_expired"`
	EndedAt   instant       `gorm:"<-:update"`

	Method          string `gorm:"not null"`
	AuthenticatedAt instant
	IP              string        `gorm:"not null"`
	UserAgent       string        `gorm:"not null"`
	LastUsedAt      instant       `gorm:"<-:update"`
	OriginID        uuid.NullUUID `gorm:"type:uuid;index:sessions_origin,where:origin_id IS NOT NULL AND ended_at IS NULL"`

	Account *accountRow `gorm:"foreignKey:AccountID;references:ID"`
	User    *userRow    `gorm:"foreignKey:UserID;references:ID"`
	Person  *userRow    `gorm:"foreignKey:PersonID;references:ID"`
}

// TableName tells gorm the table.
func (sessionRow) TableName() string { return "sessions" }

// listedSession is a session with the address of its user. It is read from sessions.
type listedSession struct {
	ID              uuid.UUID `sql:"sessions"`
	AccountID       uuid.UUID `sql:"sessions"`
	UserID          uuid.UUID `sql:"sessions"`
	PersonID        uuid.UUID `sql:"coalesce(sessions.person_id, sessions.user_id)"`
	CreatedAt       instant   `sql:"sessions"`
	ExpiresAt       instant   `sql:"sessions"`
	Method          string    `sql:"sessions"`
	AuthenticatedAt instant   `sql:"sessions"`
	IP              string    `sql:"sessions"`
	UserAgent       string    `sql:"sessions"`
	LastUsedAt      instant   `sql:"coalesce(sessions.last_used_at, sessions.created_at)"`
	Email           string    `sql:"(SELECT email FROM users WHERE users.id = sessions.user_id)"`
}

var sessionColumns = columnsOf[listedSession](nil).list()

func (r listedSession) session() user.Session {
	return user.Session{
		ID: r.ID, AccountID: r.AccountID, UserID: r.UserID, PersonID: r.PersonID, Email: r.Email,
		CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time, Method: r.Method,
		AuthenticatedAt: r.AuthenticatedAt.Time,
		IP:              r.IP, UserAgent: r.UserAgent, LastUsedAt: r.LastUsedAt.Time,
	}
}

func (r userRow) person() signin.Person {
	u := user.User{ID: r.ID, Email: r.Email, FirstName: r.FirstName, LastName: r.LastName, Locale: r.Locale,
		CreatedAt: r.CreatedAt.Time}
	return signin.Person{
		User: u, PasswordHash: textOf(r.PasswordHash), PasswordID: r.PasswordID.UUID, VouchedBy: r.VouchedBy.UUID,
		OfAccount: !r.isPerson(),
	}
}

// linkRow is the model of a one-time link.
type linkRow struct {
	ID      uuid.UUID `gorm:"type:uuid;primaryKey"`
	Purpose string    `gorm:"not null"`
	// UserID is the user who signs in with the link, AccountID the account that invited them, and ShownTo the user
	// that the link was shown to.
	UserID    uuid.NullUUID `gorm:"type:uuid;index:links_person"`
	AccountID uuid.NullUUID `gorm:"type:uuid"`
	ShownTo   uuid.NullUUID `gorm:"type:uuid"`
	Server    string        `gorm:"not null"`
	Digest    []byte        `gorm:"not null;unique"`
	DigestKey string        `gorm:"not null"`
	CreatedAt instant       `gorm:"not null"`
	ExpiresAt instant       `gorm:"not null;index:links_expired"`
	// ByOperator reports whether the link was shown to the operator.
	ByOperator bool `gorm:"not null"`

	User    *userRow    `gorm:"foreignKey:UserID;references:ID"`
	Account *accountRow `gorm:"foreignKey:AccountID;references:ID"`
	Viewer  *userRow    `gorm:"foreignKey:ShownTo;references:ID"`
}

// TableName tells gorm the table.
func (linkRow) TableName() string { return "links" }

func (r linkRow) link() signin.Link {
	return signin.Link{
		ID: r.ID, Purpose: signin.Purpose(r.Purpose), UserID: r.UserID.UUID, AccountID: r.AccountID.UUID,
		ShownTo: r.ShownTo.UUID,
		Server:  r.Server, ByOperator: r.ByOperator, CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time,
	}
}

// flowRow is the model of a sign-in that is under way.
type flowRow struct {
	Digest    []byte  `gorm:"primaryKey"`
	DigestKey string  `gorm:"not null"`
	Purpose   string  `gorm:"not null"`
	Sealed    []byte  `gorm:"not null"`
	SealedKey string  `gorm:"not null"`
	ExpiresAt instant `gorm:"not null;index:signin_flows_end"`
}

// TableName tells gorm the table.
func (flowRow) TableName() string { return "signin_flows" }

func (r flowRow) flow() signin.Flow {
	return signin.Flow{
		Digest: secret.KeyedDigest{Key: secret.KeyID(r.DigestKey), Digest: secret.Digest(r.Digest)}, Purpose: r.Purpose,
		Content: secret.Sealed{Key: secret.KeyID(r.SealedKey), Text: r.Sealed}, ExpiresAt: r.ExpiresAt.Time,
	}
}

// totpRow is the model of a user's TOTP secret.
type totpRow struct {
	UserID    uuid.UUID `gorm:"type:uuid;primaryKey"`
	Sealed    []byte    `gorm:"not null"`
	SealedKey string    `gorm:"not null"`
	LastStep  int64     `gorm:"not null"`
	CreatedAt instant   `gorm:"not null"`

	User *userRow `gorm:"foreignKey:UserID;references:ID"`
}

// TableName tells gorm the table.
func (totpRow) TableName() string { return "totp_secrets" }

// codeRow is the model of a recovery code.
type codeRow struct {
	UserID    uuid.UUID `gorm:"type:uuid;primaryKey"`
	Digest    []byte    `gorm:"primaryKey"`
	DigestKey string    `gorm:"not null"`

	User *userRow `gorm:"foreignKey:UserID;references:ID"`
}

// TableName tells gorm the table.
func (codeRow) TableName() string { return "recovery_codes" }

// passkeyRow is the model of a passkey.
type passkeyRow struct {
	ID             uuid.UUID `gorm:"type:uuid;primaryKey"`
	UserID         uuid.UUID `gorm:"type:uuid;not null;index:passkeys_user"`
	Name           string    `gorm:"not null"`
	Site           string    `gorm:"not null"`
	CredentialID   []byte    `gorm:"not null;unique"`
	PublicKey      []byte    `gorm:"not null"`
	SignCount      int64     `gorm:"not null"`
	Transports     string    `gorm:"not null"`
	BackupEligible bool      `gorm:"not null"`
	CreatedAt      instant   `gorm:"not null"`
	LastUsedAt     instant

	User *userRow `gorm:"foreignKey:UserID;references:ID"`
}

// TableName tells gorm the table.
func (passkeyRow) TableName() string { return "passkeys" }

func (r passkeyRow) passkey() signin.Passkey {
	return signin.Passkey{
		ID: r.ID, UserID: r.UserID, Name: r.Name, Site: r.Site, CredentialID: r.CredentialID, PublicKey: r.PublicKey,
		SignCount: uint32(r.SignCount), Transports: strings.Fields(r.Transports), BackupEligible: r.BackupEligible, //nolint:gosec // stored as a uint32
		CreatedAt: r.CreatedAt.Time, LastUsedAt: r.LastUsedAt.Time,
	}
}

// identityRow is the model of an identity at an OpenID Connect provider.
type identityRow struct {
	ID         uuid.UUID `gorm:"type:uuid;primaryKey"`
	UserID     uuid.UUID `gorm:"type:uuid;not null;uniqueIndex:identities_user"`
	Issuer     string    `gorm:"not null;uniqueIndex:identities_subject;uniqueIndex:identities_user"`
	Subject    string    `gorm:"not null;uniqueIndex:identities_subject"`
	Email      string    `gorm:"not null"`
	CreatedAt  instant   `gorm:"not null"`
	LastUsedAt instant

	User *userRow `gorm:"foreignKey:UserID;references:ID"`
}

// TableName tells gorm the table.
func (identityRow) TableName() string { return "identities" }

func (r identityRow) identity() signin.Identity {
	return signin.Identity{
		ID: r.ID, UserID: r.UserID, Issuer: r.Issuer, Subject: r.Subject, Email: r.Email, CreatedAt: r.CreatedAt.Time,
		LastUsedAt: r.LastUsedAt.Time,
	}
}

// unlinkedRow is the model of an identity that its user unlinked.
type unlinkedRow struct {
	UserID     uuid.UUID `gorm:"type:uuid;primaryKey"`
	Issuer     string    `gorm:"primaryKey"`
	Subject    string    `gorm:"primaryKey"`
	UnlinkedAt instant   `gorm:"not null"`

	User *userRow `gorm:"foreignKey:UserID;references:ID"`
}

// TableName tells gorm the table.
func (unlinkedRow) TableName() string { return "unlinked_identities" }

// sentFormRow is the model of a form that was sent.
type sentFormRow struct {
	AccountID uuid.UUID `gorm:"type:uuid;primaryKey"`
	ID        uuid.UUID `gorm:"type:uuid;primaryKey"`
	SentAt    instant   `gorm:"not null;index:sent_forms_age"`

	Account *accountRow `gorm:"foreignKey:AccountID;references:ID"`
}

// TableName tells gorm the table.
func (sentFormRow) TableName() string { return "sent_forms" }
