package gormdb

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/oauth"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/token"
)

// tokenRow is the model of an API token. An update of the token writes the columns without a "<-" (columns.changeable).
type tokenRow struct {
	AccountID           uuid.UUID     `gorm:"<-:create;type:uuid;primaryKey;index:api_tokens_page;index:api_tokens_live;index:api_tokens_issued;index:api_tokens_revoked,priority:2;index:api_tokens_expired,priority:2"`
	StoreID             uuid.NullUUID `gorm:"<-:create;type:uuid;index:api_tokens_page;index:api_tokens_live"`
	ID                  uuid.UUID     `gorm:"<-:create;type:uuid;primaryKey;index:api_tokens_page;index:api_tokens_live,where:revoked_at IS NULL;index:api_tokens_revoked,priority:3;index:api_tokens_expired,priority:3"`
	Name                string        `gorm:"not null"`
	ClientID            string        `gorm:"<-:create;not null;unique"`
	ClientSecretDigest  []byte        `gorm:"index:api_tokens_client_secret;not null;->:false;<-:create"`
	ClientSecretKey     string        `gorm:"not null;->:false;<-:create"`
	Scopes              string        `gorm:"not null"`
	AllowedIPRanges     string        `gorm:"not null"`
	ChargeLimit         *int64        // in minor units
	ChargeLimitCurrency *string
	CreatedAt           instant       `gorm:"<-:create;not null"`
	CreatedByKind       string        `gorm:"<-:create;not null"`
	CreatedByID         uuid.NullUUID `gorm:"<-:create;type:uuid;index:api_tokens_issued,where:created_by_kind = 'API_TOKEN'"`
	CreatedByName       string        `gorm:"<-:create;not null"`
	ExpiresAt           instant       `gorm:"index:api_tokens_expiry,priority:2,where:revoked_at IS NULL AND expires_at IS NOT NULL AND expiry_stage < 2;index:api_tokens_expired,priority:1,where:expires_at IS NOT NULL AND revoked_at IS NULL"`
	ExpiryStage         int64         `gorm:"not null;->:false;<-:create;index:api_tokens_expiry,priority:1"`
	LastUsedAt          instant       `gorm:"<-:update"`
	LastUsedIP          *string       `gorm:"<-:update"`
	RevokedAt           instant       `gorm:"<-:update;index:api_tokens_revoked,priority:1,where:revoked_at IS NOT NULL"`
	RevokedByKind       *string       `gorm:"<-:update"`
	RevokedByID         uuid.NullUUID `gorm:"type:uuid;<-:update"`
	RevokedByName       *string       `gorm:"<-:update"`
	RevocationReason    *string       `gorm:"<-:update"`

	Account *accountRow `gorm:"foreignKey:AccountID;references:ID"`
	Store   *storeRow   `gorm:"foreignKey:AccountID,StoreID;references:AccountID,ID"`
}

// TableName tells gorm the table.
func (tokenRow) TableName() string { return "api_tokens" }

func newTokenRow(d token.Draft) tokenRow {
	row := tokenRowOf(d.Token)
	row.ClientSecretDigest, row.ClientSecretKey = d.ClientSecret.Digest[:], string(d.ClientSecret.Key)
	return row
}

// tokenRowOf returns the row of a token without what only statements write: digests, last use and revocation.
func tokenRowOf(t token.Token) tokenRow {
	return tokenRow{
		AccountID: t.AccountID, StoreID: optional(t.StoreID), ID: t.ID, Name: t.Name, ClientID: t.ClientID,
		Scopes: t.Scopes.String(), AllowedIPRanges: joinedRanges(t.AllowedIPRanges), CreatedAt: instant{t.CreatedAt},
		ChargeLimit: minorOf(t.ChargeLimit), ChargeLimitCurrency: currencyOf(t.ChargeLimit),
		CreatedByKind: string(t.CreatedBy.Kind), CreatedByID: optional(t.CreatedBy.ID), CreatedByName: t.CreatedBy.Name,
		ExpiresAt: instant{t.ExpiresAt}, ExpiryStage: int64(token.StageOfNew(t)),
	}
}

// listedToken is an API token with the hash of its store. It is read from api_tokens AS t and stores AS s (tokensOf).
type listedToken struct {
	Token     tokenRow `gorm:"embedded" sql:"t"`
	StoreHash string   `sql:"s.hash"`
}

func (r listedToken) token() (token.Token, error) {
	row := r.Token
	ranges, err := splitRanges(row.AllowedIPRanges)
	if err != nil {
		return token.Token{}, err
	}
	lastIP, err := parseAddr(textOf(row.LastUsedIP))
	if err != nil {
		return token.Token{}, fmt.Errorf("parse a stored address: %w", err)
	}
	t := token.Token{
		ID: row.ID, AccountID: row.AccountID, StoreID: row.StoreID.UUID, StoreHash: r.StoreHash, Name: row.Name,
		ClientID: row.ClientID, Scopes: scope.ParseSet(row.Scopes), AllowedIPRanges: ranges,
		ChargeLimit: limitOf(row.ChargeLimit, row.ChargeLimitCurrency),
		CreatedAt:   row.CreatedAt.Time,
		CreatedBy: audit.Actor{Kind: audit.ActorKind(row.CreatedByKind), ID: row.CreatedByID.UUID,
			Name: row.CreatedByName},
		ExpiresAt: row.ExpiresAt.Time, LastUsedAt: row.LastUsedAt.Time, LastUsedIP: lastIP,
	}
	if !row.RevokedAt.IsZero() {
		by := audit.Actor{Kind: audit.ActorKind(textOf(row.RevokedByKind)), ID: row.RevokedByID.UUID,
			Name: textOf(row.RevokedByName)}
		t.Revocation = &token.Revocation{At: row.RevokedAt.Time, By: by, Reason: textOf(row.RevocationReason)}
	}
	return t, nil
}

func (r listedToken) item() (paging.Item[token.Token], error) {
	t, err := r.token()
	return paging.Item[token.Token]{Node: t, Key: r.Token.ID}, err
}

// textOf returns a nullable text, or "" for null.
func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// limitOf returns the charge limit of two columns, which are null without one.
func limitOf(minor *int64, currency *string) auth.ChargeLimit {
	if minor == nil {
		return auth.ChargeLimit{}
	}
	return auth.ChargeLimit{Minor: *minor, Currency: textOf(currency)}
}

func minorOf(l auth.ChargeLimit) *int64 {
	if l.IsZero() {
		return nil
	}
	return &l.Minor
}

func currencyOf(l auth.ChargeLimit) *string {
	if l.IsZero() {
		return nil
	}
	return &l.Currency
}

// accessRow is the model of an access token of an API token.
type accessRow struct {
	AccountID  uuid.UUID `gorm:"type:uuid;primaryKey;index:access_tokens_seen_by_token"`
	APITokenID uuid.UUID `gorm:"type:uuid;primaryKey"`
	ID         uuid.UUID `gorm:"type:uuid;primaryKey"`
	Digest     []byte    `gorm:"not null;unique;->:false;<-:create"`
	DigestKey  string    `gorm:"not null;->:false;<-:create"`
	Hint       string    `gorm:"not null"`
	CreatedAt  instant   `gorm:"not null"`
	// ExpiresAt is also set by endAccess.
	ExpiresAt instant       `gorm:"index:access_tokens_expired,where:expires_at IS NOT NULL"`
	EndedAt   instant       `gorm:"<-:update"`
	SeenBy    uuid.NullUUID `gorm:"type:uuid"`
	// SeenByToken is the API token that rotated this one and so saw its secret.
	SeenByToken uuid.NullUUID `gorm:"type:uuid;index:access_tokens_seen_by_token,where:seen_by_token IS NOT NULL"`
	LastUsedAt  instant       `gorm:"<-:update"`
	LastUsedIP  *string       `gorm:"<-:update"`

	Token *tokenRow `gorm:"foreignKey:AccountID,APITokenID;references:AccountID,ID"`
}

// TableName tells gorm the table.
func (accessRow) TableName() string { return "access_tokens" }

func newAccessRow(accountID uuid.UUID, d token.AccessDraft) accessRow {
	return accessRow{
		AccountID: accountID, APITokenID: d.Record.APITokenID, ID: d.Record.ID,
		Digest: d.Digest.Digest[:], DigestKey: string(d.Digest.Key), Hint: d.Record.Hint,
		CreatedAt: instant{d.Record.CreatedAt}, ExpiresAt: instant{d.Record.ExpiresAt}, SeenBy: optional(d.SeenBy),
		SeenByToken: optional(d.SeenByToken),
	}
}

func (r accessRow) accessToken() (token.AccessToken, error) {
	lastIP, err := parseAddr(textOf(r.LastUsedIP))
	if err != nil {
		return token.AccessToken{}, fmt.Errorf("parse a stored address: %w", err)
	}
	return token.AccessToken{
		ID: r.ID, APITokenID: r.APITokenID, Hint: r.Hint, CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time,
		LastUsedAt: r.LastUsedAt.Time, LastUsedIP: lastIP,
	}, nil
}

// endAccess revokes the access tokens that q finds and that were not revoked before, and returns their number. It
// does not check their expiration: a token that has expired by this server's clock may not have expired by another's.
// It also sets expires_at, which never moves to a later time, for servers of an earlier version, which check only
// that.
func endAccess(q *gorm.DB, at time.Time) (int64, error) {
	end := instant{at}
	ended := q.Model(&accessRow{}).Where("ended_at IS NULL").Updates(map[string]any{
		"ended_at": end, "expires_at": gorm.Expr("CASE WHEN expires_at < ? THEN expires_at ELSE ? END", end, end),
	})
	return ended.RowsAffected, ended.Error
}

// grantRow is the model of an access token that OAuth granted to an API token.
type grantRow struct {
	AccountID  uuid.UUID `gorm:"type:uuid;primaryKey;index:access_grants_ends"`
	APITokenID uuid.UUID `gorm:"type:uuid;primaryKey"`
	ID         uuid.UUID `gorm:"type:uuid;primaryKey"`
	Digest     []byte    `gorm:"not null;unique"`
	DigestKey  string    `gorm:"not null"`
	Hint       string    `gorm:"not null"`
	Scopes     string    `gorm:"not null"`
	CreatedAt  instant   `gorm:"not null"`
	ExpiresAt  instant   `gorm:"not null;index:access_grants_ends"`

	Token *tokenRow `gorm:"foreignKey:AccountID,APITokenID;references:AccountID,ID"`
}

// TableName tells gorm the table.
func (grantRow) TableName() string { return "access_grants" }

func newGrantRow(d oauth.Draft) grantRow {
	return grantRow{
		AccountID: d.AccountID, APITokenID: d.TokenID, ID: d.ID, Digest: d.Digest.Digest[:],
		DigestKey: string(d.Digest.Key),
		Hint:      d.Hint, Scopes: d.Scopes.String(), CreatedAt: instant{d.CreatedAt}, ExpiresAt: instant{d.ExpiresAt},
	}
}

// The columns of the models in hand-written statements.
var (
	tokenColumns  = columnsOf[tokenRow](nil)
	accessColumns = columnsOf[accessRow](nil)
	grantColumns  = columnsOf[grantRow](nil)

	listedAccessColumns = accessColumns.list()
	listedTokenColumns  = columnsOf[listedToken](nil).list()
)
